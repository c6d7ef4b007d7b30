# SPDX-License-Identifier: MIT
"""compile.yaml, oebuild's build configuration, read and edited: pure, text in, text out.

A statement is one line of local.conf with the lines that a backslash at its end joins to it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from oejail.errors import ConfigError
from oejail.log import logger


def statements(text: str) -> tuple[str, ...]:
    """The statements of `text`, without blank lines and the white space around each line."""
    found: list[str] = []
    joined = False
    for line in text.splitlines():
        stripped = line.strip()
        if joined:
            found[-1] += "\n" + stripped
        elif stripped:
            found.append(stripped)
        joined = stripped.endswith("\\") and bool(found)
    return tuple(found)


def edit(text: str, *, drop: Sequence[str] = (), add: Sequence[str] = ()) -> str:
    """A compile.yaml with the statements `drop` taken out of local_conf and `add` at its end.

    What stands there already stays where it is; when nothing changes, not a byte does.
    """
    conf = str(load(text).get("local_conf") or "")
    followed = follow(conf, [s for s in drop if s not in add], add)
    return text if followed == conf else changed(text, {"local_conf": followed})


def carry_over(old: str, fresh: str, *, known: Sequence[str] = ()) -> str:
    """`fresh` with what was added to `old` by hand: layers and statements that are not `known` to
    come from oebuild or oejail."""
    if not old:
        return fresh
    old_layers, old_conf = parts(old)
    layers, conf = parts(fresh)
    more_layers = [x for x in old_layers if x not in {*known, *layers}]
    more_conf = [x for x in old_conf if x not in {*known, *conf}]
    changes: dict[str, Any] = {}
    if more_layers:
        logger.info("generate: kept layers %s", ", ".join(more_layers))
        changes["layers"] = [*layers, *more_layers]
    if more_conf:
        logger.info("generate: kept lines for local.conf: %s", "; ".join(more_conf))
        changes["local_conf"] = follow(str(load(fresh).get("local_conf") or ""), (), more_conf)
    return changed(fresh, changes) if changes else fresh


def parts(text: str, path: str = "compile.yaml") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Layers and statements of local.conf of a compile.yaml; of an empty text none.

    Raises ConfigError when it is no YAML, or `layers` no list of texts.
    """
    data = plain(text, path) if text else {}
    layers = data.get("layers") or []
    if not isinstance(layers, list):
        raise ConfigError(f"{path}: layers: not a list, but {type(layers).__name__}")
    for index, layer in enumerate(layers):
        if not isinstance(layer, str):
            raise ConfigError(f"{path}: layers[{index}]: not a path, but {type(layer).__name__}")
    conf = data.get("local_conf")
    if not isinstance(conf, str | None):
        raise ConfigError(f"{path}: local_conf: not text, but {type(conf).__name__}")
    return tuple(layers), statements(conf or "")


def plain(text: str, path: str) -> dict[str, Any]:
    """The file as plain values; aliases stay shared, so a bomb of them is no larger in memory.

    Raises ConfigError when it is no mapping in YAML.
    """
    import yaml

    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{path}{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: not a mapping (KEY: VALUE lines)")
    return data


def _yaml() -> Any:
    from ruamel.yaml import YAML  # what oebuild writes the file with

    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    return yaml


def load(text: str) -> Any:
    """The file as ruamel.yaml has it, with comments. Raises ConfigError when it is no mapping."""
    from ruamel.yaml.error import YAMLError

    try:
        data = _yaml().load(text)
    except (YAMLError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ConfigError(f"compile.yaml: oebuild cannot read it: {words}") from None
    if not isinstance(data, dict):
        raise ConfigError("compile.yaml: not a mapping (KEY: VALUE lines)")
    return data


def changed(text: str, changes: dict[str, Any]) -> str:
    from ruamel.yaml.scalarstring import LiteralScalarString

    data = load(text)
    for key, value in changes.items():
        data[key] = LiteralScalarString(value) if isinstance(value, str) else value
    return dumped(data)


def dumped(data: Any) -> str:
    """What `load` returned, as text again."""
    out = io.StringIO()
    _yaml().dump(data, out)
    return out.getvalue()


def follow(text: str, before: Sequence[str], after: Sequence[str]) -> str:
    """Lines of local.conf, `text`, brought from `before` to `after`.

    Only statements that went or came are touched; the rest, a user's lines too, stays as it is.
    """
    gone, new = set(before) - set(after), [s for s in after if s not in before]
    kept: list[str] = []
    present: set[str] = set()
    block: list[str] = []
    for line in text.splitlines(keepends=True):
        block.append(line)
        if line.rstrip().endswith("\\"):
            continue
        statement = "\n".join(part.strip() for part in block)
        if statement not in gone:
            kept += block
            present.add(statement)
        block = []
    kept += block
    missing = [s for s in new if s not in present]
    if missing and kept and not kept[-1].endswith("\n"):
        kept.append("\n")
    return "".join(kept) + "".join(f"{s}\n" for s in missing)


def without_updates(text: str) -> str:
    """A compile.yaml with `no_layer: true`: else each `oebuild bitbake` checks out the manifest's
    commit in all that `repos:` lists, over what is locked or worked on there."""
    if not text or plain(text, "compile.yaml").get("no_layer") is True:
        return text
    return changed(text, {"no_layer": True})


def with_layers(text: str, layers: Sequence[str]) -> str:
    """A compile.yaml whose `layers:` are these; the same text when they are so already.

    In the usual layout, one layer a line, only such lines come and go; any other is written anew
    the way oebuild writes it.
    """
    if parts(text)[0] == tuple(layers):
        return text
    spliced = _spliced(text, layers)
    if spliced is not None and plain(spliced, "") == {**plain(text, ""), "layers": [*layers]}:
        return spliced
    return changed(text, {"layers": list(layers)})


def _spliced(text: str, layers: Sequence[str]) -> str | None:
    """`text` with lines of the list `layers` taken out or put behind; None in another layout."""
    import yaml

    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        return None
    found = next((value for key, value in node.value if key.value == "layers"), None)
    if not isinstance(found, yaml.SequenceNode):
        return None
    lines = text.splitlines(keepends=True)
    if found.flow_style:
        return _from_empty(lines, found, layers)
    items = [(item.value, item.start_mark, item.end_mark) for item in found.value]
    kept = [name for name, _, _ in items if name in layers]
    numbers = [begin.line for _, begin, _ in items]
    if list(layers[: len(kept)]) != kept or not kept or len(set(numbers)) < len(numbers):
        return None
    if any(begin.line != end.line for _, begin, end in items):
        return None
    if not all(map(_is_plain, layers[len(kept) :])):
        return None
    last = lines[numbers[-1]]
    end = last[len(last.rstrip("\r\n")) :]
    lead = last[: items[-1][1].column]
    more = [f"{lead}{name}{end or chr(10)}" for name in layers[len(kept) :]]
    if more and not end:
        lines[numbers[-1]] += "\n"
    gone = {begin.line for name, begin, _ in items if name not in layers}
    before = [line for n, line in enumerate(lines[: numbers[-1] + 1]) if n not in gone]
    return "".join([*before, *more, *lines[numbers[-1] + 1 :]])


def _from_empty(lines: list[str], found: Any, layers: Sequence[str]) -> str | None:
    """`layers: []`, as oebuild writes a list without anything in it, made a list of lines."""
    number = found.start_mark.line
    line = lines[number]
    if found.value or line.rstrip() != "layers: []" or not all(map(_is_plain, layers)):
        return None
    end = line[len(line.rstrip()) :] or "\n"
    lines[number] = f"layers:{end}" + "".join(f"- {name}{end}" for name in layers)
    return "".join(lines)


def _is_plain(name: str) -> bool:
    """True for what YAML reads as the text that it looks like, without quotes."""
    import yaml

    plain = re.fullmatch(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]*", name) is not None
    return plain and yaml.safe_load(name) == name
