# SPDX-License-Identifier: MIT
"""The global options, set once by `main` before a verb runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Context:
    """What the options before the verb said."""

    verbosity: int = 0
    color: bool = True
    log_file: Path | None = None


context = Context()
