# SPDX-License-Identifier: MIT
"""What a build shows while it runs, on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

from oejail.engine.text import duration
from oejail.engine.track import Track
from oejail.log import logger, shows

STEP = 10
"""Per cent of the tasks between two plain lines …"""
APART = 2.0
"""… which come this many seconds apart at least, and …"""
HEARTBEAT = 30.0
"""… at most: a pipeline that hears nothing for long gives up."""


class Progress(Protocol):
    """Shows a build. `show` may be called as often as one likes."""

    def show(self, track: Track) -> None:
        """Show what has changed."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def choose(wanted: bool, expected: float | None = None) -> Progress:
    """The right one: nothing unless `wanted` (and with -q), a bar on a terminal, else lines.

    With -v all that BitBake says is on stderr: no bar then. `expected` is how many seconds the last
    such build took.
    """
    if not (wanted and shows(logging.INFO)):
        return Silent()
    stream = sys.stderr
    live = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    if live and not shows(logging.DEBUG):
        return Bar(stream, expected)
    return Lines(expected=expected)


class Silent:
    """Shows nothing."""

    def show(self, track: Track) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class _Failures:
    """Reports each failed task once, as soon as it is known."""

    def __init__(self) -> None:
        self.reported: set[tuple[str, str]] = set()

    def new(self, track: Track) -> list[str]:
        lines = []
        for key, failure in track.failed.items():
            if key not in self.reported:
                self.reported.add(key)
                lines.append(f"build: {failure.recipe}: {failure.task} failed")
        return lines


class Lines:
    """Plain lines: each phase, every tenth of the tasks, each failure, a heartbeat."""

    def __init__(
        self,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        expected: float | None = None,
    ) -> None:
        self.expected = last_time(expected)
        self.say = say or logger.info
        self.clock = clock
        self.began = self.last = clock()
        self.phase = "starting"
        self.step = 0
        self.failures = _Failures()

    def show(self, track: Track) -> None:
        """Say what is due."""
        for line in self.failures.new(track):
            self.say(line)
        now = self.clock()
        step = 100 * track.done // track.total // STEP if track.total else 0
        begins = track.phase != self.phase and track.phase in ("parsing", "running")
        further = step > self.step and now - self.last >= APART
        self.phase = track.phase
        if track.phase != "finished" and (begins or further or now - self.last >= HEARTBEAT):
            self.step = step
            self.last = now
            self.say(
                f"build: {describe(track)}, {duration(now - self.began)}{self.expected}"
                f"{running(track)}"
            )

    def close(self) -> None:
        """Nothing is left to do."""


class Bar:
    """A bar with the number of tasks, the elapsed time and what runs now."""

    def __init__(self, stream: Any, expected: float | None = None) -> None:
        from tqdm import tqdm

        self.failures = _Failures()
        shown = last_time(expected)
        self.bar = tqdm(
            file=stream,
            total=0,
            desc="build",
            dynamic_ncols=True,
            leave=False,
            # What is worth most comes first: a narrow terminal cuts the end off.
            bar_format=(
                f"{{desc}} {{n_fmt}}/{{total_fmt}} |{{bar:10}}| {{elapsed}}{shown}{{postfix}}"
            ),
        )

    def show(self, track: Track) -> None:
        """Redraw the bar; a failure goes above it."""
        for line in self.failures.new(track):
            self.bar.clear()
            logger.info(line)
        parsing = track.phase == "parsing"
        self.bar.total = track.to_parse if parsing else track.total
        self.bar.n = track.parsed if parsing else track.done
        self.bar.set_description_str(track.phase, refresh=False)
        self.bar.set_postfix_str(running(track).removeprefix(", "), refresh=False)
        self.bar.refresh()

    def close(self) -> None:
        """Take the bar away."""
        self.bar.close()


def last_time(expected: float | None) -> str:
    """` (last time 3m07s)`; empty where that is not known."""
    return "" if expected is None else f" (last time {duration(expected)})"


def describe(track: Track) -> str:
    """`parsing recipe 3 of 9`, `task 7 of 24`, …"""
    if track.phase == "parsing":
        return f"parsing recipe {track.parsed} of {track.to_parse}"
    if track.phase == "running":
        return f"task {track.done} of {track.total}"
    return track.phase


def running(track: Track) -> str:
    """`, jailhouse:do_compile and 2 more` for the longest-running tasks; empty without one."""
    if not track.running:
        return ""
    first = min(track.running.values(), key=lambda task: task.since)
    more = len(track.running) - 1
    return f", {first.recipe}:{first.task}" + (f" and {more} more" if more else "")
