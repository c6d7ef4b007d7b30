# SPDX-License-Identifier: MIT
"""What a layer says of itself in conf/layer.conf, as far as adding it depends on it."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from pathlib import Path

from oejail.errors import ConfigError
from oejail.files import read_limited
from oejail.workspace.conf import Scope, statements

LIMIT = 256 * 1024
"""Bytes of a layer.conf; real ones have a few thousand."""
MAX_COLLECTIONS = 64

# `core`, `core (>= 12)`; older layers write `core:12`.
_DEPENDENCY = re.compile(
    r"(?P<name>[^\s():,]+)(?::(?P<exactly>[0-9][\w.]*))?"
    r"(?:\s*\(\s*(?P<op><=|=<|<<|==|!=|>=|=>|>>|<|>|=)\s*(?P<version>[^\s()]+)\s*\))?"
)
_COMPARE = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<<": operator.lt,
    ">": operator.gt,
    ">>": operator.gt,
    "<=": operator.le,
    "=<": operator.le,
    ">=": operator.ge,
    "=>": operator.ge,
}


@dataclass(frozen=True)
class Dependency:
    """A collection that another one needs."""

    name: str
    op: str = ""
    version: str = ""
    seen: bool = True
    """False in `LAYERDEPENDS:x`, the colon spelling, which BitBake takes for something else."""

    def __str__(self) -> str:
        return f"{self.name} ({self.op} {self.version})" if self.op else self.name

    def met_by(self, version: str) -> bool:
        """True when a collection of that LAYERVERSION will do; versions are dotted numbers."""
        if not self.op:
            return True
        try:
            have, need = _number(version), _number(self.version)
        except ValueError:
            return version == self.version
        return bool(_COMPARE[self.op](have, need))


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.split(r"[.-]", version))


@dataclass(frozen=True)
class Collection:
    """What BitBake calls a layer; a layer's directory usually holds one."""

    name: str
    priority: int | None = None
    version: str = ""
    series: tuple[str, ...] = ()
    """LAYERSERIES_COMPAT; empty when the layer does not say, or not in words."""
    depends: tuple[Dependency, ...] = ()


@dataclass(frozen=True)
class LayerConf:
    """One layer."""

    path: Path
    """The layer's directory."""
    collections: tuple[Collection, ...]
    core_series: tuple[str, ...] = ()
    """LAYERSERIES_CORENAMES: only the core layer has it."""


def read(layer: Path) -> LayerConf:
    """Read `layer`/conf/layer.conf. Raises ConfigError when it is not there or unreadable."""
    path = layer / "conf" / "layer.conf"
    try:
        if not layer.is_dir():
            raise ConfigError(f"{layer}: no such layer", hint="check the path; oejail layers show")
        text = read_limited(path, LIMIT).decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"{layer}: no conf/layer.conf in it, so it is no BitBake layer",
            hint="give the directory of the layer itself",
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    return parse(text, layer)


def parse(text: str, layer: Path) -> LayerConf:
    """What the text of a layer.conf says; lines that it cannot make sense of are passed over."""
    found = statements(text, str(layer / "conf" / "layer.conf"), lenient=True)
    scope = Scope(found, {"LAYERDIR": str(layer)})
    names = _words(scope.expand(scope.variable("BBFILE_COLLECTIONS").text))
    if len(names) > MAX_COLLECTIONS:
        raise ConfigError(f"{layer}/conf/layer.conf: more than {MAX_COLLECTIONS} collections")
    return LayerConf(
        layer,
        tuple(_collection(name, scope) for name in names),
        _words(scope.expand(scope.variable("LAYERSERIES_CORENAMES").text)),
    )


def _collection(name: str, scope: Scope) -> Collection:
    def value(variable: str) -> str:
        return scope.expand(scope.variable(f"{variable}_{name}").text)

    def colon(variable: str) -> str:
        """Of `VARIABLE:name`; `VARIABLE:append:name` is another way to miss the point."""
        texts = [scope.variable(f"{variable}:{name}").text]
        texts += [s.value for s in scope.own.get(variable, ()) if s.override == name]
        return scope.expand(" ".join(texts))

    depends = _depends(value("LAYERDEPENDS"), seen=True)
    named = {dependency.name for dependency in depends}
    depends += [d for d in _depends(colon("LAYERDEPENDS"), seen=False) if d.name not in named]
    priority = value("BBFILE_PRIORITY").strip()
    series = value("LAYERSERIES_COMPAT") or colon("LAYERSERIES_COMPAT")
    return Collection(
        name,
        int(priority) if re.fullmatch(r"-?[0-9]{1,9}", priority) else None,
        value("LAYERVERSION").strip(),
        () if "${" in series else _words(series),
        tuple(depends),
    )


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.split()))


def _depends(text: str, *, seen: bool) -> list[Dependency]:
    found = {}
    for match in _DEPENDENCY.finditer(text if "${@" not in text else ""):
        name, exactly = match["name"], match["exactly"]
        if "$" in name:
            continue
        op, version = ("=", exactly) if exactly else (match["op"] or "", match["version"] or "")
        found[name] = Dependency(name, op, version, seen)
    return list(found.values())
