# SPDX-License-Identifier: MIT
"""Every example in the documentation is run: fenced `console` blocks, a fresh directory a file.

A line that begins with `$ ` is run; the lines below it are what it must print, where `...` stands
for anything. README's other commands are run by make and by the tests of the verbs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import repository

DOCUMENTS = sorted([repository() / "README.md", *(repository() / "docs").glob("*.md")])
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text: str) -> list[tuple[str, str]]:
    """(command, expected output) of each `$ ` line, in order."""
    found: list[tuple[str, list[str]]] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return [(command, "\n".join(expected)) for command, expected in found]


def matches(expected: str, said: str) -> bool:
    """Whether `said` is `expected`, in which `...` stands for anything."""
    parts = [re.escape(part) for part in expected.split("...")]
    return re.fullmatch(r".*?".join(parts), said.strip("\n"), re.DOTALL) is not None


def test_the_matcher() -> None:
    assert matches("a\n...\nc", "a\nb\nb\nc\n")
    assert matches("whole: ..., 13 files", "whole: x, 13 files\n")
    assert not matches("a", "ab")
    assert not matches("", "said")
    assert examples("```console\n$ x\na\nb\n$ y\n```\n") == [("x", "a\nb"), ("y", "")]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples(document: Path, tmp_path: Path) -> None:
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    command = bin_directory / "oejail"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m oejail.cli.main "$@"\n')
    command.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = os.environ | {"PATH": f"{bin_directory}:{os.environ['PATH']}"}
    for line, expected in examples(document.read_text()):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.returncode}\n{done.stderr}"
        assert matches(expected, done.stdout), f"$ {line}\n{done.stdout}\nexpected:\n{expected}"


def test_the_documents_name_every_verb_and_status() -> None:
    from oejail.cli.main import VERBS
    from oejail.errors import Exit

    readme = (repository() / "README.md").read_text()
    for verb in VERBS:
        assert f"`{verb}" in readme, verb
    for status in Exit:
        assert f"| {int(status)} |" in readme
