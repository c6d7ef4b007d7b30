# SPDX-License-Identifier: MIT
"""`oejail explain`."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    rule: Annotated[
        str | None,
        typer.Argument(
            metavar="RULE|CAUSE",
            help="The id of a rule, or of what made a build fail; without it, all are listed.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what a rule means, what would happen on the target, and how to mend a finding.

    The same for the causes that a failed build is explained by.
    """
    from oejail.bundle.rules import RULES as OF_ARCHIVES
    from oejail.checks import RULES, explain
    from oejail.cli.output import emit, emit_json, emit_table
    from oejail.engine.causes import RULES as OF_BUILDS
    from oejail.target.preflight_rules import RULES as OF_BOARDS

    every = RULES | OF_ARCHIVES | OF_BUILDS | OF_BOARDS
    text = explain(rule, every) if rule else ""
    rows = [every[rule]] if rule else list(every.values())
    if json:
        fields = ("id", "severity", "title", "means", "happens", "mend")
        rules = [{name: getattr(row, name) for name in fields} for row in rows]
        emit_json({"schema_version": 1, "rules": rules})
    elif rule:
        emit(text)
    else:
        emit_table([(row.id, row.severity, row.title) for row in rows])
