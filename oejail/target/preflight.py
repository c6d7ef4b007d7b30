# SPDX-License-Identifier: MIT
"""What a board says of itself, and what that means for a bundle. No I/O.

`preflight.sh` prints the facts there; each is text of somebody else's until it is parsed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from oejail.bundle.manifest import Manifest
from oejail.checks import Machine
from oejail.checks.finding import ERROR, Finding
from oejail.checks.ranges import Range
from oejail.errors import TargetFailed
from oejail.platforms import Platform
from oejail.target.preflight_rules import finding
from oejail.text import printable

PREFIX = "oejail:"
DIGEST = re.compile(r"[0-9a-f]{16}")
SLACK = 256 * 1024
"""Bytes that installing takes beside the payload: directories, links, notes."""
BLOCK = 4096
"""Bytes to which a file system rounds a file up."""
MACHINE_RULES = ("smp-few", "smp-many", "memory-linux", "hypervisor-linux")
"""The rules of `checks` that a real board answers better than the platform's file."""

_ARCH = {"arm64": "aarch64", "arm": "arm"}
_IN_MEMORY = ("rootfs", "tmpfs", "ramfs")
_COMPATIBLE = {"linux,dummy-virt": "qemu-aarch64", "raspberrypi,4": "raspberrypi4-64"}
"""Beginning of a device tree's `compatible` to the platform that it is."""


@dataclass(frozen=True)
class Mount:
    """A line of /proc/mounts; octal escapes as they stand."""

    point: str
    type: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """A board as it is now. What it did not say is None or empty."""

    machine: str
    release: str
    uid: int | None
    cpus: int | None
    cmdline: str
    compatible: tuple[str, ...]
    hypervisor: bool
    """Jailhouse is enabled."""
    linux: tuple[Range, ...]
    """`System RAM` of /proc/iomem: what Linux owns."""
    mount: Mount | None
    """Of /opt/oejail."""
    free: int | None
    """Bytes there."""
    lacks: tuple[str, ...]
    """Programs."""
    current: str
    """Digest of the version that counts; empty: none."""
    versions: dict[str, str]
    """Digest of each version that is installed, to that of the one before."""
    init: str
    links: dict[str, str]
    """What lies where `--enable` makes links, and what each points to; a file to nothing."""

    @property
    def platform(self) -> str | None:
        """The platform that the board names itself as; None: no such name is known."""
        for name in self.compatible:
            for start, platform in _COMPATIBLE.items():
                if name.startswith(start):
                    return platform
        return None


def parse(lines: Sequence[str]) -> Board:
    """The board of which `preflight.sh` printed `lines`; others between them are passed over.

    Raises TargetFailed for an answer that is cut off or is none.
    """
    said: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith(PREFIX):
            name, _, text = line.removeprefix(PREFIX).partition(" ")
            said.setdefault(name, []).append(text.rstrip())
    if "end" not in said or "machine" not in said:
        raise TargetFailed(
            f"the board's answer is not whole: {len(lines)} lines, no {PREFIX}end",
            hint="is its shell a POSIX one, and is there a dd and a sed?",
        )

    def one(name: str) -> str:
        return printable(said.get(name, [""])[0], 4096)

    enabled = one("hypervisor")
    return Board(
        machine=one("machine"),
        release=one("release"),
        uid=_number(one("uid")),
        cpus=_count(one("cpus")),
        cmdline=one("cmdline"),
        compatible=tuple(one("board").split()),
        hypervisor=enabled not in ("", "0"),
        linux=tuple(_system_ram(said.get("iomem", []))),
        mount=_mount(one("place"), said.get("mount", [])),
        free=_free(one("space")),
        lacks=tuple(printable(text, 40) for text in said.get("lacks", [])),
        current=one("current") if DIGEST.fullmatch(one("current")) else "",
        versions=dict(_versions(said.get("version", []))),
        init=one("init"),
        links=dict(_pairs(said.get("link", []))),
    )


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _count(text: str) -> int | None:
    """How many CPUs a list such as `0-3,5` names."""
    count = 0
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip())
        if match is None:
            return None
        count += max(int(match[2] or match[1]) - int(match[1]) + 1, 0)
    return count or None


def _system_ram(lines: Sequence[str]) -> Iterator[Range]:
    """The top level's System RAM. What Linux reserves in it for itself is indented, and its own.

    Without root's rights every address reads as 0: such ranges are left out.
    """
    for line in lines:
        match = re.fullmatch(r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) : System RAM", line)
        if match and int(match[2], 16) > int(match[1], 16):
            yield Range(int(match[1], 16), int(match[2], 16) + 1)


def _mount(place: str, lines: Sequence[str]) -> Mount | None:
    """The mount that `place` is in: the longest, of the same the last, which covers the others."""
    found: Mount | None = None
    for line in lines:
        words = line.split(" ")
        if len(words) < 4:
            continue
        point = words[1]
        inside = point == "/" or place == point or place.startswith(f"{point}/")
        if inside and (found is None or len(point) >= len(found.point)):
            options = tuple(words[3].split(","))
            found = Mount(printable(point, 200), printable(words[2], 40), options)
    return found


def _free(line: str) -> int | None:
    """Bytes available, of the line of `df -Pk` (POSIX: the fourth of six columns)."""
    words = line.rsplit(None, 5)
    return int(words[3]) * 1024 if len(words) == 6 and words[3].isdecimal() else None


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines[:20]:
        path, _, target = printable(line, 400).partition(" ")
        yield path, target


def _versions(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for digest, before in _pairs(lines):
        if DIGEST.fullmatch(digest):
            yield digest, before if DIGEST.fullmatch(before) else ""


def needed(head: Manifest) -> int:
    """Bytes that the payload takes on a board."""
    sizes = [entry.size for entry in head.files if entry.path.startswith("payload/")]
    return sum(size + -size % BLOCK for size in sizes) + SLACK


def machine(board: Board, name: str) -> Machine:
    """The board as the rules of `checks` see it."""
    limit = re.findall(r"(?:^| )(mem=\S{1,40})", board.cmdline)
    because = ", ".join(["System RAM in the board's /proc/iomem", *limit[-1:]])
    return Machine(name=name, linux=board.linux or None, linux_because=because, cpus=board.cpus)


def check(
    board: Board,
    head: Manifest,
    platform: Platform | None,
    name: str,
    *,
    start: bool = False,
    enable: bool = False,
) -> Iterator[Finding]:
    """What is wrong with deploying the bundle of `head` to the board.

    `platform` is the bundle's, where oejail knows it; `name` is the board's, for messages.
    """
    yield from _identity(board, head, platform, name)
    if head.kernel_release and board.release != head.kernel_release:
        words = f"runs {board.release}, the module is for {head.kernel_release}"
        yield finding("deploy-kernel", name, words)
    if board.uid != 0:
        yield finding("deploy-root", name, f"uid {board.uid}, not 0")
    elif not board.linux:
        yield finding("deploy-memory", name, "no System RAM in /proc/iomem")
    if board.lacks:
        yield finding("deploy-tools", name, f"no {', '.join(board.lacks[:20])}")
    yield from _place(board, head, name)
    if board.hypervisor:
        words = "Jailhouse is enabled (/sys/devices/jailhouse/enabled)"
        yield finding("deploy-hypervisor", name, words, ERROR if start else None)
    if enable and not board.init:
        yield finding("deploy-init", name, "neither systemd, /etc/rc5.d nor /etc/init.d")


def _identity(
    board: Board, head: Manifest, platform: Platform | None, name: str
) -> Iterator[Finding]:
    if platform is not None:
        wanted = _ARCH[platform.arch]
        if not board.machine.startswith(wanted):
            words = f"is {board.machine}, the bundle is for {wanted} ({platform.name})"
            yield finding("deploy-architecture", name, words)
        if not head.set.inmates:
            reasons = [rtos.reason for rtos in platform.rtos.values() if not rtos.supported]
            for reason in reasons[:1]:
                yield finding("deploy-rtos", name, f"the set has no inmate, and {reason}")
    if board.platform is not None and board.platform != head.platform:
        words = f"is a {board.platform}, the bundle is for {head.platform}"
        yield finding("deploy-board", name, words + _unsupported(board.platform, head))


def _unsupported(name: str, head: Manifest) -> str:
    """Why the RTOS of the bundle is not to be had on platform `name`, as the end of a sentence."""
    from oejail.platforms import load

    for rtos, entry in load(name).rtos.items():
        runs = any(rtos in inmate.image.lower() for inmate in head.set.inmates)
        if runs and not entry.supported:
            return f"; {entry.reason}"
    return ""


def _place(board: Board, head: Manifest, name: str) -> Iterator[Finding]:
    place = f"{name}: /opt/oejail"
    if board.mount is not None:
        on = f"on {board.mount.point} ({board.mount.type})"
        if "ro" in board.mount.options:
            yield finding("deploy-read-only", place, f"{on}, mounted read-only")
        if board.mount.type in _IN_MEMORY:
            yield finding("deploy-ram-disk", place, f"{on}, which lies in memory")
    if board.free is not None and board.free < needed(head):
        words = f"{board.free} bytes free, {needed(head)} needed"
        yield finding("deploy-space", place, words)
