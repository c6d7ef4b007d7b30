# SPDX-License-Identifier: MIT
"""Whether layers can be built together: series, collections, dependencies.

What BitBake would refuse is found before it runs: in a container oebuild hides its status. Nothing
is read here but, for the advice where a dependency is unmet, the layers that lie in src/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from oejail.errors import ConfigError
from oejail.workspace import layerconf
from oejail.workspace.layerconf import Collection, Dependency, LayerConf

_MAX_LOOKED_AT = 2000


def problems(name: str, confs: Mapping[str, LayerConf], src: Path) -> list[tuple[str, str]]:
    """What is wrong with the layer `name` among all the layers `confs`: (what, next command).

    `src` is searched for layers that could help.
    """
    conf = confs[name]
    where = f"{conf.path}/conf/layer.conf"
    if not conf.collections:
        return [(f"{where}: no BBFILE_COLLECTIONS", "give the directory of a BitBake layer")]
    core = {series for other in confs.values() for series in other.core_series}
    found: list[tuple[str, str]] = []
    for collection in conf.collections:
        found += _series(where, collection, core)
        found += _twice(name, where, collection, confs)
        found += _dependencies(where, collection, confs, src)
    return found


def _series(where: str, collection: Collection, core: set[str]) -> Iterator[tuple[str, str]]:
    if not collection.series or core & set(collection.series):
        return  # BitBake merely warns of a layer that names none
    series = " ".join(collection.series)
    if not core:
        yield (
            f"{where}: LAYERSERIES_COMPAT_{collection.name} is {series}, but no layer of this "
            "build is a core layer (LAYERSERIES_CORENAMES)",
            "add yocto-poky's meta",
        )
        return
    yield (
        f"{where}: LAYERSERIES_COMPAT_{collection.name} is {series}, the core layer's series "
        f"{' '.join(sorted(core))}",
        "take the layer's branch for that series",
    )


def _twice(
    name: str, where: str, collection: Collection, confs: Mapping[str, LayerConf]
) -> Iterator[tuple[str, str]]:
    for other, there in confs.items():
        if other != name and collection.name in {c.name for c in there.collections}:
            yield (
                f"{where}: its collection {collection.name} is that of {there.path} already",
                f"oejail layers remove {other}, or leave this one out",
            )


def _dependencies(
    where: str, collection: Collection, confs: Mapping[str, LayerConf], src: Path
) -> Iterator[tuple[str, str]]:
    have = {c.name: c.version for conf in confs.values() for c in conf.collections}
    for need in collection.depends:
        colon = "" if need.seen else ", written with a colon, so that BitBake does not notice"
        if need.name not in have:
            yield (
                f"{where}: {collection.name} depends on {need}{colon}; no layer of this build is "
                f"{need.name}: there are {' '.join(sorted(have))}",
                _provider(need, src),
            )
        elif not need.met_by(have[need.name]):
            version = have[need.name] or "none"
            yield (
                f"{where}: {collection.name} depends on {need}{colon}; LAYERVERSION_{need.name} "
                f"is {version}",
                "take the branches of both layers that belong together",
            )


def _provider(need: Dependency, src: Path) -> str:
    """The command that adds a layer of src/ with that collection, or what to do without one."""
    found = (
        path for depth in ("*", "*/*", "*/*/*") for path in src.glob(f"{depth}/conf/layer.conf")
    )
    for path in islice(found, _MAX_LOOKED_AT):
        layer = path.parent.parent
        try:
            conf = layerconf.read(layer)
        except ConfigError:
            continue
        if need.name in {collection.name for collection in conf.collections}:
            return f"oejail layers add {layer.relative_to(src)}, first or together with it"
    return f"put a layer with the collection {need.name} into src/ and add it"


def orphans(confs: Mapping[str, LayerConf], going: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(layer that stays, collection that it needs and that goes) when `going` are removed."""
    gone = {c.name for name in going if name in confs for c in confs[name].collections}
    for name, conf in confs.items():
        if name not in going:
            for need in sorted({d.name for c in conf.collections for d in c.depends} & gone):
                yield name, need
