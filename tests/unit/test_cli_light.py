# SPDX-License-Identifier: MIT
"""Plain parameters are taken without pydantic, and mean what they mean with it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from oejail.cli import light

CODE = """
import sys
from pathlib import Path
from oejail.cli.main import _run
assert _run(["cell", "check", {root!r}, {cell!r}]) == 0
assert "pydantic" not in sys.modules, "pydantic"
assert "rich" not in sys.modules, "rich"
"""


def test_cell_check_does_without_pydantic(tmp_path: Path) -> None:
    from oejail.cells import encode, shipped

    names = ("qemu-arm64-openeuler-demo", "qemu-arm64-freertos-demo")
    files = [tmp_path / f"{name}.cell" for name in names]
    for file, name in zip(files, names, strict=True):
        file.write_bytes(encode(shipped(name)))
    code = CODE.format(root=str(files[0]), cell=str(files[1]))
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


app = typer.Typer(rich_markup_mode=None)


@app.command()
def command(
    number: int | None = None,
    few: Annotated[int, typer.Option(min=1, max=3)] = 2,
    paths: list[Path] | None = None,
    flag: bool = False,
) -> None:
    typer.echo(repr((number, few, [str(p) for p in paths or []], flag)))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "(None, 2, [], False)"),
        (["--number", "12", "--few", "3", "--flag"], "(12, 3, [], True)"),
        (["--number", "-7", "--paths", "a", "--paths", "b/c"], "(-7, 2, ['a', 'b/c'], False)"),
    ],
)
def test_values(words: list[str], said: str) -> None:
    light.enable()
    assert CliRunner().invoke(app, words).stdout == said + "\n"


@pytest.mark.parametrize(
    "words", [["--number", "x"], ["--number", "1.5"], ["--number", ""], ["--few", "4"]]
)
def test_what_is_wrong_is_said_as_typer_says_it(words: list[str]) -> None:
    light.enable()
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert f"Invalid value for '{words[0]}'" in result.output
