# SPDX-License-Identifier: MIT
"""Overlaps and gaps of address ranges, by sorting: never pair by pair.

A range is half open, in bytes. A hostile file may have thousands of regions that all overlap, so
each range is reported at most once, together with the one that reaches furthest into it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


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


def merge(ranges: Iterable[Range]) -> list[Range]:
    """The union as disjoint ranges in order; ranges that touch become one."""
    merged: list[Range] = []
    for current in _sorted(ranges):
        if merged and current.start <= merged[-1].end:
            if current.end > merged[-1].end:
                merged[-1] = Range(merged[-1].start, current.end)
        else:
            merged.append(Range(current.start, current.end))
    return merged


def subtract(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """The union of `ranges` without `holes`, as disjoint ranges in order."""
    left = merge(ranges)
    for hole in merge(holes):
        parts: list[Range] = []
        for part in left:
            if not part.overlaps(hole):
                parts.append(part)
                continue
            if part.start < hole.start:
                parts.append(Range(part.start, hole.start))
            if hole.end < part.end:
                parts.append(Range(hole.end, part.end))
        left = parts
    return left


def first_overlap(wanted: Range, merged: Sequence[Range]) -> Range | None:
    """The first of disjoint, ordered ranges that has a byte in common with `wanted`."""
    index = bisect_right(merged, wanted.start, key=lambda r: r.start) - 1
    for candidate in merged[max(index, 0) : index + 2]:
        if candidate.overlaps(wanted):
            return candidate
    return None


def covered(wanted: Range, merged: Sequence[Range]) -> bool:
    """Whether one of the disjoint, ordered, merged ranges holds all of `wanted`."""
    index = bisect_right(merged, wanted.start, key=lambda r: r.start) - 1
    return index >= 0 and wanted.end <= merged[index].end


def _sorted(ranges: Iterable[Range]) -> list[Range]:
    return sorted((r for r in ranges if r.end > r.start), key=lambda r: (r.start, -r.end))
