# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import importlib
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from oejail import __version__, errors
from oejail.cli import main
from oejail.errors import Exit, OejailError


def oejail(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "oejail.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload, no-any-return]


def test_version_and_help() -> None:
    assert oejail("--version").stdout == f"oejail {__version__}\n"
    text = oejail("--help").stdout
    for verb in main.VERBS:
        assert f"\n  {verb} " in text


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_has_a_module_and_a_help_page(verb: str) -> None:
    module = importlib.import_module(f"oejail.cli.{verb}")
    assert hasattr(module, "command") or hasattr(module, "app")
    assert main._run([verb, "--help"]) == 0


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, oejail.cli.main as m; m._run(['--help']);"
        "heavy = {'git', 'jinja2', 'tqdm', 'rich', 'pydantic', 'yaml', 'ruamel', 'elftools',"
        " 'zstandard', 'subprocess', 'asyncio'} & set(sys.modules);"
        "print(sorted(heavy - {'subprocess'}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_unknown_verb_names_the_nearest() -> None:
    done = oejail("biuld")
    assert done.returncode == 2
    assert "did you mean 'build'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_directory(tmp_path: Path) -> None:
    done = oejail("-C", str(tmp_path / "none"), "status")
    assert done.returncode == 2
    assert done.stderr == f"oejail: error: -C {tmp_path}/none: No such file or directory\n"


def test_the_documented_statuses() -> None:
    kinds = {
        kind.__name__: int(kind.exit_code)
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, OejailError)
    }
    assert kinds == {
        "OejailError": 1,
        "UsageFault": 2,
        "ConfigError": 2,
        "FindingsError": 3,
        "BuildFailed": 4,
        "ChildFailed": 4,
        "TargetFailed": 5,
        "PrerequisiteMissing": 6,
        "WorkspaceBusy": 7,
        "Interrupted": 130,
    }


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (errors.ConfigError("a: b", hint="do c"), 2, "oejail: error: a: b; do c\n"),
        (errors.BuildFailed("x", details=["y", "z"]), 4, "oejail: error: x\n  y\n  z\n"),
        (errors.UsageFault("u https://me:pw@h/"), 2, "oejail: error: u https://***@h/\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x"),
            6,
            "oejail: error: /x: No space left on device; "
            "free some space and run the same command again\n",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/from", None, "/to"),
            6,
            "oejail: error: /to: No space left on device; "
            "free some space and run the same command again\n",
        ),
        (
            errors.ConfigError("a\nb\x1b[31mc", details=["d\re"]),
            2,
            "oejail: error: a\\nb\\x1b[31mc\n  d\\re\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            2,
            "oejail: error: /x: Permission denied; check who owns it\n",
        ),
        (
            ZeroDivisionError("oops"),
            1,
            f"oejail: error: defect in oejail {__version__}: ZeroDivisionError: oops; "
            "oejail -v VERB shows where\n",
        ),
        (
            KeyboardInterrupt(),
            130,
            "oejail: error: interrupted; run the same command again to continue\n",
        ),
    ],
)
def test_errors_are_one_line(
    error: BaseException,
    status: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails() -> None:
        raise error

    module = importlib.import_module("oejail.cli.schema")
    monkeypatch.setattr(module, "command", fails)
    assert main._run(["schema"]) == status
    assert capsys.readouterr().err == text


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = f"{shlex.quote(sys.executable)} -m oejail.cli.main schema | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


FULL = "No space left on device; free some space and run the same command again"


@pytest.mark.parametrize(
    ("redirection", "status", "words"),
    [
        (">/dev/full", 6, f"oejail: error: standard output: {FULL}\n"),
        (">&-", 0, ""),
        ("2>/dev/full", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
    ],
)
def test_streams_that_are_closed_or_full(redirection: str, status: int, words: str) -> None:
    code = f'"$0" -m oejail.cli.main schema {redirection}'
    done = subprocess.run(
        ["bash", "-c", code, sys.executable], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (status, words)


def test_an_early_interruption_is_one_line() -> None:
    """Ctrl-C while the command line is still being loaded."""
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'oejail.cli.main':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "from oejail.cli import start\n"
        "sys.meta_path.insert(0, Finder())\n"
        "start.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr == "oejail: error: interrupted; run the same command again to continue\n"


def test_the_console_script_begins_with_start() -> None:
    from importlib import metadata

    from oejail.cli import start

    try:
        scripts = metadata.distribution("oejail").entry_points
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
        assert 'oejail = "oejail.cli.start:main"' in text
    else:
        assert next(s for s in scripts if s.name == "oejail").load() is start.main


def test_ascii_locale() -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = oejail("-C", "/nö", "status", env=environment)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_statuses_are_in_the_help() -> None:
    text = " ".join(oejail("--help").stdout.split())
    for status in Exit:
        assert f"{int(status)} " in text
