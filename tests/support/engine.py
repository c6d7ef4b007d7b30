# SPDX-License-Identifier: MIT
"""The engine on a sample build: its workspace, and files that are changed for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oejail import engine, log, oebuild, project
from oejail.engine import last_build
from oejail.engine.model import Failure
from oejail.errors import BuildFailed
from oejail.workspace.model import Workspace
from tests.support.sample_build import SampleBuild, identity

RECIPE = "jailhouse-freertos"


def workspace(built: SampleBuild, root: Path) -> Workspace:
    """`built` as the workspace of a new project at `root`."""
    log.setup()
    project.init(root, sample=True)
    return Workspace(
        built.root, project.load(root), built.build_dir.name, "host", "sample",
        oebuild.DEFAULT_PREFIX, identity(),
    )  # fmt: skip


@contextlib.contextmanager
def changed(path: Path, text: str = "", replace: tuple[str, str] = ("", "")) -> Iterator[None]:
    """Within the block a file has `text` at its end, and for the first of `replace` the second."""
    before = path.read_text()
    try:
        path.write_text(before.replace(*replace, 1) + text if replace[0] else before + text)
        yield
    finally:
        path.write_text(before)


def fails(ws: Workspace, cause: str, *targets: str) -> tuple[list[str], Failure]:
    """Build, and assert that it fails for `cause`; the lines that a person reads, and the record.

    The lines are shown with a failing test, and by `pytest -rP`.
    """
    with pytest.raises(BuildFailed) as caught:
        engine.build(ws, targets or (RECIPE,))
    lines = caught.value.lines()
    print("\n".join(lines))
    last = last_build(ws.project)
    assert last is not None
    assert last.failures[0].id == cause
    assert f"oejail explain {cause} says more" in lines
    return lines, last.failures[0]


def with_oebuild(ws: Workspace, *prefix: str) -> Workspace:
    """`ws` with oebuild started by `prefix`, and nothing else around it."""
    from oejail.process import SELF

    return replace(ws, oebuild=(*prefix, *oebuild.DEFAULT_PREFIX), identity=SELF)
