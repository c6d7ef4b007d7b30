# SPDX-License-Identifier: MIT
"""`oejail doctor`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit, emit_json
from oejail.errors import PrerequisiteMissing


def command(
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """What this machine has and lacks, each with its fix.

    Ends with status 6 when something is missing without which oejail can do nothing.
    """
    from oejail import doctor

    lines = doctor.examine(Path.cwd())
    if as_json:
        emit_json({"schema_version": 1, "lines": [asdict(line) for line in lines]})
    else:
        for line in lines:
            emit(f"{line.state:8}{line.name}: {line.detail}")
            if line.fix and line.state != "ok":
                emit(f"        fix: {line.fix}")
    missing = [line for line in lines if line.state == "missing" and line.required]
    if missing:
        raise PrerequisiteMissing(
            f"missing: {', '.join(line.name for line in missing)}", hint=missing[0].fix
        )
