# SPDX-License-Identifier: MIT
"""A build from shared state that leaves no artefact: completed by BitBake itself, not failed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oejail import artifacts, engine, project
from oejail.artifacts import ArtifactMissing, SetSpec
from oejail.workspace import layers
from oejail.workspace.model import Workspace
from oejail.workspace.workspace import ensure_generated, ensure_init, ensure_sources, open_workspace
from tests.support.cli import oejail
from tests.support.sample_build import SampleBuild


@pytest.fixture
def restored(sample_build: SampleBuild, tmp_path: Path) -> Workspace:
    """A project that shares `sample_build`'s state, without meta-oejail's appends: a build leaves
    what is deployed and what pkgdata knows, as openEuler's does.
    """
    project.init(tmp_path, sample=True)
    config = tmp_path / "oejail.yaml"
    lines = [f'SSTATE_DIR = "{sample_build.build_dir}/sstate-cache"', 'BBMASK = "dynamic-layers"']
    text = config.read_text().replace("local_conf: []", f"local_conf: {lines}")
    config.write_text(text)
    here = project.load(tmp_path)
    ws = open_workspace(here)
    ensure_init(ws)
    ensure_sources(ws)
    ensure_generated(ws)
    layers.ensure(ws)
    return ws


def test_packages_are_brought_back(restored: Workspace, tmp_path: Path) -> None:
    wanted = SetSpec.from_project(restored.project)
    assert engine.build(restored, restored.project.targets()).ok
    absent = artifacts.missing(restored.build_dir, restored.project.platform, wanted)
    assert absent is not None
    assert "jailhouse.ko" in absent.names and "FreeRTOS.bin" not in absent.names
    assert absent.recipes == ("jailhouse",)
    assert "  tmp/deploy/{rpm,ipk,deb}: nothing of jailhouse that is wanted" in absent.details

    oejail(tmp_path, "build", "jailhouse")  # what is asked for by name is built, and that is all
    assert artifacts.missing(restored.build_dir, restored.project.platform, wanted) is not None
    said = oejail(tmp_path, "build")
    assert "BitBake is done, but left no" in said.err and "packaging jailhouse again" in said.err
    collection = artifacts.collect(
        restored.build_dir, restored.project.platform, wanted, tmp_path / "out"
    )
    module = collection.find("payload/jailhouse.ko")
    assert module is not None and "/packages-split/" in module.origin
    assert not list(restored.build_dir.glob("tmp/work/*/jailhouse/*/image"))  # nothing was built
    assert engine.complete(restored, wanted) == ()

    # BitBake takes its stamps for the truth: it would not bring back what was deleted since.
    for path in restored.build_dir.glob("tmp/work/*/jailhouse/*"):
        shutil.rmtree(path)
    with pytest.raises(ArtifactMissing) as caught:
        engine.complete(restored, wanted)
    assert "the build left no jailhouse.ko" in oejail(tmp_path, "build", status=None).err
    assert "the build left no jailhouse.ko" in caught.value.message
    assert caught.value.hint is not None
    assert "oejail bitbake -- -f -c compile jailhouse, then oejail up" in caught.value.hint
    assert "looked in:" in caught.value.details
