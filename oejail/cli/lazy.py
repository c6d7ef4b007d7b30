# SPDX-License-Identifier: MIT
"""Groups of verbs whose modules are imported when a verb is called, not before."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group whose verbs are modules: each has `command`, a function, or `app`, a Typer."""

    verbs: ClassVar[Mapping[str, str]]
    """Name to what the group's help says of it."""
    prefix: ClassVar[str]
    """Before the verb's name, in the name of its module."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.verbs:
            import difflib

            near = difflib.get_close_matches(cmd_name, self.verbs, 1)
            meant = f"did you mean {near[0]!r}?" if near else "--help lists the verbs."
            ctx.fail(f"No such verb {cmd_name!r}; {meant}")
        module = import_module(f"{self.prefix}{cmd_name}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer()
            settings = getattr(module, "context_settings", None)
            app.command(cmd_name, help=module.command.__doc__, context_settings=settings)(
                module.command
            )
        app.rich_markup_mode = None
        app._add_completion = False
        command = typer.main.get_command(app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(self.verbs.items()))
