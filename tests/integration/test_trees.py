# SPDX-License-Identifier: MIT
"""Trees shaped like yocto-meta-openeuler, in each layout of its features, with the real oebuild.

Their yocto-poky is the sample's, so that BitBake itself reads what was generated.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from oejail import doctor, engine, oebuild, pipeline, project
from oejail.cli.main import app
from oejail.engine.build import run_bitbake
from oejail.errors import ConfigError, Exit, PrerequisiteMissing
from oejail.workspace import hosttools, layers, sample
from oejail.workspace import identity as who
from oejail.workspace.conf import Variable, statements
from oejail.workspace.model import Workspace
from oejail.workspace.workspace import ensure_generated, open_workspace
from tests.support import trees
from tests.support.sample_build import identity
from tests.support.trees import nativesdk as sdk

OLDER = "oebuild-0.2.1.0"
NIGHTLY = {k.replace("/features/", "/nightly-features/"): v for k, v in trees.OPENEULER.items()}
LAYER = (
    'BBPATH .= ":${LAYERDIR}"\nBBFILE_COLLECTIONS += "openeuler-rtos"\n'
    'BBFILE_PATTERN_openeuler-rtos = "^${LAYERDIR}/"\n'
    'LAYERSERIES_COMPAT_openeuler-rtos = "kirkstone"\n'
)
TREES = {
    "v1": trees.V1,
    "v2": trees.V2,
    "openeuler": trees.OPENEULER,
    "nightly": NIGHTLY,
    "v1-nightly": {**trees.V1, **NIGHTLY},
}


def mcs_features(text: str) -> list[str]:
    """MCS_FEATURES as BitBake makes it of a configuration's lines."""
    found = Variable("MCS_FEATURES", statements(text, "local.conf"))
    gone = {word.text for word in found.removed()}
    return [word.text for word in found.words() if word.text not in gone]


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, these trees (our own) are handled in a user namespace, as the sample is."""
    monkeypatch.setattr(who, "choose", lambda *_: identity())
    monkeypatch.setattr(who, "check_reach", lambda *_: None)


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's sources without features; not to be changed."""
    src = tmp_path_factory.mktemp("tree") / "src"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(src.parent))
        sample.lay_out(src)
    shutil.rmtree(src / "yocto-meta-openeuler" / ".oebuild" / "features")
    trees.write(
        src / "yocto-meta-openeuler" / "rtos/meta-openeuler-rtos", {"conf/layer.conf": LAYER}
    )
    (src / "yocto-meta-extra").mkdir()
    return src


class Place:
    """A project beside a tree of its own."""

    def __init__(self, base: Path, laid_out: Path, tree: Mapping[str, str]) -> None:
        self.root = base / "p"
        self.src = base / "src"
        shutil.copytree(laid_out, self.src, symlinks=True)
        self.described = self.src / "yocto-meta-openeuler" / ".oebuild"
        for name, text in tree.items():
            if "features/" in name:
                trees.write(self.src / "yocto-meta-openeuler", {name: text})
        (self.described / "features").mkdir(exist_ok=True)
        self.root.mkdir()
        self.write()

    def write(self, more: str = "") -> None:
        lines = json.dumps(sample.local_conf_lines())
        (self.root / "oejail.yaml").write_text(
            "version: 1\nengine: host\ntree: ../src\ntargets: [jailhouse, jailhouse-freertos, "
            f"openeuler-image-mcs]\nlocal_conf: {lines}\n{more}"
        )

    @property
    def ws(self) -> Workspace:
        return open_workspace(project.load(self.root))

    def up(self) -> None:
        with project.load(self.root).lock("up"):
            pipeline.up(self.root, pipeline.Options(last="layers"))

    def mcs(self) -> list[str]:
        """MCS_FEATURES as BitBake makes it of compile.yaml."""
        text = yaml.safe_load(self.ws.compile_yaml.read_text())["local_conf"]
        return mcs_features(text)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, laid_out: Path) -> Place:
    return Place(tmp_path, laid_out, TREES[getattr(request, "param", "openeuler")])


@pytest.mark.parametrize("place", TREES, indirect=True)
def test_up_until_layers_in_each(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.up()
    ws = place.ws
    assert place.mcs() == ["jailhouse"]
    before = ws.compile_yaml.read_bytes()
    caplog.clear()
    place.up()
    assert [r.message.split()[1:] for r in caplog.records if r.levelname == "INFO"] == (
        [["up", "to", "date"]] * 4
    )
    assert not ensure_generated(ws).changed and ws.compile_yaml.read_bytes() == before

    # BitBake takes it: the layers are there, and a second generate leaves conf/ alone.
    run = run_bitbake(ws, ["--version"])
    assert run.ok, run.text
    shown = [layer.path for layer in layers.show(ws)]
    assert any(path.endswith("meta-openeuler-rtos") for path in shown), shown
    local = (ws.build_dir / "conf" / "local.conf").read_text()
    assert mcs_features(local) == ["jailhouse"]

    # Other features, and back.
    place.write("features: []\n")
    place.up()
    assert place.mcs() == []
    place.write()
    place.up()
    assert place.mcs() == ["jailhouse"]


def test_lines_put_into_compile_yaml_by_hand(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.up()
    ws = place.ws
    run_bitbake(ws, ["--version"])
    text = ws.compile_yaml.read_text()
    data = yaml.safe_load(text)
    data["local_conf"] += 'BY_HAND = "1"\n'
    ws.compile_yaml.write_text(yaml.safe_dump(data))
    caplog.clear()
    place.up()
    said = [r.message for r in caplog.records if r.levelname == "WARNING"]
    assert len(said) == 1 and 'BY_HAND = "1" is not in conf/local.conf' in said[0], said
    assert 'BY_HAND = "1"' in ws.compile_yaml.read_text()


def test_a_broken_file_is_named_before_oebuild_runs(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.up()
    (place.described / "features/mcs/mcs.yaml").write_text("id: mcs\nsub_feats:\n  - id: [\n")
    monkeypatch.setattr(oebuild, "run", None)
    with pytest.raises(ConfigError, match=r"features/mcs/mcs\.yaml:4: not YAML") as caught:
        place.up()
    assert caught.value.exit_code == Exit.USAGE


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """oebuild 0.2.1.0 as a program."""
    installed = Path(sys.prefix) / OLDER
    assert (installed / "oebuild").is_dir(), f"{installed}: not there; run make setup"
    program = tmp_path / OLDER
    start = (
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
        "sys.argv[0] = 'oebuild'; runpy.run_module('oebuild', run_name='__main__')"
    )
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -c "{start}" "{installed}" "$@"\n')
    program.chmod(0o755)
    return program


def test_an_older_oebuild(place: Place, older: Path, tmp_path: Path) -> None:
    """0.2.1.0: its host mode wants a nativesdk, and it reads schema v2 alone."""
    assert oebuild.version((str(older),), identity()) == "0.2.1.0"
    place.write(f"oebuild: {older}\n")
    (line,) = [line for line in doctor.examine(place.root) if line.name == "oebuild"]
    assert line.state == "note" and line.detail.startswith(f"0.2.1.0 at {older}; oejail was tested")
    with pytest.raises(PrerequisiteMissing, match="its host mode needs a nativesdk") as caught:
        place.up()
    assert "nativesdk:" in str(caught.value.hint) and oebuild.PINNED in str(caught.value.hint)
    place.write(f"oebuild: {older}\nnativesdk: {sdk(tmp_path / 'sdk')}\n")
    place.up()
    assert place.mcs() == ["jailhouse"]
    run = run_bitbake(place.ws, ["--version"])
    assert run.ok, run.text
    shutil.rmtree(place.described / "features")
    trees.write(place.described.parent, {k: v for k, v in trees.V1.items() if "/features/" in k})
    with pytest.raises(PrerequisiteMissing, match="features of schema v1, which this oebuild"):
        place.up()
    place.write()
    place.up()
    assert place.mcs() == ["jailhouse"]


def test_nativesdk_and_hosttools(place: Place, tmp_path: Path) -> None:
    place.up()
    conf = place.src / "yocto-poky/meta/conf/bitbake.conf"
    conf.write_text(conf.read_text() + 'HOSTTOOLS += "tool-of-the-sdk chrpath-of-nobody sh"\n')
    with pytest.raises(PrerequisiteMissing) as caught:
        engine.build(place.ws, ["jailhouse"])
    assert caught.value.exit_code == Exit.PREREQUISITE
    assert caught.value.message == (
        f"{place.ws.src}/yocto-poky/meta/conf/bitbake.conf: HOSTTOOLS not on PATH: "
        "chrpath-of-nobody, tool-of-the-sdk"
    )
    assert not (place.ws.build_dir / "conf").exists()  # BitBake was not started

    directory = sdk(tmp_path / "sdk")
    place.write(f"nativesdk: {directory}\n")
    place.up()
    assert yaml.safe_load(place.ws.compile_yaml.read_text())["nativesdk_dir"] == str(directory)
    assert hosttools.look(place.ws).missing == ("chrpath-of-nobody",)
    assert run_bitbake(place.ws, ["--version"]).ok
    local = (place.ws.build_dir / "conf" / "local.conf").read_text()
    sysroot = f'OPENEULER_NATIVESDK_SYSROOT = "{directory}/sysroots/x86_64-openeulersdk-linux"'
    assert sysroot in local

    place.write("nativesdk: ../nowhere\n")
    with pytest.raises(ConfigError, match="nowhere: no such directory"):
        place.up()
    place.write()
    place.up()
    assert "nativesdk_dir" not in yaml.safe_load(place.ws.compile_yaml.read_text())


def test_more_than_64_kib_on_stderr(place: Place) -> None:
    """BitBake's errors go to stderr; oebuild's host mode would wait for ever behind them."""
    place.up()
    recipe = place.src / "yocto-meta-openeuler/meta-openeuler/recipes-extended/loud/loud.bb"
    code = "python do_loud() {\n    for n in range(1500): bb.error('e' * 100)\n}\n"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(f'LICENSE = "MIT"\n{code}addtask loud before do_build\n')
    result = engine.attempt(place.ws, ["loud"])
    assert not result.ok and result.failures
    log = "".join(path.read_text() for path in place.ws.build_dir.glob("oebuild.log"))
    assert log.count("e" * 100) >= 1000


def test_list(place: Place) -> None:
    def listed(*words: str) -> str:
        done = CliRunner().invoke(app, ["init", "--list", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    report = json.loads(listed("--json", str(place.root)))
    assert (report["schema_version"], report["feature_schema"]) == (1, "v2")
    boards = {one["name"]: one for one in report["platforms"]}
    assert boards["qemu-aarch64"]["features"] == ["mcs/jailhouse"]
    found = {one["name"]: one for one in report["features"]}
    assert found["mcs/jailhouse"]["supported"] == ["qemu-aarch64", "raspberrypi4-64"]
    assert found["hypervisor/baremetal"]["machines"] is None
    assert found["hypervisor/xen"]["place"].endswith("hypervisor/xen.yaml:1")
    trees.write(place.described, {"platform/kp920.yaml": trees.PLATFORM.format(name="kp920")})
    lines = [line.split() for line in listed(str(place.root)).splitlines()]
    assert ["kp920", "no", "platform", "file"] in lines
    assert ["mcs/jailhouse", "auto", "kp920", "qemu-aarch64", "raspberrypi4-64"] in lines
    assert not (place.root / "workspace").exists()
    assert "samples/yocto-meta-openeuler" in listed("--sample", str(place.root))
    assert os.listdir(place.root) == ["oejail.yaml"]
