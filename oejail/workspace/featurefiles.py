# SPDX-License-Identifier: MIT
"""A tree's feature files, read as oebuild reads them, and what makes it stop named with its line.

oebuild reads every feature file before it looks at what is asked for, and ends with 255 at the
first that it cannot bear, often without saying which. Source: oebuild 0.2.1.3,
`feature_resolver.py`; tests/unit/test_workspace_features_oracle.py compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from oejail.errors import ConfigError
from oejail.yamltext import Located, read_located


@dataclass(frozen=True)
class Feature:
    """One feature, by its full name as `oebuild generate -f` takes it."""

    name: str
    file: Path
    place: str
    """`FILE:LINE`."""
    category: str
    leaf: str
    """The last part of its name."""
    parent: str | None = None
    """Of a sub-feature: the feature that it belongs to."""
    aliases: tuple[str, ...] = ()
    machines: tuple[str, ...] | None = None
    """Platforms that it is for, in lower case, sorted; None: all."""
    dependencies: tuple[str, ...] = ()
    selects: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    default: str | None = None
    """What is taken of `one_of` when nothing else is."""
    choice: tuple[str, ...] = ()
    local_conf: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()


@dataclass
class Registry:
    """The features of a tree by name, in oebuild's order."""

    features: dict[str, Feature] = field(default_factory=dict)
    aliases: dict[str, Feature] = field(default_factory=dict)

    def candidates(self, asked: str) -> list[Feature]:
        """What oebuild takes `asked` for: one, or several between which it does not choose.

        The full name, a declared or long name, or the last part, where features go before
        sub-features.
        """
        name = asked.strip().lower()
        same = self._leaves(name.rpartition("/")[2])
        exact = self.features.get(name)
        if exact is not None:
            # The root of its category, and another feature of that name: oebuild refuses.
            is_root = exact.category == exact.leaf and "/" not in name
            return same if is_root and len(same) > 1 else [exact]
        if name in self.aliases:
            return [self.aliases[name]]
        return same

    def _leaves(self, leaf: str) -> list[Feature]:
        found = [f for f in self.features.values() if f.leaf == leaf]
        return [f for f in found if f.parent is None] or found


def flat(directory: Path) -> Registry:
    """Schema v1: `*.yaml` with `type: feature`, and no directory among them."""
    return _registry(
        feature
        for path in _yaml_files(directory)
        for feature in _features(path.stem, _flat(read_located(path)))
    )


def categorised(directory: Path) -> Registry:
    """Schema v2: `<category>/*.yaml`; files beside the directories do not count."""
    return _registry(
        feature
        for folder in sorted(directory.iterdir())
        if folder.is_dir() and folder.name.strip()
        for path in _yaml_files(folder)
        for feature in _features(folder.name.strip(), read_located(path))
    )


def has_flat(directory: Path) -> bool:
    """True for a directory that holds schema v1."""
    return not any(e.is_dir() for e in directory.iterdir()) and bool(_yaml_files(directory))


def _yaml_files(directory: Path) -> list[Path]:
    entries = sorted(directory.iterdir())
    return [e for e in entries if e.suffix in (".yaml", ".yml") and e.is_file()]


def _flat(source: Located) -> Located:
    """A v1 file in the terms of v2, as oebuild turns it."""
    data = source.data
    if data.get("type") != "feature":
        return source
    machines = [word.strip() for word in str(data.get("support") or "").split("|")]
    config = {key: value for key, value in data.items() if key not in ("type", "support")}
    as_v2 = {"id": source.path.stem, "machines": machines, "config": config}
    return Located(source.path, as_v2, source.node)


def _features(category: str, source: Located) -> Iterator[Feature]:
    data = source.data
    # A category's own feature is called by the category alone, its parts by category/part.
    leaf = _leaf(data.get("id"), source, "id")
    name = category if leaf == category else f"{category}/{leaf}"
    feature = _feature(source, data, (), name, category, leaf)
    yield feature
    parts = data.get("sub_feats") or []
    if not isinstance(parts, list):
        raise _stops(source.at("sub_feats"), "sub_feats is no list")
    for number, part in enumerate(parts):
        way = ("sub_feats", number)
        if not isinstance(part, dict):
            raise _stops(source.at(*way), "an entry of sub_feats is no mapping")
        if "sub_feats" in part:
            raise _stops(source.at(*way, "sub_feats"), "sub_feats inside sub_feats")
        below = _leaf(part.get("id"), source, *way, "id")
        full = f"{name}/{below}"
        yield replace(_feature(source, part, way, full, category, below), parent=name)


def _leaf(value: Any, source: Located, *way: str | int) -> str:
    leaf = "" if value is None else str(value).strip().lower()
    if not leaf:
        what = "an entry of sub_feats" if len(way) > 1 else "a feature"
        raise _stops(source.at(*way), f"{what} without id")
    if leaf == "self":
        raise _stops(source.at(*way), "id self, which stands for the feature itself")
    return leaf


def _feature(
    source: Located,
    data: Mapping[str, Any],
    way: tuple[str | int, ...],
    name: str,
    category: str,
    leaf: str,
) -> Feature:
    def references(key: str) -> tuple[str, ...]:
        return tuple(
            _reference(str(entry), name, source.at(*way, key)) for entry in _list(data.get(key))
        )

    config = data.get("config")
    if not isinstance(config, dict):
        config = {}  # oebuild passes over any other without a word; openEuler's own tree has lists
    default = data.get("default_one_of")
    machines = {str(m).strip().lower() for m in _list(data.get("machines"))} - {""}
    conf = [str(item) for item in _list(config.get("local_conf"))]
    aliases = [str(item).strip().lower() for item in _list(data.get("aliases"))]
    return Feature(
        name=name,
        file=source.path,
        place=source.at(*way, "id"),
        category=category,
        leaf=leaf,
        aliases=tuple(dict.fromkeys(alias for alias in aliases if alias)),
        machines=tuple(sorted(machines)) or None,
        dependencies=references("dependencies"),
        selects=references("selects"),
        one_of=references("one_of"),
        default=_reference(str(default), name, source.at(*way, "default_one_of"))
        if default
        else None,
        choice=references("choice"),
        local_conf=tuple(x.strip() for part in conf for x in part.splitlines() if x.strip()),
        layers=tuple(str(layer) for layer in _list(config.get("layers"))),
        repos=tuple(str(r) for r in _list(config.get("repos", config.get("repo")))),
    )


def _list(value: Any) -> list[Any]:
    """A list without nothings; a mapping's keys; of one value the list with it."""
    if value is None:
        return []
    if isinstance(value, (list, dict)):
        return [item for item in value if item is not None]
    return [value]


def _reference(entry: str, name: str, place: str) -> str:
    word = entry.strip()
    if word == "self":
        return name
    if word.startswith("self/"):
        word = f"{name}/{word[5:].strip()}" if word[5:].strip() else ""
    if not word:
        raise _stops(place, f"feature {name} refers to nothing")
    return word.lower()


def _registry(found: Iterator[Feature]) -> Registry:
    registry = Registry()
    for feature in found:
        other = registry.features.get(feature.name)
        if other is not None:
            raise _stops(feature.place, f"feature {feature.name} again; it is in {other.place} too")
        registry.features[feature.name] = feature
    for alias, feature in _aliases(registry.features):
        other = registry.aliases.setdefault(alias, feature)
        if other.name != feature.name:
            raise _stops(feature.place, f"{alias} is a name of {feature.name} and of {other.name}")
    for name, feature in registry.features.items():
        registry.features[name] = _linked(registry, feature)
    _limit_machines(registry)
    registry.aliases = {k: registry.features[f.name] for k, f in registry.aliases.items()}
    return registry


def _aliases(features: Mapping[str, Feature]) -> Iterator[tuple[str, Feature]]:
    """The long names of a category's own feature and its parts, then the declared ones."""
    for root in [f for f in features.values() if f.parent is None and f.category == f.leaf]:
        yield f"{root.category}/{root.leaf}", root
        for part in [f for f in features.values() if f.parent == root.name]:
            yield f"{root.category}/{root.leaf}/{part.leaf}", part
    for feature in features.values():
        for alias in feature.aliases:
            yield alias, feature


def _linked(registry: Registry, feature: Feature) -> Feature:
    """`feature` with its references as full names; ConfigError for one that leads nowhere."""

    def full(words: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(one, words))

    def one(word: str) -> str:
        found = registry.features.get(word)
        several = [found] if found is not None else registry.candidates(word)
        if len(several) != 1:
            what = f"is one of {', '.join(f.name for f in several)}" if several else "is no feature"
            raise _stops(feature.place, f"{feature.name} refers to {word}, which {what}")
        return several[0].name

    return replace(
        feature,
        dependencies=full(feature.dependencies),
        selects=full(feature.selects),
        one_of=full(feature.one_of),
        choice=full(feature.choice),
        default=one(feature.default) if feature.default else None,
    )


def _limit_machines(registry: Registry) -> None:
    """A feature is for the machines that it names and that its parent and dependencies are for."""
    known: dict[str, tuple[str, ...] | None] = {}

    def limit(name: str, way: tuple[str, ...]) -> tuple[str, ...] | None:
        if name in known:
            return known[name]
        feature = registry.features[name]
        if name in way:
            circle = " → ".join((*way[way.index(name) :], name))
            raise _stops(feature.place, f"features that depend on each other: {circle}")
        machines = feature.machines
        for other in (*filter(None, [feature.parent]), *feature.dependencies):
            theirs = limit(other, (*way, name))
            if theirs is not None:
                machines = tuple(m for m in theirs if machines is None or m in machines)
        known[name] = machines
        return machines

    for name in registry.features:
        limit(name, ())
    for name, feature in registry.features.items():
        registry.features[name] = replace(feature, machines=known[name])


def _stops(place: str, what: str) -> ConfigError:
    return ConfigError(f"{place}: {what}; oebuild stops at it")
