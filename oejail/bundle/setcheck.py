# SPDX-License-Identifier: MIT
"""Running the rules on files: those that `collect` left in OUT, or those of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from oejail.artifacts.identify import Identity, identify
from oejail.artifacts.layout import read_index
from oejail.artifacts.model import Collection
from oejail.bundle.rules import finding
from oejail.checks import Finding, check_set, machine_of, set_input
from oejail.platforms import load, names


def check_out(out: Path, waive: Mapping[str, str] | None = None) -> list[Finding]:
    """What the rules find in OUT, worst first. `waive` maps rule ids to reasons."""
    return check(read_index(out), lambda path: out / path, waive)


def check(
    collection: Collection,
    path_of: Callable[[str], Path],
    waive: Mapping[str, str] | None = None,
) -> list[Finding]:
    """What the rules find in the files of `collection`; `path_of` says where each one lies.

    The machine is the platform's, where that is one that oejail knows.
    """
    seen: dict[str, Identity] = {}

    def identity_of(path: str) -> Identity:
        if path not in seen:
            seen[path] = identify(path_of(path))
        return seen[path]

    known = load(collection.platform) if collection.platform in names() else None
    given = set_input(
        collection,
        identity_of,
        machine=machine_of(known, root=collection.set.root) if known else None,
        arch=known.arch if known else None,
    )
    findings = check_set(given, waive)
    if not collection.sample:
        marked = [path for path, identity in seen.items() if identity.sample]
        findings += [finding("bundle-sample", path, "is the sample tree's") for path in marked]
    return findings
