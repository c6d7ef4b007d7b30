# SPDX-License-Identifier: MIT
"""What a tree offers oebuild: platforms and features, in either schema, and which ones we want.

`src/yocto-meta-openeuler/.oebuild` has `platform/*.yaml`, `common.yaml`, and features. Schema v1
(trees up to 24.03): flat `features/*.yaml` with `type: feature`, `support: a|b`. Schema v2:
`features/<category>/*.yaml` with `id`, `machines`, `config`, `sub_feats`; flat files beside such
directories do not count. oebuild reads `feat_root_dir` of `.oebuild/config`, and
`nightly-features` where that yields nothing.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from oejail.errors import ConfigError
from oejail.platforms import Platform
from oejail.workspace.conf import Variable, statements
from oejail.yamltext import read_mapping

MCS_V1 = "openeuler-mcs"
"""The v1 feature whose MCS_FEATURES says which pedestal: openamp, unless told otherwise."""
MCS_V2 = "mcs/jailhouse"
_SETS_JAILHOUSE = re.compile(r"MCS_FEATURES\s*:?=.*\bjailhouse\b")
DIRECTORIES = ("features", "nightly-features")


@dataclass(frozen=True)
class Feature:
    """One feature, by its full name as `oebuild generate -f` takes it."""

    name: str
    file: Path
    aliases: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    """Platforms that it is for; empty: all."""
    local_conf: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    repos: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offer:
    """What a tree offers."""

    root: Path
    """The `.oebuild` directory."""
    schema: Literal["v1", "v2"]
    features: Mapping[str, Feature]
    platforms: tuple[str, ...]

    def find(self, asked: str) -> Feature | None:
        """The feature that oebuild takes for `asked`: full name, alias, or a last part that only
        one feature has."""
        name = asked.strip().lower()
        if name in self.features:
            return self.features[name]
        for feature in self.features.values():
            if name in feature.aliases:
                return feature
        leaf = name.rpartition("/")[2]
        same = [f for n, f in self.features.items() if n.rpartition("/")[2] == leaf]
        return same[0] if len(same) == 1 else None


def read(root: Path, feature_root: str | None = None) -> Offer:
    """Read `root`, a tree's `.oebuild` directory. `feature_root` as `.oebuild/config` has it.

    Raises ConfigError: no such directory, or a file that is not what oebuild wants (oebuild, too,
    stops at one broken file, but does not say which).
    """
    if not root.is_dir():
        raise ConfigError(
            f"{root}: no such directory, so {root.parent} is no tree that oebuild can build",
            hint="check tree: and sources: in oejail.yaml",
        )
    platforms = tuple(sorted(path.stem for path in (root / "platform").glob("*.yaml")))
    names = dict.fromkeys((feature_root or DIRECTORIES[0], DIRECTORIES[1]))
    for name in names:
        directory = root / name
        if not directory.is_dir():
            continue
        schema, features = _read_features(directory)
        if features:
            return Offer(root, schema, features, platforms)
    if not (root / next(iter(names))).is_dir():
        raise ConfigError(
            f"{root / next(iter(names))}: no such directory; oebuild wants one",
            hint="check tree: and sources: in oejail.yaml",
        )
    return Offer(root, "v2", {}, platforms)


def wanted(offer: Offer, platform: Platform, asked: str | Sequence[str]) -> tuple[str, ...]:
    """The features for `oebuild generate -f`: those asked for, or what gives Jailhouse here.

    Raises ConfigError naming what the tree offers when it lacks one, or has it for other machines.
    """
    if platform.name not in offer.platforms:
        raise ConfigError(
            f"{offer.root / 'platform'}: no platform {platform.name}; the tree offers: "
            f"{', '.join(offer.platforms) or 'none'}",
            hint="set platform: in oejail.yaml",
        )
    names: Sequence[str]
    if isinstance(asked, str):
        names = platform.features.v1 if offer.schema == "v1" else platform.features.v2
    else:
        names = asked
    return tuple(_one(offer, platform, name).name for name in names)


def _one(offer: Offer, platform: Platform, name: str) -> Feature:
    feature = offer.find(name)
    if feature is None:
        near = difflib.get_close_matches(name, offer.features, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        listed = ", ".join(offer.features) or "none"
        raise ConfigError(
            f"{offer.root}: no feature {name} (feature schema {offer.schema}); {guess}"
            f"the tree offers: {listed}",
            hint="set features: in oejail.yaml",
        )
    if feature.machines and platform.name.lower() not in feature.machines:
        raise ConfigError(
            f"{feature.file}: feature {feature.name} is for {', '.join(feature.machines)}, "
            f"not for {platform.name}",
            hint="set features: or platform: in oejail.yaml",
        )
    return feature


def jailhouse_lines(
    offer: Offer, features: Sequence[str], declared: Sequence[str], present: Sequence[str] = ()
) -> list[str]:
    """Lines for local.conf that make MCS the one with Jailhouse.

    None where oejail.yaml (`declared`) has its own mind, or where compile.yaml (`present`) has it
    so: on a v1 tree past all `?=`, on a v2 tree by the feature itself. openEuler's own v2 tree
    writes that feature's `config` as a list, which oebuild passes over without a word, and as an
    `:append` without a blank: hence the blank here, which keeps the two words apart.
    """
    if any(line.lstrip().startswith("MCS_FEATURES") for line in declared):
        return []
    if offer.schema == "v1":
        if MCS_V1 not in features or any(_SETS_JAILHOUSE.match(line) for line in present):
            return []
        return ['MCS_FEATURES = "jailhouse"']
    if MCS_V2 not in features:
        return []
    found = statements("\n".join(present), "compile.yaml", lenient=True)
    if "jailhouse" in Variable("MCS_FEATURES", found).text.split():
        return []
    return ['MCS_FEATURES = "jailhouse "']


def _read_features(directory: Path) -> tuple[Literal["v1", "v2"], dict[str, Feature]]:
    entries = sorted(directory.iterdir())
    found: dict[str, Feature] = {}
    folders = [entry for entry in entries if entry.is_dir()]
    if not folders:
        for path in _yaml_files(entries):
            data = read_mapping(path)
            config = data if data.get("type") == "feature" else _mapping(data.get("config"))
            machines = data.get("support", "")
            feature = _feature(path.stem.lower(), path, data, config)
            found[feature.name] = _with_machines(feature, _words(machines, "|"))
        return "v1", found
    for folder in folders:
        for path in _yaml_files(sorted(folder.iterdir())):
            for feature in _categorised(folder.name.strip(), path, read_mapping(path)):
                found[feature.name] = feature
    return "v2", found


def _categorised(category: str, path: Path, data: Mapping[str, Any]) -> Iterator[Feature]:
    leaf = str(data.get("id") or "").strip().lower()
    if not leaf:
        raise ConfigError(f"{path}: a feature without id; oebuild stops at it")
    # A category's own feature is called by the category alone, its parts by category/part.
    name = category if leaf == category else f"{category}/{leaf}"
    machines = _words(data.get("machines"), None)
    yield _with_machines(_feature(name, path, data, _mapping(data.get("config"))), machines)
    parts = data.get("sub_feats") or []
    if not isinstance(parts, list):
        raise ConfigError(f"{path}: sub_feats is no list; oebuild stops at it")
    for part in parts:
        if not isinstance(part, dict) or not part.get("id"):
            raise ConfigError(f"{path}: an entry of sub_feats without id; oebuild stops at it")
        part_name = f"{name}/{str(part['id']).strip().lower()}"
        feature = _feature(part_name, path, part, _mapping(part.get("config")))
        yield _with_machines(feature, _words(part.get("machines"), None) or machines)


def _feature(name: str, path: Path, data: Mapping[str, Any], config: Mapping[str, Any]) -> Feature:
    conf = config.get("local_conf")
    lines = [str(c) for c in conf] if isinstance(conf, list) else [str(conf or "")]
    repos = config.get("repos", config.get("repo"))
    return Feature(
        name=name,
        file=path,
        aliases=_words(data.get("aliases"), None),
        local_conf=tuple(x.strip() for part in lines for x in part.splitlines() if x.strip()),
        layers=tuple(str(layer) for layer in _list(config.get("layers"))),
        repos=tuple(str(repo) for repo in _list(repos)),
    )


def _with_machines(feature: Feature, machines: tuple[str, ...]) -> Feature:
    return replace(feature, machines=machines)


def _words(value: Any, separator: str | None) -> tuple[str, ...]:
    """Lower-case words of a list, or of a text with `separator`."""
    if isinstance(value, str) and separator is not None:
        parts: list[Any] = value.split(separator)
    else:
        parts = _list(value)
    return tuple(word for part in parts if (word := str(part).strip().lower()))


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, (list, dict)):
        return [item for item in value if item is not None]
    return [value]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _yaml_files(entries: Sequence[Path]) -> list[Path]:
    return [e for e in entries if e.suffix in (".yaml", ".yml") and e.is_file()]
