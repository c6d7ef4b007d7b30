# SPDX-License-Identifier: MIT
"""What a build shows while it runs."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import termios

import pytest

from oejail import log
from oejail.engine import progress
from oejail.engine.events import Event
from oejail.engine.text import duration, printable
from oejail.engine.track import Track
from tests.conftest import repository


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def started(track: Track, task: int, total: int, name: str = "do_compile") -> None:
    event = Event("RunQueueTaskStarted", task, "demo", task=f"{name}{task}", file="/f")
    track.feed(event)
    track.done, track.total = task, total


def test_plain_lines_come_by_tenths_and_not_too_often() -> None:
    said: list[str] = []
    clock = Clock()
    lines = progress.Lines(said.append, clock)
    track = Track()
    track.feed(Event("ParseStarted", 0, total=40))
    lines.show(track)
    for task in range(101):
        clock.now += 0.5
        track.running.clear()
        started(track, task, 100)
        lines.show(track)
    assert said[0] == "build: parsing recipe 0 of 40, 0s"
    assert said[1] == "build: task 0 of 100, 0s, demo:do_compile0"
    assert said[2] == "build: task 10 of 100, 5s, demo:do_compile10"
    assert len(said) == 12
    track.feed(Event("BuildCompleted", 0, failures=0))
    clock.now += 100
    lines.show(track)
    assert len(said) == 12


def test_a_long_task_is_heard_of_every_half_minute() -> None:
    said: list[str] = []
    clock = Clock()
    lines = progress.Lines(said.append, clock)
    track = Track()
    started(track, 1, 8, "do_a")
    started(track, 2, 8, "do_b")
    lines.show(track)
    for _ in range(700):
        clock.now += 0.1
        lines.show(track)
    assert said == [
        "build: task 2 of 8, 0s, demo:do_a1 and 1 more",
        "build: task 2 of 8, 30s, demo:do_a1 and 1 more",
        "build: task 2 of 8, 1m00s, demo:do_a1 and 1 more",
    ]


def test_a_failure_is_said_once_and_at_once() -> None:
    said: list[str] = []
    lines = progress.Lines(said.append, Clock())
    track = Track()
    track.feed(Event("TaskFailed", 0, "demo-1", "demo", "do_compile", "/f"))
    lines.show(track)
    lines.show(track)
    assert said.count("build: demo: do_compile failed") == 1


def test_the_bar_shows_tasks_and_what_runs(capsys: pytest.CaptureFixture[str]) -> None:
    log.setup()
    terminal = Terminal()
    bar = progress.Bar(terminal)
    track = Track()
    track.feed(Event("ParseProgress", 0, current=3, total=9))
    bar.show(track)
    started(track, 4, 8)
    track.feed(Event("TaskFailed", 0, "demo-1", "demo", "do_install", "/g"))
    bar.show(track)
    bar.close()
    shown = terminal.getvalue()
    assert "parsing 3/9 |" in shown
    assert "running 4/8 |" in shown
    assert "last time" not in shown
    assert "demo:do_compile4" in shown
    assert shown.split("\r")[-1].strip() == ""
    assert capsys.readouterr().err == "build: demo: do_install failed\n"


def test_the_right_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    log.setup(0)
    assert isinstance(progress.choose(True), progress.Lines)
    assert isinstance(progress.choose(False), progress.Silent)
    monkeypatch.setattr("sys.stderr", Terminal())
    bar = progress.choose(True)
    assert isinstance(bar, progress.Bar)
    bar.close()
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.choose(True), progress.Lines)
    monkeypatch.setenv("TERM", "xterm")
    log.setup(1)
    assert isinstance(progress.choose(True), progress.Lines)
    log.setup(-1)
    assert isinstance(progress.choose(True), progress.Silent)
    monkeypatch.setattr("sys.stderr", None)
    log.setup(0)
    assert isinstance(progress.choose(True), progress.Lines)


def test_the_last_builds_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    clock = Clock()
    lines = progress.Lines(said.append, clock, expected=187)
    track = Track()
    started(track, 1, 8)
    lines.show(track)
    assert said == ["build: task 1 of 8, 0s (last time 3m07s), demo:do_compile1"]
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    log.setup(0)
    bar = progress.choose(True, 187)
    bar.show(track)
    bar.close()
    assert "00:00 (last time 3m07s), demo:do_compile1" in terminal.getvalue()


LIVE = """
import sys, time
from oejail import log
from oejail.engine import progress
from oejail.engine.events import Event
from oejail.engine.track import Track
from tests.conftest import repository
log.setup(0)
shown, track = progress.choose(True, 187), Track()
for number in range(12):
    task = Event("RunQueueTaskStarted", 1, "a-recipe", task="do_compile", file=f"/{number}",
                 completed=number, total=12)
    track.feed(task)
    if number == 6:
        track.feed(Event("TaskFailed", 1, "x", "x", "do_x", "/x"))
        sys.stdin.readline()
    shown.show(track)
shown.close()
"""


@pytest.mark.parametrize(("columns", "later"), [(80, 80), (30, 30), (12, 12), (100, 24)])
def test_the_line_keeps_to_the_terminals_width(columns: int, later: int) -> None:
    """On a real terminal, which becomes narrower in the middle."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    environment["PYTHONPATH"] = str(repository())
    with subprocess.Popen(
        [sys.executable, "-c", LIVE], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as child:
        os.close(theirs)
        before = until(ours, "5/12" if columns > 12 else "running 0/")
        termios.tcsetwinsize(ours, (24, later))
        os.write(ours, b"\n")
        after = until(ours, "")
    os.close(ours)
    assert child.returncode == 0
    assert "build: x: do_x failed" in after
    for text, width in ((before, columns), (after, later)):
        lines = re.split(r"[\r\n]+|\x1b\[A", text)
        drawn = [line for line in lines if line.startswith("running")]
        assert drawn
        assert max(map(len, drawn)) < width
    assert not re.search(r"\x1b\[[0-9;]*m", before + after)
    assert after.split("\r")[-1].strip() == ""


def until(terminal: int, text: str) -> str:
    """What is shown up to `text`, or to the end."""
    shown = ""
    while not text or text not in shown:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO: the other side is closed
            break
        if not data:
            break
        shown += data.decode()
    return shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-1, "0s"), (59.9, "59s"), (60, "1m00s"), (187, "3m07s"), (7500, "2h05m")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_text_of_others_is_made_harmless() -> None:
    assert printable("plain ü 文") == "plain ü 文"
    assert printable("a\tb") == "a    b"
    assert printable("\x1b]0;x\x07\r\n\x7f\x9b") == r"\x1b]0;x\x07\r\n\x7f\x9b"
    assert printable("\u202e\ud800") == r"\u202e\ud800"
    assert printable("x" * 100, 10) == "x" * 10
