# SPDX-License-Identifier: MIT
"""`oejail build`, `bitbake`, `shell` and `logs` as a person runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oejail.engine import holder
from tests.support.cli import OEJAIL, oejail
from tests.support.processes import alive, patience, wait_until
from tests.support.typing_in import read, until

CONTROLLING = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample project in a directory with a blank, generated."""
    root = tmp_path_factory.mktemp("cli") / "a project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        # A module's fixtures come before the isolation of a test.
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        oejail(root, "init", "--sample")
        oejail(root, "generate")
    return root


def build_dir(place: Path) -> Path:
    return (place / "workspace").resolve() / "build" / "qemu-aarch64"


def test_a_build_its_report_and_its_logs(place: Path) -> None:
    said = oejail(place, "build", "jailhouse", "--json")
    report = json.loads(said.out)
    assert next(iter(report)) == "schema_version"
    assert (report["ok"], report["targets"], report["failures"]) == (True, ["jailhouse"], [])
    # Which task is under way when the first line is due depends on the machine's speed.
    assert re.search(r"^build: task \d+ of \d+, ", said.err, re.MULTILINE)
    assert said.err.isascii()
    whole = oejail(place, "logs").out
    assert "Tasks Summary: " in whole or "Running task" in whole
    assert oejail(place, "logs", "--path").out.strip() == report["log"]
    assert oejail(place, "logs", "--list").out.splitlines()[-1].endswith(report["log"])
    path = Path(oejail(place, "logs", "jailhouse", "compile", "--path").out.strip())
    assert path.is_relative_to(build_dir(place))
    assert path.name.startswith("log.do_compile.")
    assert oejail(place, "logs", "jailhouse", "compile").out == path.read_text()
    assert "do_install" in oejail(place, "logs", "jailhouse", "--list").out


def test_a_failed_build(place: Path) -> None:
    said = oejail(place, "build", "jailhose", "--json", status=4)
    first, *rest = [line for line in said.err.splitlines() if not line.startswith("build: ")]
    assert first.startswith("oejail: error: build failed: no layer of the build has a recipe for ")
    assert first.endswith("; did you mean jailhouse?")
    assert "  ERROR: Nothing PROVIDES 'jailhose'. Close matches:" in rest
    report = json.loads(said.out)
    assert not report["ok"]
    assert report["failures"][0]["id"] == "no-provider"


def test_bitbake_itself(place: Path) -> None:
    said = oejail(place, "bitbake", "--", "--version")
    assert said.out.startswith("BitBake Build Tool")
    assert said.out.count("\n") == 1
    assert oejail(place, "bitbake", "--", "--no-such-option", status=4).err.count("oejail: ") == 1
    oejail(place, "bitbake", status=2)


def test_without_a_terminal_there_is_no_shell(place: Path) -> None:
    assert "not a terminal" in oejail(place, "shell", status=2).err


def test_what_is_not_there(place: Path, tmp_path: Path) -> None:
    assert "oejail init" in oejail(tmp_path, "build", status=2).err
    oejail(tmp_path, "init", "--sample")
    assert "no logs yet" in oejail(tmp_path, "logs", status=2).err
    assert "; oejail generate\n" in oejail(tmp_path, "build", status=2).err
    assert "; oejail build first\n" in oejail(tmp_path, "collect", status=2).err
    for words in (["build"], ["shell"], ["layers", "add", "meta"]):  # its own build directory
        said = oejail(tmp_path, *words, "--engine", "container", status=2).err
        assert "; oejail generate --engine container" in said
    assert "no log below" in oejail(place, "logs", "nothing", status=2).err
    oejail(place, "logs", "../../etc", status=2)


def test_a_second_oejail_is_told_who_is_at_work(place: Path) -> None:
    held = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys; f = open(sys.argv[1], 'a');"
         "fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()",
         str(place / ".oejail/lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with held:
        assert held.stdout is not None
        held.stdout.readline()
        for verb in (["build"], ["bitbake", "--", "-s"], ["shell"]):
            assert "held by another oejail" in oejail(place, *verb, status=7).err
        assert held.stdin is not None
        held.stdin.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_of_it(place: Path, number: int) -> None:
    recipe = next((place / "workspace/src").resolve().glob("**/jailhouse-freertos_*.bb"))
    before = recipe.read_text()
    recipe.write_text(before + "do_compile:prepend() {\n    sleep 400\n}\n")
    try:
        with subprocess.Popen(
            [*OEJAIL, "build", "jailhouse-freertos"], cwd=place, stderr=subprocess.PIPE, text=True
        ) as child:
            assert wait_until(lambda: any("sleep 400" in line for line in alive("sleep 400")), 40)
            child.send_signal(number)
            began = time.monotonic()
            _, err = child.communicate()
        assert time.monotonic() - began < patience(3.5)
        assert child.returncode == 130
        assert err.splitlines()[-1] == (
            "oejail: error: build interrupted: BitBake and all that it started were stopped; "
            "run the same command again to continue"
        )
        assert alive(str(build_dir(place))) == []
        assert holder.holder(build_dir(place)) is None
    finally:
        recipe.write_text(before)


def test_the_shell_has_bitbake_and_leaves_bashrc_alone(place: Path) -> None:
    home = Path(os.environ["HOME"])
    (home / ".bashrc").write_text("echo never read\n")
    terminal, theirs = os.openpty()
    code = CONTROLLING + "os.execv(sys.argv[1], sys.argv[1:])"
    with subprocess.Popen(
        [sys.executable, "-c", code, *OEJAIL, "shell"],
        cwd=place, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    ) as child:  # fmt: skip
        os.close(theirs)
        shown = until(terminal, "oejail:qemu-aarch64")
        os.write(terminal, b"bitbake --version; pwd; echo do''ne\n")
        shown += until(terminal, "done")
        os.write(terminal, b"exit 3\n")
        while read(terminal):
            pass
    os.close(terminal)
    assert child.returncode == 0
    assert "BitBake Build Tool" in shown
    assert str(build_dir(place)) in shown
    assert "never read" not in shown
    assert (home / ".bashrc").read_text() == "echo never read\n"
