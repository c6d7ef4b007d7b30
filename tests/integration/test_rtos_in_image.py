# SPDX-License-Identifier: MIT
"""`rtos_in_image`: what the image gets, as the real BitBake packages and evaluates it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from oejail import project
from oejail.errors import UsageFault
from oejail.workspace import inimage, layers
from oejail.workspace.workspace import ensure_generated, ensure_init, ensure_sources, open_workspace
from tests.conftest import repository
from tests.support.sample_build import SampleBuild

IMAGE = """
SUMMARY = "An image by name: the sample has no root file system to put packages into"
IMAGE_INSTALL = "packagegroup-core-boot"
do_show() {
    printf '%s\\n' "${IMAGE_INSTALL}" > "${TOPDIR}/image-install"
}
addtask show
do_show[nostamp] = "1"
"""


def test_the_set_is_installed_as_links(sample_copy: SampleBuild, tmp_path: Path) -> None:
    project.init(tmp_path, sample=True)
    config = tmp_path / "oejail.yaml"
    targets = "targets: [jailhouse, jailhouse-freertos"
    config.write_text(config.read_text().replace(targets, f"{targets}, openeuler-image-mcs"))
    here = project.load(tmp_path)
    conf = sample_copy.build_dir / "conf/local.conf"
    conf.write_text("\n".join((conf.read_text(), *inimage.lines(here), "")))
    layer = sample_copy.src / "meta-oejail"
    (layer / inimage.SCRIPT).parent.mkdir(exist_ok=True)
    (layer / inimage.SCRIPT).write_bytes(inimage.script())
    images = sample_copy.src / "yocto-meta-openeuler/meta-openeuler/recipes-core/images"
    images.mkdir(parents=True)
    (images / "openeuler-image-mcs.bb").write_text(IMAGE)

    result = sample_copy.bitbake("-c", "show", "openeuler-image-mcs")
    assert result.ok, result.stdout[-20:]
    installed = (sample_copy.build_dir / "image-install").read_text().split()
    assert installed == ["packagegroup-core-boot", "oejail-rtos"]
    result = sample_copy.bitbake("oejail-rtos")
    assert result.ok, result.stdout[-20:]

    top = sample_copy.work("oejail-rtos") / "packages-split/oejail-rtos"
    payload = top / "usr/libexec/oejail"
    assert (payload / "oejail.set").read_text() == (
        "root\tcells/qemu-arm64-openeuler-demo.cell\n"
        "inmate\tfreertos\tcells/qemu-arm64-freertos-demo.cell\tFreeRTOS.bin\t-\n"
    )
    script = repository() / "oejail/artifacts/target/oejail-start"
    assert (payload / "oejail-start").read_bytes() == script.read_bytes()
    assert os.access(payload / "oejail-start", os.X_OK)
    assert os.readlink(top / "usr/sbin/oejail-start") == "/usr/libexec/oejail/oejail-start"
    # Each link leads, on the target, to what another package installs there.
    links = {
        str(p.relative_to(payload)): os.readlink(p) for p in payload.rglob("*") if p.is_symlink()
    }
    assert set(links) == {
        "jailhouse.ko",
        "jailhouse.bin",
        "bin/jailhouse",
        "cells/qemu-arm64-openeuler-demo.cell",
        "cells/qemu-arm64-freertos-demo.cell",
        "FreeRTOS.bin",
    }
    others = [
        *(sample_copy.work("jailhouse") / "packages-split").iterdir(),
        *(sample_copy.work("jailhouse-freertos") / "packages-split").iterdir(),
    ]
    for link in links.values():
        assert [t for t in others if (t / link.lstrip("/")).is_file()], link


def test_the_option_reaches_local_conf_and_needs_an_image(tmp_path: Path) -> None:
    project.init(tmp_path, sample=True)
    ws = open_workspace(project.load(tmp_path), rtos_in_image=True)
    ensure_init(ws)
    ensure_sources(ws)
    with pytest.raises(UsageFault, match="targets has no image"):
        ensure_generated(ws)
    config = tmp_path / "oejail.yaml"
    text = config.read_text().replace("rtos_in_image: false", "rtos_in_image: true")
    config.write_text(
        text.replace("jailhouse-freertos]", "jailhouse-freertos, openeuler-image-mcs]")
    )
    ws = open_workspace(project.load(tmp_path))
    ensure_generated(ws)
    layers.ensure(ws)
    told = ws.compile_yaml.read_text()
    assert 'IMAGE_INSTALL:append:pn-openeuler-image-mcs = " oejail-rtos"' in told
    assert 'OEJAIL_RECIPES = "jailhouse jailhouse-freertos"' in told
    assert (ws.src / "meta-oejail" / inimage.SCRIPT).read_bytes() == inimage.script()
    assert not layers.install_meta_oejail(ws)
    config.write_text(config.read_text().replace("rtos_in_image: true", "rtos_in_image: false"))
    ensure_generated(open_workspace(project.load(tmp_path)))
    assert "oejail-rtos" not in ws.compile_yaml.read_text()
    shutil.rmtree(ws.root)
