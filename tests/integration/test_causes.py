# SPDX-License-Identifier: MIT
"""What makes a build fail, provoked for real: BitBake and oebuild say it, oejail names it.

What needs mounts, programs of the system or OE-core's own classes is in tests/system, and
docs/diagnosis.md says how it was provoked.
"""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail.workspace.model import Workspace
from tests.support import sample_build as samples
from tests.support.engine import RECIPE, changed, fails, with_oebuild, workspace
from tests.support.sample_build import SampleBuild


@pytest.fixture(scope="module")
def built(sample_build: SampleBuild, tmp_path_factory: pytest.TempPathFactory) -> SampleBuild:
    return samples.copy(sample_build, tmp_path_factory.mktemp("causes") / "workspace")


@pytest.fixture
def ws(built: SampleBuild, tmp_path: Path) -> Workspace:
    return workspace(built, tmp_path / "project")


@pytest.fixture
def recipe(built: SampleBuild) -> Path:
    (path,) = built.src.glob(f"**/{RECIPE}_*.bb")
    return path


@pytest.fixture
def layer_conf(built: SampleBuild) -> Path:
    return built.src / "yocto-meta-openeuler/rtos/meta-freertos/conf/layer.conf"


@pytest.fixture
def bblayers(built: SampleBuild) -> Path:
    return built.build_dir / "conf/bblayers.conf"


@pytest.fixture
def mute(built: SampleBuild) -> Iterator[None]:
    """BitBake's front end always loses what it may lose: its server's words on a configuration."""
    knotty = built.src / "yocto-poky/bitbake/lib/bb/ui/knotty.py"
    with changed(knotty, replace=("event = eventHandler.waitEvent(0)\n        if isinst",
                                  "event = None\n        if isinst")):  # fmt: skip
        assert "event = None\n        if isinst" in knotty.read_text()
        yield


def test_a_missing_layer(ws: Workspace, bblayers: Path) -> None:
    with changed(bblayers, f'BBLAYERS += "{ws.src}/meta-gone {ws.src}/meta-lost"\n'):
        lines, _ = fails(ws, "missing-layer")
    assert f"is not there: {ws.src}/meta-gone; oejail layers show" in lines[0]
    assert f"ERROR:    {ws.src}/meta-lost" in lines


def test_a_layer_of_another_series(ws: Workspace, layer_conf: Path) -> None:
    with changed(layer_conf, 'LAYERSERIES_COMPAT_freertosproject = "dunfell"\n'):
        lines, _ = fails(ws, "layer-series")
    assert "the layer freertosproject is made for dunfell, the tree is kirkstone" in lines[0]


def test_a_layer_that_needs_another(ws: Workspace, layer_conf: Path) -> None:
    with changed(layer_conf, 'LAYERDEPENDS_freertosproject += "meta-python"\n'):
        lines, _ = fails(ws, "layer-depends")
    assert "the layer freertosproject needs the layer meta-python, which is not" in lines[0]
    assert "; oejail layers add the directory of meta-python" in lines[0]


@pytest.mark.usefixtures("mute")
def test_a_layer_in_two_spellings(ws: Workspace, bblayers: Path) -> None:
    spelled = f"{ws.src}/yocto-meta-openeuler/rtos/meta-freertos"
    with changed(bblayers, f'BBLAYERS += "{spelled}"\n'):
        lines, _ = fails(ws, "duplicate-collection")
    assert "the layer freertosproject is in conf/bblayers.conf twice" in lines[0]


def test_a_recipe_that_nobody_has(ws: Workspace, recipe: Path) -> None:
    with changed(recipe, 'DEPENDS += "virtual/nothing"\n'):
        lines, _ = fails(ws, "no-provider")
    assert "no layer of the build has a recipe for virtual/nothing" in lines[0]
    assert any(RECIPE in line and "DEPENDS on" in line for line in lines)


def test_a_machine_that_the_recipe_is_not_for(ws: Workspace, recipe: Path) -> None:
    with changed(recipe, 'COMPATIBLE_MACHINE = "raspberrypi4-64"\n'):
        lines, _ = fails(ws, "machine")
    assert f"the recipe {RECIPE} does not support the machine qemu-aarch64" in lines[0]


@pytest.mark.usefixtures("mute")
def test_a_syntax_error_in_local_conf_that_the_front_end_loses(ws: Workspace) -> None:
    conf = ws.build_dir / "conf/local.conf"
    with changed(conf, "FOO BAR\n"):
        number = len(conf.read_text().splitlines())
        lines, _ = fails(ws, "local-conf")
    assert f"{conf} line {number}: unparsed line: 'FOO BAR'; mend it there, or" in lines[0]


def test_a_syntax_error_in_a_recipe(ws: Workspace, recipe: Path) -> None:
    with changed(recipe, "this is : no line\n"):
        number = len(recipe.read_text().splitlines())
        lines, _ = fails(ws, "parse-error")
    assert f"{recipe.name} line {number}: " in lines[0]


def test_a_variable_that_cannot_be_expanded(ws: Workspace, recipe: Path) -> None:
    with changed(recipe, 'PV = "${@no_such_name}"\n'):
        lines, _ = fails(ws, "expansion")
    assert "no_such_name" in lines[0]


def test_an_append_without_its_recipe(ws: Workspace, recipe: Path) -> None:
    append = recipe.with_name("nothing_1.0.bbappend")
    append.write_text("")
    conf = ws.src / "yocto-meta-openeuler/rtos/meta-freertos/conf/layer.conf"
    try:
        with changed(conf, 'BBFILES += "${LAYERDIR}/recipes-*/*/*.bbappend"\n'):
            lines, _ = fails(ws, "dangling-append")
    finally:
        append.unlink()
    assert f"an append has no recipe: {append}" in lines[0].replace("yocto-poky/../", "")


def test_a_task_that_the_recipe_lacks(ws: Workspace) -> None:
    lines, _ = fails(ws, "no-task", f"{RECIPE}:do_nothing")
    assert f"the recipe {RECIPE} has no task do_nothing" in lines[0]


class _Nothing(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def empty_server() -> Iterator[str]:
    """HOST:PORT of a web server that has nothing."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("protocol", ["git", "http"])
def test_a_source_that_is_not_to_be_had(
    ws: Workspace, recipe: Path, empty_server: str, protocol: str
) -> None:
    """Refused by a closed port, and not there on a server that answers; the token is not shown."""
    host = "127.0.0.1:9" if protocol == "git" else empty_server
    url = f"git://{host}/x;protocol={protocol};branch=m;rev={'0' * 40}"
    if protocol == "http":
        url = url.replace("//", "//user:s3cr3t@")
    conf = ws.build_dir / "conf/local.conf"
    # The tests' own proxy, a closed port, is not to be asked.
    with changed(recipe, f'SRC_URI += "{url}"\n'), changed(conf, 'export no_proxy = "127.0.0.1"\n'):
        lines, failure = fails(ws, "fetch")
    assert (failure.task, failure.recipe) == ("do_fetch", RECIPE)
    assert host in " ".join(lines)
    assert f"git://{'***@' if protocol == 'http' else ''}{host}/x" in failure.cause
    record = (ws.project.state_dir / "last-build.json").read_text()
    assert "s3cr3t" not in record + "\n".join(lines)


def test_a_network_that_is_switched_off(ws: Workspace, recipe: Path) -> None:
    url = f"git://127.0.0.1:9/y;protocol=git;branch=m;rev={'1' * 40}"
    conf = ws.build_dir / "conf/local.conf"
    with changed(recipe, f'SRC_URI += "{url}"\n'), changed(conf, 'BB_NO_NETWORK = "1"\n'):
        lines, _ = fails(ws, "no-network")
    assert "git://127.0.0.1:9/y" in "\n".join(lines)


def in_compile(command: str) -> str:
    return f"do_compile:prepend() {{\n    {command}\n}}\n"


def test_a_full_disk(ws: Workspace, recipe: Path) -> None:
    """The kernel's own refusal, from the device that is always full."""
    with changed(recipe, in_compile("cat ${S}/inmate.c >/dev/full")):
        lines, failure = fails(ws, "disk-full")
    assert lines[0].startswith(f"{RECIPE}: do_compile failed: the disk is full; free some space")
    assert any("No space left on device" in line for line in failure.lines)


def test_a_compiler_that_is_killed(ws: Workspace, recipe: Path) -> None:
    """SIGKILL to the compiler while it waits for its source, as the kernel does it."""
    kill = (
        "mkfifo never; ${CC} -c -x c never -o never.o & compiler=$!; exec 3>never; "
        "kill -9 $compiler; wait $compiler"
    )
    with changed(recipe, in_compile(kill)):
        lines, _ = fails(ws, "killed")
    assert "a process was killed, most likely because memory ran out" in lines[0]


def test_a_worker_that_is_killed(ws: Workspace, recipe: Path) -> None:
    kill = "python do_compile:prepend() {\n    import os, signal\n    os.kill(os.getpid(), 9)\n}\n"
    with changed(recipe, kill.replace("do_compile:prepend", "do_dies") + "addtask dies\n"):
        fails(ws, "killed", f"{RECIPE}:do_dies")


def test_a_source_that_does_not_compile(ws: Workspace, built: SampleBuild) -> None:
    with changed(built.freertos_source, "int broken(void) { return undeclared; }\n"):
        number = len(built.freertos_source.read_text().splitlines())
        lines, _ = fails(ws, "source-error")
    assert f"{RECIPE}: do_compile failed: inmate.c:{number}:" in lines[0]
    assert "undeclared" in lines[0]
    assert f"oejail logs {RECIPE} do_compile" in lines[0]


def test_a_header_and_a_program_that_are_not_there(ws: Workspace, recipe: Path) -> None:
    header = "printf '#include <absent.h>\\n' >x.c; ${CC} -c x.c"
    with changed(recipe, in_compile(header)):
        assert "absent.h" in fails(ws, "no-header")[0][0]
    with changed(recipe, in_compile("no-such-program")):
        fails(ws, "no-command")


def test_a_symbol_that_is_not_there(ws: Workspace, recipe: Path) -> None:
    link = "printf 'int gone(void); int _start(void) { return gone(); }\\n' >x.c; "
    with changed(recipe, in_compile(link + "${CC} -nostdlib x.c -o x")):
        assert "gone" in fails(ws, "undefined-reference")[0][0]


def test_no_utf8_locale(ws: Workspace, built: SampleBuild) -> None:
    """BitBake's own check, where OE-core's launcher has it; the sample's does without."""
    launcher = built.src / "yocto-poky/bitbake/bin/bitbake"
    check = (
        "    import bb.utils\n    os.environ['LOCPATH'] = '/nonexistent'\n"
        "    bb.utils.check_system_locale()\n"
    )
    with changed(launcher, replace=("    import bb\n", check)):
        assert check in launcher.read_text()
        lines, _ = fails(ws, "locale")
    assert "lacks a UTF-8 locale that BitBake needs: en_US.UTF-8; install it" in lines[0]


def test_root_is_refused_by_oebuild(ws: Workspace) -> None:
    """By the real oebuild, as root or as a user who is root in a namespace; it ends with 0."""
    if os.geteuid():
        ws = with_oebuild(ws, "unshare", "--user", "--map-root-user", "--")
    else:
        ws = with_oebuild(ws)
    lines, _ = fails(ws, "root")
    assert "set build_user: in oejail.yaml" in lines[0]
