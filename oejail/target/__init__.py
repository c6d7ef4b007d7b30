# SPDX-License-Identifier: MIT
"""The target: a machine is started, watched and judged, and what happened is written down.

`boot` runs a set under Jailhouse on QEMU, `boot_bare` the image of one inmate alone.
"""

from oejail.target.bare import Boot, boot_bare
from oejail.target.jailhouse import Wishes, boot

__all__ = ["Boot", "Wishes", "boot", "boot_bare"]
