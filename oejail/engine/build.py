# SPDX-License-Identifier: MIT
"""Running BitBake through oebuild, and knowing what happened.

Success is BitBake's own completion event together with exit status 0. The status alone is no
evidence (oebuild ends with 0 as root, having done nothing), the event alone neither: BitBake ends
with 1 when it logged an error in a build that it completed.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from oejail import containers, files, jsonfile, log, oebuild, process
from oejail.engine import container, diagnose, durations, events, guard, holder, progress
from oejail.engine.model import BuildResult, Failure
from oejail.engine.text import printable
from oejail.engine.track import Track
from oejail.errors import BuildFailed, ConfigError, Interrupted, UsageFault, WorkspaceBusy
from oejail.log import logger
from oejail.process import Reader, Result
from oejail.project import Project
from oejail.project.model import TARGET
from oejail.workspace import hosttools
from oejail.workspace.model import Workspace

RECORD = "last-build.json"
"""In the project's state directory: the last build's BuildResult."""
_MAX_RECORD = 4 << 20

_ATTEMPTS = 2
"""Where BitBake ended without a word, it is asked again: what kept it may have gone."""
_STARTS = 3
"""Of a container whose daemon lost a word."""

_CUT_SHORT = re.compile(r"marshal data too short|\bpyshtables\b")
"""What Python says of a .pyc that is not whole, and of the tables that BitBake's parser writes."""

# oebuild's host mode reads its child's stdout to the end before it looks at stderr: with more than
# 64 KiB there both wait for ever. BASH_ENV is expanded when it is read, what comes out not again.
_ENVIRONMENT = {
    "BASH_ENV": "$OEJAIL_BASH_ENV",
    "OEJAIL_BASH_ENV": str(Path(__file__).with_name("build.bash")),
    "OEJAIL_GUARD": str(guard.PROGRAM),
}
BITBAKE_STARTS = "oejail: bitbake starts"
"""The line that build.bash puts before BitBake's output."""


def build(ws: Workspace, targets: Sequence[str], *, progress: bool = True) -> BuildResult:
    """Build `targets` and return the result, which is also recorded.

    Raises BuildFailed, which names recipe, task, the first real error, a probable cause and the
    next command; else as `attempt` does.
    """
    result = attempt(ws, targets, progress=progress)
    if not result.ok:
        raise failed(result)
    return result


def failed(result: BuildResult) -> BuildFailed:
    """What to raise for a build that failed."""
    return diagnose.error(result.failures)


def attempt(ws: Workspace, targets: Sequence[str], *, progress: bool = True) -> BuildResult:
    """As `build`, but a failed build is returned too.

    Raises UsageFault (targets, no build directory), WorkspaceBusy when another BitBake is at work
    in the build directory, Interrupted after Ctrl-C, when all that was started is ended.
    """
    if not targets:
        raise UsageFault("no targets", hint="name some, or set targets: in oejail.yaml")
    for target in targets:
        if not re.fullmatch(TARGET, target):
            raise UsageFault(f"target {target!r}: only letters, digits and . + _ : / - are allowed")
    hosttools.check(ws)
    run = _Run(ws, tuple(targets))
    try:
        return run.go(progress)
    finally:
        run.record()


def redo(ws: Workspace, recipes: Sequence[str]) -> None:
    """Make BitBake forget that it built `recipes`: it would not notice that files are gone."""
    logger.info("build: cleaning %s", " ".join(recipes))
    result = run_bitbake(ws, ["-c", "clean", *recipes])
    if not result.ok:
        output = tuple(oebuild.said(line)[1] for line in result.stdout)
        failures = diagnose.diagnose(
            Track(), output, result.describe(), owner=guard.owner(ws), log=_log(ws)
        )
        raise diagnose.error(failures)


def last_build(project: Project) -> BuildResult | None:
    """The result of the last build; None when there was none, or its record is unreadable."""
    path = project.state_dir / RECORD
    try:
        return jsonfile.parse(BuildResult, files.read_limited(path, _MAX_RECORD), str(path), 1)
    except (OSError, ConfigError):
        return None


def require_engine(ws: Workspace) -> None:
    """Raise PrerequisiteMissing unless the engine of `ws` can be reached, before all long work."""
    if ws.engine == "container":
        container.require_user(ws)
        with containers.connect(ws.identity):
            pass


def require_build_dir(ws: Workspace) -> None:
    """Raise unless BitBake can start: a build directory, and no other BitBake."""
    if not ws.compile_yaml.is_file():
        raise UsageFault(f"{ws.build_dir}: no compile.yaml", hint=ws.command("generate"))
    if ws.engine == "container":
        container.completed(ws)
    other = holder.holder(ws.build_dir)
    if other is None or guard.reap(ws, other):
        return
    raise WorkspaceBusy(
        f"{ws.build_dir}: another BitBake is at work here, {other}",
        hint=f"wait for it, or end it ({other.how_to_end}), and run the same command again",
        details=("oejail explain lock-held says more",),
    )


def run_bitbake(
    ws: Workspace,
    words: Sequence[str],
    *,
    reader: Reader | None = None,
    tick: Callable[[], None] | None = None,
) -> Result:
    """Run `oebuild bitbake WORDS` in the build directory; all of BitBake's output is on stdout.

    The words reach BitBake as they are: oebuild joins them into a shell script, so each is quoted,
    which also keeps oebuild from taking one for an option of its own. Raises as
    `require_build_dir`, and Interrupted.
    """
    require_build_dir(ws)
    guarded = [guard.option(ws), *words]
    quoted = ["'" + word.replace("'", "'\"'\"'") + "'" for word in guarded]
    if ws.engine == "container":
        return _in_container(ws, ["bitbake", *quoted], reader, tick)
    with guard.heartbeat(ws) as heart:
        return oebuild.run(
            ws.build_dir,
            ["bitbake", *quoted],
            prefix=ws.oebuild,
            identity=ws.identity,
            env=_ENVIRONMENT,
            reader=reader,
            tick=tick,
            grace=guard.grace(ws),
            heart=heart.take(),
        )


def _in_container(
    ws: Workspace, words: list[str], reader: Reader | None, tick: Callable[[], None] | None
) -> Result:
    """`container.run`, and again where the daemon lost what a command said to oebuild."""
    for start in range(1, _STARTS + 1):
        try:
            with guard.heartbeat(ws) as heart:
                result = container.run(ws, words, reader=reader, tick=tick, heart=heart)
            if not container.lost(result):
                break
        except container.Unfit:
            if start > 1:
                raise
        if start < _STARTS:
            logger.info("build: the container is not as oebuild sets one up; once more")
    return result


def drop_generated(ws: Workspace) -> None:
    """Remove what Python and BitBake wrote beside BitBake's library, for another start.

    A full disk cuts these files short without an error, and they are never written again: BitBake
    would not start any more. Done as the build user, to whom the sources belong.
    """
    logger.info("build: files that BitBake made for itself were cut short; they are made again")
    poky = ws.src / "yocto-poky"
    places = [place for place in (poky / "bitbake/lib", poky / "meta/lib") if place.is_dir()]
    made = ["(", "-path", "*/__pycache__/*.pyc", "-o", "-name", "pyshtables.py", ")"]
    if places:
        process.run(["find", *places, *made, "-delete"], identity=ws.identity, check=False)


def _log(ws: Workspace) -> Path:
    return log.run_log or ws.build_dir / "oebuild.log"


class _Run:
    """One build."""

    def __init__(self, ws: Workspace, targets: tuple[str, ...]) -> None:
        self.ws = ws
        self.targets = targets
        self.track = Track()
        self.began = time.monotonic()
        self.started = False
        self.ok = False
        self.interrupted = True  # until it has ended: so it stands in the record of a killed run
        self.failures: tuple[Failure, ...] = ()
        self.ended: BuildResult | None = None

    def go(self, wanted: bool) -> BuildResult:
        require_build_dir(self.ws)
        path = self.ws.build_dir / events.FILE
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self.started = True
        self.record()  # a run that is killed has not succeeded
        shown = progress.choose(wanted, durations.expected(self.ws, self.targets))
        try:
            with events.Tail(path) as tail:

                def follow() -> None:
                    for event in tail.events():
                        self.track.feed(_on_host(event, self.ws))
                    shown.show(self.track)

                for _ in range(_ATTEMPTS):
                    ended = run_bitbake(self.ws, self.targets, reader=_note, tick=follow)
                    for event in tail.events(_rest(path)):
                        self.track.feed(_on_host(event, self.ws))
                    shown.show(self.track)
                    if ended.returncode <= 0 or not diagnose.silent(self.track, ended.stdout):
                        break
                    if _CUT_SHORT.search("\n".join((*ended.stdout, *ended.stderr))):
                        drop_generated(self.ws)
        except Interrupted:
            raise Interrupted(
                "build interrupted: BitBake and all that it started were stopped",
                hint="run the same command again to continue",
            ) from None
        finally:
            shown.close()
        self.judge(ended)
        self.ended = self.result()
        durations.remember(self.ws, self.ended)
        return self.ended

    def judge(self, ended: Result) -> None:
        self.ok = self.track.succeeded and ended.ok
        self.interrupted = bool(self.track.build and self.track.build.interrupted)
        if self.ok:
            return
        output = [oebuild.said(line)[1] for line in ended.stdout]
        # Without the merge of stderr (a bash that does not know BASH_ENV) it is here.
        output += [oebuild.said(line)[1] for line in ended.stderr]
        self.failures = diagnose.diagnose(
            self.track, output, ended.describe(), owner=guard.owner(self.ws), log=_log(self.ws)
        )

    def result(self) -> BuildResult:
        return BuildResult(
            ok=self.ok,
            interrupted=self.interrupted,
            targets=self.targets,
            tasks_total=self.track.total,
            tasks_run=self.track.ran,
            failures=self.failures,
            seconds=round(time.monotonic() - self.began, 3),
            log=_log(self.ws),
        )

    def record(self) -> None:
        """Write the result as it is now, if there is any."""
        if not self.started:
            return
        path = self.ws.project.state_dir / RECORD
        files.make_directory(path.parent)
        files.atomic_write(path, files.canonical_json(as_json(self.ended or self.result())))


def as_json(result: BuildResult) -> dict[str, object]:
    """`result` for JSON, `schema_version` first."""
    import dataclasses

    values = dataclasses.asdict(result)
    return {"schema_version": values.pop("schema_version"), **values, "log": str(result.log)}


def _on_host(event: events.Event, ws: Workspace) -> events.Event:
    """`event` with paths of this machine; in a container BitBake sees others."""
    if ws.engine == "host" or not (event.file or event.logfile or event.error):
        return event
    return replace(
        event,
        file=ws.on_host(event.file),
        logfile=ws.on_host(event.logfile),
        error=ws.on_host(event.error),
    )


def _note(_stream: str, line: str) -> None:
    """Every line of BitBake's goes to the run's log."""
    logger.debug("| %s", printable(oebuild.said(line)[1], 1 << 16))


def _rest(path: Path) -> int:
    """How much to read at the end: what is there, whatever goes on being written."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
