# SPDX-License-Identifier: MIT
"""The engine on the sample tree: real oebuild, real BitBake, a real cross compiler."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail import engine, log, oebuild, project
from oejail.engine import holder, logs
from oejail.errors import BuildFailed, ChildFailed, Interrupted, UsageFault, WorkspaceBusy
from oejail.workspace.model import Workspace
from tests.support import sample_build as samples
from tests.support.processes import alive, patience, wait_until
from tests.support.sample_build import SampleBuild

RECIPE = "jailhouse-freertos"
SLEEP = "do_compile:prepend() {\n    sleep 300\n}\n"


@pytest.fixture(scope="module")
def built(sample_build: SampleBuild, tmp_path_factory: pytest.TempPathFactory) -> SampleBuild:
    return samples.copy(sample_build, tmp_path_factory.mktemp("engine") / "workspace")


@pytest.fixture
def ws(built: SampleBuild, tmp_path: Path) -> Workspace:
    log.setup()
    root = tmp_path / "project"
    project.init(root, sample=True)
    return Workspace(
        root=built.root,
        project=project.load(root),
        build_name=built.build_dir.name,
        engine="host",
        tree="sample",
        oebuild=oebuild.DEFAULT_PREFIX,
        identity=samples.identity(),
    )


@pytest.fixture
def recipe(built: SampleBuild) -> Iterator[Path]:
    """The inmate's recipe, to be changed; afterwards it is as it was."""
    (path,) = built.src.glob(f"**/{RECIPE}_*.bb")
    with restored(path):
        yield path


@contextlib.contextmanager
def restored(path: Path) -> Iterator[Path]:
    before = path.read_bytes()
    try:
        yield path
    finally:
        path.write_bytes(before)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def compiling(build_dir: Path) -> bool:
    """True when do_compile of the recipe sleeps."""
    return any("sleep 300" in line for line in alive("sleep 300")) and _event_of_compile(build_dir)


def _event_of_compile(build_dir: Path) -> bool:
    path = build_dir / "oejail-events.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return any('"TaskStarted"' in line and '"do_compile"' in line for line in lines)


def test_a_build_and_one_with_nothing_to_do(ws: Workspace, recipe: Path) -> None:
    append(recipe, '# touched\ndo_compile[vardeps] += "FRESH"\nFRESH = "1"\n')
    path = log.open_run_log(ws.project.state_dir / "logs", "build")
    result = engine.build(ws, samples.TARGETS)
    assert result.ok
    assert result.failures == ()
    assert result.targets == samples.TARGETS
    assert 0 < result.tasks_run <= result.tasks_total
    assert result.log == path
    assert "NOTE: Tasks Summary: " in path.read_text() or "Running task" in path.read_text()
    assert engine.last_build(ws.project) == result
    record = json.loads((ws.project.state_dir / "last-build.json").read_text())
    assert record["schema_version"] == 1
    again = engine.build(ws, samples.TARGETS)
    assert again.ok
    assert again.tasks_run < result.tasks_run


def test_a_failing_compile_and_the_same_command_once_it_is_mended(
    ws: Workspace, built: SampleBuild
) -> None:
    with restored(built.freertos_source) as source:
        append(source, "int broken(void) { return undeclared_thing; }\n")
        number = len(source.read_text().splitlines())
        with pytest.raises(BuildFailed) as caught:
            engine.build(ws, (RECIPE,))
    error = caught.value
    assert error.exit_code == 4
    assert error.message.startswith(f"{RECIPE}: do_compile failed: inmate.c:{number}:")
    assert "undeclared_thing" in error.message
    assert error.hint is not None
    assert f"oejail logs {RECIPE} do_compile" in error.hint
    assert "probable cause: the compiler refused the source" in error.details
    last = engine.last_build(ws.project)
    assert last is not None
    assert not last.ok
    (failure,) = last.failures
    assert (failure.recipe, failure.task, failure.id) == (RECIPE, "do_compile", "source-error")
    assert failure.file.endswith(f"{RECIPE}_1.0.bb")
    assert logs.task_log(ws, RECIPE) == Path(failure.logfile)
    assert any("undeclared_thing" in line for line in logs.lines(Path(failure.logfile)))
    assert engine.build(ws, (RECIPE,)).ok


def test_a_build_without_events_is_no_success(ws: Workspace) -> None:
    """BitBake ends with 0, and yet oejail does not know that it built."""
    with restored(ws.build_dir / "conf/local.conf") as conf:
        conf.write_text(conf.read_text().replace('INHERIT += "oejail-events"', ""))
        with pytest.raises(BuildFailed, match="lacks the layer meta-oejail"):
            engine.build(ws, (RECIPE,))


FLOOD = """
python do_compile:prepend() {
    for number in range(1200):
        bb.error("x" * 150 + str(number))
}
"""


def test_more_than_64_kib_of_errors_do_not_stop_it(
    ws: Workspace, built: SampleBuild, recipe: Path
) -> None:
    """oebuild alone waits for ever: it reads BitBake's stdout to the end before its stderr."""
    append(
        recipe,
        'do_flood[nostamp] = "1"\naddtask flood\n' + FLOOD.replace("_compile:prepend", "_flood"),
    )
    stuck = oebuild.run(
        built.build_dir, ["bitbake", "-c", "flood", RECIPE], identity=ws.identity, timeout=6
    )
    assert stuck.timed_out
    began = time.monotonic()
    with pytest.raises(ChildFailed, match="exit status 1"):
        said: list[str] = []
        engine.bitbake(ws, ["-c", "flood", RECIPE], said.append)
    assert sum("x" * 150 in line for line in said) == 1200
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("pattern", ["__pycache__/*.pyc", "pyshtables.py"])
def test_files_that_a_full_disk_cut_short_are_made_again(ws: Workspace, pattern: str) -> None:
    engine.build(ws, [RECIPE])
    lib = ws.src / "yocto-poky/bitbake/lib"
    made = list(lib.rglob(pattern))
    assert made
    for path in (*made, *lib.rglob("pyshtables.*.pyc")):
        path.write_bytes(path.read_bytes()[:60])
    assert engine.build(ws, [RECIPE]).ok


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_stops_all_of_it_and_the_same_command_continues(
    ws: Workspace, recipe: Path, times: int
) -> None:
    with restored(recipe):
        append(recipe, SLEEP)
        pressed: list[float] = []

        def press() -> None:
            assert wait_until(lambda: compiling(ws.build_dir), 30)
            for _ in range(times):
                pressed.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)

        thread = threading.Thread(target=press)
        thread.start()
        with pytest.raises(Interrupted, match="build interrupted"):
            engine.build(ws, (RECIPE,))
        assert time.monotonic() - pressed[0] < patience(3 if times == 1 else 1.5)
        thread.join()
        assert alive(str(ws.build_dir)) == []
        assert holder.holder(ws.build_dir) is None
        last = engine.last_build(ws.project)
        assert last is not None
        assert last.interrupted
        assert not last.ok
    if times == 1:
        assert engine.build(ws, (RECIPE,)).ok


CHILD = """
import sys
from pathlib import Path
from oejail import engine, oebuild, project, process
from oejail.workspace.model import Workspace
root, build_name, where, identity, target = sys.argv[1:]
engine.build(Workspace(
    root=Path(root), project=project.load(Path(where)), build_name=build_name, engine="host",
    tree="sample", oebuild=oebuild.DEFAULT_PREFIX, identity=eval(identity, vars(process)),
), (target,))
"""


@contextlib.contextmanager
def another_oejail(ws: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    words = [str(ws.root), ws.build_name, str(ws.project.root), repr(ws.identity), RECIPE]
    environment = {**os.environ, "PYTHONPATH": str(Path(engine.__file__).parent.parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *words], env=environment, start_new_session=True
    ) as child:
        yield child
        child.kill()


def test_a_killed_oejail_leaves_nothing_and_the_same_command_continues(
    ws: Workspace, recipe: Path
) -> None:
    with restored(recipe):
        append(recipe, SLEEP)
        with another_oejail(ws) as child:
            assert wait_until(lambda: compiling(ws.build_dir), 30)
            assert alive(str(ws.build_dir))
            child.kill()
            child.wait()
            gone = wait_until(lambda: not alive(str(ws.build_dir)), patience(3))
            assert gone, alive(str(ws.build_dir))
        last = engine.last_build(ws.project)
        assert last is not None
        assert not last.ok
    assert engine.build(ws, (RECIPE,)).ok


def test_a_bitbake_of_someone_else_is_named_and_not_waited_for(
    ws: Workspace, built: SampleBuild, recipe: Path
) -> None:
    append(recipe, SLEEP)
    began = 0.0
    with another_oejail(ws) as child:  # any BitBake would do
        assert wait_until(lambda: compiling(ws.build_dir), 30)
        began = time.monotonic()
        with pytest.raises(
            WorkspaceBusy, match=r"another BitBake is at work here, pid \d+ .*\(.*bitbake"
        ):
            engine.build(ws, (RECIPE,))
        assert time.monotonic() - began < patience(1)
        child.kill()
    assert wait_until(lambda: holder.holder(built.build_dir) is None, 5)


def test_a_deployed_file_that_was_deleted_is_made_again(ws: Workspace, built: SampleBuild) -> None:
    """BitBake alone would not: it looks at its stamps only."""
    path = built.images / "FreeRTOS.bin"
    path.unlink(missing_ok=True)
    engine.redo(ws, (RECIPE,))
    assert engine.build(ws, (RECIPE,)).ok
    assert path.stat().st_size > 0


def test_bitbake_with_arguments_of_ones_own(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cr3t-value")
    said: list[str] = []
    engine.bitbake(ws, ["-e", RECIPE], said.append)
    # BitBake's server writes its whole environment to its log.
    server_log = (ws.build_dir / "bitbake-cookerdaemon.log").read_text()
    for secret in ("s3cr3t-value", "OEJAIL_BASH_ENV"):
        assert secret not in server_log
        assert not any(secret in line for line in said)
    assert 'PN="jailhouse-freertos"' in said
    assert not any(" - INFO - " in line or "nativesdk" in line for line in said)
    with pytest.raises(ChildFailed, match=r"bitbake -c 'no; touch pwned' .*exit status"):
        engine.bitbake(ws, ["-c", "no; touch pwned", "x'y $(touch pwned)"], said.append)
    assert not (ws.build_dir / "pwned").exists()
    with pytest.raises(UsageFault, match="no arguments"):
        engine.bitbake(ws, [], said.append)


def test_the_logs_of_a_recipes_tasks(ws: Workspace) -> None:
    found = {entry.task for entry in logs.task_logs(ws, "jailhouse")}
    assert {"do_unpack", "do_compile", "do_install"} <= found
    path = logs.task_log(ws, "jailhouse", "compile")
    assert path == logs.task_log(ws, "jailhouse", "do_compile")
    assert any("do_compile" in line for line in logs.lines(path))
    with pytest.raises(UsageFault, match="jailhouse do_nothing: no log below"):
        logs.task_log(ws, "jailhouse", "nothing")
    with pytest.raises(UsageFault, match="is no recipe's name"):
        logs.task_logs(ws, "../../..")


def test_what_cannot_be_built_is_refused_before(ws: Workspace) -> None:
    with pytest.raises(UsageFault, match="no targets"):
        engine.build(ws, ())
    for target in ("", "-c", "a b", "a;b", "$(x)", "a\nb"):
        with pytest.raises(UsageFault, match="only letters"):
            engine.build(ws, (target,))
    with pytest.raises(UsageFault, match=r"no compile\.yaml"):
        engine.build(dataclasses.replace(ws, build_name="other"), (RECIPE,))
    assert engine.last_build(ws.project) is None
