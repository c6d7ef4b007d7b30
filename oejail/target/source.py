# SPDX-License-Identifier: MIT
"""What is booted: a bundle, or a directory that `collect` left; verified before it is used."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from oejail.artifacts.layout import INDEX, read_index
from oejail.artifacts.model import Artifact, CollectedSet, Collection
from oejail.bundle import check_out, examine, read
from oejail.bundle.extract import extract_all
from oejail.bundle.manifest import FileEntry
from oejail.checks.finding import Finding, any_fails
from oejail.errors import FindingsError
from oejail.files import naming, relative_inside, sha256_file

UNFIT = ("image-elf",)
"""Rules about an inmate's image, of which a finding is how its boot ends: causes of that name.

Whoever boots asks whether the RTOS runs, and this is an answer: it does not."""


@dataclass(frozen=True)
class Source:
    """`digest` is the bundle's, empty for a directory; `waived` are rules, each with a reason;
    `unfit` are findings of UNFIT."""

    path: Path
    name: str
    release: str
    digest: str
    sample: bool
    platform: str
    set: CollectedSet
    files: tuple[FileEntry, ...]
    waived: Mapping[str, str]
    unfit: tuple[Finding, ...] = ()

    def unfit_of(self, images: Iterable[str]) -> Finding | None:
        """What is wrong with one of these images; FindingsError where it is with another's."""
        paths = {f"payload/{image}" for image in images}
        refuse(self.path, [finding for finding in self.unfit if finding.where not in paths])
        return next(iter(self.unfit), None)

    def find(self, path: str) -> FileEntry | None:
        """The file at `path` (`payload/…`, `boot/…`)."""
        return next((entry for entry in self.files if entry.path == path), None)

    def of_role(self, role: str) -> tuple[FileEntry, ...]:
        """All files of this kind."""
        return tuple(entry for entry in self.files if entry.role == role)

    def take(self, wanted: Mapping[FileEntry, Path]) -> None:
        """Copy files to where `wanted` says; FindingsError where one is not what was verified."""
        if not self.path.is_dir():
            extract_all(self.path, wanted)
            return
        for entry, destination in wanted.items():
            with naming(destination):
                shutil.copyfile(relative_inside(self.path, entry.path), destination)
            if sha256_file(destination) != entry.sha256:
                destination.unlink()
                raise FindingsError(
                    f"{self.path / entry.path}: is not what {INDEX} says it is",
                    hint="oejail collect makes it anew",
                )

    def collection(self, files: tuple[FileEntry, ...]) -> Collection:
        """As `bundle.setcheck` wants it, with `files` in place of its own."""
        return Collection(
            schema_version=0,
            oejail="",
            platform=self.platform,
            machine="",
            build_dir="",
            sample=self.sample,
            set_source=str(self.path),
            set=self.set,
            artifacts=tuple(
                Artifact(e.role, e.path, "", e.sha256, e.size, int(e.mode, 8)) for e in files
            ),
            absent=(),
        )

    def summary(self) -> dict[str, object]:
        """For results.json."""
        return {
            "path": str(self.path.resolve()),
            "name": self.name,
            "release": self.release,
            "digest": self.digest,
            "sample": self.sample,
        }


def is_sample_alone(path: Path) -> bool:
    """What is at `path` calls itself a sample and has no kernel: only its inmate can run."""
    if path.is_dir():
        index = read_index(path)
        return index.sample and not index.of_kind("kernel")
    head = read(path).manifest
    return head.sample and not any(entry.role == "kernel" for entry in head.files)


def verified(path: Path) -> Source:
    """The bundle at `path`, or the collection in that directory, when it is whole and fits.

    Raises UsageFault where there is nothing of the kind, FindingsError when something is wrong.
    """
    if path.is_dir():
        index = read_index(path)
        findings = check_out(path)
        refuse(path, others(findings))
        entries = tuple(
            FileEntry(a.path, a.kind, a.sha256, a.size, f"{a.mode:04o}") for a in index.artifacts
        )
        name = path.resolve().name
        return Source(
            *(path, name, "", "", index.sample, index.platform, index.set, entries),
            waived={},
            unfit=unfit(findings),
        )
    found = examine(path)
    if found.manifest is None:
        refuse(path, list(found.findings), fails=lambda _: True)
    refuse(path, others(found.findings))
    head = found.manifest
    assert head is not None
    return Source(
        path,
        head.name,
        head.release,
        found.digest,
        head.sample,
        head.platform,
        head.set,
        head.files,
        waived={f.rule: f.waived for f in head.findings if f.waived},
        unfit=unfit(found.findings),
    )


def unfit(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Those that are how a boot ends."""
    return tuple(f for f in findings if f.fails and f.rule in UNFIT)


def others(findings: Iterable[Finding]) -> list[Finding]:
    """Those that are not."""
    return [f for f in findings if not (f.fails and f.rule in UNFIT)]


def refuse(
    path: Path,
    findings: list[Finding],
    fails: Callable[[list[Finding]], bool] = any_fails,
) -> None:
    """FindingsError, with the rules' ids, where one of `findings` is an error."""
    if fails(findings):
        failing = [finding for finding in findings if finding.fails] or findings
        rules = ", ".join(dict.fromkeys(finding.rule for finding in failing))
        raise FindingsError(
            f"{path}: not booted: {rules}",
            hint="oejail explain RULE says what one means",
            details=[finding.line() for finding in failing[:20]],
        )
