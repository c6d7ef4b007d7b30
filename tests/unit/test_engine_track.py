# SPDX-License-Identifier: MIT
"""What the events say of a build."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oejail.engine.events import Event
from oejail.engine.track import _HANDLERS, MAX_FAILURES, MAX_RUNNING, Track

FILE = "/src/demo_1.0.bb"
DONE = Event("BuildCompleted", 9, failures=0, interrupted=0)
COMPLETED = Event("CommandCompleted", 9)


def queue(kind: str, task: str = "do_compile", **fields: object) -> Event:
    return Event(f"RunQueueTask{kind}", 1, "demo", task=task, file=FILE, **fields)  # type: ignore[arg-type]


def fold(*events: Event) -> Track:
    track = Track()
    for event in events:
        track.feed(event)
    return track


def phase(track: Track) -> str:
    return track.phase


def test_a_build_that_succeeds() -> None:
    track = fold(Event("ParseStarted", 0, total=4))
    assert (phase(track), track.parsed, track.to_parse) == ("parsing", 0, 4)
    track.feed(Event("ParseProgress", 0, current=3, total=4))
    assert track.parsed == 3
    track.feed(Event("ParseCompleted", 0, total=4))
    assert phase(track) == "preparing"
    track.feed(Event("BuildStarted", 1, targets=("demo",)))
    track.feed(queue("Started", total=2))
    assert phase(track) == "running"
    assert [task.recipe for task in track.running.values()] == ["demo"]
    track.feed(Event("TaskStarted", 1, "demo-1.0-r0", "demo", "do_compile", FILE, "/l/log.do_x.1"))
    assert [task.logfile for task in track.running.values()] == ["/l/log.do_x.1"]
    track.feed(queue("Completed", completed=1, total=2))
    assert (track.done, track.total, track.ran, track.running) == (1, 2, 1, {})
    track.feed(DONE)
    track.feed(COMPLETED)
    assert track.succeeded
    assert phase(track) == "finished"


def test_success_needs_both_last_words() -> None:
    assert fold(DONE, COMPLETED).succeeded
    assert not fold(DONE).succeeded
    assert not fold(COMPLETED).succeeded
    assert not fold(DONE, Event("CommandFailed", 9, exitcode=1)).succeeded
    assert not fold(Event("BuildCompleted", 9), COMPLETED).succeeded
    assert not fold(Event("BuildCompleted", 9, failures=1), COMPLETED).succeeded
    assert not fold(Event("BuildCompleted", 9, failures=0, interrupted=1), COMPLETED).succeeded
    assert not fold(queue("Failed", exitcode=1), DONE, COMPLETED).succeeded


def test_a_failure_is_one_though_two_events_tell_of_it() -> None:
    track = fold(
        queue("Started"),
        Event("TaskFailed", 1, "demo-1.0-r0", "demo", "do_compile", FILE, "/l/log.do_compile.1"),
        queue("Failed", exitcode=1),
    )
    (failure,) = track.failures
    assert (failure.recipe, failure.task, failure.exitcode) == ("demo", "do_compile", 1)
    assert failure.logfile == "/l/log.do_compile.1"


def test_a_task_whose_process_was_killed_has_its_log_all_the_same() -> None:
    track = fold(
        queue("Started"),
        Event("TaskStarted", 1, "demo-1.0-r0", "demo", "do_compile", FILE, "/l/log.do_compile.1"),
        queue("Failed", exitcode=-9),
    )
    (failure,) = track.failures
    assert (failure.logfile, failure.exitcode) == ("/l/log.do_compile.1", -9)


def test_what_the_shared_state_lacks_is_no_failure() -> None:
    track = fold(
        queue("Failed", "do_package_setscene", setscene=True, exitcode=1),
        Event("TaskFailed", 1, "demo-1.0-r0", "demo", "do_package_setscene", FILE, "/l/x"),
        DONE,
        COMPLETED,
    )
    assert track.succeeded


def test_the_setscene_queue_has_its_own_count() -> None:
    track = fold(
        queue("Completed", completed=3, total=9),
        queue("Completed", "do_x_setscene", setscene=True, completed=50, total=60),
    )
    assert (track.done, track.total) == (3, 9)


def test_nothing_grows_without_limit() -> None:
    track = Track()
    for n in range(MAX_RUNNING + 100):
        track.feed(queue("Started", f"do_{n}"))
    for n in range(MAX_FAILURES + 100):
        track.feed(queue("Failed", f"do_f{n}", exitcode=1))
        track.feed(Event("NoProvider", 1, item=str(n)))
    assert len(track.running) == MAX_RUNNING
    assert len(track.failures) == MAX_FAILURES
    assert len(track.no_providers) == MAX_FAILURES


@given(
    st.lists(
        st.builds(
            Event,
            st.sampled_from([*_HANDLERS, "Unknown"]),
            st.floats(0, 1e9),
            task=st.sampled_from(["do_a", "do_b_setscene", ""]),
            file=st.sampled_from([FILE, ""]),
            setscene=st.booleans(),
            completed=st.integers(0, 9),
            total=st.integers(0, 9),
            failures=st.none() | st.integers(0, 2),
            exitcode=st.none() | st.integers(-9, 2),
        ),
        max_size=30,
    )
)
def test_no_order_of_events_makes_it_fail(events: list[Event]) -> None:
    track = fold(*events)
    assert track.seen == len(events)
    if track.succeeded:
        assert not track.failures
