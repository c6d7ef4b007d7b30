# SPDX-License-Identifier: MIT
"""`oejail schema`."""

from __future__ import annotations


def command() -> None:
    """Print the JSON Schema of oejail.yaml, for editors and other programs."""
    from oejail import project
    from oejail.cli.output import emit_json

    emit_json(project.json_schema())
