# SPDX-License-Identifier: MIT
"""The text of a cell source as a tree whose every part knows its file, line and column.

Includes are merged here: what a file says itself wins over its includes, a later include over an
earlier one; mappings are merged key by key, anything else is replaced as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from oejail.errors import ConfigError, OejailError

MAX_INCLUDES = 32
"""Files that one source may draw in, itself included."""
MAX_ERRORS = 50

Reader = Callable[[str, str], tuple[str, bytes]]
"""`(name, by)` gives the name to show and the bytes of a file that `by` includes."""


class SourceError(ConfigError):
    """A defect in a cell's source; `place` is `FILE:LINE:COLUMN`."""

    def __init__(self, place: str, what: str, *, hint: str | None = None) -> None:
        super().__init__(f"{place}: {what}", hint=hint)
        self.place = place


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a mapping of nodes or a list of nodes, and where it stands."""

    value: Any
    place: str

    def fault(self, what: str, *, hint: str | None = None) -> NoReturn:
        """Raise SourceError for this part."""
        raise SourceError(self.place, what, hint=hint)

    def mapping(self, what: str) -> dict[str, Node]:
        """A copy of the mapping that this is; SourceError for anything else. `what` names it."""
        if not isinstance(self.value, dict):
            self.fault(f"{what}: found {kind_of(self.value)}, expected a mapping")
        return dict(self.value)

    def items(self, what: str) -> list[Node]:
        """The list that this is; SourceError for anything else."""
        if not isinstance(self.value, list):
            self.fault(f"{what}: found {kind_of(self.value)}, expected a list")
        return self.value

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def place_of(self, path: str) -> str:
        """The place of `memory[3].size`, or of the nearest part around it that is there."""
        node = self
        for step in re.findall(r"[^.\[\]]+", path):
            inner: Node | None = None
            if isinstance(node.value, dict):
                inner = node.value.get(step)
            elif isinstance(node.value, list) and step.isdecimal() and int(step) < len(node.value):
                inner = node.value[int(step)]
            if inner is None:
                break
            node = inner
        return node.place


def kind_of(value: Any) -> str:
    """A value in a few words, for messages."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else text[:56] + " ..."


def parse(data: bytes, shown: str) -> Node:
    """One YAML (or JSON) document. Raises ConfigError with every problem and its place."""
    from oejail import yamltext

    document = yamltext.parse(data)
    if document.problems:
        lines = [f"{shown}:{p.line}:{p.column}: {p.what}" for p in sorted(set(document.problems))]
        if len(lines) == 1:
            raise SourceError(*lines[0].split(": ", 1))
        raise ConfigError(f"{shown}: {len(lines)} errors", details=lines[:MAX_ERRORS])

    def node(value: Any, path: yamltext.Path) -> Node:
        line, column = document.place(path)
        inner: Any = value
        if isinstance(value, dict):
            inner = {key: node(part, (*path, key)) for key, part in value.items()}
        elif isinstance(value, list):
            inner = [node(part, (*path, index)) for index, part in enumerate(value)]
        return Node(inner, f"{shown}:{line}:{column}")

    return node(document.value, ())


def merge(base: Node, over: Node) -> Node:
    """`over`, completed with what `base` has beside it."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    both = dict(base.value)
    for key, node in over.value.items():
        both[key] = merge(both[key], node) if key in both else node
    return Node(both, over.place)


def read(name: str, read_file: Reader) -> Node:
    """The source `name` with its includes merged into it.

    Raises SourceError (a ConfigError) for YAML that is none, a circle of includes, or too many.
    """
    return _Includer(read_file).file(name, "", None)


class _Includer:
    def __init__(self, read_file: Reader) -> None:
        self.read_file = read_file
        self.open: list[str] = []
        self.count = 0

    def file(self, name: str, by: str, said: Node | None) -> Node:
        try:
            shown, data = self.read_file(name, by)
        except SourceError:
            raise
        except OejailError as error:
            if said is None:
                raise
            raise SourceError(said.place, error.message, hint=error.hint) from None
        self.count += 1
        if said is not None and shown in self.open:
            said.fault(f"include {name}: a circle, {' includes '.join([*self.open, shown])}")
        if said is not None and self.count > MAX_INCLUDES:
            said.fault(f"include {name}: more than {MAX_INCLUDES} files")
        top = parse(data, shown)
        own = top.mapping("source")
        wanted = own.pop("include", None)
        merged = Node({}, top.place)
        self.open.append(shown)
        for entry in wanted.items("include") if wanted else ():
            if not isinstance(entry.value, str) or not entry.value:
                entry.fault(f"include: found {kind_of(entry.value)}, expected a file's name")
            merged = merge(merged, self.file(entry.value, shown, entry))
        self.open.pop()
        return merge(merged, Node(own, top.place))
