# SPDX-License-Identifier: MIT
"""compile.yaml, oebuild's build configuration, read and edited: pure, text in, text out.

A statement is one line of local.conf with the lines that a backslash at its end joins to it.
"""

from __future__ import annotations

import io
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


def parts(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Layers and statements of local.conf of a compile.yaml; of an empty text none."""
    data = load(text) if text else {}
    return tuple(map(str, data.get("layers") or ())), statements(str(data.get("local_conf") or ""))


def _yaml() -> Any:
    from ruamel.yaml import YAML  # what oebuild writes the file with

    yaml = YAML()
    yaml.width = 4096
    yaml.preserve_quotes = True
    return yaml


def load(text: str) -> Any:
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


def with_layers(text: str, layers: Sequence[str]) -> str:
    """A compile.yaml whose `layers:` are these; the same text when they are so already."""
    return text if parts(text)[0] == tuple(layers) else changed(text, {"layers": list(layers)})
