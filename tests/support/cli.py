# SPDX-License-Identifier: MIT
"""oejail as a person runs it: the command, in a directory, with what it said and its status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import patience

OEJAIL = (sys.executable, "-P", "-m", "oejail.cli.main")


@dataclass(frozen=True)
class Said:
    """How a run ended."""

    status: int
    out: str
    err: str

    @property
    def stages(self) -> dict[str, str]:
        """Stage → `up to date`, or why it ran."""
        pairs = re.findall(r"^(\w+) +(.*)$", self.err, re.MULTILINE)
        first: dict[str, str] = {}
        for name, words in pairs:
            first.setdefault(name, words)
        return first

    @property
    def ran(self) -> list[str]:
        """The stages that ran, in order."""
        return re.findall(r"^(\w+) +done in", self.err, re.MULTILINE)

    @property
    def bundle(self) -> Path:
        """The path on stdout's last line."""
        return Path(self.out.splitlines()[-1].removeprefix("bundle: "))


def oejail(
    directory: Path,
    *arguments: str,
    status: int | None = 0,
    python: str = sys.executable,
    user: str | None = None,
    **env: str,
) -> Said:
    """Run `oejail ARGUMENTS` in `directory`; asserts its exit status, unless that is None.

    `user` is whom root drops to; `python` another Python that has oejail.
    """
    done = subprocess.run(
        [python, *OEJAIL[1:], *arguments],
        cwd=directory,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = Said(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in said.err, said.err
    assert status in (None, said.status), f"{said.status}: {said.err}\n{said.out}"
    return said


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """`oejail ARGUMENTS` in the background; its output is one stream."""
    return subprocess.Popen(
        [*OEJAIL, *arguments],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_with(text: str) -> list[str]:
    """Command lines of all processes that mention `text`, this one's excepted."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


def wait_until_gone(text: str, seconds: float) -> None:
    """Assert that within `seconds` (of a free machine) no process mentions `text` any more."""
    deadline = time.monotonic() + patience(seconds)
    while left := processes_with(text):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
