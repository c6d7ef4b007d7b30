# SPDX-License-Identifier: MIT
"""What oejail makes of a tree's features against oebuild's own reader, on generated trees."""

from __future__ import annotations

import dataclasses
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from oejail import platforms
from oejail.errors import ConfigError
from oejail.workspace import features
from tests.support.oracles import Oracle

MACHINES = ("qemu-aarch64", "raspberrypi4-64", "x86-64")
WORDS = ("mcs", "jailhouse", "xen", "rt", "kernel", "hypervisor", "ros2", "Debug", "self", "")
QEMU = platforms.load("qemu-aarch64")


@pytest.fixture(scope="module")
def oebuild() -> Iterator[Oracle]:
    with Oracle("features_oracle") as oracle:
        yield oracle


def _reference(rng: random.Random) -> str:
    parts = rng.sample(["self", *WORDS[:8]], rng.choice([1, 2, 2, 3]))
    return rng.choice(["", " "]) + "/".join(parts)


def _feature(rng: random.Random, leaf: str, parts: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"id": rng.choice([leaf, leaf.upper()]) if rng.random() < 0.99 else None}
    for key in ("dependencies", "selects", "choice"):
        if rng.random() < 0.05:
            made[key] = rng.choice([_reference(rng), [_reference(rng), None]])
    if rng.random() < 0.4:
        made["machines"] = rng.choice([list(MACHINES[: rng.randint(0, 3)]), MACHINES[0], None])
    if rng.random() < 0.05:
        made["aliases"] = rng.choice(["openeuler-mcs", ["old", " OLD2 "], None])
    lines = [f'{leaf} = "1"', f'X:append = "{leaf}"']
    if rng.random() < 0.7:
        made["config"] = rng.choice(
            [
                {"local_conf": lines, "layers": [f"l/{leaf}"]},
                {"local_conf": "\n".join(lines)},
                lines,
                {"repos": {"r": {"url": "u"}}},
                {"repo": "r"},
                None,
            ]
        )
    if parts:
        leaves = rng.sample(WORDS if rng.random() < 0.05 else WORDS[:8], rng.randint(0, 3))
        made["sub_feats"] = [_feature(rng, name, False) for name in leaves]
        inside = [f"self/{name}" for name in leaves]
        if inside and rng.random() < 0.6:
            made["one_of"] = inside
            made["default_one_of"] = rng.choice([*inside, None])
    return made


def _tree(rng: random.Random, root: Path) -> None:
    for category in rng.sample(WORDS[:7], rng.randint(1, 4)):
        folder = root / category
        folder.mkdir()
        for leaf in {category if rng.random() < 0.6 else "", *rng.sample(WORDS[:8], 2)} - {""}:
            data = _feature(rng, leaf, True)
            (folder / f"{leaf}.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    (root / "README.md").write_text("no feature\n")


def _flat_tree(rng: random.Random, root: Path) -> None:
    for leaf in rng.sample(WORDS[:8], rng.randint(1, 5)):
        support = rng.choice([None, "", "qemu-aarch64", "x86-64| raspberrypi4-64"])
        data = {"type": "feature", "local_conf": f'A = "{leaf}"\nB = "1"\n', "repos": {"r": {}}}
        if support is not None:
            data["support"] = support
        if rng.random() < 0.1:
            data.pop("type")
        (root / f"{leaf}.yaml").write_text(yaml.safe_dump(data))


@pytest.mark.parametrize("seed", range(4))
def test_as_oebuild_reads_it(seed: int, oebuild: Oracle) -> None:
    rng = random.Random(seed)
    seen = {"read": 0, "resolve": 0, "": 0}
    for number in range(120):
        with tempfile.TemporaryDirectory(prefix="oejail-features-") as directory:
            root = Path(directory, ".oebuild")
            (root / "features").mkdir(parents=True)
            (_flat_tree if number % 5 == 0 else _tree)(rng, root / "features")
            asked = [_reference(rng).strip() for _ in range(rng.randint(0, 3))]
            paths = [path.relative_to(root / "features") for path in root.rglob("*.yaml")]
            asked = [rng.choice([word, str(rng.choice(paths))[:-5]]) for word in asked]
            machine = rng.choice(MACHINES[:2])
            said = oebuild(directory=str(root / "features"), machine=machine, asked=asked)
            seen[said.get("error", "")] += 1
            _same(root, machine, asked, said)
    assert min(seen.values()) > 5, seen


def _same(root: Path, machine: str, asked: list[str], said: dict[str, Any]) -> None:
    try:
        offer = features.read(root)
    except ConfigError as error:
        assert said.get("error") == "read", (error.message, said)
        assert ".yaml:" in error.message, error.message
        return
    assert said.get("error") != "read", (said, sorted(offer.features))
    ours = {
        name: {
            "machines": sorted(feature.machines or ()),
            "local_conf": list(feature.local_conf),
            "layers": list(feature.layers),
            "repos": list(feature.repos),
        }
        for name, feature in offer.features.items()
    }
    assert ours == said["features"]
    board = dataclasses.replace(QEMU, name=machine)
    try:
        names = [features.find(offer, word).name for word in asked]
        found = features.enabled(offer, board, names)
    except ConfigError as error:
        if " is called " not in error.message:  # openEuler's names: stricter than oebuild's leaf
            assert said.get("error") == "resolve", (error.message, said)
        return
    assert said.get("error") is None, (said, names)
    assert names == said["names"]
    assert [feature.name for feature in found] == said["enabled"]
