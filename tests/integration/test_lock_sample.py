# SPDX-License-Identifier: MIT
"""A lock in the whole of `up`: the sample tree, the real oebuild and BitBake."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from oejail.workspace import settle
from tests.support.cli import oejail
from tests.support.processes import patience
from tests.support.sample_build import SampleBuild

META = "workspace/src/yocto-meta-openeuler"


def sources(project: Path) -> dict[str, tuple[str, bool]]:
    (bundle,) = project.glob("dist/*.zst")
    view = json.loads(oejail(project, "inspect", str(bundle), "--json").out)
    listed = view["manifest"]["sources"]["repositories"]
    return {entry["name"]: (entry["commit"], entry["dirty"]) for entry in listed}


def test_up_with_a_lock(tmp_path: Path) -> None:
    oejail(tmp_path, "up", "--sample")
    unlocked = next(tmp_path.glob("dist/*.zst")).read_bytes()
    assert oejail(tmp_path, "lock").out == "wrote oejail.lock: 2 repositories\n"
    oejail(tmp_path, "lock", "--check")
    # Only that there is a lock now: BitBake finds nothing to do, and the bundle is the same.
    assert oejail(tmp_path, "up").ran == ["update", "build"]
    assert next(tmp_path.glob("dist/*.zst")).read_bytes() == unlocked
    began = time.perf_counter()
    assert oejail(tmp_path, "up").ran == []
    assert time.perf_counter() - began < patience(1)

    source = tmp_path / META / "rtos/meta-freertos/recipes-rtos/jailhouse-freertos/files/inmate.c"
    source.write_text(source.read_text().replace("tick", "tock"))
    said = oejail(tmp_path, "up", status=2)
    assert f"{META}: local changes: 1 changed (rtos/" in said.err and "--allow-dirty" in said.err
    assert "local changes" in oejail(tmp_path, "build", status=2).err
    assert "local changes" in oejail(tmp_path, "bitbake", "--", "-e", status=2).err
    assert "local changes" in oejail(tmp_path, "lock", status=2).err
    said = oejail(tmp_path, "lock", "--check", status=3)
    assert "with local changes: 1 changed" in said.err
    said = oejail(tmp_path, "up", "--allow-dirty")
    assert "stays as it is (--allow-dirty)" in said.err
    found = sources(tmp_path)
    assert found["yocto-meta-openeuler"][1] is True and found["yocto-poky"][1] is False
    assert b"tock" in (tmp_path / ".oejail/artifacts/payload/FreeRTOS.bin").read_bytes()


def test_a_lock_of_another_sample(tmp_path: Path) -> None:
    oejail(tmp_path, "up", "--sample", "--until", "generate")
    oejail(tmp_path, "lock")
    lock = tmp_path / "oejail.lock"
    commit = json.loads(oejail(tmp_path, "lock", "--check", "--json").out)["ok"]
    assert commit is True
    text = lock.read_text()
    begin = text.index('yocto-poky: {commit: "') + len('yocto-poky: {commit: "')
    lock.write_text(text[:begin] + "0" * 40 + text[begin + 40 :])
    said = oejail(tmp_path, "up", status=2)
    assert "not this sample tree's: yocto-poky: locked 0000" in said.err
    assert "oejail lock" in said.err


def test_what_is_made_of_a_repository_is_built_again_when_that_moves(
    sample_copy: SampleBuild,
) -> None:
    recipes = sample_copy.src / "yocto-meta-openeuler/rtos/meta-freertos/recipes-rtos"
    (recipe,) = recipes.glob("jailhouse-freertos/*.bb")
    with recipe.open("a") as stream:
        stream.write('OPENEULER_LOCAL_NAME = "FreeRTOS-Kernel"\n')
    commits = sample_copy.build_dir / settle.COMMITS

    def ran() -> set[str]:
        said = sample_copy.bitbake("jailhouse", "jailhouse-freertos")
        assert said.ok and "Unable to get checksum" not in said.text, said.text
        return {task for task in sample_copy.tasks_run() if task.endswith((":do_fetch", "compile"))}

    assert ran() == set()  # a name is in no hash
    for name in ("FreeRTOS-Kernel-docs", "Jailhouse"):
        (commits / name).mkdir(parents=True)
        (commits / name / "commit").write_text("0" * 40)
    assert ran() == set()
    (commits / "FreeRTOS-Kernel").mkdir()
    for commit in ("1" * 40, "2" * 40):
        (commits / "FreeRTOS-Kernel/commit").write_text(commit)
        assert ran() == {"jailhouse-freertos:do_fetch", "jailhouse-freertos:do_compile"}
    assert ran() == set()


def test_bitbake_finds_the_manifest(sample_copy: SampleBuild) -> None:
    """openEuler's fetcher asks for MANIFEST_DIR: the tree's file, or oejail's where there is one.

    Which of them it is does not change what tasks are made from: nothing is built again because a
    project was locked.
    """
    recipes = sample_copy.src / "yocto-meta-openeuler/rtos/meta-freertos/recipes-rtos"
    (recipe,) = recipes.glob("jailhouse-freertos/*.bb")
    with recipe.open("a") as stream:
        stream.write('python do_asks() {\n    bb.plain("asked: " + d.getVar("MANIFEST_DIR"))\n}\n')
        stream.write("addtask asks after do_fetch before do_unpack\n")
    conf = sample_copy.build_dir / "conf/local.conf"

    def asked(*lines: str, force: bool = False) -> list[str]:
        with conf.open("a") as stream:
            stream.writelines(f"{line}\n" for line in lines)
        said = sample_copy.bitbake(*["-f"] * force, "-c", "asks", "jailhouse-freertos")
        assert said.ok, said.text
        return re.findall(r"asked: (\S+)", said.text)

    trees = "/src/yocto-meta-openeuler/.oebuild/manifest.yaml"
    assert asked('OPENEULER_SP_DIR = "/src"', f'MANIFEST_DIR ?= "{trees}"') == [trees]
    own = sample_copy.build_dir / settle.WRITTEN
    own.write_text("manifest_list:\n  {}\n")
    assert asked() == []
    assert asked(force=True) == [str(own)]
    own.unlink()
    assert asked(force=True) == [trees]
