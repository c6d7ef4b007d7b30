# SPDX-License-Identifier: MIT
"""What a layer says of itself in conf/layer.conf, as far as adding it depends on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from oejail.errors import ConfigError
from oejail.files import read_limited
from oejail.workspace.conf import Scope, Statement, Variable, statements

LIMIT = 256 * 1024
"""Bytes of a layer.conf; real ones have a few thousand."""

_VERSION = re.compile(r"\([^)]*\)")


@dataclass(frozen=True)
class LayerConf:
    """One layer. Collections are BitBake's names of layers, usually one a layer."""

    path: Path
    """The layer's directory."""
    collections: tuple[str, ...]
    series: tuple[str, ...]
    """Of LAYERSERIES_COMPAT; empty when the layer does not say."""
    depends: tuple[str, ...]
    """Collections that it needs, without their versions."""
    unseen: tuple[str, ...]
    """Those of `depends` that only the colon spelling names, which BitBake does not see."""
    priority: int | None
    core_series: tuple[str, ...] = ()
    """LAYERSERIES_CORENAMES: only the core layer has it."""


def read(layer: Path) -> LayerConf:
    """Read `layer`/conf/layer.conf. Raises ConfigError when it is not there or unreadable."""
    path = layer / "conf" / "layer.conf"
    if not layer.is_dir():
        raise ConfigError(f"{layer}: no such layer", hint="check the path; oejail layers show")
    try:
        text = read_limited(path, LIMIT).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{layer}: no conf/layer.conf in it, so it is no BitBake layer",
            hint="give the directory of the layer itself",
        ) from None
    return parse(text, layer)


def parse(text: str, layer: Path) -> LayerConf:
    """What the text of a layer.conf says; lines that it cannot make sense of are passed over."""
    found = statements(text, str(layer / "conf" / "layer.conf"), lenient=True)
    scope = Scope(found, {"LAYERDIR": str(layer)})

    def words(name: str) -> tuple[str, ...]:
        return tuple(_words(name, found, scope))

    collections = words("BBFILE_COLLECTIONS")
    series: list[str] = []
    depends: list[str] = []
    unseen: list[str] = []
    priority = None
    for name in collections:
        series += [*words(f"LAYERSERIES_COMPAT_{name}"), *words(f"LAYERSERIES_COMPAT:{name}")]
        seen = list(words(f"LAYERDEPENDS_{name}"))
        colon = [word for word in words(f"LAYERDEPENDS:{name}") if word not in seen]
        depends += [*seen, *colon]
        unseen += colon
        number = next(iter(words(f"BBFILE_PRIORITY_{name}")), "")
        if number.isdecimal():
            priority = int(number)
    return LayerConf(
        layer,
        tuple(dict.fromkeys(collections)),
        tuple(dict.fromkeys(series)),
        tuple(dict.fromkeys(depends)),
        tuple(dict.fromkeys(unseen)),
        priority,
        words("LAYERSERIES_CORENAMES"),
    )


def _words(name: str, found: list[Statement], scope: Scope) -> Iterator[str]:
    """The words of a variable, with versions (`core (>= 12)`, `core:12`) taken off."""
    base, _, override = name.partition(":")
    if override:
        # `NAME:override = …` is parsed as an override of NAME.
        matching = [s for s in found if s.kind == "assign" and s.name in (name, base)]
        text = " ".join(s.value for s in matching if s.name == name or s.override == override)
    else:
        text = Variable(name, found).text
    for word in _VERSION.sub(" ", scope.expand(text)).split():
        yield word.partition(":")[0]
