# SPDX-License-Identifier: MIT
"""The sample tree, built for tests by the real oebuild, BitBake and cross compiler.

`sample_build` is built once per test session (all xdist workers share it) and is not to be changed.
`sample_copy` is a copy of it of the test's own, in which BitBake finds nothing left to do. Register
them in a conftest.py: `from tests.support.sample_build import sample_build, sample_copy`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from oejail import oebuild, process
from oejail.process import SELF, Identity
from oejail.resources import data_dir
from oejail.workspace import sample

TARGETS = ("jailhouse", "jailhouse-freertos")
BUILD = "oejail-sample"
LAYERS = ("yocto-meta-openeuler/rtos/meta-freertos", "meta-oejail")


def identity() -> Identity:
    """Whom oebuild accepts: oneself, or, as root, nobody of a user namespace."""
    return SELF if os.geteuid() else Identity("userns", 65534, 65534, name="nobody")


@dataclass(frozen=True)
class SampleBuild:
    """An oebuild workspace of the sample tree, made without oejail's own workspace verbs."""

    root: Path
    machine: str = "qemu-aarch64"

    @property
    def src(self) -> Path:
        return self.root / "src"

    @property
    def build_dir(self) -> Path:
        return self.root / "build" / BUILD

    @property
    def images(self) -> Path:
        """tmp/deploy/images/MACHINE."""
        return self.build_dir / "tmp/deploy/images" / self.machine

    @property
    def freertos_source(self) -> Path:
        """The C file that FreeRTOS.bin is compiled from."""
        recipe = "rtos/meta-freertos/recipes-rtos/jailhouse-freertos"
        return self.src / "yocto-meta-openeuler" / recipe / "files/inmate.c"

    def work(self, recipe: str) -> Path:
        """The work directory of `recipe`'s only version."""
        (found,) = (self.build_dir / "tmp/work").glob(f"*/{recipe}/*")
        return found

    def packaged(self, name: str) -> Path:
        """The only file `name` in a packages-split directory."""
        (found,) = [
            path
            for path in self.build_dir.glob("tmp/work/*/*/*/packages-split/**/*")
            if path.name == name and path.is_file()
        ]
        return found

    def events(self) -> list[dict[str, Any]]:
        """The lines of oejail-events.jsonl."""
        lines = (self.build_dir / "oejail-events.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def tasks_run(self) -> list[str]:
        """RECIPE:TASK of every task that ran, in the order of their ends."""
        ended = [event for event in self.events() if event["event"] == "TaskSucceeded"]
        return [f"{event['pn']}:{event['task']}" for event in ended]

    def oebuild(self, *args: str, directory: Path | None = None) -> process.Result:
        """Run oebuild in the build directory, or in `directory`."""
        return oebuild.run(directory or self.build_dir, args, identity=identity(), timeout=240)

    def bitbake(self, *args: str) -> process.Result:
        """`oebuild bitbake ARGS`, with the events of this run alone in the events file."""
        (self.build_dir / "oejail-events.jsonl").unlink(missing_ok=True)
        return self.oebuild("bitbake", *args)


def make(
    root: Path,
    machine: str = "qemu-aarch64",
    feature: str = "mcs/jailhouse",
    compiler: sample.CrossCompiler | None = None,
) -> SampleBuild:
    """A workspace in `root` (which must not exist), generated and not built."""
    made = SampleBuild(root, machine)
    root.parent.mkdir(parents=True, exist_ok=True)
    _must(made.oebuild("init", root.name, directory=root.parent))
    sample.lay_out(made.src)
    shutil.copytree(data_dir("layers") / "meta-oejail", made.src / "meta-oejail")
    options = ["-p", machine, "-f", feature, "-d", BUILD, "-b_in", "host"]
    _must(made.oebuild("generate", *options, directory=root))
    compile_yaml = made.build_dir / "compile.yaml"
    lines = ['INHERIT += "oejail-events"', *sample.local_conf_lines(compiler)]
    text = compile_yaml.read_text().replace("layers: []", f"layers: {json.dumps(LAYERS)}")
    # local_conf is a literal block; its lines are indented by two blanks.
    text = text.replace(
        "local_conf: |+\n", "local_conf: |+\n" + "".join(f"  {line}\n" for line in lines)
    )
    compile_yaml.write_text(text)
    return made


def copy(built: SampleBuild, root: Path) -> SampleBuild:
    """A copy of a workspace at `root`, its absolute paths changed to the new place."""
    shutil.copytree(built.root, root, symlinks=True)
    fresh = SampleBuild(root, built.machine)
    for path in (fresh.build_dir / "conf").glob("*.conf"):
        path.write_text(path.read_text().replace(str(built.root), str(root)))
    shutil.rmtree(fresh.build_dir / "cache", ignore_errors=True)
    return fresh


def _must(result: process.Result) -> None:
    assert result.ok, "\n".join((*result.stdout[-40:], *result.stderr[-40:]))


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Hold the lock file `path` within the block; other processes wait."""
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def sample_build(tmp_path_factory: pytest.TempPathFactory) -> SampleBuild:
    """The sample for qemu-aarch64, built; shared by all tests: look, do not touch."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    root = shared / "sample-workspace"
    with exclusively(shared / "sample-workspace.lock"):
        done = shared / "sample-workspace.done"
        if not done.exists():
            with pytest.MonkeyPatch.context() as patch:
                # Session fixtures come before the isolation of a test.
                patch.setenv("HOME", str(shared))
                built = make(root)
                _must(built.bitbake(*TARGETS))
            done.touch()
    return SampleBuild(root)


@pytest.fixture
def sample_copy(sample_build: SampleBuild, tmp_path: Path) -> SampleBuild:
    """A copy of the built sample that the test may change and build again."""
    return copy(sample_build, tmp_path / "workspace")
