# SPDX-License-Identifier: MIT
"""What oebuild's own editor does to conf/bblayers.conf at every `oebuild bitbake`, as a model.

oebuild adds each entry of compile.yaml's `layers:` by comparing text, in a file that it takes
apart with a pattern of its own: no single quotes, no tab between the sign and the quote, no
`:append`, nothing indented. What it does not see it adds again, what it does not see the end of
it deletes, and where it sees nothing it stops with a traceback. oejail asks this model first.
The behaviour was observed with oebuild 0.2.1.3; tests/unit compares the model with the real one.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Sequence
from dataclasses import dataclass

_NEWLINE = re.compile(r"\r\n|\n|\r")
# Between sign and quote it allows blanks, backslashes and, by a slip, the letter t, but no tab;
# a backslash may stand for the quote.
_BEGIN = re.compile(r"BBLAYERS[ \t\\]*[?+:.]*=[+.]*[ t\\]*(?P<quote>[\"\\])")


@dataclass(frozen=True, slots=True)
class Seen:
    """An assignment as oebuild sees it: lines `first` to `last` (from 0), operator, words."""

    first: int
    last: int
    head: str
    op: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """A whole file as oebuild sees it."""

    lines: tuple[str, ...]
    """With `\\n`: reading in text mode has turned other line ends into it."""
    seen: tuple[Seen, ...]
    lost_from: int | None
    """The line (from 0) from which on everything is dropped, should it write the file."""


def scan(text: str) -> Scan:
    """Take `text` apart the way oebuild does."""
    parts = _NEWLINE.split(text)
    lines = [part + "\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    seen: list[Seen] = []
    index = 0
    while index < len(lines):
        begin = _BEGIN.match(lines[index])
        if begin is None:
            index += 1
            continue
        quote, first = begin["quote"], index
        head, _, value = lines[index].partition(quote)
        head, value = head.rstrip(), value.rstrip()
        value = value[:-1] if value.endswith("\\") else value
        closed = value.endswith(quote)
        value = value[:-1] if closed else value
        while not closed:
            index += 1
            if index == len(lines):
                return Scan(tuple(lines), tuple(seen), first)
            more = lines[index].rstrip()
            # The last character goes, whatever it is: a backslash where all is well.
            value += more[:-1]
            closed = more.endswith(quote)
        op = head[len("BBLAYERS") :].strip()
        seen.append(Seen(first, index, head, op, tuple(value.split())))
        index += 1
    return Scan(tuple(lines), tuple(seen), None)


@dataclass(frozen=True, slots=True)
class Effect:
    """What oebuild's editor does: `text` is None when it stops instead."""

    text: str | None
    changed: bool
    scan: Scan


def plain(layer: str) -> str:
    """A layer as oebuild compares it: without one trailing slash."""
    return layer[:-1] if layer.endswith("/") else layer


def _home(layer: str) -> str:
    return os.path.expanduser(layer) if "~" in layer else layer


def apply(text: str, layers: Sequence[str]) -> Effect:
    """The effect of oebuild adding `layers`, spelled as it spells them, to a file with `text`."""
    found = scan(text)
    if not found.seen:
        return Effect(None, False, found)
    present: set[str] = set()
    for assignment in found.seen:
        if assignment.op == "=":
            present.clear()
        present |= {_home(plain(word)) for word in assignment.words}
    wanted = [plain(layer) for layer in layers]
    wanted = [layer for layer in wanted if _home(layer) not in present]
    if not wanted:
        return Effect(text, False, found)
    kept = list(found.lines[: found.lost_from])
    if sum(assignment.op == "+=" for assignment in found.seen) > 1:
        kept += [f'BBLAYERS += "{layer}"\n' for layer in wanted]
        return Effect("".join(kept), True, found)
    target = found.seen[0]
    words = [plain(word) for word in target.words]
    more: list[str] = []
    for layer in wanted:
        if layer not in words + more:
            more.append(layer)
    if not more:  # in an assignment that a later one overrides: oebuild takes it for done
        return Effect(text, False, found)
    value = "".join(f"  {word} \\\n" for word in words + more)
    kept[target.first : target.last + 1] = [f'{target.head} " \\\n{value}  "\n']
    return Effect("".join(kept), True, found)
