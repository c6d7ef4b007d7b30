# SPDX-License-Identifier: MIT
"""The session's parts on recorded consoles: every transcript, every step, in any pieces."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from oejail.target.causes import CAUSES
from oejail.target.outcome import causes
from tests.support.replay import TRANSCRIPTS, Recording, play, recordings

RECORDINGS = recordings()


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[at : at + 1]


def randomly(seed: int) -> Callable[[bytes], Iterator[bytes]]:
    def cut(data: bytes) -> Iterator[bytes]:
        choice = random.Random(seed)
        while data:
            size = choice.choice((1, 2, 3, 7, 80, 500, 4096))
            yield data[:size]
            data = data[size:]

    return cut


def test_every_transcript_is_listed() -> None:
    assert {r.name for r in RECORDINGS} == {path.name for path in TRANSCRIPTS.glob("*.log")}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda r: r.name)
@pytest.mark.parametrize("chunks", [whole, byte_by_byte, randomly(1), randomly(2)])
def test_replay(recording: Recording, chunks: Callable[[bytes], Iterator[bytes]]) -> None:
    found = play(recording, chunks)
    assert [
        (step.run or step.observe, verdict.outcome, verdict.cause) for step, verdict in found
    ] == [(step.run or step.observe, step.outcome, step.cause) for step in recording.steps]


def test_what_is_said_is_the_line_that_shows_it() -> None:
    (recording,) = (r for r in RECORDINGS if r.name == "fail-insmod.log")
    _, verdict = play(recording, whole)[0]
    assert "version magic '" in verdict.said and "should be '" in verdict.said
    assert verdict.message and verdict.hint


def test_every_cause_is_explained() -> None:
    assert causes() <= set(CAUSES)
    for cause, (message, hint) in CAUSES.items():
        assert message and (hint or cause == "stopped-by-load")


def test_the_recordings_show_most_causes() -> None:
    """The others need a guest that no recording has; tests/system provokes them."""
    shown = {step.cause for recording in RECORDINGS for step in recording.steps} - {""}
    assert len(shown) >= 30
