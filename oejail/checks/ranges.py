# SPDX-License-Identifier: MIT
"""Overlaps and gaps of address ranges, by sorting: never pair by pair.

A range is half open, in bytes. A hostile file may have thousands of regions that all overlap, so
each range is reported at most once, together with the one that reaches furthest into it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class Range:
    """`start` to `end` (not included). `owner` groups ranges; `label` says what it is."""

    start: int
    end: int
    label: str = ""
    owner: int = 0
    exclusive: bool = True

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end:#x}"

    def overlaps(self, other: Range) -> bool:
        """Whether the two have a byte in common."""
        return self.start < other.end and other.start < self.end


def overlaps_within(ranges: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Each range that overlaps an earlier one (by start), with the furthest-reaching of those."""
    furthest: Range | None = None
    for current in _sorted(ranges):
        if furthest is not None and current.start < furthest.end:
            yield current, furthest
        if furthest is None or current.end > furthest.end:
            furthest = current


def overlaps_between(ranges: Iterable[Range]) -> Iterator[tuple[Range, Range]]:
    """Each range that overlaps one of another owner, unless both are not exclusive."""
    every, exclusive = _Furthest(), _Furthest()
    for current in _sorted(ranges):
        other = (every if current.exclusive else exclusive).of_another(current.owner)
        if other is not None and current.start < other.end:
            yield current, other
        every.add(current)
        if current.exclusive:
            exclusive.add(current)


class _Furthest:
    """The furthest-reaching range, and the furthest-reaching of any other owner."""

    def __init__(self) -> None:
        self.first: Range | None = None
        self.second: Range | None = None

    def add(self, new: Range) -> None:
        first = self.first
        if first is None or new.owner == first.owner:
            if first is None or new.end > first.end:
                self.first = new
        elif new.end > first.end:
            self.first, self.second = new, first
        elif self.second is None or new.end > self.second.end:
            self.second = new

    def of_another(self, owner: int) -> Range | None:
        first = self.first
        return self.second if first is not None and first.owner == owner else first


class Union:
    """The union of ranges; each question costs a binary search."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        parts: list[Range] = []
        for current in _sorted(ranges):
            if parts and current.start <= parts[-1].end:
                if current.end > parts[-1].end:
                    parts[-1] = Range(parts[-1].start, current.end)
            else:
                parts.append(Range(current.start, current.end))
        self.parts = tuple(parts)
        """Disjoint and in order; ranges that touch are one."""
        self._starts = [part.start for part in parts]
        self._before = list(accumulate((p.end - p.start for p in parts), initial=0))

    def first_overlap(self, wanted: Range) -> Range | None:
        """The first part that has a byte in common with `wanted`."""
        index = max(bisect_right(self._starts, wanted.start) - 1, 0)
        for part in self.parts[index : index + 2]:
            if part.overlaps(wanted):
                return part
        return None

    def missing(self, wanted: Range) -> int:
        """How many bytes of `wanted` are in no part: 0 where the union holds all of it."""
        return wanted.end - wanted.start - self._below(wanted.end) + self._below(wanted.start)

    def _below(self, address: int) -> int:
        """How many bytes of the union lie below `address`."""
        index = bisect_right(self._starts, address)
        if index == 0:
            return 0
        last = self.parts[index - 1]
        return self._before[index - 1] + min(last.end, address) - last.start

    def without(self, holes: Iterable[Range]) -> tuple[Range, ...]:
        """The parts that are left when `holes` are taken out."""
        left: list[Range] = []
        cuts = Union(holes).parts
        at = 0
        for part in self.parts:
            start = part.start
            while at < len(cuts) and cuts[at].end <= start:
                at += 1
            index = at
            while index < len(cuts) and cuts[index].start < part.end:
                if start < cuts[index].start:
                    left.append(Range(start, cuts[index].start))
                start = cuts[index].end
                index += 1
            if start < part.end:
                left.append(Range(start, part.end))
        return tuple(left)


def _sorted(ranges: Iterable[Range]) -> list[Range]:
    return sorted((r for r in ranges if r.end > r.start), key=lambda r: (r.start, -r.end))
