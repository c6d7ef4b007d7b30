# SPDX-License-Identifier: MIT
"""`oejail explain`."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    rule: Annotated[
        str | None, typer.Argument(metavar="RULE", help="A rule's id; without it, all are listed.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say what a rule means, what would happen on the target, and how to mend a finding."""
    from oejail.bundle.rules import RULES as OF_ARCHIVES
    from oejail.checks import RULES, explain
    from oejail.cli.output import emit, emit_json, emit_table

    every = RULES | OF_ARCHIVES
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
