# SPDX-License-Identifier: MIT
from __future__ import annotations

import errno
import importlib
import os
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
    code = f"{sys.executable} -m oejail.cli.main schema | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_ascii_locale() -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = oejail("-C", "/nö", "status", env=environment)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_statuses_are_in_the_help() -> None:
    text = " ".join(oejail("--help").stdout.split())
    for status in Exit:
        assert f"{int(status)} " in text
