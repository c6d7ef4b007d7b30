# SPDX-License-Identifier: MIT
"""Overlaps by sorting against overlaps pair by pair."""

from __future__ import annotations

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oejail.checks.model import linux_ram
from oejail.checks.ranges import Range, Union, overlaps_between, overlaps_within

SPACE = 40


@st.composite
def ranges(draw: st.DrawFn) -> list[Range]:
    found = []
    for number in range(draw(st.integers(0, 8))):
        start = draw(st.integers(0, SPACE))
        end = start + draw(st.integers(0, 12))
        found.append(Range(start, end, str(number), draw(st.integers(0, 2)), draw(st.booleans())))
    return found


def addresses(given: list[Range] | tuple[Range, ...]) -> set[int]:
    return {address for r in given for address in range(r.start, r.end)}


@given(ranges())
def test_within(given: list[Range]) -> None:
    pairs = list(overlaps_within(given))
    for one, two in pairs:
        assert one is not two and one.overlaps(two)
    real = [r for r in given if r.end > r.start]
    clashing = {a.label for a in real for b in real if a is not b and a.overlaps(b)}
    reported = {r.label for pair in pairs for r in pair}
    assert bool(clashing) == bool(pairs)
    assert reported <= clashing
    # Whatever overlaps is reported, as the later or as the furthest of the earlier ones.
    assert len(pairs) <= len(given)


@given(ranges())
def test_between(given: list[Range]) -> None:
    def clash(a: Range, b: Range) -> bool:
        return (
            a.owner != b.owner
            and (a.exclusive or b.exclusive)
            and a.end > a.start
            and b.end > b.start
            and a.overlaps(b)
        )

    pairs = list(overlaps_between(given))
    for one, two in pairs:
        assert clash(one, two)
    # Each range that clashes with one before it (by start) is reported, once.
    order = sorted((r for r in given if r.end > r.start), key=lambda r: (r.start, -r.end))
    late = [r.label for i, r in enumerate(order) if any(clash(r, e) for e in order[:i])]
    assert [one.label for one, _ in pairs] == late


@given(ranges(), ranges(), st.integers(0, SPACE), st.integers(1, 20))
def test_union(given: list[Range], holes: list[Range], start: int, size: int) -> None:
    union = Union(given)
    have = addresses(given)
    wanted = Range(start, start + size)
    asked = set(range(start, start + size))
    assert addresses(union.parts) == have
    assert union.missing(wanted) == len(asked - have)
    hit = union.first_overlap(wanted)
    assert (hit is not None) == bool(asked & have)
    assert hit is None or hit.overlaps(wanted)
    left = union.without(holes)
    assert addresses(left) == have - addresses(holes)
    for parts in (union.parts, left):
        assert all(one.end <= two.start for one, two in pairwise(parts))
        assert all(part.end > part.start for part in parts)
    assert all(one.end < two.start for one, two in pairwise(union.parts))


def test_thousands_of_overlapping_regions_cost_little() -> None:
    nested = [Range(i, 200_000 - i, str(i), i % 3) for i in range(30_000)]
    begun = time.process_time()
    assert len(list(overlaps_within(nested))) == len(nested) - 1
    assert len(list(overlaps_between(nested))) == len(nested) - 1
    apart = Union(Range(3 * i, 3 * i + 2) for i in range(30_000))
    assert sum(apart.missing(Range(0, 3 * i)) for i in range(30_000)) > 0
    assert time.process_time() - begun < 5


def test_linux_takes_the_first_bytes_of_ram_less_what_is_reserved() -> None:
    banks = (Range(0x4000, 0x8000), Range(0, 0x1000))
    assert linux_ram(banks) == (Range(0, 0x1000), Range(0x4000, 0x8000))
    assert linux_ram(banks, 0x2000) == (Range(0, 0x1000), Range(0x4000, 0x5000))
    assert linux_ram(banks, 0x800) == (Range(0, 0x800),)
    reserved = [Range(0x5000, 0x6000)]
    assert linux_ram(banks, None, reserved) == (
        Range(0, 0x1000),
        Range(0x4000, 0x5000),
        Range(0x6000, 0x8000),
    )
