# SPDX-License-Identifier: MIT
"""What this machine has and lacks for oejail, each with its fix."""

from __future__ import annotations

import contextlib
import locale
import os
import pwd
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from oejail import oebuild, process
from oejail.errors import ConfigError, OejailError, PrerequisiteMissing, UsageFault
from oejail.log import redact

GIB = 1 << 30
NEEDED_SPACE = 100 * GIB
"""Free bytes for a build of openEuler with its downloads and tmp/ (the sample needs far less)."""
NEEDED_MEMORY = 8 * GIB
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")


@dataclass(frozen=True)
class Line:
    """One line of the report. `state` is `ok`, `note` (fine, but worth knowing) or `missing`.

    `required` says whether oejail can do nothing at all without it; `fix` is what to type.
    """

    name: str
    state: str
    detail: str
    fix: str = ""
    required: bool = False


def examine(directory: Path) -> list[Line]:
    """The report for a project in `directory`; programs are asked for their versions."""
    return [check(directory) for check in _CHECKS]


def _version(program: str, *arguments: str) -> str | None:
    """The first line that `program` says of its version, or None when it cannot be run."""
    if shutil.which(program) is None:
        return None
    try:
        result = process.run([program, *arguments], timeout=20, check=False)
    except (PrerequisiteMissing, UsageFault):
        return None
    lines = [line.strip() for line in (*result.stdout, *result.stderr) if line.strip()]
    return lines[0] if result.ok and lines else None


def _python(_: Path) -> Line:
    found = ".".join(map(str, sys.version_info[:3]))
    return Line("Python", "ok", f"{found} at {sys.executable}", required=True)


def _git(_: Path) -> Line:
    found = _version("git", "--version")
    if found is None:
        return Line("git", "missing", "not on PATH", "apt-get install git", required=True)
    return Line("git", "ok", found, required=True)


def _oebuild(directory: Path) -> Line:
    from oejail import project
    from oejail.workspace import identity

    prefix: tuple[str, ...] = oebuild.DEFAULT_PREFIX
    who = process.SELF
    place, fix = "", oebuild.PIP
    with contextlib.suppress(UsageFault, ConfigError):  # no project here, or one to be mended first
        here = project.load(directory)
        if here.config.oebuild is not None:
            prefix = (str(here.path(here.config.oebuild)),)
            place, fix = f" at {prefix[0]}", "set oebuild: in oejail.yaml to a working one, or null"
            with contextlib.suppress(PrerequisiteMissing):  # then the line of the user says so
                who = identity.choose(here)
    try:
        found = oebuild.version(prefix, who)  # oebuild says nothing to root, its version neither
    except PrerequisiteMissing as error:
        return Line("oebuild", "missing", error.message, fix, required=True)
    if found == oebuild.PINNED:
        return Line("oebuild", "ok", found + place, required=True)
    detail = f"{found}{place}; oejail was tested with {oebuild.PINNED}"
    if not oebuild.fits(found):
        return Line("oebuild", "missing", detail, fix, required=True)
    return Line("oebuild", "note", detail, fix)


def _host_tools(directory: Path) -> Line:
    """What BitBake on this machine needs for the project's tree, as far as that can be read."""
    from oejail import project
    from oejail.workspace import hosttools
    from oejail.workspace.workspace import open_workspace

    try:
        found = hosttools.look(open_workspace(project.load(directory)))
    except OejailError as error:
        return Line("host tools", "note", f"not looked at: {error.message}", error.hint or "")
    if found.conf is None:
        return Line("host tools", "ok", "no tree here yet, or BitBake runs in the container")
    if found.what:
        return Line("host tools", "missing", found.what, found.fix)
    return Line("host tools", "ok", f"{len(found.tools) or 'none'}, as {found.conf} asks for")


def _container(_: Path) -> Line:
    """The daemon of containers: there, permitted, with room for images."""
    from oejail import containers
    from oejail.workspace import image

    if os.environ.get("DOCKER_CONTEXT"):
        return Line(
            "containers",
            "note",
            "DOCKER_CONTEXT is set, which oebuild does not know: it would use another daemon",
            "set DOCKER_HOST to that context's address",
        )
    try:
        with containers.connect(timeout=20) as client:
            version = client.version()
            names = [str(part.get("Name", "")) for part in version.get("Components") or ()]
            detail = (
                f"{(names or ['Docker'])[0]} {version.get('Version')} at {containers.address()}"
            )
            room = image.room(client)
            if room is not None:
                detail += f", {room[1] / GIB:.1f} GiB free in {room[0]}"
            if room is not None and room[1] < image.USUAL:
                wanted = f"openEuler's image takes some {image.USUAL // GIB} GiB"
                return Line("containers", "note", f"{detail}; {wanted}", "docker system prune")
            return Line("containers", "ok", detail)
    except PrerequisiteMissing as error:
        return Line("containers", "note", error.message, error.hint or "")


def _image(directory: Path) -> Line:
    """The image of the project in `directory`, when it is built in a container."""
    from oejail import project
    from oejail.workspace import image
    from oejail.workspace.workspace import open_workspace

    try:
        ws = open_workspace(project.load(directory))
        name = image.docker_param(ws).image if ws.engine == "container" else None
    except OejailError:  # no project here, or one that is not generated yet
        name = None
    if name is None:
        return Line("image", "ok", "none needed here yet")
    try:
        found = image.image_identity(ws)
    except PrerequisiteMissing:
        return Line("image", "note", f"{name}: the daemon cannot be asked")
    if found is None:
        return Line(
            "image",
            "note",
            f"{name}: not there yet; the first build pulls it",
            f"docker pull {name}",
        )
    moves = "; that name moves" if found.moving_tag else ""
    return Line("image", "ok", f"{name}: {found.digest or found.id}{moves}")


def _cross(_: Path) -> Line:
    found = _version("aarch64-linux-gnu-gcc", "--version")
    if found is not None:
        return Line("cross compiler", "ok", found)
    if find_spec("ziglang") is not None:
        return Line("cross compiler", "ok", "zig (the ziglang package)")
    return Line(
        "cross compiler",
        "note",
        "neither aarch64-linux-gnu-gcc nor ziglang: the sample tree cannot be built",
        "pipx install 'oejail[sample,cross]', or apt-get install gcc-aarch64-linux-gnu",
    )


def _bitbake(_: Path) -> Line:
    if find_spec("bitbake_setup") is not None:
        return Line("sample's BitBake", "ok", "the bitbake-setup package")
    return Line(
        "sample's BitBake",
        "note",
        "bitbake-setup is not installed: --sample cannot run",
        "pipx install 'oejail[sample,cross]'",
    )


def _qemu(_: Path) -> Line:
    found = _version("qemu-system-aarch64", "--version")
    if found is None:
        return Line(
            "QEMU", "note", "qemu-system-aarch64 is not on PATH", "apt-get install qemu-system-arm"
        )
    return Line("QEMU", "ok", found)


def _openssh(_: Path) -> Line:
    missing = [name for name in ("ssh", "ssh-keygen") if shutil.which(name) is None]
    if missing:
        what = f"no {' and no '.join(missing)} on PATH: deploy, --sign and --signers cannot run"
        return Line("OpenSSH", "note", what, "apt-get install openssh-client")
    return Line("OpenSSH", "ok", shutil.which("ssh") or "")


def _disk(directory: Path) -> Line:
    free = shutil.disk_usage(directory).free
    detail = f"{free / GIB:.1f} GiB free at {directory}"
    if free < NEEDED_SPACE:
        wanted = f"a build of openEuler wants some {NEEDED_SPACE // GIB} GiB"
        return Line(
            "disk", "note", f"{detail}; {wanted}", "free space, or oejail init --workspace DIR"
        )
    return Line("disk", "ok", detail)


def _memory(_: Path) -> Line:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{total / GIB:.1f} GiB, {len(os.sched_getaffinity(0))} CPUs"
    if total < NEEDED_MEMORY:
        return Line(
            "memory",
            "note",
            f"{detail}; a build of openEuler wants some {NEEDED_MEMORY // GIB} GiB",
            "local_conf: ['BB_NUMBER_THREADS = \"2\"'] in oejail.yaml uses less",
        )
    return Line("memory", "ok", detail)


def _user(_: Path) -> Line:
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return Line(
            "user",
            "missing",
            f"uid {uid} has no passwd entry: oebuild fails",
            "add one with useradd",
        )
    if uid == 0:
        return Line(
            "user",
            "note",
            "root: BitBake and oebuild refuse it, so they run as another user",
            "set build_user: in oejail.yaml (useradd --create-home oejail)",
        )
    return Line("user", "ok", name)


def _locale(_: Path) -> Line:
    encoding = locale.getpreferredencoding(False)
    if encoding.lower().replace("-", "") != "utf8":
        return Line(
            "locale",
            "note",
            f"{encoding}: names outside ASCII are shown escaped; builds run in C.UTF-8",
            "export LC_ALL=C.UTF-8",
        )
    return Line("locale", "ok", encoding)


def _proxy(_: Path) -> Line:
    found = [f"{name}={redact(os.environ[name])}" for name in PROXIES if os.environ.get(name)]
    return Line("proxy", "ok", ", ".join(found) or "none set")


_CHECKS: tuple[Callable[[Path], Line], ...] = (
    _python,
    _git,
    _oebuild,
    _host_tools,
    _container,
    _image,
    _cross,
    _bitbake,
    _qemu,
    _openssh,
    _disk,
    _memory,
    _user,
    _locale,
    _proxy,
)
