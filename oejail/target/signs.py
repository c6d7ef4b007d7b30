# SPDX-License-Identifier: MIT
"""What Linux, the hypervisor and the tools print when something happens, found in a stream.

The words are those of Linux 6.1, Jailhouse at its revisions 12 to 14 and of its tool, BusyBox and
kmod, recorded from consoles (tests/data/transcripts). No I/O.
"""

from __future__ import annotations

from oejail.text import printable

SIGNS: dict[str, tuple[bytes, ...]] = {
    # QEMU
    "romfile": (b"failed to find romfile",),
    # Linux
    "el1": (b"CPU(s) started at EL1",),
    "no-init": (b"No working init found", b"Unable to mount root fs", b"No init found"),
    "initrd": (b"nitramfs unpacking failed", b"rootfs image is not initramfs"),
    "panic": (b"Kernel panic - not syncing",),
    "hvc": (b"-- HVC (AArch64)",),
    "abort": (b"synchronous external abort",),
    "oops": (b"Internal error: ", b"Unable to handle kernel"),
    "stall": (b"self-detected stall on CPU", b"detected stalls on CPUs", b"soft lockup - CPU"),
    "restart": (b"reboot: Restarting system",),
    "off": (b"reboot: Power down", b"reboot: System halted"),
    "vermagic": (b"version magic '",),
    "symbol": (b"Unknown symbol ", b"nknown symbol in module"),
    "elf": (b"Invalid ELF", b"invalid module format", b"Invalid module format"),
    "key": (b"Required key not available", b"module verification failed", b"Key was rejected"),
    "permission": (b"Operation not permitted", b"Permission denied"),
    # the driver
    "firmware": (b"direct-loading firmware",),
    "no-firmware": (b"Missing hypervisor image",),
    "region": (b"request_mem_region failed",),
    "revision": (b"Configuration revision mismatch",),
    "architecture": (b"Configuration architecture mismatch",),
    "no-root": (b"Not a system configuration",),
    "no-cell": (b"Not a cell configuration",),
    "opening": (b"The Jailhouse is opening",),
    # the hypervisor
    "begins": (b"Initializing Jailhouse hypervisor",),
    "cpu-failed": (b"... FAILED",),
    "hyp": (b"Unhandled HYP exception",),
    "pci": (b"Adding PCI device",),
    "trap": (b"FATAL: unhandled trap", b"FATAL: Unhandled ", b"FATAL: forbidden "),
    "access": (b"Unhandled data read at", b"Unhandled data write at"),
    "parked": (b"Parking CPU",),
    # the tools
    "no-driver": (b"opening /dev/jailhouse:",),
    "no-open": (b"opening /",),
    "missing": (b"No such file or directory", b" not found in modules.dep"),
    "invalid": (b": Invalid argument",),
    "busy": (b"Device or resource busy", b"temporarily unavailable"),
    "exists": (b"File exists",),
    "no-device": (b"No such device",),
    "not-found": (b": not found", b"command not found"),
}
"""By name, the texts of which one is enough."""

CURSOR = b"\x1b[6n"
"""A line editor's question, which may stand in the midst of anything."""

_MAX_WAITING = 4096  # bytes of a line that are looked at once more when the rest comes
_LONGEST = max(len(text) for texts in SIGNS.values() for text in texts)
_MAX_SAID = 200  # characters


class Evidence:
    """Which signs a stream of bytes has shown, each with the line that had it first.

    Fed in any pieces; what is kept is bounded, whatever the stream holds.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._seen: dict[str, str] = {}
        self._waiting = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self.bytes += len(data)
        self._waiting += data
        end = self._waiting.rfind(b"\n") + 1
        if end:
            self._look(self._waiting[:end])
            self._waiting = self._waiting[end:]
        elif len(self._waiting) > _MAX_WAITING:
            self._look(self._waiting)
            self._waiting = self._waiting[1 - _LONGEST :]

    @property
    def seen(self) -> dict[str, str]:
        """Sign to line, what has not ended yet included."""
        self._look(self._waiting)
        return self._seen

    def _look(self, data: bytes) -> None:
        for name, texts in SIGNS.items():
            if name not in self._seen:
                for text in texts:
                    at = data.find(text)
                    if at >= 0:
                        self._seen[name] = _line(data, at)
                        break


def _line(data: bytes, at: int) -> str:
    """The line around `at`, fit to be shown."""
    start = data.rfind(b"\n", 0, at) + 1
    end = data.find(b"\n", at)
    raw = data[max(start, at - _MAX_SAID // 2) : None if end < 0 else end].replace(CURSOR, b"")
    return printable(raw.decode("utf-8", "backslashreplace").strip(), _MAX_SAID)
