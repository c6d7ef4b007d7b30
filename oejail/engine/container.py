# SPDX-License-Identifier: MIT
"""BitBake in oebuild's container.

oebuild makes the container, or starts the one that `.env` in the build directory names, and runs
BitBake in it; its exit status says whether anything reached stderr. What happened is told by files
that the container writes in the build directory, which it sees: BitBake's events, and below
RUN_DIR the output with BitBake's exit status in it (container.bash).
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from oejail import containers, files, oebuild, terminal
from oejail.engine import guard
from oejail.engine.text import printable
from oejail.errors import ConfigError, Interrupted, OejailError, PrerequisiteMissing
from oejail.log import logger
from oejail.process import Reader, Result
from oejail.workspace import dockerparam, image
from oejail.workspace.dockerparam import BUILD_LABEL, CONFIG_LABEL, HOOK, RUN_DIR
from oejail.workspace.model import Workspace

ENV_FILE = ".env"
"""oebuild's, in the build directory: the short id of its container, as YAML."""
USER = "openeuler"
BASH_MARK = "###!!!###"
"""At the end of each line that oebuild puts into the container's .bashrc."""
BASHRC = f"/home/{USER}/.bashrc"
ALIVE = "alive"
"""In RUN_DIR, as long as a run lasts: one that was killed leaves it."""

_ENDED = re.compile(r"oejail: bitbake ended with status (\d{1,3})")
_LOST = (
    "oejail: oebuild's lines are not in .bashrc",  # container.bash
    f"can not get container {USER} uid",  # oebuild
)
_KEEP = 10_000  # lines of output that a Result holds, as process.run has it
_BEAT = 1.0  # seconds between two touches of the file that says that oejail lives


@dataclass(frozen=True)
class Container:
    """A container that was made for a build directory."""

    id: str
    """As short as `docker ps` shows it."""
    running: bool
    image: str
    config: str
    """Digest of the docker_param that it was made from."""
    build_dir: str
    """The build directory that it is for, on this machine."""
    image_id: str = ""
    """`sha256:…` of the image that it was made from, whatever has its name now."""

    def __str__(self) -> str:
        return f"{self.id} ({'running' if self.running else 'stopped'}) of {self.build_dir}"


class Unfit(PrerequisiteMissing):
    """The container's user cannot write into the workspace; the container is gone by then.

    Another one may fit: Podman loses now and then what a command in a container said, and oebuild
    then goes on with nothing.
    """


def find(ws: Workspace) -> Container | None:
    """The container of the build directory, by its label; None when there is none.

    Raises PrerequisiteMissing when the daemon cannot be asked.
    """
    with containers.connect() as client:
        found = _labelled(client, ws.build_dir)
    named = _named(ws.build_dir)
    found.sort(key=lambda one: one.id != named)
    return found[0] if found else None


def stop(ws: Workspace) -> None:
    """End all that runs in the build directory's container; the container itself stays.

    Raises PrerequisiteMissing when the daemon cannot be asked.
    """
    with containers.connect() as client:
        for one in _labelled(client, ws.build_dir):
            if one.running:
                _kill(client, one)


def of_workspace(root: Path) -> list[Container]:
    """The containers of all build directories of the workspace at `root`.

    The daemon is not asked where no build directory names a container. Raises PrerequisiteMissing
    when it cannot be asked.
    """
    if not any(map(_named, root.glob("build/*"))):
        return []
    with containers.connect() as client:
        found = _listed(client, BUILD_LABEL)
    return [one for one in found if Path(one.build_dir).parent == root / "build"]


def remove(found: Sequence[Container]) -> None:
    """Remove containers and end what runs in them.

    Raises PrerequisiteMissing when the daemon cannot be asked.
    """
    with containers.connect() as client:
        for one in found:
            _remove(client, one)


def prepare(ws: Workspace) -> None:
    """See to it that oebuild can start: daemon, image, and no container of another docker_param.

    Raises PrerequisiteMissing (daemon, permission, image, user), ConfigError (compile.yaml).
    """
    require_user(ws)
    param = completed(ws)
    with containers.connect(ws.identity) as client:
        found = image.ensure(client, param.image)
        wanted = _config(param)
        known = _named(ws.build_dir)
        # oebuild sets a container up in steps, and looks at no step's result: one that was left in
        # the middle may lack any of them for good.
        torn = os.path.lexists(ws.build_dir / RUN_DIR / ALIVE)
        for one in _labelled(client, ws.build_dir):
            moved = one.image_id not in ("", found.id)
            if torn or moved or one.id != known or one.config != wanted:
                why = "made from another image" if moved else "made for other settings"
                why = "left by a run that was killed" if torn else why
                logger.info("container %s was %s: removed", one.id, why)
                _remove(client, one)
        if known and not any(one.id == known for one in _labelled(client, ws.build_dir)):
            # Gone, or somebody else's, which stays as it is: oebuild makes a new one.
            files.atomic_write(ws.build_dir / ENV_FILE, b"")
        _clean_bashrc(client, ws)
    _lay_out(ws)


def require_user(ws: Workspace) -> None:
    """Raise PrerequisiteMissing when nobody is there whose ids the container's user can have."""
    if ws.identity.kind == "userns":
        raise PrerequisiteMissing(
            "oebuild refuses root, and no container can be built in from a user namespace",
            hint="useradd --create-home oejail-build, add it to the group of the daemon's socket, "
            "then build_user: oejail-build in oejail.yaml, or OEJAIL_BUILD_USER",
        )


def run(
    ws: Workspace,
    words: Sequence[str],
    *,
    reader: Reader | None = None,
    tick: Callable[[], None] | None = None,
    heart: guard.Heartbeat,
) -> Result:
    """`oebuild WORDS` in the build directory, with what was said in the container.

    The lines are those of the output file, with paths of the host; the exit status is BitBake's
    own, or, where it did not start, one that is not 0. Nothing runs in the container afterwards.
    Raises as `prepare`, Unfit, and Interrupted.
    """
    prepare(ws)
    kept: list[str] = []

    def take(line: str) -> None:
        kept.append(line)
        del kept[:-_KEEP]
        if reader is not None:
            reader("stdout", line)

    with _Watch(ws) as watch:

        def follow() -> None:
            watch.beat()
            for line in watch.lines():
                take(ws.on_host(line))
            if tick is not None:
                tick()

        try:
            result = oebuild.run(
                ws.build_dir,
                words,
                prefix=ws.oebuild,
                identity=ws.identity,
                reader=lambda _, line: take(ws.on_host(line)),
                tick=follow,
                grace=guard.grace(ws),
                heart=heart.take(),
            )
        except Interrupted:
            stop(ws)
            raise
        for line in watch.lines(last=True):
            take(ws.on_host(line))
    wrong = take_down(ws, take)
    ended = [match for line in kept if (match := _ENDED.fullmatch(line))]
    if wrong is not None and not ended:
        raise wrong
    status = int(ended[-1][1]) if ended else result.returncode or 1
    return replace(result, returncode=status, stdout=tuple(kept), stderr=())


def lost(result: Result) -> bool:
    """Whether a run did not reach BitBake because oebuild did not get what a command there said."""
    return not result.ok and any(words in line for line in result.stdout for words in _LOST)


def shell(ws: Workspace, rcfile: Path, env: Mapping[str, str]) -> int:
    """An interactive bash of the container's user, with `rcfile` and `env`; its exit status.

    oebuild makes the container and conf/ first. All that runs in the container ends with the shell.
    Raises as `run`, ChildFailed when the container did not come up, UsageFault without a terminal.
    """
    prepare(ws)
    files.atomic_write(ws.build_dir / RUN_DIR / "shell.bash", rcfile.read_bytes(), mode=0o644)
    result = oebuild.run(
        ws.build_dir, ["bitbake", "--version"], prefix=ws.oebuild, identity=ws.identity
    )
    one = find(ws)
    if one is None or not one.running:
        raise oebuild.failed(result, f"{ws.build_dir}: its container did not come up")
    place = ws.build_dir_as_built
    settings = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
    words = ["docker", "exec", "-it", "-u", USER, "-w", place, "-e", "BASH_ENV=", *settings, one.id]
    words += ["bash", "--rcfile", f"{place}/{RUN_DIR}/shell.bash", "-i"]
    try:
        return terminal.run(words, cwd=ws.build_dir, identity=ws.identity)
    finally:
        stop(ws)


def take_down(ws: Workspace, say: Callable[[str], None]) -> Unfit | None:
    """After a run: the container is clean and stopped; what is wrong with it is said, or returned
    where it would hinder every run."""
    wrong = None
    try:
        with containers.connect() as client:
            found = [
                one for one in _labelled(client, ws.build_dir) if one.id == _named(ws.build_dir)
            ]
            if not found:
                say(f"ERROR: oejail: the container {_named(ws.build_dir) or ''} is gone")
            elif not found[0].running:
                say(f"ERROR: oejail: the container {found[0].id} was stopped during the build")
            for one in found:
                if one.running:
                    wrong = _wrong_user(client, ws, one)
                if wrong is not None:
                    _remove(client, one)  # the next is made as the daemon is by then
                    continue
                _clean_bashrc(client, ws)
                _kill(client, one)
    except OejailError as error:
        say(f"ERROR: oejail: the container daemon is gone: {error.message}")
    return wrong


class _Watch:
    """The files that a run and its container share: `alive` is touched, `output` followed."""

    def __init__(self, ws: Workspace) -> None:
        self.directory = ws.build_dir / RUN_DIR
        self.output = -1
        self.offset = 0
        self.rest = b""
        self.beaten = 0.0
        owner = files.owner_to_keep(self.directory)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self.alive = os.open(self.directory / ALIVE, flags, 0o644)
        if owner is not None:
            os.fchown(self.alive, *owner)
        self.beat()

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        # From here on a bash of the container is none of this run.
        with contextlib.suppress(OSError):
            (self.directory / ALIVE).unlink()
        for descriptor in (self.alive, self.output):
            if descriptor >= 0:
                os.close(descriptor)

    def beat(self) -> None:
        now = time.monotonic()
        if now - self.beaten >= _BEAT:
            self.beaten = now
            os.utime(self.alive)

    def lines(self, *, last: bool = False) -> list[str]:
        """The lines that have come since the last call; with `last` an unfinished one as well."""
        if self.output < 0 and not self._open():
            return []
        found: list[bytes] = []
        while data := os.pread(self.output, 1 << 18, self.offset):
            self.offset += len(data)
            *whole, self.rest = (self.rest + data).split(b"\n")
            found += whole
            if not last and len(found) > _KEEP:
                break
        if len(self.rest) > 1 << 16 or (last and self.rest):
            found.append(self.rest)
            self.rest = b""
        return [line[: 1 << 16].decode("utf-8", "replace").rstrip("\r") for line in found]

    def _open(self) -> bool:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(self.directory / "output", flags)
        except OSError:
            return False
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            return False
        self.output = descriptor
        return True


def _lay_out(ws: Workspace) -> None:
    """The directory that oejail and the container share, with the hook and without old output."""
    directory = ws.build_dir / RUN_DIR
    if directory.is_symlink():
        raise ConfigError(f"{directory}: a link, where oejail's own directory belongs")
    files.make_directory(directory)
    hook = Path(__file__).with_name("container.bash").read_bytes()
    files.atomic_write(ws.build_dir / HOOK, hook, mode=0o644)
    files.atomic_write(directory / guard.COPY, guard.PROGRAM.read_bytes(), mode=0o644)
    ask = Path(__file__).with_name("configuration.py").read_bytes()
    files.atomic_write(directory / "configuration.py", ask, mode=0o644)
    for name in ("output", ALIVE):
        with contextlib.suppress(FileNotFoundError):
            (directory / name).unlink()


def completed(ws: Workspace) -> dockerparam.DockerParam:
    """docker_param of compile.yaml. Raises ConfigError when it lacks oejail's part."""
    param = image.docker_param(ws)
    if CONFIG_LABEL not in param.parameters:
        raise ConfigError(
            f"{ws.compile_yaml}: docker_param.parameters lacks oejail's labels",
            hint=ws.command("generate"),
        )
    return param


def _config(param: dockerparam.DockerParam) -> str:
    match = re.search(rf"{re.escape(CONFIG_LABEL)}=(\S+)", param.parameters)
    return match[1] if match else ""


def _labelled(client: Any, build_dir: Path) -> list[Container]:
    """The containers that bear the build directory's label."""
    return _listed(client, f"{BUILD_LABEL}={build_dir}")


def _listed(client: Any, label: str) -> list[Container]:
    # Of each only what the list says: one that is removed meanwhile is no error.
    return [
        Container(
            id=str(one["Id"])[:12],
            running=one.get("State") == "running",
            image=str(one.get("Image", "")),
            config=str((one.get("Labels") or {}).get(CONFIG_LABEL, "")),
            build_dir=str((one.get("Labels") or {}).get(BUILD_LABEL, "")),
            image_id=_image_id(str(one.get("ImageID") or "")),
        )
        for one in client.api.containers(all=True, filters={"label": label})
    ]


def _image_id(text: str) -> str:
    """An image's id as Docker writes it; not every Podman has the prefix."""
    return f"sha256:{text}" if re.fullmatch("[0-9a-f]{64}", text) else text


def _named(build_dir: Path) -> str:
    """The short id in oebuild's `.env`; empty without one."""
    try:
        text = files.read_limited(build_dir / ENV_FILE, 4096).decode("utf-8", "replace")
    except (OSError, ConfigError):
        return ""
    match = re.search(r"short_id: *['\"]?([0-9a-f]{6,64})", text)
    return match[1][:12] if match else ""


def _kill(client: Any, one: Container) -> None:
    """End all processes of a container, at once."""
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        found = client.containers.get(one.id)
        with contextlib.suppress(docker.errors.APIError):  # it is not running any more
            found.kill()
        found.wait(timeout=30)


def _remove(client: Any, one: Container) -> None:
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        client.api.remove_container(one.id, force=True)


def _clean_bashrc(client: Any, ws: Workspace) -> None:
    """Take out of the container's .bashrc what a run of oebuild that failed left in it."""
    import docker.errors

    known = _named(ws.build_dir)
    with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
        for one in _labelled(client, ws.build_dir):
            if one.id == known and one.running:
                found = client.containers.get(one.id)
                found.exec_run(["sed", "-i", f"/{BASH_MARK}$/d", BASHRC], user="root")


def _wrong_user(client: Any, ws: Workspace, one: Container) -> Unfit | None:
    """The error for a container whose user did not get the caller's id (oebuild's usermod fails
    where the image has it for another user, and nobody looks), or has it in another user namespace
    than the caller's, where it is of no use."""
    import docker.errors

    wanted = ws.identity.uid if ws.identity.kind == "user" else os.geteuid()
    words = ["sh", "-c", 'id -u; test -w "$1" && echo writes', "sh", ws.build_dir_as_built]
    try:
        got, *writes = client.containers.get(one.id).exec_run(words, user=USER).output.split()
    except (docker.errors.APIError, ValueError):
        return None
    if got.isdigit() and int(got) != wanted:
        return Unfit(
            f"image {printable(image.docker_param(ws).image)}: its user {USER} cannot have the id "
            f"{wanted}, which is another's there; it is {int(got)}",
            hint="build as a user with another id (as root: --build-user), or use --engine host",
        )
    if got.isdigit() and not writes:
        return Unfit(
            f"{ws.build_dir}: the container's user {USER} may not write there, although it has the "
            f"id {wanted}: the daemon is rootless, or maps ids",
            hint='for rootless Podman: userns = "keep-id" below [containers] in '
            "~/.config/containers/containers.conf, and its service started anew; else use a daemon "
            "that runs as root, or --engine host",
        )
    return None
