# SPDX-License-Identifier: MIT
"""The stages of `up`: what each reads and writes, and why it may be skipped.

A stage is skipped when all that it read is unchanged and all that it wrote is as it left it
(`state.py`); the build besides only when no repository that it read has local changes, otherwise
BitBake decides. A stage's record is dropped before it runs and written after it ended well, so
the same command continues after a kill at any point.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from logging import DEBUG, INFO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oejail import __version__
from oejail.errors import FindingsError, UsageFault
from oejail.log import logger
from oejail.state import DIRTY, NOT_DONE, State

if TYPE_CHECKING:
    from oejail.checks import Finding
    from oejail.project import Project
    from oejail.workspace.model import Workspace

_CHOICES = ("--engine", "--build-user")
READS = {
    "init": ("tree", "oebuild", "sources", "workspace", "build_user", *_CHOICES),
    "update": ("tree", "sources", "mirrors", "workspace", "build_user", *_CHOICES),
    "generate": (
        *("rtos_in_image", "cells", "targets", "--rtos-in-image"),
        *("platform", "rtos", "features", "local_conf", "build_name", "engine", "workspace"),
        *("oebuild", "nativesdk"),
        *_CHOICES,
    ),
    "layers": ("layers", "build_name", "engine", "workspace", *_CHOICES),
    "build": (
        "targets",
        "build_name",
        "engine",
        "workspace",
        "build_user",
        "--no-image",
        *_CHOICES,
    ),
    "collect": ("platform", "rtos", "cells", "targets", "build_name", "workspace", "--engine"),
    "check": ("platform", "waive"),
    "bundle": ("name", "release", "platform", "tree", "waive", "bundle"),
    "verify": (),
    "boot": ("QEMU",),
}
"""The stages in order, each with the keys of oejail.yaml and the options that it depends on."""
STAGES = tuple(READS)

_BOOT_TIMEOUT = 180  # seconds for each answer of the guest: a distribution's image is emulated


@dataclass(frozen=True)
class Options:
    """What the command line of `up` chose. `first`, `last` and `force` name stages."""

    engine: str | None = None
    build_user: str | None = None
    image: bool = True
    allow_dirty: bool = False
    rtos_in_image: bool = False
    boot: bool = True
    first: str | None = None
    last: str | None = None
    force: frozenset[str] = frozenset()


@dataclass
class Outcome:
    """What a stage read and wrote, as names for `state.State`, and a note for the reader."""

    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    note: str = ""


def file_names(paths: Iterable[Path]) -> list[str]:
    """`file:` names of `paths`."""
    return [f"file:{path}" for path in paths]


def up(root: Path, options: Options) -> Path | None:
    """Run every stage that is not up to date; the bundle's path, when the last stages ran.

    The caller holds the project's lock. Raises what the stages raise.
    """
    run = Run(root, options)
    stages = _chosen(options, run.state)
    engine = options.engine or run.values["engine"]
    remote = "build" in stages and engine == "container"
    run.state.ask_git()
    for stage in STAGES:
        if stage not in stages:
            continue
        reason = "asked for by --force" if stage in options.force else run.stale(stage)
        if reason is None:
            logger.info("%-9s up to date", stage)
            continue
        if remote and STAGES.index(stage) <= STAGES.index("build"):
            from oejail.engine import require_engine

            require_engine(run.workspace)  # before gigabytes of sources are fetched for it
            remote = False
        # A first run needs no reasons: what each stage did is line enough.
        logger.log(DEBUG if reason == NOT_DONE else INFO, "%-9s %s", stage, reason)
        run.state.begin(stage)
        began = time.monotonic()
        outcome: Outcome = getattr(run, stage)()
        reads = [f"value:{name}" for name in ("oejail", *READS[stage])]
        run.state.record(stage, [*reads, *outcome.reads], outcome.writes, run.values, outcome.note)
        seconds = time.monotonic() - began
        logger.info(
            "%-9s done in %.1f s%s", stage, seconds, f": {outcome.note}" * bool(outcome.note)
        )
    return run.bundle_path if "bundle" in stages else None


def _chosen(options: Options, state: State) -> tuple[str, ...]:
    for name in (options.first, options.last, *options.force):
        if name is not None and name not in STAGES:
            raise UsageFault(f"no stage {name!r}", hint=f"the stages are {' '.join(STAGES)}")
    first = STAGES.index(options.first) if options.first else 0
    last = STAGES.index(options.last) if options.last else len(STAGES) - 1
    if first > last:
        raise UsageFault(f"--from {options.first} comes after --until {options.last}")
    for name in STAGES[:first]:
        if not state.done(name):
            raise UsageFault(
                f"--from {options.first}: stage {name} is not done yet", hint="oejail up"
            )
    chosen = STAGES[first : last + 1]
    return chosen if options.boot else tuple(name for name in chosen if name != "boot")


class Run:
    """One run of `up` in the project at `root`. Nouns are made when a stage first needs them."""

    def __init__(self, root: Path, options: Options) -> None:
        self.root = root
        self.options = options
        self.state = State(root / ".oejail" / "state.json")
        self.state.keep_settings(self._settings)
        self.values: dict[str, Any] = {
            **self.state.settings,
            "oejail": __version__,
            "--engine": options.engine,
            "--build-user": options.build_user,
            "--no-image": not options.image,
            "QEMU": shutil.which("qemu-system-aarch64") is not None,
            "--rtos-in-image": options.rtos_in_image,
        }
        self.collected = root / ".oejail" / "artifacts"
        # What the last build left and is not as it was; asked before its record is dropped.
        self.lost = self.state.altered("build")

    def _settings(self) -> tuple[dict[str, Any], list[Path]]:
        """What oejail.yaml and the platform say, as plain values, and where."""
        from oejail import platforms

        project = self.project
        settings = dataclasses.asdict(project.config)
        settings["platform"] = dataclasses.asdict(project.platform)
        file = platforms.file_of(project.config.platform, self.root)
        return settings, [self.root / "oejail.yaml", file]

    def stale(self, stage: str) -> str | None:
        """Why `stage` must run, or None."""
        reason = self.state.stale(stage, self.values)
        if reason is None and stage == "build":
            for name, fact in self.state.records[stage].reads.items():
                if name.startswith("git:") and str(fact).endswith(DIRTY):
                    return f"{Path(name).name} has local changes: BitBake decides"
        return reason

    @cached_property
    def project(self) -> Project:
        from oejail import project

        return project.load(self.root)

    @cached_property
    def workspace(self) -> Workspace:
        from oejail.workspace.workspace import open_workspace

        return open_workspace(
            self.project,
            self.options.engine,
            build_user=self.options.build_user,
            allow_dirty=self.options.allow_dirty,
            rtos_in_image=self.options.rtos_in_image,
        )

    @property
    def bundle_path(self) -> Path:
        """Where the bundle goes; from the record where there is one, to load no configuration."""
        if self.state.done("bundle"):
            return Path(self.state.records["bundle"].note)
        return self.project.bundle

    # The stages, in order.

    def init(self) -> Outcome:
        """The oebuild workspace exists."""
        from oejail.workspace.workspace import ensure_init

        done = ensure_init(self.workspace)
        return Outcome(
            writes=file_names([self.workspace.root / ".oebuild" / "config"]), note=done.reason
        )

    def update(self) -> Outcome:
        """The sources are there, with a lock at the commits that it says; without one, what is
        checked out in them is the build's affair."""
        from oejail.workspace.workspace import ensure_sources

        done = ensure_sources(self.workspace)
        lock = self.project.lock_file
        standing = self._standing() if lock.exists() else []
        return Outcome(
            reads=[*file_names([lock]), *standing],
            writes=[f"file:{path}/.git/HEAD" for path in self._repositories()],
            note=done.reason,
        )

    def _standing(self) -> list[str]:
        """The repositories as they are now: oejail may just have moved some."""
        names = [f"git:{path}" for path in self._repositories()]
        self.state.ask_git(names)
        return names

    def _repositories(self) -> list[Path]:
        return sorted(path.parent for path in self.workspace.src.glob("*/.git"))

    def generate(self) -> Outcome:
        """compile.yaml is there and says what oejail.yaml asks for."""
        from oejail.workspace.workspace import ensure_generated

        done = ensure_generated(self.workspace)
        described = self.workspace.meta_openeuler / ".oebuild"
        return Outcome(
            reads=file_names(sorted(p for p in described.rglob("*") if p.is_file())),
            writes=file_names([self.workspace.compile_yaml]),
            note=done.reason,
        )

    def layers(self) -> Outcome:
        """The layers are in compile.yaml and in conf/bblayers.conf, where that exists."""
        from oejail.workspace import layers

        done = layers.ensure(self.workspace)
        return Outcome(
            reads=file_names(layers.layer_files(self.workspace)),
            writes=file_names([self.workspace.compile_yaml, self._conf("bblayers.conf")]),
            note=done.reason,
        )

    def _conf(self, name: str) -> Path:
        return self.workspace.build_dir / "conf" / name

    def build(self) -> Outcome:
        """BitBake built the targets, and what is wanted of them is there."""
        from oejail import engine, origins
        from oejail.artifacts import SetSpec
        from oejail.workspace.settle import prepare

        origins.keep(self.project, prepare(self.workspace))
        standing = self._standing()
        redo = self._recipes_to_redo()
        if redo:
            engine.redo(self.workspace, redo)
        result = engine.build(self.workspace, self.project.targets(self.options.image))
        engine.complete(self.workspace, SetSpec.from_project(self.project))
        meta = self.workspace.src / "meta-oejail"
        read = sorted(path for path in meta.rglob("*") if path.is_file())
        return Outcome(
            reads=[*file_names([*read, self.project.lock_file]), *standing],
            writes=[*self._configuration(), *self._artefacts(), *self._sources],
            note=f"{result.tasks_run} of {result.tasks_total} tasks run",
        )

    @property
    def _sources(self) -> list[str]:
        """Where it is kept what the build is made from."""
        return file_names([self.project.state_dir / "sources.json"])

    def _artefacts(self) -> list[str]:
        """What `collect` last took from the build: it may be up to date now, and not claim it."""
        record = self.state.records.get("collect")
        return [name for name in record.reads if name.startswith("file:")] if record else []

    def _configuration(self) -> list[str]:
        """What BitBake reads and oebuild, at the first build, writes or completes."""
        conf = [self._conf("bblayers.conf"), self._conf("local.conf")]
        return file_names([self.workspace.compile_yaml, *conf])

    def _recipes_to_redo(self) -> tuple[str, ...]:
        """Recipes of collected files that are gone or altered.

        BitBake looks at its stamps, not at what a task left: it would not notice.
        """
        recipes: set[str] = set()
        for path in self.lost:
            if f"file:{path}" in (*self._configuration(), *self._sources):
                continue
            match = re.search(r"/(?:work/[^/]+|oejail)/(?P<recipe>[^/]+)/", str(path))
            recipes |= {match["recipe"]} if match else set(self.project.targets(image=False))
        return tuple(sorted(recipes))

    def collect(self) -> Outcome:
        """What is wanted from the build lies in .oejail/artifacts, identified."""
        from oejail.artifacts import SetSpec, collect

        project, build_dir = self.project, self.workspace.build_dir
        collection = collect(
            build_dir, project.platform, SetSpec.from_project(project), self.collected
        )
        taken = [a for a in collection.artifacts if a.origin != "oejail"]
        # Copies too: who deletes the deployed one wants it back, though a packaged one was taken.
        origins = [build_dir / name for a in taken for name in (a.origin, *a.copies)]
        kept = [self.collected / a.path for a in collection.artifacts]
        self.state.claim("build", [*self._configuration(), *file_names(origins), *self._sources])
        return Outcome(
            reads=file_names(origins),
            writes=file_names([*kept, self.collected / "artifacts.json"]),
            note=f"{len(taken)} files",
        )

    @cached_property
    def findings(self) -> list[Finding]:
        """What the rules say of the collected files."""
        from oejail.bundle import check_out

        return check_out(self.collected, self.project.config.waive)

    def check(self) -> Outcome:
        """The parts fit; findings of severity error end the run with status 3."""
        refuse(self.findings, str(self.collected))
        return Outcome(reads=self._collection, note=summary(self.findings))

    @property
    def _collection(self) -> list[str]:
        return file_names([self.collected / "artifacts.json"])

    def bundle(self) -> Outcome:
        """The archive."""
        from oejail import origins
        from oejail.bundle import pack, sidecar

        project = self.project
        path = project.bundle
        pack(
            self.collected,
            path,
            name=project.name,
            release=project.config.release,
            findings=self.findings,
            sample=project.is_sample,
            sources=origins.kept(project),
        )
        return Outcome(
            [*self._collection, *self._sources], file_names([path, sidecar(path)]), str(path)
        )

    def verify(self) -> Outcome:
        """The archive as it lies there is whole."""
        from oejail.bundle import verify

        findings = verify(self.bundle_path)
        refuse(findings, str(self.bundle_path))
        return Outcome(file_names([self.bundle_path]), note=summary(findings))

    def boot(self) -> Outcome:
        """The set is seen running in QEMU, where the bundle has a guest and QEMU is installed."""
        from oejail.bundle import read

        reads = file_names([self.bundle_path])
        roles = {entry.role for entry in read(self.bundle_path).manifest.files}
        lacks = [f"a bundle without {role}" for role in ("kernel", "initrd") if role not in roles]
        lacks += [] if self.values["QEMU"] else ["no qemu-system-aarch64 is installed"]
        if lacks or self.project.is_sample:
            return Outcome(reads, note=f"left out: {(lacks or ['a sample'])[0]}")
        from oejail.target import Wishes, boot

        done = boot(self.bundle_path, Wishes(timeout=_BOOT_TIMEOUT))
        if done.fault is not None:
            raise done.fault
        return Outcome(reads, note=done.results.cause)


def refuse(findings: Iterable[Finding], place: str) -> None:
    """Raise FindingsError when one of `findings` is an error; the others are logged."""
    from oejail.checks import any_fails

    findings = list(findings)
    lines = [finding.line() for finding in findings]
    if any_fails(findings):
        raise FindingsError(
            f"{place}: {summary(findings)}",
            hint="oejail explain RULE says what one means",
            details=lines,
        )
    for line in lines:
        logger.info("  %s", line)


def summary(findings: Iterable[Finding]) -> str:
    """`no finding`, or how many of which severity."""
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.severity] = counts.get(finding.severity, 0) + 1
    return ", ".join(f"{n} of severity {s}" for s, n in counts.items()) or "no finding"


def _containers(workspace: Path) -> list[str]:
    """The containers of the workspace's builds, or why the daemon cannot be asked for them."""
    from oejail.engine import container
    from oejail.errors import PrerequisiteMissing

    try:
        return [str(one) for one in container.of_workspace(workspace)]
    except PrerequisiteMissing as error:
        return [error.message]


def status(project: Project) -> dict[str, Any]:
    """Where `project` stands, as plain values: nothing is changed."""
    run = Run(project.root, Options())
    run.state.ask_git()
    bundle = run.bundle_path
    workspace = Path(os.path.realpath(project.path(project.config.workspace or "workspace")))
    return {
        "project": str(project.root),
        "name": project.name,
        "platform": project.platform.name,
        "workspace": str(workspace) if workspace.is_dir() else None,
        "bundle": str(bundle) if bundle.is_file() else None,
        "holder": project.lock("status").holder(),
        "containers": _containers(workspace),
        "stages": [{"name": name, "stale": run.stale(name)} for name in STAGES],
    }
