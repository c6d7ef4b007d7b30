# SPDX-License-Identifier: MIT
"""Where the project is: found without reading it, for verbs that may have nothing to do."""

from __future__ import annotations

from pathlib import Path

from oejail.errors import UsageFault

FILE = "oejail.yaml"


def find(start: Path | None = None) -> Path:
    """The nearest directory with an oejail.yaml: `start` (default the current one) or above it.

    Raises UsageFault when there is none.
    """
    first = (start or Path.cwd()).resolve()
    for directory in (first, *first.parents):
        if (directory / FILE).exists():
            return directory
    raise UsageFault(f"no {FILE} in {first} or above", hint="oejail init writes one")
