# SPDX-License-Identifier: MIT
from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oejail.target.console import MAX_LINE, TAIL, Console, Line


def feed(console: Console, chunks: list[bytes]) -> list[Line]:
    lines = [line for n, chunk in enumerate(chunks) for line in console.feed(chunk, float(n))]
    return lines + console.end()


CHUNKS = st.lists(st.one_of(st.binary(max_size=20), st.sampled_from([b"tick\r\n", b"ti", b"ck"])))


@given(CHUNKS)
@example([b"a\r", b"\nb"])
@example([b"", b"\n"])
def test_chunks_make_no_difference(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    one, many, single = Console("tick", 2), Console("tick", 2), Console("tick", 2)
    texts = [line.text for line in feed(one, [whole])]
    assert [line.text for line in feed(many, chunks)] == texts
    assert [line.text for line in feed(single, [bytes([b]) for b in whole])] == texts
    assert one.seen == many.seen == single.seen == whole.count(b"tick")
    assert one.bytes == many.bytes == len(whole)
    assert one.lines == many.lines == len(texts)


@given(st.binary())
def test_garbage_is_harmless(data: bytes) -> None:
    for line in feed(Console(), [data]):
        assert all(c.isprintable() or c == "\t" for c in line.text)
        line.text.encode()  # no lone surrogates


@given(st.text("ab", min_size=1, max_size=3), st.lists(st.text("ab", max_size=5)))
def test_the_text_is_counted_as_count_does(wanted: str, chunks: list[str]) -> None:
    console = Console(wanted)
    feed(console, [chunk.encode() for chunk in chunks])
    assert console.seen == "".join(chunks).count(wanted)


def test_lines_have_the_time_of_their_first_byte() -> None:
    console = Console()
    assert console.feed(b"one\ntw", 1.0) == [Line(1.0, "one")]
    assert console.within_line
    assert console.feed(b"o\nthree\n", 2.0) == [Line(1.0, "two"), Line(2.0, "three")]
    assert console.feed(b"x\n", 3.0) == [Line(3.0, "x")]
    assert console.end() == []


def test_what_was_expected() -> None:
    def met(console: Console, data: bytes) -> bool:
        console.feed(data, 0.0)
        return console.met

    console = Console("tick", 2)
    assert not met(console, b"tick 1\nti")
    assert met(console, b"ck")  # also before its line ends
    nothing = Console()
    assert not met(nothing, b"\r\n\0 ")
    assert met(nothing, b".")
    umlaut = Console("ü")
    umlaut.feed("ü".encode()[:1], 0.0)
    umlaut.feed("ü".encode()[1:], 0.0)
    assert umlaut.met


def test_long_lines_come_in_pieces() -> None:
    console = Console()
    lines = feed(console, [b"x" * (3 * MAX_LINE + 5)])
    assert [len(line.text) for line in lines] == [MAX_LINE] * 3 + [5]


@pytest.mark.parametrize("block", [b"\n" * 65536, b"y" * 65536, b"line of text\r\n" * 4681])
def test_100_mb_in_bounded_memory(block: bytes) -> None:
    console = Console("never")
    console.feed(block, 0.0)
    began = time.process_time()
    tracemalloc.start()
    try:
        for n in range(4):
            console.feed(block, float(n))
        settled, _ = tracemalloc.get_traced_memory()
        for n in range(4):
            console.feed(block, float(n))
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - settled < 100_000  # nothing is kept of a block
    assert peak < 40 << 20
    assert len(console.tail) == TAIL
    if block[:1] == b"y":  # tracing costs too much for all of it
        for n in range(1600):
            console.feed(block, float(n))
        assert console.bytes > 100 << 20
        assert time.process_time() - began < 20
