# SPDX-License-Identifier: MIT
"""Running the rules on files: those that `collect` left in OUT, or those of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from oejail.artifacts.identify import Identity, identify
from oejail.artifacts.layout import read_index
from oejail.artifacts.model import Artifact, Collection
from oejail.bundle.archive import MANIFEST
from oejail.bundle.manifest import Manifest
from oejail.bundle.rules import finding
from oejail.cells import Cell, RootCell
from oejail.checks import Finding, Machine, check_set, machine_of, set_input
from oejail.checks.qemu import plan
from oejail.errors import UsageFault
from oejail.platforms import Platform, load, names


def check_out(out: Path, waive: Mapping[str, str] | None = None) -> list[Finding]:
    """What the rules find in OUT, worst first. `waive` maps rule ids to reasons."""
    return check(read_index(out), lambda path: out / path, waive)


def collection_of(head: Manifest) -> Collection:
    """What the rules look at, of a bundle with this manifest."""
    return Collection(
        schema_version=0,
        oejail=head.tools.oejail,
        platform=head.platform,
        machine="",
        build_dir="",
        sample=head.sample,
        set_source=MANIFEST,
        set=head.set,
        artifacts=tuple(
            Artifact(e.role, e.path, "", e.sha256, e.size, int(e.mode, 8)) for e in head.files
        ),
        absent=head.absent,
    )


def check(
    collection: Collection,
    path_of: Callable[[str], Path],
    waive: Mapping[str, str] | None = None,
    machine: Machine | None = None,
) -> list[Finding]:
    """What the rules find in the files of `collection`; `path_of` says where each one lies.

    The machine is the platform's, where that is one that oejail knows, unless it is given. QEMU's
    gets the `mem=` that the set wants, as `boot` gives it.
    """
    seen: dict[str, Identity] = {}

    def identity_of(path: str) -> Identity:
        if path not in seen:
            seen[path] = identify(path_of(path))
        return seen[path]

    known = load(collection.platform) if collection.platform in names() else None
    if machine is None and known is not None:
        mem = _mem(collection, identity_of, known)
        machine = machine_of(known, mem, root=collection.set.root)
    given = set_input(
        collection,
        identity_of,
        machine=machine,
        arch=known.arch if known else None,
    )
    findings = check_set(given, waive)
    if not collection.sample:
        marked = [path for path, identity in seen.items() if identity.sample]
        findings += [finding("bundle-sample", path, "is the sample tree's") for path in marked]
    return findings


def _mem(
    collection: Collection, identity_of: Callable[[str], Identity], known: Platform
) -> int | None:
    """Linux's share of RAM in bytes, where the machine is QEMU's and the set can be read."""
    if known.qemu is None:
        return None
    there = {artifact.path for artifact in collection.artifacts}
    wanted = [collection.set.root, *(inmate.cell for inmate in collection.set.inmates)]
    paths = [f"payload/{path}" for path in wanted]
    if not there.issuperset(paths):
        return None
    root, *cells = [identity_of(path).detail for path in paths]
    inmates = [cell for cell in cells if isinstance(cell, Cell)]
    if not isinstance(root, RootCell) or len(inmates) < len(cells):
        return None
    try:
        return plan(root, inmates, known, named=collection.set.root).mem
    except UsageFault:
        return None  # the rules say why
