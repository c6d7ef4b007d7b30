# SPDX-License-Identifier: MIT
"""The hypervisor's image, jailhouse.bin: its header and how much memory it will ask for.

The header is that of 64-bit architectures: `JAILHOUS` at 0, then little-endian u64 core_size
(0x08), percpu_size (0x10), entry (0x18) and console_page (0x20); the driver fills in 0x30 to 0x4b.
The file is smaller than core_size, which counts the bss.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from struct import Struct

from oejail.errors import ConfigError

SIGNATURE = b"JAILHOUS"
MAX_FILE = 64 << 20
HEADER_SIZE = 0x4C
"""Bytes, as far as the driver writes."""

_HEADER = Struct("<8s4Q")
_VERSION = re.compile(rb"\0?(v\d{1,3}\.\d{1,3}(?:\.\d{1,3})?(?: \([\w.+-]{1,80}\))?)[\0\n]")


@dataclass(frozen=True, slots=True)
class Firmware:
    """Sizes in bytes; `version` is empty when none stands in the data."""

    core_size: int
    percpu_size: int
    entry: int
    console_page: int
    version: str

    def required(self, cpus: int, configuration: int) -> int:
        """The bytes that hypervisor_memory must exceed (the driver refuses equality).

        `cpus` is the highest CPU number of the root's set plus one, `configuration` the size of
        the system configuration without trailing bytes.
        """
        return self.core_size + cpus * self.percpu_size + configuration


def parse_firmware(data: bytes, where: object = "jailhouse.bin") -> Firmware:
    """The header of jailhouse.bin; ConfigError without signature or with a cut header."""
    if not data.startswith(SIGNATURE):
        raise ConfigError(
            f"{where}: offset 0: signature: found {data[:8]!r}, expected {SIGNATURE!r}"
        )
    if len(data) < HEADER_SIZE:
        raise ConfigError(
            f"{where}: offset 8: header: found {len(data)} bytes, expected at least {HEADER_SIZE}"
        )
    _, core, percpu, entry, console = _HEADER.unpack_from(data)
    version = _VERSION.search(data)
    return Firmware(core, percpu, entry, console, version[1].decode() if version else "")
