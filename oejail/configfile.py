# SPDX-License-Identifier: MIT
"""Files that users write: YAML checked against a model of frozen dataclasses, every error at once.

Each error reads `FILE:LINE:COL: path.to.key: what`, with the nearest known key where one was
misspelt.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from oejail.constraints import short
from oejail.errors import ConfigError
from oejail.files import MIB, read_limited
from oejail.yamltext import Document, Problem, parse
from oejail.yamltext import Path as Place

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MAX_BYTES = MIB
MAX_ERRORS = 50

T = TypeVar("T")
Rule = Callable[[Any], Iterable[tuple[Place, str]]]
"""Looks at a valid model and says what does not fit together: where, and what."""


def read(path: Path, model: type[T], *, shown: str | None = None, rules: Sequence[Rule] = ()) -> T:
    """Read and check a file. `shown` is how errors call it (default its path).

    Raises ConfigError with all errors: one in the message, several as details.
    """
    shown = shown or str(path)
    try:
        data = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}") from None
    except ConfigError as error:
        raise ConfigError(error.message.replace(str(path), shown)) from None
    return check(data, model, shown=shown, rules=rules)


def check(data: bytes, model: type[T], *, shown: str, rules: Sequence[Rule] = ()) -> T:
    """The same for bytes at hand."""
    document = parse(data)
    value: T | None = None
    problems = list(document.problems)
    if not problems and not isinstance(document.value, dict):
        kind = "empty" if document.value is None else "not a mapping (KEY: VALUE lines)"
        problems.append(Problem(*document.place(()), (), f"the file is {kind}"))
    if isinstance(document.value, dict) and not _fatal(problems):
        value, more = _validate(document, model)
        known = {p.path for p in problems}
        problems += [p for p in more if p.path not in known]
    if value is not None and not problems:
        for rule in rules:
            for where, what in rule(value):
                problems.append(Problem(*document.place(where), where, what))
    if problems or value is None:
        raise _error(problems, shown)
    return value


def _fatal(problems: list[Problem]) -> bool:
    """True when the document was not read to its end: what is missing then is not missing."""
    return any(not p.path and p.what.startswith(("YAML syntax", "not UTF-8")) for p in problems)


def _error(problems: list[Problem], shown: str) -> ConfigError:
    lines = []
    for p in sorted(set(problems), key=lambda p: (p.line, p.column, p.what)):
        path = dotted(p.path)
        lines.append(f"{shown}:{p.line}:{p.column}: {path + ': ' if path else ''}{p.what}")
    if len(lines) == 1:
        return ConfigError(lines[0])
    more = len(lines) - MAX_ERRORS
    details = lines[:MAX_ERRORS] + ([f"{shown}: and {more} more errors"] if more > 0 else [])
    return ConfigError(f"{shown}: {len(lines)} errors", details=details)


def dotted(path: Place) -> str:
    """`cells.inmates[0].image`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            word = step if step.isprintable() and len(step) <= 80 else short(step)
            text += f".{word}" if text else word
    return text


@functools.cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    """Pydantic's reader of `model`; building it takes some 30 ms."""
    from pydantic import TypeAdapter

    return TypeAdapter(model)


def _validate(document: Document, model: type[T]) -> tuple[T | None, list[Problem]]:
    from pydantic import ValidationError

    # By way of JSON: in its strict mode a list may become a tuple and a mapping a dataclass, but
    # no number a text. What JSON lacks (NaN) is no value of any field.
    text = json.dumps(document.value)
    try:
        valid: T = _adapter(typing.cast(Any, model)).validate_json(text)
        return valid, []
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True)
    problems: list[Problem] = []
    for item in found:
        where, value, exists = _locate(document.value, item["loc"])
        kind = item["type"]
        if kind == "unexpected_keyword_argument":
            what = _unknown_key(model, where)
        elif kind == "missing":
            where = (*where, str(item["loc"][-1])) if not exists else where
            what = "is missing"
        else:
            what = _words(kind, item, value)
        problems.append(Problem(*document.place(where), where, what))
    return None, problems


def _locate(value: Any, loc: tuple[str | int, ...]) -> tuple[Place, Any, bool]:
    """The part of pydantic's location that is in the document, its value, and whether all is.

    Pydantic's locations contain names of union branches besides keys and indices.
    """
    where: list[str | int] = []
    for number, step in enumerate(loc):
        inside = (isinstance(value, dict) and step in value) or (
            isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            value = value[step]
            where.append(step)
        elif number == len(loc) - 1:
            return tuple(where), value, False
    return tuple(where), value, True


_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}


def _words(kind: str, item: Any, value: Any) -> str:
    if kind in _KINDS:
        hint = ""
        if kind == "string_type" and isinstance(value, (bool, int, float)):
            hint = ": put it in quotes"
        return f"{_name(value)} where {_KINDS[kind]} is wanted{hint}"
    if kind == "literal_error":
        expected = str(item["ctx"]["expected"]).replace("'", "")
        near = difflib.get_close_matches(str(value), expected.replace(" or ", ", ").split(", "), 1)
        return f"{_name(value)} is not {expected}" + (f"; did you mean {near[0]}?" if near else "")
    return str(item["msg"])


def _name(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return short(value)


def _unknown_key(model: Any, where: Place) -> str:
    known = _keys_at(model, where[:-1])
    near = difflib.get_close_matches(str(where[-1]), known, 1, 0.5) if where else []
    if near:
        return f"unknown key; did you mean {near[0]}?"
    return f"unknown key; known are {', '.join(known)}" if known else "unknown key"


def _keys_at(model: Any, where: Place) -> list[str]:
    """Field names of the dataclass that stands at `where` in `model`."""
    kinds = [model]
    for step in where:
        following: list[Any] = []
        for kind in kinds:
            if dataclasses.is_dataclass(kind):
                hints = typing.get_type_hints(kind)
                if step in hints:
                    following += _parts(hints[str(step)])
            else:
                arguments = typing.get_args(kind)
                following += [part for a in arguments[-1:] + arguments[:1] for part in _parts(a)]
        kinds = following
    classes = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    return [f.name for f in dataclasses.fields(classes[0])] if classes else []


def _parts(hint: Any) -> list[Any]:
    """A type, and the branches of a union without None."""
    import types

    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [part for branch in typing.get_args(hint) for part in _parts(branch)]
    return [] if hint is type(None) else [hint]
