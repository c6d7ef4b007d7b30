# SPDX-License-Identifier: MIT
"""Where a build directory keeps what: TMPDIR, pkgdata, work directories, the deploy directory."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail import platforms
from oejail.artifacts import SetSpec, places
from oejail.artifacts.discover import classify, discover
from oejail.artifacts.places import Places, current_version, find_places, work_directories
from oejail.errors import ConfigError, UsageFault
from tests.support import foreign_build
from tests.support.foreign_build import ForeignBuild, write

PLATFORM = platforms.load("qemu-aarch64")
WANTED = SetSpec.from_platform(PLATFORM)


@pytest.fixture
def build(tmp_path: Path) -> ForeignBuild:
    return foreign_build.make(tmp_path / "build")


def at(build: ForeignBuild) -> Places:
    return find_places(build.directory, build.machine)


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read anything: for a moment this process is nobody."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


# TMPDIR


@pytest.mark.parametrize(
    ("conf", "tmp"),
    [
        ('TMPDIR = "{away}"\n', "{away}"),
        ("TMPDIR ?= '{away}'\n", "{away}"),
        ('TMPDIR = "/first"\n  TMPDIR := "{away}"  \n', "{away}"),
        ('TMPDIR = "${{TOPDIR}}/tmp-2"\n', "{top}/tmp-2"),
        ('TMPDIR = "tmp-3"\n', "{top}/tmp-3"),
        ('#TMPDIR = "/elsewhere"\nTMPDIRX = "/y"\nMY_TMPDIR = "/x"\n', "{top}/tmp"),
        ("", "{top}/tmp"),
    ],
)
def test_tmpdir_of_local_conf(tmp_path: Path, conf: str, tmp: str) -> None:
    top, away = tmp_path / "build", tmp_path / "away"
    names = {"top": str(top), "away": str(away)}
    for path in (away, top / "tmp", top / "tmp-2", top / "tmp-3"):
        path.mkdir(parents=True)
    write(top / "conf" / "local.conf", conf.format(**names).encode())
    assert str(find_places(top, "m").tmp) == tmp.format(**names)


def test_tmpdir_that_refers_to_variables(tmp_path: Path) -> None:
    write(tmp_path / "conf" / "local.conf", b'# one\nTMPDIR = "/x/${MACHINE}"\n')
    with pytest.raises(ConfigError, match=r"local\.conf:2: TMPDIR '/x/\$\{MACHINE\}' refers"):
        find_places(tmp_path, "m")


@pytest.mark.parametrize(
    ("value", "tmp"),
    [
        ("/home/openeuler/build/build/tmp-2", "{top}/tmp-2"),  # where it lies now
        ("/mnt/fast/tmp-4", "{away}/tmp-4"),
        ("/mnt/fast", "{away}"),
        ("/mnt/faster", "/mnt/faster"),
    ],
)
def test_tmpdir_as_the_container_sees_it(tmp_path: Path, value: str, tmp: str) -> None:
    top, away = tmp_path / "build", tmp_path / "a way"
    for path in (away / "tmp-4", top / "tmp-2"):
        path.mkdir(parents=True)
    # A host's path with a blank is quoted for the shell that oebuild hands it to.
    volumns = f"['/old/build:/home/openeuler/build/build', \"'{away}':/mnt/fast:ro\"]"
    text = f"docker_param:\n  volumns: {volumns}\n"
    write(top / "compile.yaml", text.encode())
    write(top / "conf" / "local.conf", f'TMPDIR = "{value}"\n'.encode())
    wanted = tmp.format(top=top, away=away)
    if not Path(wanted).exists():
        with pytest.raises(UsageFault, match=f"no build directory: {wanted} is not there"):
            find_places(top, "m")
    else:
        assert str(find_places(top, "m").tmp) == wanted


def test_tmpdir_of_compile_yaml(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    text = f"build_in: host\ntmp_dir: {tmp_path / 'away'}\n"
    write(tmp_path / "compile.yaml", text.encode())
    assert find_places(tmp_path, "m").tmp == tmp_path / "away"
    write(tmp_path / "compile.yaml", b"tmp_dir: [1]\n")
    with pytest.raises(UsageFault, match="no build directory"):
        find_places(tmp_path, "m")


def test_a_tmpdir_elsewhere_is_part_of_the_build(build: ForeignBuild, tmp_path: Path) -> None:
    build.tmp.rename(tmp_path / "away")
    write(build.directory / "conf" / "local.conf", f'TMPDIR = "{tmp_path}/away"\n'.encode())
    found = discover(build.directory, PLATFORM, WANTED)
    assert any(c.key == "payload/jailhouse.ko" for c in found.candidates)
    assert all(str(c.path).startswith(f"{tmp_path}/away/") for c in found.candidates)


@pytest.mark.parametrize("where", [".", "tmp", "conf/local.conf", "tmp/work", "tmp/pkgdata"])
def test_what_cannot_be_read_is_said(where: str) -> None:
    # Not below pytest's own directory, which is private as a whole.
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        build = foreign_build.make(Path(name, "build"))
        path = build.directory / where
        mode = path.stat().st_mode
        path.chmod(0)
        try:
            with unprivileged(), pytest.raises((UsageFault, PermissionError)) as caught:
                discover(build.directory, PLATFORM, WANTED)
        finally:
            path.chmod(mode)
    assert "ermission denied" in str(caught.value)
    assert str(path) in str(caught.value)


# Versions


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("PN: x\nPV: 1.0\nPR: r0\n", "1.0-r0"),
        ("PV: 1.0+gitAUTOINC+309a18a03a\nPR: r2\n", "1.0+gitAUTOINC+309a18a03a-r2"),
        ("PE: 2\nPV: 1.0\nPR: r0\n", "2_1.0-r0"),
        ("PE: 0\nPV: 1.0\nPR: r0\n", "1.0-r0"),
        ("PKGV: 9\nPKGR: r9\n", None),
        ("PV: ../../x\nPR: r0\n", None),
        ("PV: /etc\nPR: r0\n", None),
        ("", None),
    ],
)
def test_the_current_version(build: ForeignBuild, text: str, version: str | None) -> None:
    (build.pkgdata / "runtime" / "jailhouse-freertos").write_text(text)
    assert current_version(at(build), "jailhouse-freertos") == version


def test_the_first_package_that_was_made_says_the_version(build: ForeignBuild) -> None:
    listed = "PACKAGES: ../../../etc/x jailhouse-freertos-dbg jailhouse-freertos\n"
    (build.pkgdata / "jailhouse-freertos").write_text(listed)
    assert current_version(at(build), "jailhouse-freertos") == "11.1.0-r0"


def test_pkgdata_that_is_none(build: ForeignBuild) -> None:
    path = build.pkgdata / "jailhouse-freertos"
    path.unlink()
    os.mkfifo(path)
    assert current_version(at(build), "jailhouse-freertos") is None
    path.unlink()
    path.write_bytes(b"\xff\xfe PACKAGES\n")
    assert current_version(at(build), "jailhouse-freertos") is None
    assert current_version(at(build), "unknown") is None


def test_work_directories(build: ForeignBuild) -> None:
    names = [path.name for path in work_directories(at(build), "jailhouse-freertos")]
    assert names == ["1.0-r0", "11.1.0-r0"]
    assert work_directories(at(build), "none") == []


def test_the_facts_spelling_of_the_machine_directory_works_too(build: ForeignBuild) -> None:
    old = build.jailhouse.parents[1]
    old.rename(old.with_name("qemu-aarch64-openeuler-linux"))
    assert len(work_directories(at(build), "jailhouse")) == 1


def test_a_directory_with_too_much_in_it(
    build: ForeignBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "MAX_ENTRIES", 5)
    with pytest.raises(ConfigError, match="more than 5 entries"):
        discover(build.directory, PLATFORM, WANTED)


def test_nothing_else_of_tmp_work_is_listed(
    build: ForeignBuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only tmp/work itself and the wanted recipes' own directories, and no sources in them."""
    scandir, seen = os.scandir, []

    def watch(path: str | Path) -> object:
        seen.append(str(Path(path).relative_to(build.directory)))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", watch)
    discover(build.directory, PLATFORM, WANTED)
    allowed = re.compile(
        r"tmp/work(/[^/]+/jailhouse(-freertos)?(/[^/]+/(packages-split|package|image)(/.*)?)?)?"
        r"|tmp/deploy/images/qemu-aarch64"
    )
    assert [path for path in seen if not allowed.fullmatch(path)] == []
    assert not any(".debug" in path or "usr/src" in path for path in seen)


# Kinds by name and place


@pytest.mark.parametrize(
    ("path", "kind", "key"),
    [
        ("p/lib/modules/5.10/extra/driver/jailhouse.ko", "module", "payload/jailhouse.ko"),
        ("p/usr/lib/firmware/jailhouse.bin", "firmware", "payload/jailhouse.bin"),
        ("p/lib/firmware/jailhouse-amd.bin", "firmware", "payload/jailhouse-amd.bin"),
        ("p/usr/share/jailhouse.bin", None, ""),
        ("p/usr/sbin/jailhouse", "tool", "payload/bin/jailhouse"),
        ("p/usr/share/bash-completion/completions/jailhouse", None, ""),
        ("p/usr/libexec/jailhouse/linux-loader.bin", "linux-loader", "payload/linux-loader.bin"),
        ("p/cells/qemu-arm64-x.cell", "cell", "payload/cells/qemu-arm64-x.cell"),
        ("p/cells/imx8.cell", None, ""),
        ("p/cells/dts/a.dtb", "dtb", "payload/cells/dts/a.dtb"),
        ("p/boot/a.dtb", None, ""),
        ("p/inmates/a.bin", "inmate", "payload/inmates/a.bin"),
        ("p/inmates/a.o", None, ""),
        ("Jailhouse_FreeRTOS_demo/FreeRTOS.bin", "image", "payload/FreeRTOS.bin"),
        ("FreeRTOS.bin", "image", "payload/FreeRTOS.bin"),
        ("p/FreeRTOS.elf", None, ""),
        ("p/inmates/" + "a" * 80 + ".bin", None, ""),
    ],
)
def test_kinds(path: str, kind: str | None, key: str) -> None:
    expected = None if kind is None else (kind, key)
    assert classify(tuple(path.split("/")), PLATFORM, WANTED) == expected


# The root file system


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["openeuler-image-mcs-qemu-aarch64.cpio.gz"], [0]),
        (["openeuler-image-mcs-qemu-aarch64.rootfs.cpio.gz"], [0]),
        (
            [
                "openeuler-image-mcs-qemu-aarch64-20260101000000.rootfs.cpio.gz",
                "openeuler-image-mcs-qemu-aarch64.cpio.gz",
                "openeuler-image-mcs-qemu-aarch64-20270101000000.rootfs.cpio.gz",
            ],
            [1],
        ),
        (
            [
                "openeuler-image-mcs-qemu-aarch64.rootfs-20260101000000.cpio.gz",
                "openeuler-image-mcs-qemu-aarch64.rootfs-20250101000000.cpio.gz",
            ],
            [0],
        ),
        (["openeuler-image-qemu-aarch64.cpio.gz"], [0]),
        (["a-image-qemu-aarch64.cpio.gz", "openeuler-image-mcs-qemu-aarch64.cpio.gz"], [1]),
        (["a-image-qemu-aarch64.cpio.gz", "b-image-qemu-aarch64.cpio.gz"], [0, 1]),
        (["a-image-raspberrypi4-64.cpio.gz", "a-image-qemu-aarch64.cpio.xz"], []),
    ],
)
def test_which_root_file_system(build: ForeignBuild, names: list[str], taken: list[int]) -> None:
    for path in build.deployed.glob("*.cpio.gz"):
        path.unlink()
    for name in names:
        write(build.deployed / name, foreign_build.cpio())
    found = discover(build.directory, PLATFORM, WANTED)
    kept = [c.path.name for c in found.candidates if c.kind == "initrd"]
    assert kept == [names[index] for index in taken]
