# SPDX-License-Identifier: MIT
"""Text of others (logs, events) made fit for a terminal and for JSON."""

from __future__ import annotations


def printable(text: str, limit: int = 4096) -> str:
    """`text` in one line of at most `limit` characters, without what could steer a terminal.

    Tabs become blanks; control characters, direction overrides and lone surrogates are escaped.
    """
    text = text[:limit]
    if text.isprintable():
        return text
    text = text.replace("\t", "    ")
    return "".join(c if c.isprintable() else _escape(c) for c in text)[:limit]


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def duration(seconds: float) -> str:
    """`42s`, `3m07s` or `2h05m`."""
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole}s"
    minutes, whole = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m{whole:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"
