# SPDX-License-Identifier: MIT
"""The target: a machine is started, watched and judged, and what happened is written down.

`boot_bare` runs the image of one inmate alone on QEMU's virt machine.
"""

from oejail.target.bare import Boot, boot_bare

__all__ = ["Boot", "boot_bare"]
