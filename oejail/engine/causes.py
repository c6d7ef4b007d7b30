# SPDX-License-Identifier: MIT
"""What makes builds fail: which row of the table (`cause_table.py`) fits what was said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from oejail.checks.table import Rule
from oejail.engine.cause_table import CAUSES, Cause
from oejail.log import redact

__all__ = ["CAUSES", "RULES", "Cause", "Found", "find"]

_MAX_TEXT = 1 << 20
_MAX_GROUP = 300
_STOPS = "Nothing: the build ends before anything gets there."


@dataclass(frozen=True)
class Found:
    """A cause that fits, in words."""

    id: str
    text: str
    hint: str


def find(text: str) -> Found | None:
    """The first cause of the table that fits `text` (its last megabyte)."""
    text = text[-_MAX_TEXT:]
    for cause in CAUSES:
        match = cause.pattern.search(text)
        if match is not None:
            groups = {name: " ".join((v or "").split()) for name, v in match.groupdict().items()}
            groups = {name: redact(value[:_MAX_GROUP]) for name, value in groups.items()}
            said = cause.text.format(**groups).rstrip() if any(groups.values()) else cause.bare
            return Found(cause.id, said, cause.hint.format(**groups))
    return None


def _rules(causes: Iterable[Cause]) -> dict[str, Rule]:
    # These look at what a build said, not at a set: there is nothing for `check_set` to run.
    return {
        cause.id: Rule(
            cause.id, "error", lambda _: iter(()), cause.title, cause.means, _STOPS, cause.mend
        )
        for cause in causes
    }


RULES = _rules(CAUSES)
"""The causes as `oejail explain` shows them, beside the rules of the checks."""
