# SPDX-License-Identifier: MIT
"""The sample tree: a miniature of openEuler's sources that travels with oejail.

`lay_out` makes `src/yocto-poky` and `src/yocto-meta-openeuler`, as git repositories, because
oebuild works on such and checks out the commit that the manifest names. Their commits are the same
on every machine. BitBake's library is not ours and not in our package: it is copied from the
installed bitbake-setup wheel to the place where BitBake looks for its own scripts, which are ours.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from oejail import cells, containers, files, platforms, process
from oejail.errors import PrerequisiteMissing
from oejail.log import logger
from oejail.process import SELF, Identity
from oejail.resources import data_dir
from oejail.workspace import image, inmate
from oejail.workspace.dockerparam import TOOLS
from oejail.workspace.inmate import Inmate
from oejail.workspace.model import Outcome, Workspace

POKY = "yocto-poky"
META = "yocto-meta-openeuler"
PLATFORMS = ("qemu-aarch64", "raspberrypi4-64")

_EXTRAS = "pipx install 'oejail[sample,cross]'"
_COMMIT_MARK = "##YOCTO_POKY_COMMIT##"
_STATE = "oejail-sample.json"
"""In .git: the digest of what was laid out, and its commit."""

ASK_GCC = "command -v aarch64-linux-gnu-ld >/dev/null && aarch64-linux-gnu-gcc -dumpfullversion"

_LIBRARY = "bitbake/lib/bb"
_PROGRAMS = ("bitbake/bin/", "scripts/")
_JAILHOUSE = "meta-openeuler/recipes-extended/jailhouse/files"
_FREERTOS = "rtos/meta-freertos"

_GIT_OPTIONS = (
    "core.autocrlf=false",
    "core.eol=lf",
    "core.fileMode=true",
    "core.hooksPath=/dev/null",
    "core.excludesFile=/dev/null",
    "core.attributesFile=/dev/null",
    "commit.gpgSign=false",
    "i18n.commitEncoding=UTF-8",
    "gc.auto=0",
    "safe.directory=*",
)
_GIT_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_DEFAULT_HASH": "sha1",
    "GIT_AUTHOR_NAME": "oejail",
    "GIT_AUTHOR_EMAIL": "oejail@sample.invalid",
    "GIT_AUTHOR_DATE": "2025-01-01T00:00:00+0000",
    "GIT_COMMITTER_NAME": "oejail",
    "GIT_COMMITTER_EMAIL": "oejail@sample.invalid",
    "GIT_COMMITTER_DATE": "2025-01-01T00:00:00+0000",
}


@dataclass(frozen=True)
class CrossCompiler:
    """What compiles the sample's recipes for AArch64."""

    kind: str
    """`gcc` (the system's aarch64-linux-gnu-gcc) or `zig` (PyPI's ziglang)."""
    version: str
    program: Path


@dataclass(frozen=True)
class _Repository:
    """A repository as it is to be: files made here, and files copied from elsewhere."""

    name: str
    made: dict[str, bytes]
    copied: dict[str, Path]
    digest: str


@dataclass(frozen=True)
class _State:
    digest: str
    commit: str


def lay_out(src: Path, *, force: bool = False, identity: Identity = SELF) -> Outcome:
    """Make `src/yocto-poky` and `src/yocto-meta-openeuler`; each appears whole or not at all.

    What already has the contents of this version of oejail is not touched. A repository of another
    version is replaced if nothing in it was edited; an edited one, or one that oejail did not make,
    is kept, and the outcome's reason says so. `force` replaces whatever is there. The files belong
    to `identity` where that is another user.

    Raises PrerequisiteMissing without the bitbake-setup wheel, a cross compiler or git.
    """
    cross_compiler()
    poky = _poky()
    files.make_directory(src)
    said = [_ensure(src, poky, force, identity)]
    state = _state(src / POKY)
    said.append(_ensure(src, _meta(state.commit if state else ""), force, identity))
    changed = any(outcome.changed for outcome in said)
    return Outcome(changed, "; ".join(outcome.reason for outcome in said))


@cache
def cross_compiler() -> CrossCompiler:
    """The system's cross compiler where there is one, else PyPI's ziglang.

    Raises PrerequisiteMissing, naming what to install, where there is neither.
    """
    found = find_gcc() or find_zig()
    if found is None:
        raise PrerequisiteMissing(
            "cross compiler: neither aarch64-linux-gnu-gcc on PATH nor the Python package ziglang",
            hint=f"{_EXTRAS}, or install gcc-aarch64-linux-gnu",
        )
    return found


def find_gcc() -> CrossCompiler | None:
    """The system's aarch64-linux-gnu-gcc, if its binutils are there too."""
    gcc = shutil.which("aarch64-linux-gnu-gcc")
    if gcc is None or shutil.which("aarch64-linux-gnu-ld") is None:
        return None
    version = process.run([gcc, "-dumpfullversion"]).text.strip()
    return CrossCompiler("gcc", version, Path(gcc))


def find_zig() -> CrossCompiler | None:
    """PyPI's ziglang, found without importing it."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        return None
    zig = Path(spec.origin).with_name("zig")
    if not os.access(zig, os.X_OK):
        return None
    return CrossCompiler("zig", importlib.metadata.version("ziglang"), zig)


def compiler_for(ws: Workspace, image_name: str) -> CrossCompiler:
    """What compiles in `ws`: on the host this machine's; in a container this machine's zig, a
    static program that is mounted there, else the gcc of the image.

    Raises PrerequisiteMissing where there is neither.
    """
    if ws.engine == "host":
        return cross_compiler()
    zig = find_zig()
    if zig is not None:
        return replace(zig, program=Path(TOOLS, "zig", zig.program.name))
    with containers.connect(ws.identity) as client:
        image.ensure(client, image_name)
        version = image.run(client, image_name, ["sh", "-c", ASK_GCC])
    if version is None or re.fullmatch(r"[0-9.]+", version) is None:
        raise PrerequisiteMissing(
            f"cross compiler: neither aarch64-linux-gnu-gcc in the image {image_name} nor the "
            "Python package ziglang on this machine",
            hint=_EXTRAS,
        )
    return CrossCompiler("gcc", version, Path("/usr/bin/aarch64-linux-gnu-gcc"))


def mounts(compiler: str) -> list[tuple[str, str]]:
    """Directories of this machine that a container needs for a compiler, `compiler_for`'s kind, and
    their names there."""
    zig = find_zig() if compiler == "zig" else None
    return [] if zig is None else [(str(zig.program.parent), "zig")]


def local_conf_lines(compiler: CrossCompiler | None = None) -> list[str]:
    """What conf/local.conf of a build of the sample must say about the compiler (default: the
    machine's). Kind and version take part in the task hashes, the path does not.
    """
    compiler = compiler or cross_compiler()
    lines = [f'SAMPLE_TOOLCHAIN = "{compiler.kind}-{compiler.version}"']
    if compiler.kind == "zig":  # gcc is found on PATH
        directory = str(compiler.program.parent)
        if set(directory) & set('"$:\\\n'):
            raise PrerequisiteMissing(
                f"{directory!r}: BitBake and PATH cannot bear this name",
                hint='install oejail into a directory without " $ : or \\ in its path',
            )
        lines.append(f'SAMPLE_TOOLCHAIN_PATH = "{directory}"')
    return lines


def _poky() -> _Repository:
    made = dict(_packaged(POKY))
    library, record = _bitbake_library()
    digest = _digest(made, record)
    return _Repository(POKY, made, library, digest)


def _meta(poky_commit: str) -> _Repository:
    made = dict(_packaged(META))
    manifest = made[".oebuild/manifest.yaml"].decode()
    made[".oebuild/manifest.yaml"] = manifest.replace(_COMMIT_MARK, poky_commit).encode()
    for name in PLATFORMS:
        platform = platforms.load(name)
        for stem in fnmatch.filter(cells.shipped_names(), platform.cells.pattern):
            path = f"{_JAILHOUSE}/cells/{platform.machine}/{stem}.cell"
            made[path] = cells.encode(cells.shipped(stem))
        demo = replace(Inmate.named("uart-demo", platform), banner="oejail sample uart-demo")
        for file, text in inmate.sources(demo).items():
            made[f"{_JAILHOUSE}/inmates/{platform.machine}/{demo.name}/{file}"] = text.encode()
    for file, text in inmate.layer(_freertos()).items():
        made[f"{_FREERTOS}/{file}"] = text.encode()
    return _Repository(META, made, {}, _digest(made, ""))


def _freertos() -> Inmate:
    """openEuler's names and places; the program is the template's."""
    return Inmate(
        name="jailhouse-freertos",
        recipe="jailhouse-freertos",
        collection="freertosproject",
        platform=platforms.load("qemu-aarch64"),
        banner="oejail sample inmate",
        image="FreeRTOS.bin",
        source_dir="Jailhouse_FreeRTOS_demo",
        install_dir="/Jailhouse_FreeRTOS_demo",
        summary="The sample's inmate, in the place of FreeRTOS; it is not FreeRTOS",
        layer_dir=_FREERTOS,
    )


def _packaged(name: str) -> Iterator[tuple[str, bytes]]:
    """The files of `samples/NAME`, by their path in it."""
    root = data_dir("samples") / name
    for directory, subdirectories, names in os.walk(root):
        subdirectories[:] = sorted(set(subdirectories) - {"__pycache__"})
        for file in sorted(names):
            path = Path(directory, file)
            yield path.relative_to(root).as_posix(), path.read_bytes()


def _bitbake_library() -> tuple[dict[str, Path], str]:
    """BitBake's library in the installed wheel, found without importing it: the files by their path
    in yocto-poky, and what stands for their contents (the wheel's own record of them).
    """
    try:
        wheel = importlib.metadata.distribution("bitbake-setup")
    except importlib.metadata.PackageNotFoundError:
        raise PrerequisiteMissing(
            "BitBake: the Python package bitbake-setup is not installed",
            hint=f"the sample tree needs it: {_EXTRAS}",
        ) from None
    library: dict[str, Path] = {}
    record = []
    for file in wheel.files or ():
        if file.parts[0] == "bb" and file.parts[1] != "tests" and file.suffix != ".pyc":
            target = f"{_LIBRARY}/{'/'.join(file.parts[1:])}"
        elif "licenses" in file.parts:
            target = f"bitbake/{file.name}"
        else:
            continue
        library[target] = Path(str(file.locate()))
        record.append(f"{file} {file.hash.value if file.hash else ''}")
    if f"{_LIBRARY}/__init__.py" not in library:
        raise PrerequisiteMissing(
            f"BitBake: bitbake-setup {wheel.version} lists no library bb", hint=_EXTRAS
        )
    return library, "\n".join(sorted(record))


def _digest(made: dict[str, bytes], more: str) -> str:
    total = hashlib.sha256()
    for path, data in sorted(made.items()):
        total.update(f"{path}\0{len(data)}\0".encode() + data)
    total.update(more.encode())
    return total.hexdigest()


def _ensure(src: Path, wanted: _Repository, force: bool, identity: Identity) -> Outcome:
    target = src / wanted.name
    if os.path.lexists(target) and not force:
        state = _state(target)
        if state is None:
            return Outcome(False, f"{wanted.name}: kept, oejail did not make it")
        if state.digest == wanted.digest:
            return Outcome(False, f"{wanted.name}: as it should be")
        if _edited(target, state, identity):
            logger.warning("%s: edited, so it stays at an older version of the sample", target)
            return Outcome(False, f"{wanted.name}: kept, it has edits")
    with files.atomic_directory(target) as fresh:
        _write(fresh, wanted)
        commit = _commit(fresh)
        state_file = fresh / ".git" / _STATE
        state_file.write_text(json.dumps({"digest": wanted.digest, "commit": commit}) + "\n")
        if identity.kind == "user":
            files.give(fresh, identity.uid, identity.gid)
    return Outcome(True, f"{wanted.name}: laid out")


def _write(fresh: Path, wanted: _Repository) -> None:
    directories = {fresh}
    for path in [*wanted.made, *wanted.copied]:
        target = fresh / path
        if target.parent not in directories:
            target.parent.mkdir(parents=True, exist_ok=True)
            directories.add(target.parent)
        if path in wanted.made:
            target.write_bytes(wanted.made[path])
        else:
            shutil.copyfile(wanted.copied[path], target)
        target.chmod(0o755 if path.startswith(_PROGRAMS) else 0o644)


def _commit(repository: Path) -> str:
    _git(repository, "init", "--quiet", "--template=", "--initial-branch=master", ".")
    _git(repository, "add", "--all", "--force", ".")
    _git(repository, "commit", "--quiet", "--no-verify", "--message=oejail's sample tree")
    return (repository / ".git/refs/heads/master").read_text().strip()


def _edited(repository: Path, state: _State, identity: Identity) -> bool:
    """Whether the user has changed files or added commits since oejail laid the repository out."""
    head = _git(repository, "rev-parse", "HEAD", identity=identity)
    return head != state.commit or bool(
        _git(repository, "status", "--porcelain", "--ignore-submodules", identity=identity)
    )


def _git(repository: Path, *arguments: str, identity: Identity = SELF) -> str:
    options = [word for option in _GIT_OPTIONS for word in ("-c", option)]
    result = process.run(
        ["git", *options, *arguments], cwd=repository, env=_GIT_ENVIRONMENT, identity=identity
    )
    return result.text.strip()


def _state(repository: Path) -> _State | None:
    """What oejail noted when it laid the repository out; None for anything else."""
    try:
        data = json.loads(files.read_limited(repository / ".git" / _STATE, 4096))
        return _State(str(data["digest"]), str(data["commit"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
