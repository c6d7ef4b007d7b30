# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from oejail import oebuild, platforms
from oejail.errors import ConfigError, PrerequisiteMissing
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
        wanted(v2, QEMU, ["openeuler-mpc"])
    assert "no feature openeuler-mpc (feature schema v2)" in caught.value.message
    assert "offers: init/systemd, mcs, mcs/baremetal, mcs/jailhouse" in caught.value.message
    with pytest.raises(ConfigError, match="did you mean openeuler-mcs"):
        wanted(v1, QEMU, ["openeuler-mcss"])


@pytest.mark.parametrize(
    ("schema", "asked", "name"),
    [
        ("v2", "openeuler-mcs", "mcs/jailhouse"),
        ("v1", "mcs/jailhouse", "openeuler-mcs"),
        ("v1", "mcs", "openeuler-mcs"),
    ],
)
def test_openeulers_other_names(schema: str, asked: str, name: str, v1: Offer, v2: Offer) -> None:
    with pytest.raises(ConfigError) as caught:
        wanted(v1 if schema == "v1" else v2, QEMU, [asked])
    said = f"{asked} is called {name} in this tree (feature schema {schema})"
    assert said in caught.value.message and name in str(caught.value.hint)


def test_auto_takes_what_it_is_called_here(tmp_path: Path) -> None:
    """24.03's flat `mcs`, and the weeks in which the category was called mica."""
    flat = {k.replace("openeuler-mcs", "mcs"): v for k, v in trees.V1.items()}
    offer = features.read(trees.write(tmp_path / "flat", flat) / ".oebuild")
    assert wanted(offer, QEMU, "auto") == ("mcs",)
    assert jailhouse_lines(offer, ["mcs"], []) == JAILHOUSE
    mica = {
        k.replace("mcs/mcs.yaml", "mica/mica.yaml"): v.replace("id: mcs", "id: mica")
        for k, v in trees.V2.items()
    }
    offer = features.read(trees.write(tmp_path / "mica", mica) / ".oebuild")
    assert wanted(offer, QEMU, "auto") == ("mica/jailhouse",)


def test_openeulers_own_mcs(tmp_path: Path) -> None:
    """Dependencies, selected features and defaults; a sub-feature whose config is a list."""
    offer = features.read(trees.write(tmp_path, trees.OPENEULER) / ".oebuild")
    assert offer.schema == "v2"
    names = wanted(offer, QEMU, "auto")
    assert names == ("mcs/jailhouse",)
    found = [feature.name for feature in features.enabled(offer, QEMU, names)]
    assert found == ["mcs/jailhouse", "hypervisor/jailhouse", "mcs"]
    assert [f.name for f in features.enabled(offer, QEMU, ["mcs"])] == [
        *("mcs", "mcs/baremetal", "hypervisor/baremetal")
    ]
    # What is asked for by the hypervisor's own name counts as that choice.
    asked = wanted(offer, QEMU, ["jailhouse", "mcs"])
    assert asked == ("hypervisor/jailhouse", "mcs")
    assert "mcs/baremetal" not in [f.name for f in features.enabled(offer, QEMU, asked)]
    with pytest.raises(ConfigError, match="mcs/baremetal and mcs/jailhouse exclude each other"):
        wanted(offer, QEMU, ["mcs/jailhouse", "mcs/baremetal"])
    with pytest.raises(ConfigError, match=r"yaml:1: mcs/xen needs it, and feature hypervisor/xen"):
        wanted(offer, platforms.load("raspberrypi4-64"), ["mcs/xen"])


def test_what_an_older_oebuild_reads(tmp_path: Path) -> None:
    """openEuler kept v1 in features/ and v2 in nightly-features/; 0.2.1.0 passes over the first."""
    nightly = {k.replace("/features/", "/nightly-features/"): v for k, v in trees.V2.items()}
    root = trees.write(tmp_path / "both", {**trees.V1, **nightly}) / ".oebuild"
    assert features.read(root).schema == "v1"
    offer = features.read(root, None, oebuild.schemas("0.2.1.0"))
    assert (offer.schema, offer.directory) == ("v2", "nightly-features")
    assert features.read(root, "nightly-features").schema == "v2"
    alone = trees.write(tmp_path / "v1", trees.V1) / ".oebuild"
    assert features.read(alone, None, oebuild.schemas("0.2.1.1")).schema == "v1"
    with pytest.raises(PrerequisiteMissing, match="of schema v1, which this oebuild does not"):
        features.read(alone, None, oebuild.schemas("0.2.1.0"))


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
        ("", r"bad\.yaml: not a mapping"),
        ("\n- 1", r"bad\.yaml:2: not a mapping"),
        ("id: x\nname: 1\nname: 2", r"bad\.yaml:3: key name again; it stands in line 2"),
        ("\nname: x", r"bad\.yaml:2: a feature without id"),
        ("id: Self", r"bad\.yaml:1: id self"),
        ("id: x\nsub_feats: [{name: y}]", r"bad\.yaml:2: an entry of sub_feats without id"),
        ("id: x\nsub_feats:\n- id: y\n- 1", r"bad\.yaml:4: an entry of sub_feats is no mapping"),
        ("id: x\nsub_feats: [{id: y,\n sub_feats: []}]", r"bad\.yaml:3: sub_feats inside"),
        ("id: x\nsub_feats: 3", r"bad\.yaml:2: sub_feats is no list"),
        ("\n\nid: mcs", r"feature mcs again; it is in .*\.yaml:1 too|mcs\.yaml:1: feature mcs"),
        ("id: x\nselects: [nowhere]", r"bad\.yaml:1: mcs/x refers to nowhere, which is no"),
        ("id: x\none_of: [self/]", r"bad\.yaml:2: feature mcs/x refers to nothing"),
        ("id: x\naliases: [openeuler-systemd]", "openeuler-systemd is a name of mcs/x and of|x$"),
        ("id: x\ndependencies: [self]", r"depend on each other: mcs/x → mcs/x"),
    ],
)
def test_a_broken_file_is_named(text: str, error: str, tmp_path: Path) -> None:
    root = trees.write(tmp_path, {**trees.V2, ".oebuild/features/mcs/bad.yaml": text})
    with pytest.raises(ConfigError, match=error) as caught:
        features.read(root / ".oebuild")
    assert "features/mcs/" in caught.value.message or "init/systemd.yaml" in caught.value.message


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("platform/qemu-aarch64.yaml", "machine: [", r"qemu-aarch64\.yaml:1: not YAML"),
        ("platform/qemu-aarch64.yaml", "machine: q\ntype: x", r"yaml:2: no type: platform"),
        ("platform/qemu-aarch64.yaml", "type: platform\nmachine: 3", r"yaml:2: no text machine"),
        ("platform/qemu-aarch64.yaml", "type: platform\nmachine: q", "no text toolchain_type"),
        (
            "platform/qemu-aarch64.yaml",
            trees.PLATFORM.format(name="kemu"),
            r"yaml:2: machine kemu, but oejail's platform qemu-aarch64 has machine qemu-aarch64",
        ),
        ("common.yaml", "repos: 1", r"common\.yaml:1: repos is no list"),
        ("common.yaml", "type: common\nlocal_conf: [x]", r"common\.yaml:2: local_conf is no text"),
    ],
)
def test_a_broken_platform_is_named(file: str, text: str, error: str, tmp_path: Path) -> None:
    root = trees.write(tmp_path, {**trees.V2, f".oebuild/{file}": text})
    with pytest.raises(ConfigError, match=error):
        wanted(features.read(root / ".oebuild"), QEMU, "auto")


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
