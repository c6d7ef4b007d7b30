# SPDX-License-Identifier: MIT
"""Packages as the real rpmbuild and dpkg-deb make them, in every compression, read by collect."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from oejail import platforms
from oejail.artifacts import SetSpec, collect, packages
from oejail.artifacts.places import find_places
from oejail.errors import ConfigError
from oejail.files import sha256_bytes
from tests.support import foreign_build
from tests.support.foreign_build import FREERTOS, ForeignBuild, write

PLATFORM = platforms.load("qemu-aarch64")
WANTED = SetSpec.from_platform(PLATFORM)
NAME = "Jailhouse_FreeRTOS_demo/FreeRTOS.bin"

SPEC = """\
Name: {package}
Version: {version}
Release: r0
Summary: as OE-core's package_rpm writes it
License: MIT
%define __spec_install_post %{{nil}}
%define _build_id_links none
%description
%files
%defattr(-,-,-,-)
{files}
"""


def rpm(top: Path, recipe: str, package: str, version: str, tree: Path, payload: str) -> Path:
    """Package `tree` with rpmbuild; the source package's name is the recipe's, as in OE-core."""
    files = "\n".join(f"/{path.relative_to(tree)}" for path in tree.rglob("*") if path.is_file())
    head = f"Name: {recipe}\nVersion: {version}\n"
    body = SPEC.format(package=package, version=version, files=files)
    if package != recipe:
        body = body.replace(f"Name: {package}\nVersion: {version}\n", head)
        more = f"%package -n {package}\nSummary: x\n%description -n {package}\n"
        body = body.replace("%files", f"{more}%files -n {package}")
    spec = write(top / f"{package}.spec", body.encode())
    words = ["rpmbuild", "-bb", "--target", "aarch64", "--buildroot", str(top / "root")]
    words += ["--define", f"_topdir {top}", "--define", f"_binary_payload {payload}"]
    words += ["--define", "clean_buildroot %{nil}", "--noclean", str(spec)]
    shutil.rmtree(top / "root", ignore_errors=True)
    shutil.copytree(tree, top / "root")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (made,) = (top / "RPMS").rglob(f"{package}-{version}-r0.*.rpm")
    return made


def deb(top: Path, recipe: str, package: str, version: str, tree: Path, payload: str) -> Path:
    """Package `tree` with dpkg-deb."""
    root = top / "debroot"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(tree, root)
    control = f"Package: {package}\nVersion: {version}-r0\nArchitecture: arm64\nMaintainer: x\n"
    control += f"Description: x\nOE: {recipe}\n"
    write(root / "DEBIAN/control", control.encode())
    made = top / f"{package}_{version}-r0_arm64.deb"
    subprocess.run(
        ["dpkg-deb", f"-Z{payload}", "--root-owner-group", "-b", str(root), str(made)],
        check=True,
        capture_output=True,
    )
    return made


MAKERS = {
    **{f"rpm-{kind}": (rpm, kind) for kind in ("w9.gzdio", "w6.xzdio", "w3.zstdio", "w9.bzdio")},
    **{f"deb-{kind}": (deb, kind) for kind in ("gzip", "xz", "zstd", "none")},
}


@pytest.fixture
def build(tmp_path: Path) -> ForeignBuild:
    return foreign_build.make(tmp_path / "build", decoys=False)


@pytest.mark.parametrize("maker", MAKERS)
def test_packages_are_all_that_is_left(build: ForeignBuild, tmp_path: Path, maker: str) -> None:
    """Every artefact of both recipes out of packages: the same bytes as out of packages-split."""
    make, payload = MAKERS[maker]
    form, out = maker.split("-")[0], tmp_path / "out"
    before = {a.path: a for a in collect(build.directory, PLATFORM, WANTED, out).artifacts}
    for recipe, version, work in (
        ("jailhouse", "0.12", build.jailhouse),
        ("jailhouse-freertos", "11.1.0", build.freertos()),
    ):
        for tree in (work / "packages-split").iterdir():
            if tree.name.endswith(("-dbg", "-src")):
                continue
            made = make(tmp_path / "make", recipe, tree.name, version, tree, payload)
            target = build.tmp / "deploy" / form / "qemu_aarch64"
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(made, target / f"{made.stem}.{form}")
    # What the recipe jailhouse packaged, by pkgdata.
    kernel = f"kernel-module-jailhouse-{foreign_build.RELEASE}"
    write(build.pkgdata / "jailhouse", f"PACKAGES: {kernel} jailhouse\n".encode())
    write(
        build.pkgdata / "runtime" / kernel,
        b"PN: jailhouse\nPV: 0.12\nPR: r0\nPKGV: 0.12\nPKGR: r0\n",
    )
    shutil.rmtree(build.tmp / "work")
    after = {a.path: a for a in collect(build.directory, PLATFORM, WANTED, out).artifacts}
    assert {path: a.sha256 for path, a in after.items()} == {p: a.sha256 for p, a in before.items()}
    freertos = after["payload/FreeRTOS.bin"]
    assert freertos.sha256 == sha256_bytes(FREERTOS)
    assert freertos.origin.startswith(f"tmp/deploy/{form}/qemu_aarch64/jailhouse-freertos")
    assert freertos.member is not None and freertos.member.lstrip("./") == NAME
    assert kernel in after["payload/jailhouse.ko"].origin


def test_an_rpm_cut_short(build: ForeignBuild, tmp_path: Path) -> None:
    tree = build.freertos() / "packages-split/jailhouse-freertos"
    recipe = "jailhouse-freertos"
    made = rpm(tmp_path / "make", recipe, recipe, "11.1.0", tree, "w6.xzdio").read_bytes()
    places = find_places(build.directory, build.machine)
    for cut in (50, 96, 200, 1000, len(made) // 2):
        path = write(build.tmp / "deploy/rpm/cortexa57/x.rpm", made[:cut])
        with pytest.raises(ConfigError, match=str(path)):
            packages.about(places, path)
            packages.names(places, path)
