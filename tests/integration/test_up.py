# SPDX-License-Identifier: MIT
"""`oejail up --sample`, whole: the real oebuild, BitBake and cross compiler."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail.files import Lock, sha256_file
from oejail.pipeline import STAGES
from tests.support.cli import OEJAIL, oejail, processes_with, start, wait_until_gone

LATER = ["collect", "check", "bundle", "verify", "boot"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of this module, brought up to date before each test by `fresh`."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture
def fresh(project: Path) -> Path:
    oejail(project, "up", "--sample")
    return project


def build_dir(project: Path) -> Path:
    found: Path
    (found,) = (project / "workspace/build").iterdir()
    return found


def origin(project: Path, name: str) -> Path:
    listed = json.loads((project / ".oejail/artifacts/artifacts.json").read_text())
    (found,) = [a["origin"] for a in listed["artifacts"] if a["path"] == f"payload/{name}"]
    return build_dir(project) / str(found)


def c_file(project: Path) -> Path:
    recipe = "workspace/src/yocto-meta-openeuler/rtos/meta-freertos/recipes-rtos/jailhouse-freertos"
    return project / recipe / "files/inmate.c"


def test_from_an_empty_directory_to_a_verified_bundle(tmp_path: Path) -> None:
    said = oejail(tmp_path, "up", "--sample")
    assert said.ran == list(STAGES)
    assert said.out == f"bundle: {tmp_path}/dist/oejail-qemu-aarch64-0.tar.zst\n"
    verified = oejail(tmp_path, "verify", str(said.bundle), "--json")
    report = json.loads(verified.out)
    assert (report["ok"], report["sample"], report["findings"]) == (True, True, [])
    again = oejail(tmp_path, "up", "--sample")
    assert again.ran == []
    assert set(again.stages.values()) == {"up to date"}
    assert again.out == said.out


def test_the_bundle_holds_what_the_boot_needs(fresh: Path) -> None:
    view = json.loads(oejail(fresh, "inspect", str(next(fresh.glob("dist/*.zst"))), "--json").out)
    head = view["manifest"]
    assert head["sample"] is True
    paths = {entry["path"] for entry in head["files"]}
    assert {
        "payload/jailhouse.ko",
        "payload/jailhouse.bin",
        "payload/bin/jailhouse",
        "payload/FreeRTOS.bin",
        "payload/cells/qemu-arm64-openeuler-demo.cell",
        "payload/cells/qemu-arm64-freertos-demo.cell",
        "payload/oejail.set",
        "payload/oejail-start",
        "install.sh",
    } <= paths
    assert head["set"]["inmates"][0]["expect"] == "oejail sample inmate: tick"


def test_a_lost_artefact_is_built_again(fresh: Path) -> None:
    lost = origin(fresh, "FreeRTOS.bin")
    before = sha256_file(lost)
    lost.unlink()
    said = oejail(fresh, "up")
    # The same bytes come back, from shared state: the copy in a work directory does not.
    assert said.ran == ["build", "collect", "check", "bundle"]
    assert said.stages["build"].endswith("FreeRTOS.bin is gone")
    assert sha256_file(lost) == before
    assert oejail(fresh, "up").ran == []


def test_a_loss_is_not_forgotten_by_a_kill(fresh: Path) -> None:
    lost = origin(fresh, "FreeRTOS.bin")
    lost.unlink()
    with start(fresh, "up") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("build: cleaning"):
                break
        process.kill()
    wait_until_gone(str(fresh), 3)
    oejail(fresh, "up")
    assert lost.is_file()


def test_a_deployed_copy_is_wanted_back_each_time(fresh: Path) -> None:
    pattern = "workspace/build/*/tmp/deploy/images/*/FreeRTOS.bin"
    for _ in range(2):
        (deployed,) = fresh.glob(pattern)
        deployed.unlink()
        assert oejail(fresh, "up").ran[0] == "build"
        assert deployed.is_file()


def test_a_lost_collected_file_is_collected_again(fresh: Path) -> None:
    (fresh / ".oejail/artifacts/payload/FreeRTOS.bin").unlink()
    assert oejail(fresh, "up").ran == ["collect"]


@pytest.mark.parametrize("change", ["altered", "gone", "digest"])
def test_an_altered_bundle_is_packed_again(change: str, fresh: Path) -> None:
    bundle = next(fresh.glob("dist/*.zst"))
    before = bundle.read_bytes()
    if change == "altered":
        with bundle.open("r+b") as stream:
            stream.seek(1000)
            stream.write(b"?")
    elif change == "gone":
        bundle.unlink()
    else:
        bundle.with_name(bundle.name + ".sha256").unlink()
    said = oejail(fresh, "up")
    assert said.ran[0] == "bundle"
    assert set(said.ran) <= {"bundle", "verify", "boot"}
    assert bundle.read_bytes() == before


def test_an_edited_source_is_built(fresh: Path) -> None:
    source = c_file(fresh)
    text = source.read_text()
    before = sha256_file(next(fresh.glob("dist/*.zst")))
    source.write_text(text.replace("tick", "tock"))
    said = oejail(fresh, "up")
    assert said.ran == ["build", *LATER]
    assert said.stages["build"] == "src/yocto-meta-openeuler has changed"
    assert b"tock" in (fresh / ".oejail/artifacts/payload/FreeRTOS.bin").read_bytes()
    # Local changes: BitBake decides, and finds nothing to do.
    said = oejail(fresh, "up")
    assert said.ran == ["build"]
    assert said.stages["build"] == "yocto-meta-openeuler has local changes: BitBake decides"
    source.write_text(text)
    assert oejail(fresh, "up").ran == ["build", *LATER]
    assert sha256_file(next(fresh.glob("dist/*.zst"))) == before


def test_a_failed_build_says_where_and_why(fresh: Path) -> None:
    source = c_file(fresh)
    text = source.read_text()
    source.write_text(text + "\nint broken = undeclared_thing;\n")
    said = oejail(fresh, "up", status=4)
    assert "jailhouse-freertos" in said.err
    assert "do_compile" in said.err
    assert "undeclared_thing" in said.err
    assert "log.do_compile" in said.err
    source.write_text(text)
    assert "build" in oejail(fresh, "up").ran


def test_changed_configuration(fresh: Path) -> None:
    file = fresh / "oejail.yaml"
    text = file.read_text()
    file.write_text(text.replace('release: "0"', 'release: "1"'))
    said = oejail(fresh, "up")
    assert said.bundle.name == "oejail-qemu-aarch64-1.tar.zst"
    file.write_text(text)
    oejail(fresh, "up")


def test_from_until_force(fresh: Path) -> None:
    assert oejail(fresh, "up", "--force", "check").ran == ["check"]
    said = oejail(fresh, "up", "--until", "generate")
    assert (list(said.stages), said.out) == (["init", "update", "generate"], "")
    assert list(oejail(fresh, "up", "--from", "bundle").stages) == ["bundle", "verify", "boot"]
    assert "no stage 'bulid'" in oejail(fresh, "up", "--force", "bulid", status=2).err
    assert "comes after" in oejail(fresh, "up", "--from", "bundle", "--until", "init", status=2).err


def test_sample_in_a_project_of_another_tree(tmp_path: Path) -> None:
    oejail(tmp_path, "init")
    said = oejail(tmp_path, "up", "--sample", status=2)
    assert "the tree is openeuler, not sample" in said.err


def test_an_engine_that_is_not_there_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    oejail(tmp_path, "init")
    said = oejail(tmp_path, "up", status=6, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    why = "none.sock: no such socket; start it" if os.geteuid() else "refuse root"
    assert why in said.err
    assert not said.stages and not (tmp_path / "workspace").exists()


def test_a_second_oejail_is_refused_and_told_who(fresh: Path) -> None:
    with Lock(fresh / ".oejail/lock", "build"):
        said = oejail(fresh, "up", status=7)
    assert f"pid {os.getpid()}: oejail build" in said.err


def test_status_tells_where_it_stands(fresh: Path) -> None:
    report = json.loads(oejail(fresh, "status", "--json").out)
    assert [stage["name"] for stage in report["stages"]] == list(STAGES)
    assert {stage["stale"] for stage in report["stages"]} == {None}
    assert Path(report["bundle"]).is_file()
    (fresh / ".oejail/artifacts/payload/FreeRTOS.bin").unlink()
    assert "FreeRTOS.bin is gone" in oejail(fresh, "status").out


def _wait_for_compile(project: Path, process: subprocess.Popen[str]) -> None:
    """Wait until do_compile sleeps, as the recipe was made to do."""
    deadline = time.monotonic() + 60
    while not (project / "compiling").exists():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def slow(fresh: Path) -> Iterator[Path]:
    """A project whose next do_compile sleeps for a minute, once it has made a file `compiling`."""
    (recipe,) = c_file(fresh).parent.parent.glob("*.bb")
    text = recipe.read_text()
    mark = fresh / "compiling"
    recipe.write_text(f"{text}\ndo_compile:prepend() {{\n    touch {mark}\n    sleep 60\n}}\n")
    yield fresh
    mark.unlink(missing_ok=True)
    recipe.write_text(text)
    oejail(fresh, "up")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_outlives_oejail(number: signal.Signals, slow: Path) -> None:
    with start(slow, "up") as process:
        _wait_for_compile(slow, process)
        assert processes_with(str(build_dir(slow)))
        process.send_signal(number)
        wait_until_gone(str(build_dir(slow)), 3)
        assert process.wait(5) == (-9 if number == signal.SIGKILL else 130)


def test_killed_at_every_stage_and_run_again(tmp_path: Path) -> None:
    """SIGKILL as soon as each stage begins; the same command ends in the same bundle."""
    expected = oejail(tmp_path, "up", "--sample").bundle
    digest = sha256_file(expected)
    oejail(tmp_path, "clean", "--all")
    for stage in STAGES:
        with start(tmp_path, "-v", "up", "--sample") as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(stage.ljust(9)) and "up to date" not in line:
                    break
            process.kill()
        wait_until_gone(str(tmp_path), 3)
    oejail(tmp_path, "up", "--sample")
    assert sha256_file(expected) == digest


def test_a_full_disk_is_said_and_nothing_is_lost(fresh: Path) -> None:
    bundle = next(fresh.glob("dist/*.zst"))
    before, there = bundle.read_bytes(), set(bundle.parent.iterdir())
    command = "trap '' XFSZ; ulimit -f 4; exec \"$@\""
    done = subprocess.run(
        ["bash", "-c", command, "sh", *OEJAIL, "up", "--force", "bundle"],
        cwd=fresh,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert bundle.read_bytes() == before
    assert set(bundle.parent.iterdir()) == there
    oejail(fresh, "up")
    oejail(fresh, "verify", str(bundle))


def test_clean(tmp_path: Path) -> None:
    oejail(tmp_path, "up", "--sample")
    foreign = build_dir(tmp_path).with_name("qemu-aarch64-container") / "tmp"
    foreign.mkdir(parents=True)
    # What --engine of another engine than oejail.yaml's builds in.
    other = foreign.parent.with_name("qemu-aarch64-host") / "tmp"
    other.mkdir(parents=True)
    record = tmp_path / "workspace/.oebuild/oejail-qemu-aarch64.json"
    shutil.copy(record, record.with_name("oejail-qemu-aarch64-host.json"))
    would = oejail(tmp_path, "clean", "--dry-run").out
    ours = tmp_path / "workspace/build/qemu-aarch64/tmp"
    assert f"would remove {ours}\n" in would
    assert ours.is_dir()
    (tmp_path / "workspace/build/mine/tmp").mkdir(parents=True)
    oejail(tmp_path, "clean")
    assert not other.exists() and foreign.is_dir()
    assert (tmp_path / "workspace/build/mine/tmp").is_dir()
    assert not ours.exists()
    assert (tmp_path / "workspace/src/yocto-poky").is_dir()
    c_file(tmp_path).write_text("edited")
    assert "local changes" in oejail(tmp_path, "clean", "--all", status=2).err
    assert c_file(tmp_path).read_text() == "edited"
    oejail(tmp_path, "clean", "--all", "--force")
    assert os.listdir(tmp_path) == ["oejail.yaml"]


def test_a_moved_project_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    oejail(tmp_path / "old", "up", "--sample", "--until", "build")
    (tmp_path / "old").rename(tmp_path / "new")
    said = oejail(tmp_path / "new", "up", status=2)
    assert f"conf and tmp were made when it was {tmp_path}/old/workspace/build" in said.err
    assert "oejail clean --all" in said.err
    oejail(tmp_path / "new", "clean", "--all")
    oejail(tmp_path / "new", "up")


def test_a_path_with_a_space(tmp_path: Path) -> None:
    directory = tmp_path / "a b"
    directory.mkdir()
    said = oejail(directory, "up", "--sample", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert said.out == f"bundle: {directory}/dist/oejail-qemu-aarch64-0.tar.zst\n"
    assert (directory / "workspace").is_symlink()
    assert (directory / "workspace").resolve().is_relative_to(tmp_path / "cache/oejail")
    oejail(directory, "clean", "--all", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert os.listdir(directory) == ["oejail.yaml"]
    assert list((tmp_path / "cache/oejail/workspaces").glob("*-*")) == []


def test_the_same_bytes_from_anywhere(fresh: Path, tmp_path: Path) -> None:
    digest = sha256_file(next(fresh.glob("dist/*.zst")))
    other = tmp_path / "somewhere/else"
    other.mkdir(parents=True)
    mask = os.umask(0o077)
    try:
        said = oejail(other, "up", "--sample", TZ="Asia/Tokyo", LC_ALL="C", LANG="de_DE.UTF-8")
    finally:
        os.umask(mask)
    assert sha256_file(said.bundle) == digest


def test_raspberry_pi(tmp_path: Path) -> None:
    oejail(tmp_path, "init", "--sample", "--platform", "raspberrypi4-64")
    said = oejail(tmp_path, "up")
    view = json.loads(oejail(tmp_path, "inspect", str(said.bundle), "--json").out)
    assert view["manifest"]["platform"] == "raspberrypi4-64"
