# SPDX-License-Identifier: MIT
"""What a tree offers oebuild: platforms and features, in either schema, and which ones we want.

`src/yocto-meta-openeuler/.oebuild` has `platform/*.yaml`, `common.yaml`, and features. Schema v1
(trees up to 24.03): flat `features/*.yaml` with `type: feature`, `support: a|b`. Schema v2:
`features/<category>/*.yaml` with `id`, `machines`, `config`, `sub_feats`. For a while openEuler
kept v1 in `features/` and the coming v2 in `nightly-features/`. oebuild reads `feat_root_dir` of
`.oebuild/config` (default `features`), and `nightly-features` where that yields nothing; from
0.2.1.1 on flat files yield something, before they did not.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from oejail import oebuild
from oejail.errors import ConfigError, PrerequisiteMissing
from oejail.platforms import Platform
from oejail.workspace.conf import Variable, statements
from oejail.workspace.featurefiles import Feature, Registry, categorised, flat, has_flat
from oejail.yamltext import read_located, read_mapping

__all__ = ["Feature", "Offer", "enabled", "jailhouse_lines", "read", "wanted"]

Schema = Literal["v1", "v2"]
MCS_V1 = ("openeuler-mcs", "mcs")
"""The v1 feature whose MCS_FEATURES says which pedestal: openamp, unless told otherwise."""
JAILHOUSE_V2 = ("mcs/jailhouse", "mica/jailhouse", "mcs/mica/jailhouse")
SAME = (
    (*JAILHOUSE_V2, *MCS_V1),
    ("openeuler-ros", "ros", "robotics/ros2"),
    ("openeuler-qt", "qt5", "desktop/qt5"),
    ("openeuler-rt", "rt", "kernel/rt"),
    ("openeuler-obmc", "obmc", "system/obmc"),
)
"""What openEuler called the same feature in the course of time (yocto-meta-openeuler's history)."""
DIRECTORIES = ("features", "nightly-features")
_SETS_JAILHOUSE = re.compile(r"MCS_FEATURES\s*:?=.*\bjailhouse\b")
_FEATURES_KEY = "set features: in oejail.yaml; oejail init --list shows them all"
_TREE = "check tree: and sources: in oejail.yaml"


@dataclass(frozen=True)
class Offer:
    """What a tree offers."""

    root: Path
    """The `.oebuild` directory."""
    schema: Schema
    platforms: tuple[str, ...]
    directory: str = DIRECTORIES[0]
    """Where its features are, below `root`."""
    registry: Registry = field(default_factory=Registry)

    @property
    def features(self) -> Mapping[str, Feature]:
        """The features by their full names, in oebuild's order."""
        return self.registry.features


def feature_root(config: Path) -> str | None:
    """`feat_root_dir` of an oebuild workspace's `.oebuild/config`; None for oebuild's default.

    Raises ConfigError for one that leaves the tree.
    """
    value = read_mapping(config).get("feat_root_dir")
    root = value.strip() if isinstance(value, str) else ""
    if root.startswith("/") or ".." in Path(root).parts:
        raise ConfigError(f"{config}: feat_root_dir {root!r} leaves the tree")
    return root or None


def read(
    root: Path,
    directory: str | None = None,
    schemas: Collection[Schema] = ("v1", "v2"),
) -> Offer:
    """Read `root`, a tree's `.oebuild` directory; `directory` is what `feature_root` gives.

    `schemas` are those that the oebuild at hand reads. Raises ConfigError: no such directory, or a
    file that oebuild cannot bear, with its line; PrerequisiteMissing where all that there is is of
    a schema that this oebuild does not read.
    """
    if not root.is_dir():
        raise ConfigError(
            f"{root}: no such directory, so {root.parent} is no tree that oebuild can build",
            hint=_TREE,
        )
    found = tuple(sorted(path.stem for path in (root / "platform").glob("*.yaml")))
    names = dict.fromkeys((directory or DIRECTORIES[0], DIRECTORIES[1]))
    first = next(iter(names))
    if not (root / first).is_dir():
        raise ConfigError(f"{root / first}: no such directory; oebuild wants one", hint=_TREE)
    unread = False
    for name in names:
        place = root / name
        if not place.is_dir():
            continue
        schema: Schema = "v1" if has_flat(place) else "v2"
        if schema not in schemas:
            unread = True
            continue
        registry = flat(place) if schema == "v1" else categorised(place)
        if registry.features:
            return Offer(root, schema, found, name, registry)
    if unread:
        raise PrerequisiteMissing(
            f"{root / first}: features of schema v1, which this oebuild does not read",
            hint=oebuild.OTHER,
        )
    return Offer(root, "v2", found, first)


def wanted(offer: Offer, platform: Platform, asked: str | Sequence[str]) -> tuple[str, ...]:
    """The features for `oebuild generate -f`: those asked for, or what gives Jailhouse here.

    Raises ConfigError naming what the tree offers when it lacks one, has it under another name or
    for other machines, or when two exclude each other.
    """
    check_platform(offer, platform)
    if isinstance(asked, str):
        ours = platform.features.v1 if offer.schema == "v1" else platform.features.v2
        names = [_renamed(offer, name) or name for name in ours]
    else:
        names = list(asked)
    found = tuple(dict.fromkeys(find(offer, name).name for name in names))
    for _ in enabled(offer, platform, found):
        pass  # raises for what does not fit
    return found


def check_platform(offer: Offer, platform: Platform) -> None:
    """Raise ConfigError for a platform that the tree lacks, or whose file oebuild cannot bear."""
    if platform.name not in offer.platforms:
        near = difflib.get_close_matches(platform.name, offer.platforms, 1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"{offer.root / 'platform'}: no platform {platform.name}; {guess}the tree offers: "
            f"{', '.join(offer.platforms) or 'none'}",
            hint="set platform: in oejail.yaml",
        )
    for name in ("common.yaml", f"platform/{platform.name}.yaml"):
        path = offer.root / name
        if not path.is_file():
            continue  # said where the sources are looked at
        source = read_located(path)
        for key, kinds, what in (
            ("repos", (list, dict), "no list"),
            ("layers", list, "no list"),
            ("local_conf", str, "no text"),
        ):
            if key in source.data and not isinstance(source.data[key], kinds):
                raise ConfigError(f"{source.at(key)}: {key} is {what}; oebuild stops at it")
        if name == "common.yaml":
            continue
        if source.data.get("type") != "platform":
            raise ConfigError(f"{source.at('type')}: no type: platform; oebuild stops at it")
        for key in ("machine", "toolchain_type"):
            if not isinstance(source.data.get(key), str):
                raise ConfigError(f"{source.at(key)}: no text {key}; oebuild stops at it")
        if source.data["machine"] != platform.machine:
            raise ConfigError(
                f"{source.at('machine')}: machine {source.data['machine']}, but oejail's platform "
                f"{platform.name} has machine {platform.machine}",
                hint="set platform: in oejail.yaml to a platform file of your own",
            )


def find(offer: Offer, asked: str) -> Feature:
    """The feature that oebuild takes for `asked`. Raises ConfigError when it takes none."""
    found = offer.registry.candidates(asked)
    name = asked.strip().lower()
    exact = name in offer.features or name in offer.registry.aliases
    other = None if exact else _renamed(offer, name)
    if len(found) == 1 and other in (None, found[0].name):
        return found[0]
    where = f"{offer.root / offer.directory}: "
    if len(found) > 1:
        names = ", ".join(feature.name for feature in found)
        raise ConfigError(
            f"{where}{asked} is one of {names}", hint="write the full name in oejail.yaml"
        )
    if other is not None:
        raise ConfigError(
            f"{where}{asked} is called {other} in this tree (feature schema {offer.schema})",
            hint=f"set features: [{other}] in oejail.yaml, or features: auto",
        )
    known = [*offer.features, *offer.registry.aliases]
    near = difflib.get_close_matches(name, known, 1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise ConfigError(
        f"{where}no feature {asked} (feature schema {offer.schema}); {guess}"
        f"the tree offers: {', '.join(offer.features) or 'none'}",
        hint=_FEATURES_KEY,
    )


def _renamed(offer: Offer, asked: str) -> str | None:
    """What `asked` is called in this tree, as far as openEuler renamed it."""
    name = asked.strip().lower()
    for group in SAME:
        if name in group:
            # `mcs` alone is another thing in schema v2: MCS without Jailhouse.
            skip = MCS_V1 if offer.schema == "v2" and group[0] in JAILHOUSE_V2 else ()
            return next((n for n in group if n in offer.features and n not in skip), None)
    return None


def enabled(offer: Offer, platform: Platform, names: Sequence[str]) -> list[Feature]:
    """What oebuild enables for `names`: dependencies, selected features, parents, defaults.

    Raises ConfigError for one that is not for the platform, and for two that exclude each other.
    """
    found: dict[str, Feature] = {}
    for name in names:
        _enable(offer, platform, offer.features[name], found, ())
    changed = True
    while changed:
        changed = False
        for feature in [f for f in offer.features.values() if f.one_of and f.name in found]:
            taken = [o for o in feature.one_of if o in found or _chosen(offer, o, names)]
            if len(taken) > 1:
                raise ConfigError(
                    f"{feature.place}: {' and '.join(taken)} exclude each other "
                    f"(one_of of {feature.name})",
                    hint=_FEATURES_KEY,
                )
            if not taken and feature.default and feature.default not in found:
                _enable(offer, platform, offer.features[feature.default], found, (feature.name,))
                changed = True
    return list(found.values())


def _enable(
    offer: Offer,
    platform: Platform,
    feature: Feature,
    found: dict[str, Feature],
    way: tuple[str, ...],
) -> None:
    if feature.name in found:
        return
    for one in _and_above(offer, feature):
        if one.machines and platform.name.lower() not in one.machines:
            asked = f"{way[0]} needs it, and " if way else ""
            raise ConfigError(
                f"{one.place}: {asked}feature {one.name} is for {', '.join(one.machines)}, "
                f"not for {platform.name}",
                hint="set features: or platform: in oejail.yaml",
            )
    found[feature.name] = feature
    for name in (*feature.dependencies, *feature.selects, *filter(None, [feature.parent])):
        _enable(offer, platform, offer.features[name], found, (*way, feature.name))


def _and_above(offer: Offer, feature: Feature) -> Iterator[Feature]:
    yield feature
    if feature.parent is not None:
        yield from _and_above(offer, offer.features[feature.parent])


def _chosen(offer: Offer, option: str, names: Sequence[str]) -> bool:
    """True when something that was asked for is what `option` selects: it counts as taken then."""
    seen: set[str] = set()
    queue = list(offer.features[option].selects)
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += offer.features[name].selects
    return bool(seen.intersection(names))


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
        if not set(MCS_V1).intersection(features):
            return []
        if any(_SETS_JAILHOUSE.match(line) for line in present):
            return []
        return ['MCS_FEATURES = "jailhouse"']
    if not set(JAILHOUSE_V2).intersection(features):
        return []
    found = Variable("MCS_FEATURES", statements("\n".join(present), "compile.yaml", lenient=True))
    if "jailhouse" in {w.text for w in found.words()} - {w.text for w in found.removed()}:
        return []
    return ['MCS_FEATURES = "jailhouse "']
