# SPDX-License-Identifier: MIT
"""Where collected files come from: index, work directories, packages; and hostile ones."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oejail import platforms
from oejail.artifacts import ArtifactConflict, ArtifactMissing, SetSpec, collect, packages
from oejail.artifacts.model import Artifact
from oejail.artifacts.places import find_places
from oejail.errors import BuildFailed, ConfigError
from oejail.files import sha256_bytes
from tests.support import archives, foreign_build
from tests.support.foreign_build import FREERTOS, MODULE, STALE_FREERTOS, ForeignBuild, write

PLATFORM = platforms.load("qemu-aarch64")
WANTED = SetSpec.from_platform(PLATFORM)
NAME = "Jailhouse_FreeRTOS_demo/FreeRTOS.bin"
DEB = "tmp/deploy/deb/cortexa57/jailhouse-freertos_11.1.0-r0_arm64.deb"


@pytest.fixture
def build(tmp_path: Path) -> ForeignBuild:
    return foreign_build.make(tmp_path / "build", decoys=False)


def taken(build: ForeignBuild, path: str = "payload/FreeRTOS.bin") -> Artifact:
    collection = collect(build.directory, PLATFORM, WANTED, build.directory.parent / "out")
    artifact = collection.find(path)
    assert artifact is not None
    return artifact


def index(build: ForeignBuild, recipe: str, files: dict[str, bytes], /, **changes: Any) -> Path:
    """What oejail-deploy.bbclass leaves; `changes` are keys of the index."""
    top = build.deployed / "oejail" / recipe
    listed = []
    for path, data in files.items():
        write(top / path, data)
        digest = sha256_bytes(data)
        entry = {"path": path, "origin": f"/{path}", "package": recipe, "mode": 0o644}
        listed.append({**entry, "sha256": digest, "size": len(data)})
    version = "0.12-r0" if recipe == "jailhouse" else "11.1.0-r0"
    value = {"schema_version": 1, "recipe": recipe, "version": version, "files": listed, **changes}
    return write(top / "oejail-index.json", json.dumps(value).encode())


def test_the_index_counts_first(build: ForeignBuild) -> None:
    index(build, "jailhouse-freertos", {NAME: FREERTOS})
    artifact = taken(build)
    assert artifact.origin == f"tmp/deploy/images/qemu-aarch64/oejail/jailhouse-freertos/{NAME}"
    assert any("packages-split" in copy for copy in artifact.copies)


def test_with_an_index_no_work_directory_is_needed(build: ForeignBuild) -> None:
    shutil.rmtree(build.freertos().parent)
    index(build, "jailhouse-freertos", {NAME: FREERTOS})
    assert taken(build).sha256 == sha256_bytes(FREERTOS)


def test_an_index_beside_an_unstripped_module(build: ForeignBuild) -> None:
    """image/ alone is left of the work directory: its module is not the one in the image."""
    index(build, "jailhouse", {"lib/modules/5/extra/jailhouse.ko": MODULE})
    for tree in ("packages-split", "package"):
        shutil.rmtree(build.jailhouse / tree)
    assert taken(build, "payload/jailhouse.ko").sha256 == sha256_bytes(MODULE)


def test_an_index_of_another_version_is_stale(build: ForeignBuild) -> None:
    index(build, "jailhouse-freertos", {NAME: STALE_FREERTOS}, version="1.0-r0")
    artifact = taken(build)
    assert artifact.sha256 == sha256_bytes(FREERTOS)
    assert artifact.passed_over[0].why == (
        "version 1.0-r0 is not the current one by pkgdata, 11.1.0-r0"
    )


def test_the_index_is_of_the_last_build_a_work_directory_may_be_older(build: ForeignBuild) -> None:
    index(build, "jailhouse-freertos", {NAME: STALE_FREERTOS})
    artifact = taken(build)
    assert artifact.sha256 == sha256_bytes(STALE_FREERTOS)
    whys = [other.why for other in artifact.passed_over]
    assert "the last build's index counts before a work directory" in whys
    write(build.deployed / "FreeRTOS.bin", FREERTOS)
    with pytest.raises(ArtifactConflict, match="2 different files"):
        taken(build)


def test_a_file_that_is_not_what_the_index_says(build: ForeignBuild) -> None:
    index(build, "jailhouse-freertos", {NAME: FREERTOS})
    path = build.deployed / "oejail/jailhouse-freertos" / NAME
    path.write_bytes(FREERTOS[:-1])
    with pytest.raises(BuildFailed) as caught:
        taken(build)
    assert f"{path}: sha256 {sha256_bytes(FREERTOS[:-1])}" in caught.value.message
    assert sha256_bytes(FREERTOS) in caught.value.message


def test_an_index_whose_file_is_gone_does_not_count(build: ForeignBuild) -> None:
    index(build, "jailhouse-freertos", {NAME: FREERTOS})
    (build.deployed / "oejail/jailhouse-freertos" / NAME).unlink()
    assert "packages-split" in taken(build).origin


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema_version": 2}, "schema version 2"),
        ({"recipe": "another"}, "is of recipe 'another'"),
        ({"more": 1}, "1 wrong values"),
        ({"files": [{"path": "../../x"}]}, "wrong values"),
    ],
)
def test_a_hostile_index(build: ForeignBuild, changes: dict[str, Any], told: str) -> None:
    path = index(build, "jailhouse-freertos", {NAME: FREERTOS}, **changes)
    with pytest.raises(ConfigError, match=told) as caught:
        taken(build)
    assert str(path) in caught.value.message


@pytest.mark.parametrize(
    "bad", ["../FreeRTOS.bin", "/etc/FreeRTOS.bin", "a//FreeRTOS.bin", "a\n/x"]
)
def test_a_path_out_of_the_index(build: ForeignBuild, bad: str) -> None:
    path = index(build, "jailhouse-freertos", {NAME: FREERTOS})
    value = json.loads(path.read_text())
    value["files"][0]["path"] = bad
    path.write_text(json.dumps(value))
    with pytest.raises(ConfigError, match="wrong values") as caught:
        taken(build)
    assert "no path below its directory" in caught.value.details[0]


def test_a_link_out_of_the_index(build: ForeignBuild, tmp_path: Path) -> None:
    index(build, "jailhouse-freertos", {NAME: FREERTOS})
    path = build.deployed / "oejail/jailhouse-freertos" / NAME
    path.unlink()
    path.symlink_to(write(tmp_path / "outside", FREERTOS))
    with pytest.raises(ConfigError, match="leads out of the build directory"):
        taken(build)
    shutil.rmtree(path.parent.parent)
    fifo = build.deployed / "oejail/jailhouse-freertos/oejail-index.json"
    fifo.parent.mkdir()
    os.mkfifo(fifo)
    with pytest.raises(ConfigError, match="not a regular file"):
        taken(build)


# Packages


def packaged(build: ForeignBuild, data: bytes, place: str = DEB) -> Path:
    """All that is left of jailhouse-freertos is the package file at `place`."""
    shutil.rmtree(build.freertos().parent, ignore_errors=True)
    return write(build.directory / place, data)


def about(version: str = "11.1.0-r0", recipe: str = "jailhouse-freertos") -> bytes:
    return archives.control(recipe, version)


@pytest.mark.parametrize("make", [archives.deb, archives.old_ipk])
@pytest.mark.parametrize("place", [DEB, DEB.replace("deb", "ipk")])
def test_a_package_is_all_that_is_left(
    build: ForeignBuild, make: Callable[..., bytes], place: str
) -> None:
    files = {"./usr/share/doc/x": b"x", f"./{NAME}": FREERTOS}
    packaged(build, make(about(), files), place)
    artifact = taken(build)
    assert (artifact.origin, artifact.member) == (place, f"./{NAME}")
    assert artifact.sha256 == sha256_bytes(FREERTOS)


def test_packages_of_other_recipes_and_versions_do_not_count(build: ForeignBuild) -> None:
    packaged(build, archives.deb(about(), {NAME: FREERTOS}))
    old = archives.deb(about("1.0-r0"), {NAME: STALE_FREERTOS})
    packaged(build, old, DEB.replace("11.1.0", "1.0"))
    other = archives.deb(about(recipe="another"), {NAME: STALE_FREERTOS})
    packaged(build, other, DEB.replace("freertos_", "freertos_another-"))
    artifact = taken(build)
    assert artifact.sha256 == sha256_bytes(FREERTOS)
    assert [other.why for other in artifact.passed_over] == [
        "version 1.0-r0 is not the current one by pkgdata, 11.1.0-r0"
    ]


def test_without_pkgdata_two_versions_are_a_conflict(build: ForeignBuild) -> None:
    packaged(build, archives.deb(about(), {NAME: FREERTOS}))
    packaged(build, archives.deb(about("1.0-r0"), {NAME: STALE_FREERTOS}), f"{DEB[:-4]}x.deb")
    shutil.rmtree(build.pkgdata)
    with pytest.raises(ArtifactConflict):
        taken(build)


@pytest.mark.parametrize("member", ["../" + NAME, "/usr/src/FreeRTOS.bin", "a/.debug/FreeRTOS.bin"])
def test_members_that_are_no_files_of_the_target(build: ForeignBuild, member: str) -> None:
    packaged(build, archives.deb(about(), {member: FREERTOS}))
    with pytest.raises(ArtifactMissing, match=r"left no FreeRTOS\.bin") as caught:
        taken(build)
    assert f"  {DEB}" in caught.value.details


def whole() -> bytes:
    return archives.deb(about(), {NAME: os.urandom(4096)})


@pytest.mark.parametrize("cut", [0, 7, 40, 100, 300, 1000, 4000])
def test_a_package_cut_short(build: ForeignBuild, cut: int) -> None:
    path = packaged(build, whole()[:cut])
    with pytest.raises(ConfigError, match=str(path)):
        taken(build)


@pytest.mark.parametrize("data", [b"no package", bytes(5000), b"!<arch>\n" + b"x" * 600])
@pytest.mark.parametrize("form", ["rpm", "deb", "ipk"])
def test_what_is_no_package(build: ForeignBuild, data: bytes, form: str) -> None:
    path = packaged(build, data, DEB.replace("deb", form))
    with pytest.raises(ConfigError, match=str(path)):
        taken(build)


def test_a_bomb(build: ForeignBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_UNPACKED", 1 << 20)
    path = packaged(build, archives.deb(about(), {"zeros": bytes(3 << 20), NAME: FREERTOS}))
    assert path.stat().st_size < 1 << 14
    with pytest.raises(ConfigError, match="more than 1048576 bytes unpacked"):
        taken(build)


def test_too_many_members(build: ForeignBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "MAX_MEMBERS", 3)
    packaged(build, archives.deb(about(), {f"file-{n}": b"" for n in range(5)}))
    with pytest.raises(ConfigError, match="more than 3 files"):
        taken(build)


def test_a_large_control_file(build: ForeignBuild) -> None:
    packaged(build, archives.deb(about() + b"X: " + bytes(2 << 20), {NAME: FREERTOS}))
    with pytest.raises(ConfigError, match="control of 2097"):
        taken(build)


def test_an_old_ipk_without_data(build: ForeignBuild) -> None:
    inner = archives.tar({"./control.tar.gz": gzip.compress(archives.tar({"control": about()}))})
    packaged(build, gzip.compress(inner))
    with pytest.raises(ConfigError, match=r"no data\.tar in it"):
        taken(build)


def test_a_package_that_changes_meanwhile(build: ForeignBuild) -> None:
    path = packaged(build, whole())
    places = find_places(build.directory, build.machine)
    with pytest.raises(ConfigError, match="no other in it any more"):
        list(packages.chunks(places, path, "other", 1 << 20))
    with pytest.raises(ConfigError, match="4096 bytes, more than the limit 4095"):
        list(packages.chunks(places, path, NAME, 4095))
