# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

import pytest

from oejail import project
from oejail.errors import UsageFault
from tests.conftest import repository

GOLDEN = repository() / "tests" / "data" / "project"
CONFIG = """\
docker: {repo_url: x, tag_map: {master: latest}}
basic_repo:
  yocto_meta_openeuler:
    path: yocto-meta-openeuler
    remote_url: https://example.invalid/mine.git
    branch: openEuler-24.03
"""


def same_as_golden(name: str, text: str) -> None:
    """Compare with tests/data/project/NAME; OEJAIL_TEST_GOLDEN=write writes it anew."""
    path = GOLDEN / name
    if os.environ.get("OEJAIL_TEST_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize(
    ("name", "platform", "sample"),
    [
        ("default.yaml", None, False),
        ("sample.yaml", None, True),
        ("raspberry.yaml", "raspberrypi4-64", False),
        ("raspberry-sample.yaml", "raspberrypi4-64", True),
    ],
)
def test_golden(name: str, platform: str | None, sample: bool, tmp_path: Path) -> None:
    path = project.init(tmp_path / "new" / "dir", platform=platform, sample=sample)
    same_as_golden(name, path.read_text())
    found = project.load(path.parent)
    assert found.is_sample == sample and found.config.engine == ("host" if sample else "container")
    # What the template spells out is what would be taken without it.
    (tmp_path / "oejail.yaml").write_text(
        f"version: 1\nplatform: {found.platform.name}\ntree: {found.config.tree}\n"
        f"rtos: {found.config.rtos or 'null'}\n"
    )
    assert project.load(tmp_path).cells.root == found.cells.root
    assert [i.cell for i in project.load(tmp_path).cells.inmates] == [
        i.cell for i in found.cells.inmates
    ]


def test_the_template_names_every_key() -> None:
    text = (GOLDEN / "default.yaml").read_text()
    keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    assert keys == {field.name for field in dataclasses.fields(project.Config)}


def test_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "oejail.yaml").write_text("mine")
    with pytest.raises(UsageFault, match=r"oejail\.yaml exists"):
        project.init(tmp_path)
    assert (tmp_path / "oejail.yaml").read_text() == "mine"


def test_unknown_platform_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="did you mean qemu-aarch64"):
        project.init(tmp_path / "new", platform="qemu-aarch")
    assert not (tmp_path / "new").exists()


def test_workspace_elsewhere(tmp_path: Path) -> None:
    project.init(tmp_path / "a", workspace=tmp_path / "ws")
    assert project.load(tmp_path / "a").config.workspace == str(tmp_path / "ws")
    project.init(tmp_path / "b", workspace=tmp_path / "b" / "below")
    assert project.load(tmp_path / "b").config.workspace == "below"
    with pytest.raises(UsageFault, match="oebuild cannot bear ' ' in a path"):
        project.init(tmp_path / "c", workspace=tmp_path / "w s")


def oebuild_workspace(root: Path, builds: dict[str, str]) -> Path:
    (root / ".oebuild").mkdir(parents=True)
    (root / ".oebuild" / "config").write_text(CONFIG)
    for name, text in builds.items():
        (root / "build" / name).mkdir(parents=True)
        (root / "build" / name / "compile.yaml").write_text(text)
    return root


def test_adopts_the_directory_itself(tmp_path: Path) -> None:
    root = oebuild_workspace(tmp_path, {"rpi_4": "machine: raspberrypi4-64\nbuild_in: host\n"})
    project.init(root)
    found = project.load(root)
    assert found.config.workspace == "." and found.build_name == "rpi_4"
    assert found.platform.name == "raspberrypi4-64" and found.config.engine == "host"
    source = found.config.sources["yocto-meta-openeuler"]
    assert (source.url, source.ref) == ("https://example.invalid/mine.git", "openEuler-24.03")
    same_as_golden("adopted.yaml", (root / "oejail.yaml").read_text())


def test_adopts_by_option_and_default_names_stay_null(tmp_path: Path) -> None:
    ws = oebuild_workspace(tmp_path / "ws", {"qemu-aarch64": "machine: qemu-aarch64\n"})
    project.init(tmp_path / "p", workspace=ws)
    found = project.load(tmp_path / "p")
    assert found.config.build_name is None and found.config.engine == "container"
    assert found.config.workspace == str(ws)


def test_several_build_directories(tmp_path: Path) -> None:
    qemu = "machine: qemu-aarch64\n"
    builds = {
        "a": qemu,
        "b": qemu,
        "c": "machine: raspberrypi4-64\n",
        "BAD": qemu,
        "x": "machine: x",
    }
    ws = oebuild_workspace(tmp_path / "ws", builds)
    listed = r"a \(qemu-aarch64\), b \(qemu-aarch64\), c \(raspberrypi4-64\)"
    with pytest.raises(UsageFault, match=f"several build directories: {listed}"):
        project.init(tmp_path / "p", workspace=ws)
    with pytest.raises(UsageFault, match=f"no build directory d; there are: {listed}"):
        project.init(tmp_path / "p", workspace=ws, build="d")
    project.init(tmp_path / "p", workspace=ws, build="b")
    assert project.load(tmp_path / "p").build_name == "b"
    project.init(tmp_path / "q", workspace=ws, platform="raspberrypi4-64")
    assert project.load(tmp_path / "q").build_name == "c"


def test_adoption_without_build_directory(tmp_path: Path) -> None:
    ws = oebuild_workspace(tmp_path / "ws", {})
    project.init(tmp_path / "p", workspace=ws, platform="raspberrypi4-64")
    assert project.load(tmp_path / "p").platform.name == "raspberrypi4-64"
    with pytest.raises(UsageFault, match="the sample tree needs one of its own"):
        project.init(tmp_path / "q", workspace=ws, sample=True)
    with pytest.raises(UsageFault, match="no build directory x; there are: none"):
        project.init(tmp_path / "q", workspace=ws, build="x")
    with pytest.raises(UsageFault, match="no oebuild workspace with a build directory x"):
        project.init(tmp_path / "q", build="x")


def test_a_hostile_workspace_gives_no_hostile_file(tmp_path: Path) -> None:
    ws = oebuild_workspace(tmp_path / "ws", {})
    bad = CONFIG.replace("https://example.invalid/mine.git", "'ext::sh -c id'")
    (ws / ".oebuild" / "config").write_text(bad.replace("openEuler-24.03", '"x\\ny: 1"'))
    project.init(tmp_path / "p", workspace=ws)
    source = project.load(tmp_path / "p").config.sources["yocto-meta-openeuler"]
    assert source.url.startswith("https://atomgit.com/") and source.ref == "master"


def test_a_platform_file_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oejail import platforms

    board = (Path(platforms.__file__).parent / "qemu-aarch64.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(board)
    monkeypatch.chdir(tmp_path)
    project.init(Path("p"), platform="./mine.yaml")
    monkeypatch.chdir("/")
    assert project.load(tmp_path / "p").config.platform == str(tmp_path / "mine.yaml")
