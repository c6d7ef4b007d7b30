# SPDX-License-Identifier: MIT
"""Read oejail.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from oejail import configfile, platforms
from oejail.errors import ConfigError
from oejail.platforms import Platform
from oejail.project.model import Config
from oejail.project.place import FILE, find
from oejail.project.project import Project
from oejail.yamltext import Path as Place


def load(start: Path | None = None) -> Project:
    """The project around `start`. Raises UsageFault (none there), ConfigError (each error)."""
    root = find(start)
    boards: list[Platform] = []

    def board_fits(config: Config) -> Iterator[tuple[Place, str]]:
        try:
            boards.append(platforms.load(config.platform, root))
        except ConfigError as error:
            yield ("platform",), "; ".join(error.lines())
            return
        yield from _unfit(config, boards[0])

    config = configfile.read(root / FILE, Config, shown=FILE, rules=[board_fits])
    return Project(root, config, boards[0])


def _unfit(config: Config, platform: Platform) -> Iterator[tuple[Place, str]]:
    rtos = platform.rtos.get(config.rtos) if config.rtos else None
    if config.rtos and (rtos is None or not rtos.supported):
        reason = rtos.reason if rtos else f"{platform.name} knows no {config.rtos}"
        yield ("rtos",), f"{config.rtos} does not run on {platform.name}: {reason}; write null"
    for number, inmate in enumerate(config.cells.inmates if config.cells else ()):
        if inmate.expect_repeat and inmate.expect is None:
            yield ("cells", "inmates", number, "expect_repeat"), "needs a text in expect"
        elif config.cells and inmate.cell in {i.cell for i in config.cells.inmates[:number]}:
            yield ("cells", "inmates", number, "cell"), f"{inmate.cell} stands in the set twice"
