# SPDX-License-Identifier: MIT
from __future__ import annotations

import re
from pathlib import Path

import pytest

from oejail.target import results
from oejail.target.console import Line
from oejail.target.results import FAILED, NOT_RUN, PASSED, Results, Step, Transcript

GOLDEN = Path(__file__).parent.parent / "data/target"


def silent() -> Results:
    return Results(
        outcome="silent",
        cause="silent: no output within 5 s",
        hint="is the image linked for its cell's own address?",
        started="2026-01-02T03:04:05Z",
        seconds=5.6789,
        bundle={"path": "/b.tar.zst", "name": "b", "release": "0", "digest": "0123456789abcdef"},
        booted=[{"path": "payload/FreeRTOS.bin", "sha256": "0" * 64, "size": 4}],
        expect={"inmate": "freertos", "text": "tick", "times": 2, "seen": 0},
        console={"bytes": 0, "lines": 0},
        qemu={"version": "7.2.22", "command": ["qemu-system-aarch64", "-S"]},
        steps=[
            Step("verify", PASSED, 0.1234567, "whole"),
            Step("start", FAILED, 5.0, "its last words\x1b"),
            Step("observe"),
        ],
    )


@pytest.mark.parametrize("name", [results.RESULTS, results.JUNIT])
def test_golden(name: str, tmp_path: Path) -> None:
    results.write(silent(), tmp_path)
    assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


@pytest.mark.parametrize(
    ("ends", "blamed"),
    [
        ([PASSED, NOT_RUN, NOT_RUN], 1),  # between two steps
        ([PASSED, PASSED, PASSED], 2),  # after the last one
        ([PASSED, FAILED, NOT_RUN], 1),
    ],
)
def test_a_run_that_did_not_pass_has_a_failure(ends: list[str], blamed: int) -> None:
    """Whoever looks at junit.xml alone must not take an interrupted run for a good one."""
    run = silent()
    run.outcome = run.cause = "interrupted"
    for step, end in zip(run.steps, ends, strict=True):
        step.outcome = end
    cases = re.findall(r"<testcase.*?(?:/>|</testcase>)", results.junit(run).decode(), re.DOTALL)
    assert [n for n, case in enumerate(cases) if "<failure" in case] == [blamed]
    run.outcome, run.steps = PASSED, [Step("verify", PASSED), Step("observe", NOT_RUN)]
    assert b"<failure" not in results.junit(run)


def test_two_runs_of_one_second(tmp_path: Path) -> None:
    made = [results.new_run(tmp_path / "oejail-runs", 1_800_000_000.5).name for _ in range(3)]
    assert made == ["20270115T080000Z", "20270115T080000Z-2", "20270115T080000Z-3"]


def test_a_project_keeps_the_last_runs(tmp_path: Path) -> None:
    base = tmp_path / ".oejail/runs"
    made = [results.new_run(base, 1_800_000_000.0 + n // 12) for n in range(60)]
    assert {path.name for path in base.iterdir()} == {path.name for path in made[-50:]}
    elsewhere = tmp_path / "oejail-runs"
    for n in range(60):
        results.new_run(elsewhere, float(n))
    assert len(list(elsewhere.iterdir())) == 60


def test_runs_are_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert results.runs_directory() == below / "oejail-runs"
    (tmp_path / "oejail.yaml").touch()
    assert results.runs_directory() == tmp_path / ".oejail/runs"


def test_a_transcript_grows_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with Transcript(path) as transcript:
        transcript.add([Line(0.5, "one"), Line(12.25, "zwölf")])
        assert path.read_text() == "     0.500  one\n    12.250  zwölf\n"


def test_a_long_transcript_has_its_beginning_and_its_end(tmp_path: Path) -> None:
    path = tmp_path / "t"
    with Transcript(path, limit=1000) as transcript:
        for n in range(1000):
            transcript.add([Line(0.0, f"line {n}")])
    lines = path.read_text().splitlines()
    assert lines[0].endswith("line 0") and lines[-1].endswith("line 999")
    (middle,) = (n for n, line in enumerate(lines) if "left out" in line)
    assert f"… {1000 - (len(lines) - 1)} lines are left out here …" in lines[middle]
    assert len(lines) - middle - 1 == 200
    assert lines[middle + 1].endswith("line 800")
