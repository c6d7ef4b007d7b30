# SPDX-License-Identifier: MIT
"""The other side of a program's terminal: reading what it shows, up to what is awaited."""

from __future__ import annotations

import os
import select


def read(terminal: int, seconds: float = 20) -> str:
    """What comes from a terminal within `seconds`; empty when nothing does, and at its end."""
    if not select.select([terminal], [], [], seconds)[0]:
        return ""
    try:
        return os.read(terminal, 65536).decode(errors="replace")
    except OSError:
        return ""


def until(terminal: int, text: str) -> str:
    """What comes from a terminal up to `text`."""
    shown = ""
    while text not in shown:
        more = read(terminal)
        assert more, f"no {text!r} in {shown!r}"
        shown += more
    return shown
