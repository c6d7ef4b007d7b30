# SPDX-License-Identifier: MIT
"""collect, bundle, verify and inspect on the command line, for somebody else's build directory."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from junitparser import JUnitXml

from oejail.files import sha256_bytes
from tests.support import bundles, elf_files, foreign_build
from tests.support.cli import OEJAIL, oejail
from tests.support.foreign_build import ForeignBuild

COLLECT = ("collect", "--build-dir", "some build", "--platform", "qemu-aarch64", "--out", "OUT")


@pytest.fixture
def build(tmp_path: Path) -> ForeignBuild:
    return foreign_build.make(tmp_path / "some build")


@pytest.fixture
def bundle(build: ForeignBuild, tmp_path: Path) -> Path:
    oejail(tmp_path, *COLLECT)
    oejail(tmp_path, "bundle", "OUT", "-o", "b.tar.zst")
    return tmp_path / "b.tar.zst"


def only_error(text: str) -> str:
    """The one line that begins with oejail: error."""
    lines = [line for line in text.splitlines() if line.startswith("oejail: error: ")]
    assert len(lines) == 1, text
    return lines[0]


def test_verify_reports_as_junit(bundle: Path, tmp_path: Path) -> None:
    oejail(tmp_path, "verify", bundle.name, "--junit", "whole.xml")
    [suite] = list(JUnitXml.fromfile(str(tmp_path / "whole.xml")))
    assert (suite.name, suite.failures) == (f"verify {bundle.name}", 0)
    assert {"bundle-digest", "memory-linux"} <= {case.name for case in suite}
    bundle.write_bytes(bundle.read_bytes()[:-1])
    oejail(tmp_path, "verify", bundle.name, "--junit", "cut.xml", status=3)
    [suite] = list(JUnitXml.fromfile(str(tmp_path / "cut.xml")))
    assert suite.failures >= 1


def test_from_a_foreign_build_to_a_verified_bundle(build: ForeignBuild, tmp_path: Path) -> None:
    said = oejail(tmp_path, *COLLECT)
    assert said.out.splitlines()[-1] == "collected: OUT"
    assert "the set is that of platform qemu-aarch64: qemu-arm64-openeuler-demo" in said.err
    assert "passed over" in said.err
    said = oejail(tmp_path, "bundle", "OUT", "-o", "b.tar.zst")
    assert said.out == "bundle: b.tar.zst\n"
    said = oejail(tmp_path, "verify", "b.tar.zst")
    assert said.out.startswith("whole: b.tar.zst, digest ")
    assert len(said.out.splitlines()) == 1
    head = json.loads(bundles.entries(tmp_path / "b.tar.zst")[0].data)
    digests = {entry["path"]: entry["sha256"] for entry in head["files"]}
    assert digests["payload/FreeRTOS.bin"] == sha256_bytes(foreign_build.FREERTOS)
    assert digests["payload/jailhouse.ko"] == sha256_bytes(foreign_build.MODULE)
    assert head["sample"] is False
    first = (tmp_path / "b.tar.zst").read_bytes()
    oejail(tmp_path, *COLLECT)
    oejail(tmp_path, "bundle", "OUT", "-o", "b.tar.zst")
    assert (tmp_path / "b.tar.zst").read_bytes() == first


def test_other_inmates_of_a_foreign_build(build: ForeignBuild, tmp_path: Path) -> None:
    demo = "qemu-arm64-inmate-demo=inmates/uart-demo.bin"
    said = oejail(tmp_path, *COLLECT, "--inmate", demo)
    root = "the root is that of platform qemu-aarch64: qemu-arm64-openeuler-demo"
    assert f"{root}, qemu-arm64-inmate-demo" in said.err
    lines = (tmp_path / "OUT/payload/oejail.set").read_text().splitlines()
    assert lines[1].split("\t")[:2] == ["inmate", "inmate-demo"] and len(lines) == 2
    # Its RAM lies below the platform's mem=1G: QEMU's Linux gets what the set leaves.
    oejail(tmp_path, "bundle", "OUT", "-o", "demo.tar.zst")
    oejail(tmp_path, "verify", "demo.tar.zst")
    said = oejail(tmp_path, *COLLECT, "--inmate", "uart-demo.bin", status=2)
    assert "--inmate 'uart-demo.bin': found no CELL=IMAGE" in said.err
    assert "--inmate goes with" in oejail(tmp_path, "collect", "--inmate", demo, status=2).err


def test_where_things_go_without_being_told(build: ForeignBuild, tmp_path: Path) -> None:
    oejail(tmp_path, *COLLECT[:-2])
    said = oejail(tmp_path, "bundle", "oejail-artifacts")
    assert said.out == "bundle: oejail-qemu-aarch64-0.tar.zst\n"
    assert (tmp_path / "oejail-qemu-aarch64-0.tar.zst.sha256").exists()


def test_reports_for_machines(build: ForeignBuild, tmp_path: Path) -> None:
    report = json.loads(oejail(tmp_path, *COLLECT, "--json").out)
    assert (report["schema_version"], report["out"], report["absent"]) == (1, "OUT", [])
    assert {"kind", "path", "origin", "sha256"} <= report["artifacts"][0].keys()
    report = json.loads(oejail(tmp_path, "bundle", "OUT", "-o", "b.tar.zst", "--json").out)
    digest = report["digest"]
    assert report["sha256"] == sha256_bytes((tmp_path / "b.tar.zst").read_bytes())
    report = json.loads(oejail(tmp_path, "verify", "b.tar.zst", "--json").out)
    assert (report["ok"], report["findings"], report["digest"]) == (True, [], digest)
    report = json.loads(oejail(tmp_path, "inspect", "b.tar.zst", "--json").out)
    assert report["manifest"]["set"]["inmates"][0]["name"] == "freertos"
    assert (report["schema_version"], report["digest"]) == (1, digest)


def test_inspect(bundle: Path) -> None:
    text = oejail(bundle.parent, "inspect", bundle.name).out
    for words in (
        "platform   qemu-aarch64",
        "kernel     5.10.0-openeuler",
        "jailhouse  v0.12 (324-ge57d1eff), revision 13",
        "inmate     freertos (cells/qemu-arm64-freertos-demo.cell) runs FreeRTOS.bin",
        "payload/jailhouse.ko",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda m: setattr(m[5], "data", b"\0" + m[5].data[1:]), "payload/FreeRTOS.bin: is "),
        (lambda m: setattr(m[5], "name", "payload/Freertos.bin"), "payload/Freertos.bin: is in"),
        (lambda m: setattr(m[5], "mode", 0o755), "payload/FreeRTOS.bin: mode 0755"),
        (lambda m: m.append(m.pop(5)), "payload/FreeRTOS.bin: stands after payload/oejail.set"),
        (lambda m: m.pop(5), "payload/FreeRTOS.bin: is not in the archive"),
    ],
    ids=["byte", "name", "mode", "order", "count"],
)
def test_a_change_is_named_with_status_3(
    bundle: Path, edit: Callable[[list[bundles.Entry]], object], words: str
) -> None:
    changed = bundles.change(bundle, edit, bundle.with_name("c.tar.zst"))
    said = oejail(bundle.parent, "verify", changed.name, status=3)
    assert words in said.out
    assert all(line.startswith("error: ") for line in said.out.splitlines())
    assert only_error(said.err).startswith("oejail: error: c.tar.zst: ")
    report = json.loads(oejail(bundle.parent, "verify", changed.name, "--json", status=3).out)
    assert report["ok"] is False


def test_an_altered_archive_is_found_by_its_digest(bundle: Path) -> None:
    with bundle.open("ab") as stream:
        stream.write(b"x")
    said = oejail(bundle.parent, "verify", bundle.name, status=3)
    assert "error: b.tar.zst: is " in said.out
    assert "1 bytes follow the end of the archive" in said.out


def test_a_sample_says_so_first(build: ForeignBuild, tmp_path: Path) -> None:
    for path in (build.jailhouse / "packages-split").rglob("jailhouse.ko"):
        path.unlink()
        path.write_bytes(elf_files.module(extra=b"OEJAIL SAMPLE, NOT JAILHOUSE\0"))
    runs = [COLLECT, ("bundle", "OUT", "-o", "b.tar.zst"), ("verify", "b.tar.zst")]
    first = [
        oejail(tmp_path, *run).out.splitlines()[0] for run in [*runs, ("inspect", "b.tar.zst")]
    ]
    assert [line.startswith("SAMPLE: ") for line in first] == [True, False, True, True]


def test_findings_keep_a_set_from_being_packed(build: ForeignBuild, tmp_path: Path) -> None:
    for path in (build.jailhouse / "packages-split").rglob("jailhouse.ko"):
        path.unlink()
        path.write_bytes(elf_files.module("6.6.0-other"))
    oejail(tmp_path, *COLLECT)
    said = oejail(tmp_path, "bundle", "OUT", "-o", "b.tar.zst", status=3)
    assert "6.6.0-other" in said.err
    assert not (tmp_path / "b.tar.zst").exists()


def damage_nothing(build: ForeignBuild) -> None:
    pass


@pytest.mark.parametrize(
    ("damage", "arguments", "status", "words"),
    [
        (damage_nothing, ("collect", "--build-dir", "some build"), 2, "needs --platform"),
        (damage_nothing, ("collect",), 2, "no oejail.yaml in"),
        (damage_nothing, ("collect", "--platform", "qemu-aarch64"), 2, "goes with --build-dir"),
        (
            damage_nothing,
            ("collect", "--build-dir", "some build", "--platform", "qemu-arch64"),
            2,
            "qemu-aarch64",
        ),
        (damage_nothing, (*COLLECT[:2], "none", *COLLECT[3:]), 2, "none: No such file"),
        (damage_nothing, (*COLLECT[:2], ".", *COLLECT[3:]), 2, "no build directory"),
        (damage_nothing, (*COLLECT[:-1], "some build"), 2, "holds other files"),
        (lambda b: shutil.rmtree(b.pkgdata), COLLECT, 4, "2 different files"),
        (lambda b: shutil.rmtree(b.jailhouse), COLLECT, 4, "left no jailhouse.ko"),
        (damage_nothing, ("bundle",), 2, "no oejail.yaml in"),
        (damage_nothing, ("bundle", "some build"), 2, "nothing collected here"),
        (damage_nothing, ("verify", "none"), 2, "none: No such file"),
        (damage_nothing, ("verify", "some build"), 2, "not a regular file"),
        (damage_nothing, ("inspect", "none"), 2, "none: No such file"),
        (damage_nothing, ("inspect", "some build/FreeRTOS.bin"), 3, "no bundle"),
        (damage_nothing, ("verify", "some build/FreeRTOS.bin"), 3, "FreeRTOS.bin: 1 finding"),
    ],
)
def test_one_line_and_the_documented_status(
    build: ForeignBuild,
    tmp_path: Path,
    damage: Callable[[ForeignBuild], object],
    arguments: tuple[str, ...],
    status: int,
    words: str,
) -> None:
    damage(build)
    before = sorted(tmp_path.iterdir())
    said = oejail(tmp_path, *arguments, status=status)
    assert words in only_error(said.err)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("arguments", "left"),
    [(COLLECT, "OUT"), (("bundle", "OUT2", "-o", "b.tar.zst"), "b.tar.zst")],
    ids=["collect", "bundle"],
)
def test_a_full_disk(
    build: ForeignBuild, tmp_path: Path, arguments: tuple[str, ...], left: str
) -> None:
    """A limit on file sizes stands for it: write() fails as on a full disk."""
    oejail(tmp_path, *COLLECT[:-1], "OUT2")
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [*OEJAIL, *arguments],
        cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 6
    assert left in only_error(done.stderr)
    assert sorted(tmp_path.iterdir()) == before
