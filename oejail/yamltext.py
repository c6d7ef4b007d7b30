# SPDX-License-Identifier: MIT
"""YAML that somebody wrote, as plain values with the line and column of each, within limits.

Built on PyYAML's events, not its constructors: nothing but dict, list, str, int, float, bool and
None can come out. Anchors and aliases are refused (no alias bombs), so are tags and keys given
twice. Dates stay text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from oejail.errors import ConfigError
from oejail.files import MIB, read_limited

MAX_DEPTH = 32
MAX_NODES = 100_000

Path = tuple[str | int, ...]
"""Where a value stands: keys and indices from the top."""


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, at a line and column (both from 1), at a path (empty: the document)."""

    line: int
    column: int
    path: Path
    what: str


@dataclass
class Document:
    """`value` with the places of its parts. With `problems`, `value` holds what could be read."""

    value: Any = None
    marks: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Line and column of each value; of each mapping's entry, its key's."""
    problems: list[Problem] = field(default_factory=list)

    def place(self, path: Path) -> tuple[int, int]:
        """Line and column of `path`, or of the nearest thing around it that is there."""
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, (1, 1))


@dataclass
class _Container:
    path: Path
    value: dict[str, Any] | list[Any]
    key: str | None = None
    lines: dict[str, int] = field(default_factory=dict)


def parse(data: bytes) -> Document:
    """Read one YAML document. Never raises: what is wrong stands in `problems`."""
    document = Document()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        document.problems.append(Problem(line, column, (), f"not UTF-8: {error.reason}"))
        return document
    try:
        _Builder(document).build(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = error.problem or error.context or "not YAML"
        document.problems.append(Problem(line, column, (), f"YAML syntax: {what}"))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        code = error.character if isinstance(error.character, int) else ord(error.character)
        document.problems.append(
            Problem(line, column, (), f"YAML syntax: character U+{code:04X} is not allowed")
        )
    return document


class _TooMuch(yaml.MarkedYAMLError):
    pass


def _mark(event: yaml.Event) -> yaml.Mark:
    """Where an event begins; the parser always says so."""
    assert isinstance(event.start_mark, yaml.Mark)
    return event.start_mark


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.stack: list[_Container] = []
        self.nodes = 0
        self.documents = 0

    def build(self, text: str) -> None:
        resolver = yaml.SafeLoader("")
        try:
            for event in yaml.parse(text, Loader=yaml.SafeLoader):
                self.take(event, resolver)
        finally:
            resolver.dispose()

    def take(self, event: yaml.Event, resolver: yaml.SafeLoader) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise _TooMuch(problem="a second document", problem_mark=_mark(event))
        elif isinstance(event, yaml.AliasEvent):
            self.problem(event, f"alias *{event.anchor}: write the value out")
            self.put(event, None)
        elif isinstance(event, yaml.ScalarEvent):
            self.refuse_decoration(event)
            self.put(event, self.scalar(event, resolver))
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self.refuse_decoration(event)
            self.open(event, {} if isinstance(event, yaml.MappingStartEvent) else [])
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self.stack.pop()

    def here(self) -> Path:
        """Path of the value that is coming."""
        if not self.stack:
            return ()
        top = self.stack[-1]
        if isinstance(top.value, list):
            return (*top.path, len(top.value))
        return top.path if top.key is None else (*top.path, top.key)

    def problem(self, event: yaml.Event, what: str) -> None:
        mark = _mark(event)
        self.document.problems.append(Problem(mark.line + 1, mark.column + 1, self.here(), what))

    def refuse_decoration(self, event: Any) -> None:
        if event.anchor is not None:
            self.problem(event, f"anchor &{event.anchor}: anchors are not supported")
        if event.tag is not None and event.tag != "!":
            self.problem(event, f"tag {event.tag}: tags are not supported")

    def open(self, event: yaml.Event, value: dict[str, Any] | list[Any]) -> None:
        if len(self.stack) >= MAX_DEPTH:
            raise _TooMuch(
                problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=_mark(event)
            )
        path = self.put(event, value)
        self.stack.append(_Container(path, value))

    def put(self, event: yaml.Event, value: Any) -> Path:
        """Put a value where it belongs (or take it as the next key) and return its path."""
        self.nodes += 1
        mark = _mark(event)
        if self.nodes > MAX_NODES:
            raise _TooMuch(problem=f"more than {MAX_NODES} values", problem_mark=mark)
        path = self.here()
        if not self.stack:
            self.document.value = value
            self.document.marks[()] = (mark.line + 1, mark.column + 1)
            return path
        top = self.stack[-1]
        if isinstance(top.value, list):
            self.document.marks[path] = (mark.line + 1, mark.column + 1)
            top.value.append(value)
        elif top.key is None:
            self.take_key(event, value, top)
        else:
            top.value[top.key] = value
            top.key = None
        return path

    def take_key(self, event: yaml.Event, key: Any, top: _Container) -> None:
        mark = _mark(event)
        if not isinstance(key, str):
            kind = "a mapping or list" if isinstance(key, (dict, list)) else repr(key)
            self.problem(event, f"{kind} as a key: keys are text")
            key = f"\0{self.nodes}"  # keeps its value apart; such a document is refused anyway
        if key in top.lines:
            self.problem(event, f"key {key!r} again; it stands in line {top.lines[key]} already")
        top.lines[key] = mark.line + 1
        top.key = key
        self.document.marks[(*top.path, key)] = (mark.line + 1, mark.column + 1)

    def scalar(self, event: yaml.ScalarEvent, resolver: yaml.SafeLoader) -> Any:
        text: str = event.value
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            self.problem(event, "half of a surrogate pair is no character")
            return ""
        if self.stack and isinstance(self.stack[-1].value, dict) and self.stack[-1].key is None:
            if event.implicit[0] and text == "":
                return None
            return text  # a key is text, whatever it looks like
        tag: str = resolver.resolve(yaml.ScalarNode, text, event.implicit)  # type: ignore[no-untyped-call]
        construct = _CONSTRUCT.get(tag.rpartition(":")[2])
        if construct is None:
            return text
        try:
            return construct(resolver, yaml.ScalarNode(tag, text))
        except ValueError:
            self.problem(event, f"number {text[:20]}… is too long")
            return None


_CONSTRUCT: dict[str, Callable[[yaml.SafeLoader, yaml.ScalarNode], Any]] = {
    "null": yaml.SafeLoader.construct_yaml_null,
    "bool": yaml.SafeLoader.construct_yaml_bool,
    "int": yaml.SafeLoader.construct_yaml_int,
    "float": yaml.SafeLoader.construct_yaml_float,
}


def read_mapping(path: os.PathLike[str]) -> dict[str, Any]:
    """A file of a tree or of oebuild's: all of safe YAML, a mapping of at most 1 MiB.

    More than a user's file may have: such files are not ours to restrict (aliases stay shared,
    nothing is expanded). Raises ConfigError with the file's name, and the line where YAML ends.
    """
    name = os.fspath(path)
    try:
        value = yaml.safe_load(read_limited(FilePath(name), MIB))
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{name}{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ConfigError(f"{name}: not YAML: {words}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: not a mapping (KEY: VALUE lines)")
    return value


@dataclass(frozen=True)
class Located:
    """A file of a tree, a mapping, that can say in which line a value stands."""

    path: FilePath
    data: dict[str, Any]
    node: yaml.MappingNode

    def at(self, *way: str | int) -> str:
        """`FILE:LINE` of what `way` (keys, indices) leads to, or of the nearest thing around it."""
        here: yaml.Node = self.node
        line = here.start_mark.line
        for step in way:
            found: yaml.Node | None = None
            if isinstance(here, yaml.MappingNode):
                for key, value in here.value:
                    if getattr(key, "value", None) == step:
                        line, found = key.start_mark.line, value
            elif isinstance(here, yaml.SequenceNode) and isinstance(step, int):
                found = here.value[step] if step < len(here.value) else None
                line = found.start_mark.line if found is not None else line
            if found is None:
                break
            here = found
        return f"{self.path}:{line + 1}"


def read_located(path: FilePath) -> Located:
    """As `read_mapping`, with lines. Refuses a key that is there twice, as oebuild's reader does.

    Raises ConfigError with the file's name and, where YAML knows it, the line.
    """
    try:
        data = read_limited(path, MIB)
        loader = yaml.SafeLoader(data)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # no text at all
        raise ConfigError(f"{path}:1: not YAML: {' '.join(str(error).split())[:200]}") from None
    try:
        node = loader.get_single_node()
        line = f":{node.start_mark.line + 1}" if node is not None else ""
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}{line}: not a mapping (KEY: VALUE lines)")
        _refuse_double(path, node)
        return Located(path, loader.construct_document(node), node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ConfigError(f"{path}: not YAML: {words}") from None
    finally:
        loader.dispose()


def _refuse_double(path: FilePath, top: yaml.Node) -> None:
    queue, seen = [top], set()
    while queue:
        node = queue.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            queue += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: dict[str, int] = {}
            for key, value in node.value:
                queue.append(value)
                name, line = getattr(key, "value", None), key.start_mark.line + 1
                if not isinstance(name, str) or name == "<<":
                    continue
                if name in keys:
                    raise ConfigError(
                        f"{path}:{line}: key {name} again; it stands in line {keys[name]} already"
                    )
                keys[name] = line
