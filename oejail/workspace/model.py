# SPDX-License-Identifier: MIT
"""The workspace: what oebuild makes and works in, as a value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from oejail.process import SELF, Identity
from oejail.project import Project

if TYPE_CHECKING:
    from oejail.workspace.lockfile import Lock

Engine = Literal["host", "container"]
Tree = Literal["openeuler", "sample", "path"]

CONTAINER_SRC = "/usr1/openeuler/src"
CONTAINER_BUILD = "/home/openeuler/build"
"""Where oebuild mounts src/ and build/<name> in its container."""


@dataclass(frozen=True)
class Workspace:
    """An oebuild workspace and how programs run in it. Made by `open_workspace`."""

    root: Path
    """Absolute, resolved, without characters that oebuild cannot bear."""
    project: Project
    build_name: str
    engine: Engine
    tree: Tree
    oebuild: tuple[str, ...]
    """How oebuild is started: the words before its arguments."""
    identity: Identity = SELF
    allow_dirty: bool = False
    """Build with repositories that have local changes, and record that."""
    rtos_in_image: bool = False
    """Install the RTOS and oejail-start in the image."""

    @cached_property
    def locked(self) -> Lock | None:
        """What oejail.lock says; None where there is none. Raises ConfigError for a bad one."""
        from oejail.workspace import lockfile

        return lockfile.read(self.project.lock_file)

    @property
    def src(self) -> Path:
        """The sources."""
        return self.root / "src"

    @property
    def build_dir(self) -> Path:
        """The build directory."""
        return self.root / "build" / self.build_name

    @property
    def compile_yaml(self) -> Path:
        """oebuild's build configuration."""
        return self.build_dir / "compile.yaml"

    @property
    def meta_openeuler(self) -> Path:
        """The repository that says how openEuler is built."""
        return self.src / "yocto-meta-openeuler"

    def command(self, verb: str) -> str:
        """What the user types for `verb` to be about this build directory."""
        other = self.build_name != self.project.build_name
        return f"oejail {verb} --engine {self.engine}" if other else f"oejail {verb}"

    @property
    def src_as_built(self) -> str:
        """src/ as BitBake sees it: in the container it lies elsewhere."""
        return CONTAINER_SRC if self.engine == "container" else str(self.src)

    @property
    def build_dir_as_built(self) -> str:
        """The build directory as BitBake sees it."""
        return (
            f"{CONTAINER_BUILD}/{self.build_name}"
            if self.engine == "container"
            else str(self.build_dir)
        )

    def on_host(self, text: str) -> str:
        """`text` (a path, a line of output) with the container's paths of src/ and the build
        directory replaced by the host's: the one place where that is done.
        """
        if self.engine != "container" or "/openeuler" not in text:
            return text
        for there, here in (
            (self.src_as_built, str(self.src)),
            (self.build_dir_as_built, str(self.build_dir)),
        ):
            # Whole names only: …/build/a is no part of …/build/ab.
            pattern = rf"(?<![\w./-]){re.escape(there)}(?![\w-]|\.\w)"
            text = re.sub(pattern, here.replace("\\", r"\\"), text)
        return text


@dataclass(frozen=True)
class Outcome:
    """What an `ensure_…` verb did: nothing, when all was as it should be; `reason` says why."""

    changed: bool
    reason: str
