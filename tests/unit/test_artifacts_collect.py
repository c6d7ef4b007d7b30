# SPDX-License-Identifier: MIT
"""collect: the right copy of each file, whatever else lies in a build directory."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from oejail import platforms
from oejail.artifacts import (
    ArtifactConflict,
    ArtifactMissing,
    Collection,
    InmateSpec,
    SetSpec,
    collect,
    layout,
    read_index,
)
from oejail.artifacts.discover import Candidate
from oejail.cells import CellFormatError, encode, shipped
from oejail.errors import BuildFailed, ConfigError, UsageFault
from oejail.files import sha256_bytes
from oejail.log import logger
from tests.conftest import repository
from tests.support import elf_files, foreign_build
from tests.support.foreign_build import ForeignBuild, write

PLATFORM = platforms.load("qemu-aarch64")
WANTED = SetSpec.from_platform(PLATFORM)
NAME = "Jailhouse_FreeRTOS_demo/FreeRTOS.bin"


@pytest.fixture
def build(tmp_path: Path) -> ForeignBuild:
    return foreign_build.make(tmp_path / "build")


@pytest.fixture
def lines() -> list[str]:
    """What is said meanwhile."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger.addHandler(Keep())
    return said


def collected(build: ForeignBuild, wanted: SetSpec = WANTED) -> Collection:
    return collect(build.directory, PLATFORM, wanted, build.directory.parent / "out")


def digest_of(collection: Collection, path: str) -> str:
    artifact = collection.find(path)
    assert artifact is not None
    return artifact.sha256


def test_the_right_copies_are_taken(build: ForeignBuild, lines: list[str]) -> None:
    """Beside stale version, unstripped module, debug file and decoys."""
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.FREERTOS)
    assert digest_of(found, "payload/jailhouse.ko") == sha256_bytes(foreign_build.MODULE)
    assert digest_of(found, "payload/bin/jailhouse") == sha256_bytes(foreign_build.TOOL)
    assert digest_of(found, "boot/zImage") == sha256_bytes(foreign_build.KERNEL)
    assert digest_of(found, "boot/initrd.cpio.gz") == sha256_bytes(foreign_build.cpio())
    said = "\n".join(lines)
    assert "FreeRTOS.bin: passed over tmp/work" in said
    assert "version 1.0-r0 is not the current one by pkgdata, 11.1.0-r0" in said
    assert "packages-split counts before image" in said


def test_what_lies_in_out(build: ForeignBuild) -> None:
    collection = collected(build)
    out = build.directory.parent / "out"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "artifacts.json",
        "boot/initrd.cpio.gz",
        "boot/zImage",
        "install.sh",
        "payload/FreeRTOS.bin",
        "payload/bin/jailhouse",
        "payload/cells/dts/inmate-qemu-arm64.dtb",
        "payload/cells/qemu-arm64-freertos-demo.cell",
        "payload/cells/qemu-arm64-inmate-demo.cell",
        "payload/cells/qemu-arm64-openeuler-demo.cell",
        "payload/inmates/gic-demo.bin",
        "payload/inmates/uart-demo.bin",
        "payload/jailhouse.bin",
        "payload/jailhouse.ko",
        "payload/linux-loader.bin",
        "payload/oejail-start",
        "payload/oejail.init",
        "payload/oejail.service",
        "payload/oejail.set",
    ]
    assert (out / "payload/oejail.set").read_text() == (
        "root\tcells/qemu-arm64-openeuler-demo.cell\n"
        "inmate\tfreertos\tcells/qemu-arm64-freertos-demo.cell\tFreeRTOS.bin\t-\n"
    )
    for artifact in collection.artifacts:
        data = (out / artifact.path).read_bytes()
        assert (sha256_bytes(data), len(data)) == (artifact.sha256, artifact.size)
        assert (out / artifact.path).stat().st_mode & 0o777 == artifact.mode
    assert {a.path for a in collection.artifacts if a.mode == 0o755} == {
        "install.sh",
        "payload/bin/jailhouse",
        "payload/oejail-start",
        "payload/oejail.init",
    }


def test_the_index(build: ForeignBuild) -> None:
    collection = collected(build)
    out = build.directory.parent / "out"
    assert read_index(out) == collection
    raw = json.loads((out / "artifacts.json").read_text())
    assert raw["schema_version"] == 1
    assert raw["set"]["inmates"][0]["expect"] == "This is freertos from the openeuler community!"
    assert raw["set_source"] == "platform qemu-aarch64"
    assert (raw["sample"], raw["absent"]) == (False, [])
    module = collection.find("payload/jailhouse.ko")
    assert module is not None
    assert module.info["vermagic"] == "5.10.0-openeuler SMP preempt mod_unload aarch64"
    assert module.origin.startswith("tmp/work/qemu_aarch64-openeuler-linux/jailhouse/0.12-r0/pack")
    assert [other.why for other in module.passed_over] == ["packages-split counts before image"]
    root = collection.find("payload/cells/qemu-arm64-openeuler-demo.cell")
    assert root is not None and root.kind == "root-cell"


def test_only_packages_split(build: ForeignBuild) -> None:
    """As a build from shared state leaves it; and no kernel, no image."""
    for version in ("11.1.0-r0", "1.0-r0"):
        for name in ("image", "package", "Jailhouse_FreeRTOS_demo"):
            shutil.rmtree(build.freertos(version) / name)
    shutil.rmtree(build.jailhouse / "image")
    shutil.rmtree(build.jailhouse / "package")
    shutil.rmtree(build.deployed)
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.FREERTOS)
    assert digest_of(found, "payload/jailhouse.ko") == sha256_bytes(foreign_build.MODULE)
    assert found.absent == ("kernel", "initrd")


def test_package_counts_before_image(build: ForeignBuild) -> None:
    shutil.rmtree(build.jailhouse / "packages-split")
    found = collected(build)
    assert digest_of(found, "payload/jailhouse.ko") == sha256_bytes(foreign_build.MODULE)


def test_image_where_nothing_else_is(build: ForeignBuild) -> None:
    shutil.rmtree(build.jailhouse / "packages-split")
    shutil.rmtree(build.jailhouse / "package")
    found = collected(build)
    assert digest_of(found, "payload/jailhouse.ko") == sha256_bytes(foreign_build.UNSTRIPPED)


def test_without_pkgdata_two_versions_are_a_conflict(build: ForeignBuild) -> None:
    shutil.rmtree(build.pkgdata)
    with pytest.raises(
        ArtifactConflict, match=r"payload/FreeRTOS\.bin: 2 different files"
    ) as caught:
        collected(build)
    listed = "\n".join(caught.value.details)
    for data, version in ((foreign_build.FREERTOS, "11.1.0-r0"), (b"", "1.0-r0")):
        assert (
            str(build.freertos(version) / "packages-split" / "jailhouse-freertos" / NAME) in listed
        )
        assert not data or sha256_bytes(data) in listed
    assert sha256_bytes(foreign_build.STALE_FREERTOS) in listed
    assert not (build.directory.parent / "out").exists()


def test_without_pkgdata_one_version_is_enough(build: ForeignBuild) -> None:
    shutil.rmtree(build.pkgdata)
    shutil.rmtree(build.freertos("1.0-r0"))
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.FREERTOS)


def test_the_same_bytes_in_two_versions_are_no_conflict(build: ForeignBuild) -> None:
    shutil.rmtree(build.pkgdata)
    build.make_freertos("12.0-r0", foreign_build.FREERTOS)
    shutil.rmtree(build.freertos("1.0-r0"))
    found = collected(build)
    artifact = found.find("payload/FreeRTOS.bin")
    assert artifact is not None
    assert any("12.0-r0/packages-split" in copy for copy in artifact.copies)


def test_the_current_version_without_a_work_directory_is_not_replaced_by_a_stale_one(
    build: ForeignBuild,
) -> None:
    shutil.rmtree(build.freertos("11.1.0-r0"))
    with pytest.raises(ArtifactMissing, match=r"the build left no FreeRTOS\.bin") as caught:
        collected(build)
    assert any("bitbake -c package jailhouse-freertos" in d for d in caught.value.details)
    assert any("1.0-r0/packages-split (version 1.0-r0 is not" in d for d in caught.value.details)


def test_an_epoch_is_part_of_the_version(build: ForeignBuild) -> None:
    build.make_freertos("1_0.9-r0", foreign_build.DECOY_FREERTOS)
    path = build.pkgdata / "runtime" / "jailhouse-freertos"
    path.write_text("PN: jailhouse-freertos\nPE: 1\nPV: 0.9\nPR: r0\n")
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.DECOY_FREERTOS)


def test_another_machine_in_the_same_tmpdir(build: ForeignBuild) -> None:
    other = build.tmp / "work" / "raspberrypi4_64-openeuler-linux" / "jailhouse" / "0.12-r0"
    shutil.copytree(build.jailhouse, other)
    for path in other.rglob("jailhouse.ko"):
        path.unlink()
        path.write_bytes(elf_files.module("5.10.0-rpi"))
    found = collected(build)
    assert digest_of(found, "payload/jailhouse.ko") == sha256_bytes(foreign_build.MODULE)


def test_the_deployed_copy(build: ForeignBuild) -> None:
    """Equal: a copy. A module: the packaged one counts. Flat and different: nobody can tell."""
    write(build.deployed / "FreeRTOS.bin", foreign_build.FREERTOS)
    write(build.deployed / "jailhouse.ko", foreign_build.UNSTRIPPED)
    found = collected(build)
    artifact = found.find("payload/FreeRTOS.bin")
    assert artifact is not None
    assert "tmp/deploy/images/qemu-aarch64/FreeRTOS.bin" in artifact.copies
    assert digest_of(found, "payload/jailhouse.ko") == sha256_bytes(foreign_build.MODULE)
    write(build.deployed / "FreeRTOS.bin", foreign_build.DECOY_FREERTOS)
    with pytest.raises(ArtifactConflict, match="2 different files"):
        collected(build)


def test_deployed_alone(build: ForeignBuild) -> None:
    for version in ("11.1.0-r0", "1.0-r0"):
        shutil.rmtree(build.freertos(version))
    write(build.deployed / "FreeRTOS.bin", foreign_build.FREERTOS)
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.FREERTOS)


def test_all_that_is_missing_is_said_with_the_places(build: ForeignBuild) -> None:
    shutil.rmtree(build.jailhouse)
    shutil.rmtree(build.pkgdata)
    shutil.rmtree(build.freertos().parent)
    with pytest.raises(ArtifactMissing) as caught:
        collected(build)
    assert caught.value.message.endswith(
        "the build left no jailhouse.ko, jailhouse.bin, bin/jailhouse, "
        "cells/qemu-arm64-openeuler-demo.cell, cells/qemu-arm64-freertos-demo.cell, FreeRTOS.bin"
    )
    assert caught.value.details == (
        "looked in:",
        "  tmp/deploy/images/qemu-aarch64/oejail/jailhouse/oejail-index.json: not there",
        "  tmp/work/*/jailhouse: nothing there",
        "  tmp/deploy/{rpm,ipk,deb}: nothing of jailhouse that is wanted",
        "  tmp/deploy/images/qemu-aarch64/oejail/jailhouse-freertos/oejail-index.json: not there",
        "  tmp/work/*/jailhouse-freertos: nothing there",
        "  tmp/deploy/{rpm,ipk,deb}: nothing of jailhouse-freertos that is wanted",
        "  tmp/deploy/images/qemu-aarch64",
    )
    assert caught.value.hint == "build them: bitbake jailhouse jailhouse-freertos"
    assert int(caught.value.exit_code) == 4


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        (f"lib/modules/{foreign_build.RELEASE}/extra/driver/jailhouse.ko", b"no ELF", "flat"),
        (
            f"lib/modules/{foreign_build.RELEASE}/extra/driver/jailhouse.ko",
            foreign_build.MODULE[:100],
            "broken",
        ),
        ("lib/firmware/jailhouse.bin", b"", "empty"),
        ("lib/firmware/jailhouse.bin", foreign_build.KERNEL, "kernel"),
        ("usr/sbin/jailhouse", b"\x1f\x8b", "instead of tool or elf or script"),
    ],
)
def test_what_is_not_what_its_name_says(
    build: ForeignBuild, name: str, data: bytes, words: str
) -> None:
    for path in (build.jailhouse / "packages-split").glob(f"*/{name}"):
        path.unlink()
        path.write_bytes(data)
    with pytest.raises(BuildFailed, match=words):
        collected(build)
    assert not (build.directory.parent / "out").exists()


def test_a_sample_is_recognised_by_its_files(build: ForeignBuild) -> None:
    mark = b"OEJAIL SAMPLE, NOT JAILHOUSE\0"
    for path in (build.jailhouse / "packages-split").rglob("jailhouse.ko"):
        path.unlink()
        path.write_bytes(elf_files.module(extra=mark))
    assert collected(build).sample


# The set


def with_inmate(**values: object) -> SetSpec:
    inmate = replace(WANTED.inmates[0], **values)  # type: ignore[arg-type]
    return replace(WANTED, inmates=(inmate,))


def test_an_image_among_the_inmates(build: ForeignBuild) -> None:
    for image in ("uart-demo.bin", "inmates/uart-demo.bin"):
        found = collected(build, with_inmate(image=image))
        assert found.set.inmates[0].image == "inmates/uart-demo.bin"


def test_inmates_instead_of_the_platforms_own(build: ForeignBuild) -> None:
    own = ("qemu-arm64-freertos-demo", "FreeRTOS.bin")
    demo = ("qemu-arm64-inmate-demo", "inmates/uart-demo.bin")
    found = collected(build, SetSpec.from_platform(PLATFORM, chosen=[own, demo]))
    assert [(i.name, i.image, i.expect, i.expect_repeat) for i in found.set.inmates] == [
        ("freertos", "FreeRTOS.bin", PLATFORM.rtos["freertos"].expect, False),
        ("inmate-demo", "inmates/uart-demo.bin", "Hello ", True),
    ]
    other = SetSpec.from_platform(PLATFORM, chosen=[(own[0], "inmates/gic-demo.bin")])
    assert other.inmates[0].expect == "Timer fired, jitter:"


def test_an_address_is_in_the_set(build: ForeignBuild) -> None:
    collected(build, with_inmate(address=0x1000))
    text = (build.directory.parent / "out" / "payload" / "oejail.set").read_text()
    assert text.splitlines()[1].endswith("\tFreeRTOS.bin\t0x1000")


@pytest.mark.parametrize("image", ["a/b.bin", "../x", "/etc/passwd", "", "a\tb", "inmates/../x"])
def test_an_image_is_a_name(image: str) -> None:
    with pytest.raises(ConfigError, match="image"):
        SetSpec("root", (InmateSpec("cell", image),))


def test_root_and_inmate_are_told_apart(build: ForeignBuild) -> None:
    with pytest.raises(BuildFailed, match="is no root cell, but cell 'freertos'"):
        collected(build, replace(WANTED, root=foreign_build.INMATE))
    with pytest.raises(BuildFailed, match="is a root cell"):
        collected(build, with_inmate(cell=foreign_build.ROOT))


def test_a_cell_of_the_set_outside_the_pattern(build: ForeignBuild) -> None:
    cells = build.jailhouse / "packages-split" / "jailhouse" / "usr/share/jailhouse/cells"
    write(cells / "my-own.cell", encode(shipped(foreign_build.INMATE)))
    write(cells / "not-mine.cell", encode(shipped(foreign_build.INMATE)))
    found = collected(build, with_inmate(cell="my-own"))
    names = {Path(a.path).name for a in found.of_kind("cell")}
    assert "my-own.cell" in names and "not-mine.cell" not in names


def test_a_broken_cell_of_the_set(build: ForeignBuild) -> None:
    cells = build.jailhouse / "packages-split" / "jailhouse" / "usr/share/jailhouse/cells"
    path = cells / f"{foreign_build.INMATE}.cell"
    path.unlink()
    path.write_bytes(encode(shipped(foreign_build.INMATE))[:-4])
    with pytest.raises(CellFormatError, match=foreign_build.INMATE):
        collected(build)


@pytest.mark.parametrize("name", ["12", "-a", "a\tb", "a\nb", ""])
def test_a_cell_name_that_no_command_line_can_bear(build: ForeignBuild, name: str) -> None:
    cells = build.jailhouse / "packages-split" / "jailhouse" / "usr/share/jailhouse/cells"
    path = cells / f"{foreign_build.INMATE}.cell"
    path.unlink()
    path.write_bytes(encode(replace(shipped(foreign_build.INMATE), name=name)))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="cannot be given to jailhouse"):
        collected(build)


# OUT


def test_out_is_replaced_as_a_whole(build: ForeignBuild) -> None:
    collected(build)
    out = build.directory.parent / "out"
    (out / "payload" / "old").write_bytes(b"")
    collected(build)
    assert not (out / "payload" / "old").exists()


def test_the_index_is_the_same_each_time(build: ForeignBuild) -> None:
    """Whatever the order of sets: `up` compares it."""
    build.make_freertos("12.0-r0", foreign_build.FREERTOS)
    for path in (build.freertos("12.0-r0") / "image").rglob("FreeRTOS.bin"):
        path.write_bytes(b"unlike the packaged one")
    shutil.rmtree(build.pkgdata)
    shutil.rmtree(build.freertos("1.0-r0"))
    code = (
        "import sys; from pathlib import Path; from oejail import platforms\n"
        "from oejail.artifacts import SetSpec, collect\n"
        "platform = platforms.load('qemu-aarch64')\n"
        "collect(Path('build'), platform, SetSpec.from_platform(platform), Path('out'))\n"
    )
    seen = set()
    for seed in range(6):
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(seed),
            "PYTHONPATH": str(repository()),
        }
        where = build.directory.parent
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=where, check=True)
        seen.add((where / "out" / layout.INDEX).read_bytes())
    assert len(seen) == 1


@pytest.mark.parametrize("make", ["files", "file", "link"])
def test_out_that_is_somebody_elses(build: ForeignBuild, make: str) -> None:
    out = build.directory.parent / "out"
    if make == "files":
        write(out / "thesis.tex", b"years of work")
    elif make == "file":
        write(out, b"years of work")
    else:
        out.symlink_to(build.directory)
    with pytest.raises(UsageFault, match="out: "):
        collected(build)
    if make == "files":
        assert (out / "thesis.tex").read_bytes() == b"years of work"


def test_an_empty_out_is_fine(build: ForeignBuild) -> None:
    (build.directory.parent / "out").mkdir()
    collected(build)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"schema_version": 1', '"schema_version": 2'),
        lambda text: text.replace('"sample": false', '"sample": 0'),
        lambda text: text.replace('"machine"', '"machin"'),
    ],
)
def test_an_index_of_somebody_else(build: ForeignBuild, edit: Callable[[str], str]) -> None:
    collected(build)
    out = build.directory.parent / "out"
    index = out / layout.INDEX
    index.write_text(edit(index.read_text()))
    with pytest.raises(ConfigError, match=r"artifacts\.json: "):
        read_index(out)


# Hostile or unlucky build directories


def test_links_that_lead_out_are_not_followed(build: ForeignBuild, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", b"secret" * 100)
    deployed = build.deployed / "FreeRTOS.bin"
    deployed.symlink_to(secret)
    split = build.freertos() / "packages-split" / "jailhouse-freertos" / NAME
    split.unlink()
    split.symlink_to(secret)
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.FREERTOS)
    artifact = found.find("payload/FreeRTOS.bin")
    assert artifact is not None and "/package/" in artifact.origin
    out = build.directory.parent / "out"
    assert not any(b"secret" in p.read_bytes() for p in out.rglob("*") if p.is_file())


def test_a_work_directory_that_is_a_link_out(build: ForeignBuild, tmp_path: Path) -> None:
    away = tmp_path / "away"
    build.freertos().rename(away)
    build.freertos().symlink_to(away)
    shutil.rmtree(build.pkgdata)
    shutil.rmtree(build.freertos("1.0-r0"))
    with pytest.raises(ArtifactMissing):
        collected(build)


def test_special_files_are_passed_by(build: ForeignBuild) -> None:
    split = build.freertos() / "packages-split" / "jailhouse-freertos" / NAME
    split.unlink()
    os.mkfifo(split)
    os.mkfifo(build.deployed / "FreeRTOS.bin")
    found = collected(build)
    assert digest_of(found, "payload/FreeRTOS.bin") == sha256_bytes(foreign_build.FREERTOS)


def test_a_file_beyond_every_limit(build: ForeignBuild) -> None:
    os.truncate(build.freertos() / "packages-split" / "jailhouse-freertos" / NAME, 1 << 40)
    with pytest.raises(ConfigError, match="more than the limit"):
        collected(build)


def test_names_that_no_bundle_may_hold_are_left(build: ForeignBuild) -> None:
    share = build.jailhouse / "packages-split" / "jailhouse" / "usr/share/jailhouse"
    write(share / "inmates" / "a b.bin", b"x")
    write(share / "inmates" / "-rf.bin", b"x")
    write(share / "inmates" / "new\nline.bin", b"x")
    os.close(os.open(os.fsencode(share / "inmates") + b"/\xff.bin", os.O_CREAT))
    found = collected(build)
    assert len(found.of_kind("inmate")) == 2


def test_a_file_that_changes_meanwhile(
    build: ForeignBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("oejail.artifacts.collecting")
    choose = module.choose

    def then_change(candidates: list[Candidate], digest: object) -> object:
        result = choose(candidates, digest)
        if candidates[0].key == "payload/FreeRTOS.bin":
            result.candidate.path.write_bytes(b"other")
        return result

    monkeypatch.setattr(module, "choose", then_change)
    with pytest.raises(BuildFailed, match="changed while it was read"):
        collected(build)


@pytest.mark.parametrize("what", ["missing", "file", "no tmp"])
def test_what_is_no_build_directory(tmp_path: Path, what: str) -> None:
    directory = tmp_path / "build"
    if what == "file":
        directory.write_bytes(b"")
    elif what == "no tmp":
        directory.mkdir()
    with pytest.raises(UsageFault, match="build"):
        collect(directory, PLATFORM, WANTED, tmp_path / "out")
    assert not (tmp_path / "out").exists()
