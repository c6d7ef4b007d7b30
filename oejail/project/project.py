# SPDX-License-Identifier: MIT
"""A project: oejail.yaml, validated, with the places that belong to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from oejail.files import Lock
from oejail.platforms import Platform
from oejail.project.model import SAMPLE_EXPECT, Cells, Config, Inmate

_IMAGE = re.compile(r"(?:^|-)image(?:-|$)")


@dataclass(frozen=True)
class Project:
    """A directory with an oejail.yaml. `root` is absolute; nothing here touches the disk."""

    root: Path
    config: Config
    platform: Platform

    @property
    def bundle(self) -> Path:
        """Where the bundle goes."""
        return self.dist_dir / f"{self.name}-{self.config.release}.tar.zst"

    @property
    def name(self) -> str:
        """What the bundle is called."""
        return self.config.name or f"oejail-{self.platform.name}"

    @property
    def build_name(self) -> str:
        """Directory below the workspace's build/ (`[a-z0-9_-]+`)."""
        return self.config.build_name or self.platform.name

    @property
    def state_dir(self) -> Path:
        """oejail's own state: logs, runs, the lock."""
        return self.root / ".oejail"

    @property
    def lock_file(self) -> Path:
        """Which commits it is built with; need not be there."""
        return self.root / "oejail.lock"

    @property
    def dist_dir(self) -> Path:
        """Where bundles go."""
        return self.root / "dist"

    @property
    def workspace_link(self) -> Path:
        """Where the user finds the workspace; a symbolic link when it lies elsewhere."""
        return self.root / "workspace"

    @property
    def is_sample(self) -> bool:
        """True when the sources are the sample tree."""
        return self.config.tree == "sample"

    @property
    def cells(self) -> Cells:
        """The set: as declared, else the platform's with its RTOS."""
        if self.config.cells is not None:
            return self.config.cells
        rtos = self.platform.rtos.get(self.config.rtos or "")
        inmates: list[Inmate] = []
        for stem in self.platform.cells.inmates:
            if rtos is not None and rtos.image is not None and rtos.cell == stem:
                expect = SAMPLE_EXPECT if self.is_sample else rtos.expect
                inmates.append(Inmate(stem, rtos.image, None, expect, self.is_sample))
        return Cells(self.platform.cells.root, tuple(inmates))

    def targets(self, image: bool = True) -> tuple[str, ...]:
        """What BitBake is to build; without `image`, image recipes (`*-image-*`) are left out."""
        return tuple(t for t in self.config.targets if image or not _IMAGE.search(t))

    def path(self, value: str) -> Path:
        """A path of oejail.yaml: relative to the project, `~` is the home directory."""
        return self.root / Path(value).expanduser()

    def lock(self, purpose: str) -> Lock:
        """The lock on the project's state; a second holder gets WorkspaceBusy (status 7)."""
        return Lock(self.state_dir / "lock", purpose)
