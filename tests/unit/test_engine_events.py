# SPDX-License-Identifier: MIT
"""The event file: read while it grows, whatever is in it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.engine.events import MAX_LINE, Event, Tail, parse

FAILED = {
    "v": 1,
    "t": 1700000000.25,
    "pid": 7,
    "event": "RunQueueTaskFailed",
    "recipe": "demo",
    "task": "do_compile",
    "file": "/src/demo_1.0.bb",
    "setscene": False,
    "exitcode": -9,
    "stats": {"completed": 3, "active": 1, "failed": 1, "total": 8},
}


def line(**changes: Any) -> bytes:
    return json.dumps({**FAILED, **changes}).encode()


def test_an_event_is_read() -> None:
    assert parse(line()) == Event(
        "RunQueueTaskFailed",
        1700000000.25,
        recipe="demo",
        task="do_compile",
        file="/src/demo_1.0.bb",
        exitcode=-9,
        completed=3,
        total=8,
    )


def test_lists_and_flags_are_read() -> None:
    event = parse(
        line(
            event="NoProvider",
            item="x",
            runtime=True,
            reasons=["a was skipped"],
            close_matches=["y", "z"],
        )
    )
    assert event is not None
    assert (event.item, event.runtime) == ("x", True)
    assert event.reasons == ("a was skipped",)
    assert event.close_matches == ("y", "z")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"\xff\xfe",
        b"[" * 15000,
        b'{"v":1}',
        b'{"v":2,"event":"X"}',
        b'{"v":true,"event":5}',
        b'{"v":1,"event":""}',
        b'{"v":1,"event":["X"]}',
        b'{"v":1,"event":"' + b"X" * 65 + b'"}',
        b'{"v":1,"event":"X","t":' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_event_is_none(raw: bytes) -> None:
    assert parse(raw) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipe", 5),
        ("task", None),
        ("file", ["x"]),
        ("logfile", {}),
        ("setscene", "yes"),
        ("setscene", 1),
        ("exitcode", "1"),
        ("exitcode", True),
        ("exitcode", 1 << 40),
        ("stats", [1]),
        ("stats", {"completed": -1, "total": "8"}),
        ("stats", {"completed": True, "total": 10**12}),
        ("failures", 1.5),
        ("targets", "abc"),
        ("t", "now"),
        ("t", -1),
        ("t", float("nan")),
        ("t", float("inf")),
    ],
)
def test_a_field_of_a_wrong_type_has_its_default(name: str, value: Any) -> None:
    event = parse(line(**{name: value}))
    assert event is not None
    default = Event("RunQueueTaskFailed", 0.0)
    if name == "stats":
        assert (event.completed, event.total) == (0, 0)
    else:
        attribute = "time" if name == "t" else name
        assert getattr(event, attribute) == getattr(default, attribute)


def test_text_cannot_steer_a_terminal_or_break_json() -> None:
    event = parse(line(recipe="a\x1b[31m\nb\u202ec\ud800", targets=["\x07", 5, "ok"]))
    assert event is not None
    assert event.recipe.isprintable()
    assert event.recipe == r"a\x1b[31m\nb\u202ec\ud800"
    assert event.targets == (r"\x07", "ok")
    event.recipe.encode()


def test_text_and_lists_are_limited() -> None:
    event = parse(line(recipe="x" * 10_000, targets=["y"] * 1000))
    assert event is not None
    assert len(event.recipe) == 4096
    assert len(event.targets) == 64


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=10,
)


@given(
    st.dictionaries(
        st.sampled_from([*FAILED, "failures", "interrupted", "targets", "logfile", "item"]), JSON
    )
)
def test_no_json_object_makes_it_fail(changes: dict[str, Any]) -> None:
    event = parse(json.dumps({**FAILED, **changes}).encode())
    if event is not None:
        assert isinstance(event.time, float)
        assert all(isinstance(target, str) for target in event.targets)
        assert event.exitcode is None or isinstance(event.exitcode, int)
        assert event.recipe.isprintable()


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(raw: bytes) -> None:
    parse(raw)


@given(st.data())
def test_any_division_into_writes_gives_the_same_events(data: st.DataObject) -> None:
    """Whatever the moments at which one looks, each whole line is read once and in order."""
    import tempfile

    lines = data.draw(
        st.lists(
            st.one_of(
                st.integers(0, 9).map(lambda n: line(recipe=f"r{n}") + b"\n"),
                st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"") + b"\n"),
                st.just(b"x" * (MAX_LINE + 5) + b"\n"),
            ),
            max_size=12,
        )
    )
    whole = b"".join(lines)
    expected = [e for e in map(parse, lines) if e is not None]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "events")
        seen: list[Event] = []
        with Tail(path) as tail, path.open("wb") as stream:
            for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
                stream.write(whole[start:end])
                stream.flush()
                seen += tail.events()
    assert seen == expected


def events(tail: Tail) -> list[str]:
    return [event.recipe for event in tail.events()]


def test_a_file_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with Tail(path) as tail:
        assert events(tail) == []
        path.write_bytes(line(recipe="one") + b"\n")
        assert events(tail) == ["one"]
        assert events(tail) == []


def test_a_last_line_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "events"
    whole = line(recipe="one") + b"\n"
    with Tail(path) as tail, path.open("wb") as stream:
        for n in range(0, len(whole), 7):
            assert events(tail) == []
            stream.write(whole[n : n + 7])
            stream.flush()
        assert events(tail) == ["one"]


def test_a_file_that_is_replaced_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(line(recipe="one") + b"\n" + line(recipe="two") + b"\n")
    with Tail(path) as tail:
        assert events(tail) == ["one", "two"]
        path.unlink()
        assert events(tail) == []
        path.write_bytes(line(recipe="three") + b"\n" + b'{"half')
        assert events(tail) == ["three"]
        with path.open("r+b") as stream:
            stream.truncate(0)
            stream.write(line(recipe="four") + b"\n")
        assert events(tail) == ["four"]


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with Tail(path) as tail:
        os.mkfifo(path)
        assert events(tail) == []
        path.unlink()
        path.symlink_to("/dev/zero")
        assert events(tail) == []
        path.unlink()
        other = tmp_path / "other"
        other.write_bytes(line() + b"\n")
        path.symlink_to(other)
        assert events(tail) == []
        path.unlink()
        path.mkdir()
        assert events(tail) == []
        path.rmdir()
        path.write_bytes(line(recipe="one") + b"\n")
        assert events(tail) == ["one"]


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(
        line(recipe="one") + b"\n" + b"x" * (1 << 20) + b"\n" + line(recipe="two") + b"\n"
    )
    with Tail(path) as tail:
        assert events(tail) == ["one", "two"]
        assert tail.ignored == 1


def test_one_call_reads_a_limited_amount(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes((line() + b"\n") * 10_000)
    with Tail(path) as tail:
        first = len(list(tail.events(budget=1000)))
        assert 0 < first < 10_000
        assert first + len(list(tail.events(1 << 30))) == 10_000


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    path = tmp_path / "events"
    before = os.listdir("/proc/self/fd")
    with Tail(path) as tail:
        for n in range(20):
            path.unlink(missing_ok=True)
            path.write_bytes(line(recipe=str(n)) + b"\n")
            assert events(tail) == [str(n)]
    assert os.listdir("/proc/self/fd") == before


def test_rubbish_costs_no_time(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"[" * (4 << 20) + b"\n" * (1 << 16) + (b"{" * 1000 + b"\n") * 1000)
    began = time.monotonic()
    with Tail(path) as tail:
        assert list(tail.events(1 << 30)) == []
    assert time.monotonic() - began < 2
