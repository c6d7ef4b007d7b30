# SPDX-License-Identifier: MIT
"""Twelve ways in which a green oebuild is none, a red one neither, or nothing ends at all.

Each test asks a driver that trusts exit statuses (naive.py) and oejail the same of the real oebuild
and BitBake: the driver's verdict is wrong, oejail's is right.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail.files import sha256_file
from tests.support.cli import oejail, start
from tests.support.engines import Builder
from tests.support.interruption import wait_until_idle, working
from tests.support.processes import wait_until
from tests.system import naive

RTOS = "jailhouse-freertos"
LAYER = "yocto-meta-openeuler/rtos/meta-freertos"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, brought from nothing to a bundle by oejail."""
    root = tmp_path_factory.mktemp("lies")
    oejail(root, "up", "--sample")
    return root


@pytest.fixture
def build_dir(project: Path) -> Iterator[Path]:
    """Its build directory; nothing works there afterwards."""
    (found,) = (project / "workspace/build").glob("[a-z]*")
    yield found
    wait_until_idle(found, 10)


@pytest.fixture
def recipe(project: Path) -> Path:
    """The inmate's recipe."""
    (found,) = (project / "workspace/src").glob(f"**/{RTOS}_*.bb")
    return found


@contextlib.contextmanager
def appended(path: Path, text: str) -> Iterator[None]:
    before = path.read_text()
    path.write_text(before + text)
    try:
        yield
    finally:
        path.write_text(before)


@contextlib.contextmanager
def generated(tmp_path: Path) -> Iterator[Path]:
    """The build directory of a project of the test's own that was never built."""
    oejail(tmp_path, "init", "--sample")
    oejail(tmp_path, "up", "--until", "generate")
    (found,) = (tmp_path / "workspace/build").glob("[a-z]*")
    yield found


def digest(project: Path) -> str:
    return sha256_file(next(project.glob("dist/*.zst")))


def built(build_dir: Path, *targets: str) -> bool:
    """naive's verdict, once BitBake's server, which lingers, has gone as well."""
    verdict = naive.build(build_dir, *targets)
    wait_until_idle(build_dir, 30)
    return verdict


def test_1_a_build_that_succeeds_and_leaves_no_freertos(
    project: Path, build_dir: Path, recipe: Path
) -> None:
    before = digest(project)
    with contextlib.ExitStack() as without_oejail:
        # openEuler's recipe deploys nothing.
        without_oejail.enter_context(appended(recipe, "\ndeltask do_deploy\n"))
        for name in ("compile.yaml", "conf/bblayers.conf", "conf/local.conf"):
            path = build_dir / name
            without_oejail.enter_context(appended(path, ""))
            lines = path.read_text().splitlines(keepends=True)
            path.write_text(
                "".join(
                    line for line in lines if "oejail-" not in line and "meta-oejail" not in line
                )
            )
        for _ in range(2):  # the second one as in another build directory with that shared state
            shutil.rmtree(build_dir / "tmp")
            assert built(build_dir, "jailhouse", RTOS)
        assert naive.find_freertos(build_dir) == []
    for place in (project / ".oejail/artifacts", project / "dist"):
        shutil.rmtree(place)
    oejail(project, "up")
    assert digest(project) == before
    assert (project / ".oejail/artifacts/payload/FreeRTOS.bin").is_file()


def test_2_there_is_no_conf_after_generate(tmp_path: Path) -> None:
    with generated(tmp_path) as build_dir:
        with pytest.raises(FileNotFoundError):
            naive.enable_layer(build_dir, build_dir)
        oejail(tmp_path, "up", "--until", "layers")
        assert f"{LAYER}\n" in (build_dir / "compile.yaml").read_text()
        assert LAYER in oejail(tmp_path, "layers", "show").out


def test_3_the_rtos_does_not_bring_the_hypervisor(project: Path, build_dir: Path) -> None:
    before = digest(project)
    for name in ("tmp", "sstate-cache"):
        shutil.rmtree(build_dir / name, ignore_errors=True)
    assert built(build_dir, RTOS)
    assert list(build_dir.rglob("jailhouse.ko")) == []
    oejail(project, "up")
    assert list(build_dir.rglob("jailhouse.ko"))
    assert digest(project) == before


def test_4_a_feature_that_is_known_is_not_the_one(tmp_path: Path) -> None:
    with generated(tmp_path) as build_dir:
        workspace, common = tmp_path / "workspace", ("-p", "qemu-aarch64", "-b_in", "host")
        # As on old trees.
        assert not naive.oebuild(workspace, "generate", *common, "-f", "openeuler-mcs", "-d", "a")
        assert naive.oebuild(workspace, "generate", *common, "-f", "mcs", "-d", "b")
        theirs = (workspace / "build/b/compile.yaml").read_text()
        ours = (build_dir / "compile.yaml").read_text()
        assert 'MCS_FEATURES ?= "openamp"' in theirs and "jailhouse" not in theirs
        assert 'MCS_FEATURES ?= "jailhouse"' in ours and "openamp" not in ours


def test_5_exit_status_0_and_nothing_was_built(build: Builder) -> None:
    """In a container, a layer that is missing is said on stdout only; as root, oebuild refuses."""
    up = ("up", "--engine", "container")
    build.oejail(*up, "--sample", "--until", "build")
    with appended(
        build.build_dir / "conf/bblayers.conf",
        'BBLAYERS += "/usr1/openeuler/src/meta-gone"\n',
    ):
        argv = [build.python, "-P", "-m", "oebuild"]
        if build.user is not None:
            argv = ["setpriv", f"--reuid={build.user}", f"--regid={build.user}", *argv]
            argv.insert(3, "--clear-groups")
            # Without the socket's group it would end with 1.
            argv[3] = f"--groups={os.stat(socket()).st_gid}"
        assert naive.oebuild(build.build_dir, "bitbake", RTOS, argv=argv, timeout=60)
        wait_until_idle(build.build_dir, 30)
        said = build.oejail("build", "--engine", "container", RTOS, status=None)
        assert said.status in (2, 4)
        assert "meta-gone" in said.err
    build.oejail("build", "--engine", "container", RTOS)
    if os.geteuid() == 0:
        as_root = [sys.executable, "-P", "-m", "oebuild"]
        assert naive.oebuild(build.build_dir, "bitbake", "no-such-target", argv=as_root)


def socket() -> str:
    return os.environ["DOCKER_HOST"].removeprefix("unix://")


def test_6_a_dependency_that_is_written_with_a_colon(project: Path, build_dir: Path) -> None:
    conf = project / "workspace/src" / LAYER / "conf/layer.conf"
    with appended(conf, '\nLAYERDEPENDS:freertosproject = "meta-python"\n'):
        assert built(build_dir, RTOS)
        said = oejail(project, "up", status=2)
        assert "freertosproject depends on meta-python, written with a colon" in said.err


def test_7_one_layer_in_two_spellings(project: Path, build_dir: Path) -> None:
    conf = build_dir / "conf/bblayers.conf"
    with appended(conf, ""):
        naive.enable_layer(build_dir, project / "workspace/src" / LAYER)  # it goes without a word,
        assert conf.read_text().count(LAYER) == 2
        assert not built(build_dir, RTOS)  # and nothing can be built any more
    said = oejail(project, "layers", "add", str(project / "workspace/src" / LAYER))
    assert conf.read_text().count(LAYER) == 1, said.err
    assert oejail(project, "build", RTOS).out == f"built: {RTOS}\n"


def test_8_generate_deletes_what_was_downloaded(tmp_path: Path) -> None:
    with generated(tmp_path) as build_dir:
        precious = build_dir / "downloads/precious"
        for driver in ("oejail", "naive"):
            precious.parent.mkdir(exist_ok=True)
            precious.write_text("gigabytes")
            if driver == "oejail":
                file = tmp_path / "oejail.yaml"
                # Another feature: compile.yaml has to be generated anew.
                file.write_text(file.read_text().replace("features: auto", "features: [mcs]"))
                said = oejail(tmp_path, "up", "--until", "generate")
                assert "generate" in said.ran and "openamp" in compile_yaml(build_dir)
                assert precious.read_text() == "gigabytes"
            else:
                words = ("generate", "-p", "qemu-aarch64", "-f", "mcs/jailhouse", "-b_in", "host")
                assert naive.oebuild(tmp_path / "workspace", *words, "-d", build_dir.name, "-y")
                assert not precious.exists()


def compile_yaml(build_dir: Path) -> str:
    return (build_dir / "compile.yaml").read_text()


FLOOD = """
do_flood[nostamp] = "1"
addtask flood
python do_flood() {
    for number in range(1200):
        bb.error("x" * 150 + str(number))
}
"""


def test_9_a_lot_of_errors_and_it_never_ends(project: Path, build_dir: Path, recipe: Path) -> None:
    with appended(recipe, FLOOD):
        words = ("bitbake", "-c", "flood", RTOS)
        with pytest.raises(subprocess.TimeoutExpired):
            naive.oebuild(build_dir, *words, timeout=8)
        end_all(build_dir)
        said = oejail(project, "bitbake", "--", *words[1:], status=4)
        assert said.out.count("x" * 150) == 1200


def end_all(build_dir: Path) -> None:
    """What naive left running."""
    for line in working(build_dir):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(line.split(":")[0]), signal.SIGKILL)
    wait_until_idle(build_dir, 10)


def test_10_a_line_for_local_conf_that_comes_too_late(project: Path, build_dir: Path) -> None:
    line = 'FRESH = "a line of the user"'
    text = compile_yaml(build_dir)
    with appended(build_dir / "compile.yaml", ""):
        changed = text.replace("local_conf: |+\n", f"local_conf: |+\n  {line}\n")
        changed = changed.replace("local_conf: |\n", f"local_conf: |\n  {line}\n")
        assert line in changed
        (build_dir / "compile.yaml").write_text(changed)
        assert built(build_dir, RTOS)
        assert line not in (build_dir / "conf/local.conf").read_text()
    file = project / "oejail.yaml"
    before = file.read_text()
    file.write_text(before.replace("local_conf: []", f"local_conf: ['{line}']"))
    assert file.read_text() != before
    oejail(project, "up")
    assert line in (build_dir / "conf/local.conf").read_text()
    file.write_text(before)
    oejail(project, "up")


@contextlib.contextmanager
def compiling(build_dir: Path, recipe: Path) -> Iterator[None]:
    """Meanwhile do_compile of the recipe sleeps; what is started within must get there."""
    sleep = "do_compile:prepend() {\n    touch ${TOPDIR}/compiling\n    sleep 322\n}\n"
    mark = build_dir / "compiling"
    with appended(recipe, sleep):
        yield
        assert mark.exists()
    mark.unlink()


def test_11_a_second_bitbake_waits_without_a_word(
    project: Path, build_dir: Path, recipe: Path
) -> None:
    with compiling(build_dir, recipe), naive.start(build_dir, "bitbake", RTOS) as first:
        assert wait_until((build_dir / "compiling").exists, 30)
        with pytest.raises(subprocess.TimeoutExpired):
            naive.build(build_dir, "jailhouse", timeout=5)
        said = oejail(project, "up", status=7)
        assert "another BitBake is at work here, pid " in said.err
        first.kill()
        end_all(build_dir)
        assert naive.busy(build_dir)  # for ever: the file stays
    assert oejail(project, "build", RTOS).out == f"built: {RTOS}\n"


def test_12_sigterm_ends_oebuild_and_bitbake_goes_on(
    project: Path, build_dir: Path, recipe: Path
) -> None:
    with compiling(build_dir, recipe):
        with naive.start(build_dir, "bitbake", RTOS) as process:
            assert wait_until((build_dir / "compiling").exists, 30)
            process.terminate()
            assert process.wait(10) != 0
        assert not wait_until(lambda: not working(build_dir), 3)
        end_all(build_dir)
        (build_dir / "compiling").unlink()
        with start(project, "up") as ours:
            assert wait_until((build_dir / "compiling").exists, 30)
            ours.terminate()
            wait_until_idle(build_dir, 10)
            assert ours.wait(10) == 130


def test_naive_is_no_straw_man(project: Path, build_dir: Path) -> None:
    """Where nothing is wrong, it says so."""
    assert built(build_dir, RTOS)
    assert not built(build_dir, "no-such-target")
