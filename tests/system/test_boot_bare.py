# SPDX-License-Identifier: MIT
"""`oejail boot --bare` with the real QEMU: the sample's inmate, and images of a few instructions.

Needs qemu-system-aarch64 (Debian: qemu-system-arm).
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import bundles, cli
from tests.support.cli import oejail

IMAGE = "payload/FreeRTOS.bin"
UART = 0xD2A12000  # movz x0, #0x900, lsl #16: the virt machine's PL011


def code(*words: int) -> bytes:
    """An image of these instructions."""
    return struct.pack(f"<{len(words)}I", *words)


def say(byte: int) -> tuple[int, int]:
    """Instructions that write one byte to the console."""
    return 0x52800001 | byte << 5, 0x39000001  # movz w1, #byte; strb w1, [x0]


@pytest.fixture(autouse=True)
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines have to come at once by oejail's own doing."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample project, up to its bundle."""
    directory = tmp_path_factory.mktemp("a project")
    oejail(directory, "up", "--sample")
    return directory


@pytest.fixture
def bundle(project: Path) -> Path:
    """The sample's bundle."""
    (found,) = (project / "dist").glob("*.tar.zst")
    return found


def results(directory: Path) -> dict[str, Any]:
    """results.json of the only run of `directory`."""
    (found,) = (directory / "oejail-runs").glob("*/results.json")
    value: dict[str, Any] = json.loads(found.read_text())
    return value


def qemus(text: str) -> list[int]:
    """Process ids of the QEMUs (not of their supervisors) whose command line has `text`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if words[0] == b"qemu-system-aarch64" and text.encode() in b" ".join(words):
            found.append(int(entry.name))
    return found


def begin(directory: Path, bundle: Path, *arguments: str) -> tuple[subprocess.Popen[str], int]:
    """A boot that waits for what never comes, once its machine has said something; QEMU's id."""
    boot = ("boot", "--bare", str(bundle), "--expect", "never", *arguments)
    process = cli.start(directory, *boot)
    assert process.stdout is not None
    assert "tick 1" in process.stdout.readline()
    (pid,) = qemus(str(directory))
    return process, pid


def test_the_projects_bundle_ticks(project: Path) -> None:
    said = oejail(project, "boot", "--bare", "--junit", "report.xml")
    lines = said.out.splitlines()
    assert [line.split("  ")[-1] for line in lines[:2]] == [
        f"oejail sample inmate: tick {n}" for n in (1, 2)
    ]
    run = Path(lines[-1].removeprefix("results: "))
    assert run.parent == project / ".oejail/runs"
    found = json.loads((run / "results.json").read_text())
    assert found["outcome"] == "passed"
    assert [step["outcome"] for step in found["steps"]] == ["passed"] * 3
    assert found["expect"]["times"] == 2
    assert found["qemu"]["version"][0].isdigit()
    assert (project / "report.xml").read_bytes() == (run / "junit.xml").read_bytes()
    assert (run / "transcript.txt").read_text().count("sample inmate: tick") == 2
    # The recorded command is one that can be run again.
    assert Path(found["qemu"]["command"][-1]).read_bytes()[:4]


def test_json_and_a_text_of_ones_own(bundle: Path, tmp_path: Path) -> None:
    arguments = ("--expect", "tick 3", "--json", "--qemu-arg=-m", "--qemu-arg=256M")
    said = oejail(tmp_path, "boot", "--bare", str(bundle), *arguments)
    report = json.loads(said.out)
    assert report["schema_version"] == 1
    assert report["expect"] == {"inmate": "freertos", "text": "tick 3", "times": 1, "seen": 1}
    assert report["qemu"]["command"][-2:] == ["-m", "256M"]
    assert "directory" in report and report.items() >= results(tmp_path).items()


def test_a_text_that_never_comes(bundle: Path, tmp_path: Path) -> None:
    arguments = ("boot", "--bare", str(bundle), "--expect", "never", "--timeout", "2")
    said = oejail(tmp_path, *arguments, status=5)
    assert "expectation not met: 'never' did not come within 2 s" in said.err
    assert "tick 1" in said.err
    found = results(tmp_path)
    assert found["outcome"] == "expectation-not-met"
    assert [step["outcome"] for step in found["steps"]] == ["passed", "passed", "failed"]


def test_an_image_of_zeros_is_silent(bundle: Path, tmp_path: Path) -> None:
    zeros = bundles.replace_member(bundle, IMAGE, bytes(4096), tmp_path / "zeros.tar.zst")
    said = oejail(tmp_path, "boot", "--bare", str(zeros), "--timeout", "2", status=5)
    assert "silent: no output within 2 s" in said.err
    assert results(tmp_path)["outcome"] == "silent"


def test_a_guest_that_powers_off(bundle: Path, tmp_path: Path) -> None:
    # PSCI's SYSTEM_OFF, 0x84000008, by hvc
    off = code(UART, *say(0x21), 0x52800100, 0x72B08000, 0xD4000002)
    image = bundles.replace_member(bundle, IMAGE, off, tmp_path / "off.tar.zst")
    said = oejail(tmp_path, "boot", "--bare", str(image), status=5)
    assert "died: QEMU was lost" in said.err and "exit status 0, guest-shutdown" in said.err
    assert said.err.rstrip().endswith("!")  # its last words
    assert results(tmp_path)["outcome"] == "died"


def test_a_flood_ends_at_the_deadline(bundle: Path, tmp_path: Path) -> None:
    flood = code(UART, *say(0x07), 0x17FFFFFF)  # b -4
    image = bundles.replace_member(bundle, IMAGE, flood, tmp_path / "flood.tar.zst")
    began = time.monotonic()
    said = oejail(tmp_path, "boot", "--bare", str(image), "--timeout", "3", status=5)
    assert time.monotonic() - began < 15
    found = results(tmp_path)
    assert found["outcome"] == "expectation-not-met"
    assert found["console"]["bytes"] > 10_000
    assert "\a" not in said.out + said.err


def test_an_argument_that_qemu_does_not_know(bundle: Path, tmp_path: Path) -> None:
    said = oejail(tmp_path, "boot", "--bare", str(bundle), "--qemu-arg=-no-such", status=5)
    assert "died: QEMU was lost before the expected text came: exit status 1" in said.err
    assert "-no-such" in said.err.splitlines()[-1]  # QEMU's own words
    assert [step["outcome"] for step in results(tmp_path)["steps"]] == [
        "passed",
        "failed",
        "not run",
    ]


def test_a_qemu_that_is_killed(bundle: Path, tmp_path: Path) -> None:
    process, pid = begin(tmp_path, bundle)
    os.kill(pid, signal.SIGKILL)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 5
    assert "died: QEMU was lost before the expected text came: died of SIGKILL" in said
    assert results(tmp_path)["outcome"] == "died"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(number: signal.Signals, bundle: Path, tmp_path: Path) -> None:
    process, _ = begin(tmp_path, bundle)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == (
        "oejail: error: interrupted: QEMU was stopped; run the same command again"
    )
    assert not qemus(str(tmp_path))
    assert results(tmp_path)["outcome"] == "interrupted"


def test_a_killed_oejail_leaves_no_qemu(bundle: Path, tmp_path: Path) -> None:
    process, _ = begin(tmp_path, bundle)
    process.kill()
    process.wait()
    cli.wait_until_gone(str(tmp_path), 3)
    assert process.stdout is not None
    process.stdout.close()


def test_ten_at_once_in_one_project(project: Path) -> None:
    """Each has its own directory, and each passes."""
    several = [cli.start(project, "boot", "--bare") for _ in range(10)]
    said = [process.communicate(timeout=120)[0] for process in several]
    assert [process.returncode for process in several] == [0] * 10, said
    runs = {Path(text.splitlines()[-1].removeprefix("results: ")) for text in said}
    assert len(runs) == 10
    for run in runs:
        assert json.loads((run / "results.json").read_text())["outcome"] == "passed"
        assert (run / "transcript.txt").read_text().count("sample inmate: tick") == 2


def test_a_broken_bundle_is_not_booted(bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar.zst"
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    bundles.write_bundle(broken, bytes(data))
    said = oejail(tmp_path, "boot", "--bare", str(broken), status=3)
    assert "[bundle-" in said.err
    assert not (tmp_path / "oejail-runs").exists()
