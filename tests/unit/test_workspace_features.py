# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from oejail import platforms
from oejail.errors import ConfigError
from oejail.workspace import features
from oejail.workspace.features import Offer, jailhouse_lines, wanted
from tests.support import trees

QEMU = platforms.load("qemu-aarch64")


@pytest.fixture
def v1(tmp_path: Path) -> Offer:
    return features.read(trees.write(tmp_path / "v1", trees.V1) / ".oebuild")


@pytest.fixture
def v2(tmp_path: Path) -> Offer:
    return features.read(trees.write(tmp_path / "v2", trees.V2) / ".oebuild")


def test_v1(v1: Offer) -> None:
    assert v1.schema == "v1" and list(v1.features) == ["openeuler-mcs", "systemd", "xonly"]
    mcs = v1.features["openeuler-mcs"]
    assert mcs.machines == ("qemu-aarch64", "raspberrypi4-64")
    assert mcs.local_conf == ('MCS_FEATURES ?= "openamp"', 'DISTRO_FEATURES:append = " mcs "')
    assert mcs.repos == ("yocto-meta-extra",)
    assert wanted(v1, QEMU, "auto") == ("openeuler-mcs",)


def test_v2(v2: Offer) -> None:
    assert v2.schema == "v2"
    assert list(v2.features) == ["init/systemd", "mcs", "mcs/baremetal", "mcs/jailhouse"]
    assert v2.features["mcs/jailhouse"].machines == ("qemu-aarch64", "raspberrypi4-64")
    assert v2.features["init/systemd"].local_conf == ('DISTRO_FEATURES:append = " systemd"',)
    assert wanted(v2, QEMU, "auto") == ("mcs/jailhouse",)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("mcs/jailhouse", "mcs/jailhouse"),
        ("MCS/Jailhouse ", "mcs/jailhouse"),
        ("jailhouse", "mcs/jailhouse"),
        ("systemd", "init/systemd"),
        ("openeuler-systemd", "init/systemd"),
    ],
)
def test_other_spellings(asked: str, name: str, v2: Offer) -> None:
    assert wanted(v2, QEMU, [asked]) == (name,)


def test_an_explicit_list_is_taken_as_it_is(v1: Offer, v2: Offer) -> None:
    assert wanted(v1, QEMU, ["systemd"]) == ("systemd",)
    assert wanted(v2, QEMU, []) == ()


def test_unknown_feature_says_what_there_is(v1: Offer, v2: Offer) -> None:
    with pytest.raises(ConfigError) as caught:
        wanted(v2, QEMU, ["openeuler-mcs"])
    assert "no feature openeuler-mcs (feature schema v2)" in caught.value.message
    assert "offers: init/systemd, mcs, mcs/baremetal, mcs/jailhouse" in caught.value.message
    with pytest.raises(ConfigError, match="did you mean openeuler-mcs"):
        wanted(v1, QEMU, ["openeuler-mcss"])


def test_feature_for_other_machines(v1: Offer) -> None:
    with pytest.raises(ConfigError, match="feature xonly is for x86-64, not for qemu-aarch64"):
        wanted(v1, QEMU, ["xonly"])


def test_unknown_platform_says_what_there_is(tmp_path: Path) -> None:
    contents = {k: v for k, v in trees.V1.items() if "qemu" not in k}
    offer = features.read(trees.write(tmp_path, contents) / ".oebuild")
    with pytest.raises(ConfigError, match=r"no platform qemu-aarch64; .* raspberrypi4-64"):
        wanted(offer, QEMU, "auto")


def test_no_tree(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such directory, so .* is no tree"):
        features.read(tmp_path / ".oebuild")
    (tmp_path / ".oebuild").mkdir()
    with pytest.raises(ConfigError, match="features: no such directory"):
        features.read(tmp_path / ".oebuild")


def test_nightly_features(tmp_path: Path) -> None:
    contents = {k.replace("/features/", "/nightly-features/"): v for k, v in trees.V2.items()}
    root = trees.write(tmp_path, contents) / ".oebuild"
    (root / "features").mkdir()
    assert "mcs/jailhouse" in features.read(root).features
    assert "mcs/jailhouse" in features.read(root, "nightly-features").features


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("id: [", r"bad\.yaml:1: not YAML"),
        ("- 1", "not a mapping"),
        ("name: x", "a feature without id"),
        ("id: x\nsub_feats: [{name: y}]", "an entry of sub_feats without id"),
        ("id: x\nsub_feats: 3", "sub_feats is no list"),
    ],
)
def test_a_broken_file_is_named(text: str, error: str, tmp_path: Path) -> None:
    root = trees.write(tmp_path, {**trees.V2, ".oebuild/features/mcs/bad.yaml": text})
    with pytest.raises(ConfigError, match=error) as caught:
        features.read(root / ".oebuild")
    assert "features/mcs/bad.yaml" in caught.value.message


JAILHOUSE = ['MCS_FEATURES = "jailhouse"']
V2_JAILHOUSE = ['MCS_FEATURES = "jailhouse "']


def test_jailhouse_on_v1(v1: Offer, v2: Offer) -> None:
    mcs = ["openeuler-mcs"]
    assert jailhouse_lines(v1, mcs, []) == JAILHOUSE
    assert jailhouse_lines(v1, mcs, [], ['MCS_FEATURES ?= "openamp"']) == JAILHOUSE
    assert jailhouse_lines(v1, mcs, [], ['MCS_FEATURES ?= "jailhouse"']) == JAILHOUSE
    assert jailhouse_lines(v1, mcs, [], ['MCS_FEATURES = "openamp"']) == JAILHOUSE
    assert jailhouse_lines(v1, mcs, [], ['MCS_FEATURES = "openamp jailhouse"']) == []
    assert jailhouse_lines(v1, mcs, ['MCS_FEATURES = "xen"']) == []
    assert jailhouse_lines(v1, ["systemd"], []) == []
    mcs = ["mcs/jailhouse"]
    assert jailhouse_lines(v2, mcs, [], ['MCS_FEATURES ?= "jailhouse"']) == []
    assert jailhouse_lines(v2, mcs, ['MCS_FEATURES = "xen"']) == []
    assert jailhouse_lines(v2, ["mcs"], []) == []
    # As openEuler's tree has it: oebuild drops the sub feature's line, or glues it to the default.
    assert jailhouse_lines(v2, mcs, [], ['MCS_FEATURES ?= "openamp"']) == V2_JAILHOUSE
    glued = ['MCS_FEATURES ?= "openamp"', 'MCS_FEATURES:append = "jailhouse"']
    assert jailhouse_lines(v2, mcs, [], glued) == V2_JAILHOUSE
    assert jailhouse_lines(v2, mcs, [], [*glued, *V2_JAILHOUSE]) == []
