# SPDX-License-Identifier: MIT
"""Text of others (logs, events) made fit for a terminal and for JSON."""

from __future__ import annotations

from oejail.text import printable

__all__ = ["duration", "printable"]


def duration(seconds: float) -> str:
    """`42s`, `3m07s` or `2h05m`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{whole:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"
