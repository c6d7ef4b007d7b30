# SPDX-License-Identifier: MIT
"""What the events say about a build so far: a pure fold, without clock or file."""

from __future__ import annotations

from dataclasses import dataclass, field

from oejail.engine.events import Event

MAX_FAILURES = 100
MAX_RUNNING = 4096


@dataclass(frozen=True)
class Running:
    """A task that runs now."""

    recipe: str
    task: str
    since: float
    """Unix seconds, by the clock of the machine that builds."""
    logfile: str = ""


@dataclass(frozen=True)
class TaskFailure:
    """A task that failed."""

    recipe: str
    task: str
    file: str
    logfile: str
    exitcode: int | None
    """None where BitBake did not say it; -N when signal N ended the task's process."""


@dataclass
class Track:
    """The state of a build; `feed` is the only way to change it."""

    phase: str = "starting"
    """starting, parsing, preparing, running, finished"""
    parsed: int = 0
    to_parse: int = 0
    parse_errors: int = 0
    done: int = 0
    """Tasks done, those included that BitBake found up to date."""
    total: int = 0
    ran: int = 0
    """Tasks that really ran to an end, well or not."""
    running: dict[tuple[str, str], Running] = field(default_factory=dict)
    failed: dict[tuple[str, str], TaskFailure] = field(default_factory=dict)
    no_providers: list[Event] = field(default_factory=list)
    build: Event | None = None
    """BuildCompleted, when it came."""
    command: Event | None = None
    """CommandCompleted or CommandFailed, when it came."""
    seen: int = 0
    """How many events came."""

    @property
    def succeeded(self) -> bool:
        """BitBake said that it came to the end of what was asked for, and that nothing failed."""
        return (
            self.build is not None
            and self.build.failures == 0
            and not self.build.interrupted
            and self.command is not None
            and self.command.kind == "CommandCompleted"
            and not self.failed
        )

    @property
    def failures(self) -> tuple[TaskFailure, ...]:
        """The tasks that failed, in order."""
        return tuple(self.failed.values())

    def feed(self, event: Event) -> None:
        """Take one event into account; unknown ones are ignored."""
        self.seen += 1
        handler = _HANDLERS.get(event.kind)
        if handler is not None:
            handler(self, event)


def _parse(track: Track, event: Event) -> None:
    track.phase = "parsing"
    track.parsed, track.to_parse = event.current, event.total


def _parsed(track: Track, event: Event) -> None:
    track.phase = "preparing"
    track.parsed = track.to_parse = event.total
    track.parse_errors = event.errors


def _build_started(track: Track, event: Event) -> None:
    track.phase = "preparing"


def _no_provider(track: Track, event: Event) -> None:
    if len(track.no_providers) < MAX_FAILURES:
        track.no_providers.append(event)


def _count(track: Track, event: Event) -> None:
    track.phase = "running"
    if not event.setscene:  # the two queues count apart
        track.done, track.total = event.completed, event.total


def _queue_started(track: Track, event: Event) -> None:
    _count(track, event)
    if len(track.running) < MAX_RUNNING:
        track.running[event.file, event.task] = Running(event.recipe, event.task, event.time)


def _queue_ended(track: Track, event: Event) -> None:
    _count(track, event)
    track.ran += 1
    track.running.pop((event.file, event.task), None)


def _queue_failed(track: Track, event: Event) -> None:
    key = event.file, event.task
    running = track.running.get(key)
    _queue_ended(track, event)
    if event.setscene:  # what the shared state lacks is built instead
        return
    known = track.failed.get(key)
    logfile = known.logfile if known else running.logfile if running else ""
    _fail(track, event, event.recipe, logfile)


def _task_started(track: Track, event: Event) -> None:
    """From the task's own process: it knows the log."""
    key = event.file, event.task
    running = track.running.get(key)
    if running is not None:
        track.running[key] = Running(running.recipe, event.task, running.since, event.logfile)


def _task_failed(track: Track, event: Event) -> None:
    if event.task.endswith("_setscene"):
        return
    _fail(track, event, event.pn or event.recipe, event.logfile)


def _fail(track: Track, event: Event, recipe: str, logfile: str) -> None:
    key = event.file, event.task
    known = track.failed.get(key)
    if known is None and len(track.failed) >= MAX_FAILURES:
        return
    exitcode = event.exitcode
    if known is not None:
        recipe, logfile = known.recipe or recipe, logfile or known.logfile
        exitcode = known.exitcode if exitcode is None else exitcode
    track.failed[key] = TaskFailure(recipe, event.task, event.file, logfile, exitcode)


def _build_completed(track: Track, event: Event) -> None:
    track.phase = "finished"
    track.build = event


def _command(track: Track, event: Event) -> None:
    track.phase = "finished"
    track.command = event


_HANDLERS = {
    "ParseStarted": _parse,
    "ParseProgress": _parse,
    "ParseCompleted": _parsed,
    "BuildStarted": _build_started,
    "NoProvider": _no_provider,
    "RunQueueTaskStarted": _queue_started,
    "RunQueueTaskCompleted": _queue_ended,
    "RunQueueTaskFailed": _queue_failed,
    "RunQueueTaskSkipped": _count,
    "TaskStarted": _task_started,
    "TaskFailed": _task_failed,
    "BuildCompleted": _build_completed,
    "CommandCompleted": _command,
    "CommandFailed": _command,
}
