# SPDX-License-Identifier: MIT
"""The guest that a set wants: kernel, initrd with the payload behind it, QEMU's command.

The command is derived from the set; what the user adds comes last, as QEMU wants it, and then the
whole is checked by the rules, with the machine that this very command makes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail.artifacts.identify import identify
from oejail.bundle.manifest import FileEntry
from oejail.bundle.setcheck import check
from oejail.cells import RootCell
from oejail.checks import board_of
from oejail.checks.qemu import parse, plan
from oejail.errors import FindingsError, UsageFault
from oejail.files import naming, sha256_file
from oejail.platforms import load, names
from oejail.target import bootable, cpio, qemu
from oejail.target.source import Source, others, refuse

CONSOLE = "console=ttyAMA0"
_PLACES = {"kernel": "boot/kernel", "initrd": "boot/initrd"}


@dataclass(frozen=True)
class Guest:
    """Files and command. `booted` has path, sha256 and size of what the machine is given."""

    argv: tuple[str, ...]
    booted: tuple[dict[str, object], ...]
    root_cpus: int
    facts: dict[str, frozenset[str]]
    """By an image's path in the payload: `elf`, `blank`."""
    scratch: tuple[Path, ...]
    """Large files that only the run needs."""


def can_boot(source: Source, kernel: Path | None = None, initrd: Path | None = None) -> bool:
    """A kernel and a root file system are there."""
    return bool((kernel or source.of_role("kernel")) and (initrd or source.of_role("initrd")))


def prepare(
    source: Source,
    directory: Path,
    *,
    kernel: Path | None = None,
    initrd: Path | None = None,
    append: Sequence[str] = (),
    qemu_args: Sequence[str] = (),
) -> Guest:
    """Bring together in `directory` what the machine needs, and check it.

    Raises UsageFault for a sample or where a part is missing, FindingsError, with the rules' ids,
    for what cannot work.
    """
    if source.sample:
        raise FindingsError(
            f"{source.path}: a sample: its module and firmware are stand-ins, not Jailhouse "
            "[bundle-sample]",
            hint="oejail boot --bare runs its inmate alone",
        )
    if not can_boot(source, kernel, initrd):
        lacks = "kernel" if not (kernel or source.of_role("kernel")) else "initrd"
        raise UsageFault(
            f"{source.path}: has no {lacks} to boot",
            hint=f"give one with --{lacks} FILE; or --bare for the inmate's image alone",
        )
    payload = {
        entry: directory / "payload" / entry.path.removeprefix("payload/")
        for entry in source.files
        if entry.path.startswith("payload/")
    }
    for path in payload.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    ours = {
        entry: directory / name
        for name, given in (("kernel", kernel), ("initrd", initrd))
        if given is None
        for entry in source.of_role(name)[:1]
    }
    source.take(payload | ours)
    files = {"kernel": kernel or directory / "kernel", "initrd": directory / "initrd"}
    bootable.require_kernel(files["kernel"], _named(source, "kernel", kernel))
    bootable.require_initrd(initrd or files["initrd"], _named(source, "initrd", initrd))
    if initrd is not None:
        _copy(initrd, files["initrd"])
    base = sha256_file(files["initrd"]), files["initrd"].stat().st_size
    with naming(files["initrd"]), files["initrd"].open("r+b") as stream:
        stream.seek(0, 2)
        try:
            cpio.append(stream, _members(payload))
        except ValueError as error:
            raise UsageFault(f"{source.path}: {error}") from None
    others = [entry for entry in source.files if entry.role not in _PLACES]
    booted = [
        _booted(
            kernel or "boot/kernel", sha256_file(files["kernel"]), files["kernel"].stat().st_size
        ),
        _booted(initrd or "boot/initrd", *base),
        *(_booted(e.path, e.sha256, e.size) for e in payload),
    ]
    argv, root = _command(source, payload, files, append, qemu_args)
    _check(source, argv, [*others, _kernel_entry(files["kernel"])], payload, files)
    images = {i.image: payload[e] for i in source.set.inmates for e in payload if _is(e, i.image)}
    return Guest(
        argv=tuple(argv),
        booted=tuple(booted),
        root_cpus=len(root.cell.cpus),
        facts={name: _facts(path) for name, path in images.items()},
        scratch=(directory / "kernel", files["initrd"], directory / "payload"),
    )


def _named(source: Source, role: str, given: Path | None) -> str:
    """Kernel or initrd, in a message."""
    return f"{source.path}: {_PLACES[role]}" if given is None else f"--{role} {given}"


def _members(payload: dict[FileEntry, Path]) -> list[cpio.Member]:
    return [
        cpio.Member(entry.path.removeprefix("payload/"), path, int(entry.mode, 8))
        for entry, path in payload.items()
    ]


def _copy(source: Path, target: Path) -> None:
    try:
        with naming(target):
            shutil.copyfile(source, target)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        if error.filename != str(source):
            raise
        raise UsageFault(f"--initrd {source}: {error.strerror}") from None


def _booted(path: object, sha256: str, size: int) -> dict[str, object]:
    return {"path": str(path), "sha256": sha256, "size": size}


def _is(entry: FileEntry, path: str) -> bool:
    return entry.path == f"payload/{path}"


def _kernel_entry(path: Path) -> FileEntry:
    return FileEntry(_PLACES["kernel"], "kernel", "", path.stat().st_size, "0644")


def _command(
    source: Source,
    payload: dict[FileEntry, Path],
    files: dict[str, Path],
    append: Sequence[str],
    qemu_args: Sequence[str],
) -> tuple[list[str], RootCell]:
    def config(path: str) -> object:
        return identify(next(p for e, p in payload.items() if _is(e, path))).detail

    root = config(source.set.root)
    assert isinstance(root, RootCell)  # verified
    cells = [cell for i in source.set.inmates if (cell := config(i.cell))]
    board = load(source.platform) if source.platform in names() else board_of(root)
    wanted = plan(root, cells, board, named=source.set.root)  # type: ignore[arg-type]
    *machine, _, mem = wanted.arguments()
    if wanted.program != qemu.PROGRAM:
        raise UsageFault(f"{source.path}: is for {wanted.program}, not {qemu.PROGRAM}")
    network = [] if any(word in ("-nic", "-netdev", "-net") for word in qemu_args) else ["none"]
    line = " ".join([CONSOLE, "loglevel=8", mem, *append])
    return [
        *(qemu.PROGRAM, *machine, "-accel", "tcg", "-nographic"),
        *(["-nic", *network] if network else []),
        *("-no-user-config", "-no-reboot", "-kernel", str(files["kernel"])),
        *("-initrd", str(files["initrd"]), "-append", line, *qemu_args),
    ], root


def _check(
    source: Source,
    argv: list[str],
    entries: list[FileEntry],
    payload: dict[FileEntry, Path],
    files: dict[str, Path],
) -> None:
    """The rules, on the files and on the machine that the command makes."""
    import shlex

    machine = parse(shlex.join(argv)).machine()
    paths = {entry.path: path for entry, path in payload.items()}
    paths[_PLACES["kernel"]] = files["kernel"]
    found = check(
        source.collection(tuple(e for e in entries if e.path in paths)),
        paths.__getitem__,
        source.waived,
        machine,
    )
    refuse(source.path, others(found))


def _facts(image: Path) -> frozenset[str]:
    with image.open("rb") as stream:
        head = stream.read(1 << 16)
        if head[:4] == b"\x7fELF":
            return frozenset(["elf"])
        blank = not head.strip(b"\0")
        while blank and (data := stream.read(1 << 20)):
            blank = not data.strip(b"\0")
    return frozenset(["blank"] if blank else [])
