# SPDX-License-Identifier: MIT
"""Text of others (paths, logs, archives, programs) made fit for a terminal."""

from __future__ import annotations


def printable(text: str, limit: int = 4096) -> str:
    """`text` in one line of at most `limit` characters, without what could steer a terminal.

    Tabs become blanks; control characters, direction overrides and lone surrogates are escaped.
    """
    text = text[:limit]
    if text.isprintable():
        return text
    return harmless(text.replace("\t", "    "), "")[:limit]


def harmless(text: str, keep: str = "\n\t") -> str:
    """`text` as it is, but for characters that could steer a terminal: those are escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
