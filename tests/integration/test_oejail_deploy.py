# SPDX-License-Identifier: MIT
"""meta-oejail's appends in the real BitBake: what they deploy, and what shared state restores."""

from __future__ import annotations

import filecmp
import json
import os
from pathlib import Path

from oejail.files import sha256_file
from tests.support import sample_build as support
from tests.support.sample_build import SampleBuild


def files_below(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*") if path.is_file())


def second(built: SampleBuild, root: Path, *more: str) -> SampleBuild:
    """Another workspace, with `built`'s shared state and further lines for local.conf."""
    fresh = support.make(root)
    lines = [f'SSTATE_DIR = "{built.build_dir}/sstate-cache"', *more]
    text = fresh.build_dir / "compile.yaml"
    added = "".join(f"  {line}\n" for line in lines)
    text.write_text(text.read_text().replace("local_conf: |+\n", "local_conf: |+\n" + added))
    return fresh


def test_what_is_deployed_is_what_is_packaged(sample_build: SampleBuild) -> None:
    deployed = sample_build.images / "oejail"
    for recipe, version in (("jailhouse", "0.12-r0"), ("jailhouse-freertos", "1.0-r0")):
        index = json.loads((deployed / recipe / "oejail-index.json").read_text())
        assert (index["schema_version"], index["recipe"]) == (1, recipe)
        assert index["version"] == version
        split = sample_build.work(recipe) / "packages-split"
        for file in index["files"]:
            path = deployed / recipe / file["path"]
            packaged = split / file["package"] / file["path"]
            assert filecmp.cmp(path, packaged, shallow=False)
            assert file["origin"] == f"/{file['path']}"
            assert (file["sha256"], file["size"]) == (sha256_file(path), path.stat().st_size)
            assert file["mode"] == path.stat().st_mode & 0o7777
        listed = [file["path"] for file in index["files"]]
        assert listed == sorted(listed)
        assert files_below(deployed / recipe) == sorted([*listed, "oejail-index.json"])
    names = {Path(name).name for name in files_below(deployed)}
    assert {"jailhouse.ko", "jailhouse.bin", "jailhouse", "uart-demo.bin", "FreeRTOS.bin"} <= names


def test_another_build_directory_gets_it_from_shared_state(
    sample_build: SampleBuild, tmp_path: Path
) -> None:
    """The task's hash depends neither on the place nor on the build directory."""
    fresh = second(sample_build, tmp_path / "somewhere/else")
    assert fresh.bitbake(*support.TARGETS).ok
    ran = fresh.tasks_run()
    assert "jailhouse:do_oejail_deploy_setscene" in ran
    assert all(task.endswith("_setscene") for task in ran), ran
    ours, theirs = fresh.images / "oejail", sample_build.images / "oejail"
    assert files_below(ours) == files_below(theirs) != []
    for name in files_below(ours):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
        assert os.stat(ours / name).st_mode == os.stat(theirs / name).st_mode


def test_a_recipe_without_packages_is_left_alone(sample_copy: SampleBuild) -> None:
    recipe = sample_copy.freertos_source.parent.parent / "jailhouse-freertos_1.0.bb"
    deleted = "deltask do_package\ndeltask do_packagedata\ndo_build[deptask] = ''\n"
    recipe.write_text(recipe.read_text() + f"\n{deleted}")
    result = sample_copy.bitbake("-c", "compile", "jailhouse-freertos")
    assert result.ok, result.stdout[-20:]
    listed = sample_copy.bitbake("-c", "oejail_deploy", "jailhouse-freertos")
    assert not listed.ok
