# SPDX-License-Identifier: MIT
"""Which of several candidates is meant. Nothing is chosen silently, nothing is guessed.

The rules, in order: what pkgdata says is not the current version is out; of one work directory
packages-split counts before package, and package before image (only the first is what an image
gets, stripped), and so does a package file; meta-oejail's index counts before all of them; of an
ELF file the packaged one counts before the deployed one. Candidates with the same bytes are one.
Whatever differs after that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from oejail.artifacts.discover import DEPLOYED, INDEXED, PACKED, Candidate
from oejail.artifacts.model import ArtifactConflict
from oejail.artifacts.places import TREES

STRIPPED = ("module", "tool")
"""Kinds whose packaged file differs from the deployed one by right."""


_ORDER = {INDEXED: 0, PACKED: 2, DEPLOYED: 3}
"""Which of several files with the same bytes is named; work directories come between."""


@dataclass(frozen=True)
class Choice:
    """The file that is meant, others with the same bytes, and those that a rule decided against."""

    candidate: Candidate
    copies: tuple[Candidate, ...] = ()
    passed_over: tuple[tuple[Candidate, str], ...] = ()


def choose(candidates: Iterable[Candidate], digest: Callable[[Candidate], str]) -> Choice | None:
    """The one of `candidates` (all for one purpose) that is meant; None when there is none.

    `digest` gives a candidate's SHA-256. Raises ArtifactConflict, which lists every candidate,
    where no rule decides.
    """
    out: list[tuple[Candidate, str]] = []
    left: list[Candidate] = []
    for candidate in candidates:
        if candidate.stale is not None:
            out.append((candidate, candidate.stale))
        else:
            left.append(candidate)
    if not left:
        return None
    if any(c.tree == INDEXED for c in left):
        # A work directory can be of an earlier build: from shared state BitBake leaves it as it is.
        why = "the last build's index counts before a work directory"
        out += [(c, why) for c in left if c.tree in TREES]
        left = [c for c in left if c.tree not in TREES]
    for home in sorted({candidate.home for candidate in left}):
        trees = [c.tree for c in left if c.home == home and c.tree in TREES]
        best = min(trees, key=TREES.index, default=None)
        for candidate in [c for c in left if c.home == home and c.tree in TREES and c.tree != best]:
            left.remove(candidate)
            out.append((candidate, f"{best} counts before {candidate.tree}"))
    if any(c.tree != "image" and c.tree != DEPLOYED for c in left):
        out += [(c, "what is packaged counts before image") for c in left if c.tree == "image"]
        left = [c for c in left if c.tree != "image"]
    packaged = [c for c in left if c.tree != DEPLOYED]
    if packaged and packaged[0].kind in STRIPPED:
        out += [(c, "the packaged file counts, stripped") for c in left if c not in packaged]
        left = packaged
    left.sort(key=lambda c: (_ORDER.get(c.tree, 1), str(c.path)))
    digests = {candidate: digest(candidate) for candidate in left}
    if len(set(digests.values())) > 1:
        raise ArtifactConflict(
            f"{left[0].key}: {len(left)} different files, and no rule says which is meant",
            hint="remove what is stale (bitbake -c clean RECIPE, or the work directory)",
            details=[f"{digests[c]}  {c.path}" for c in left],
        )
    chosen = left[0]
    copies, passed_over = left[1:], []
    told = {digests[chosen]}
    for candidate, why in out:
        if digest(candidate) == digests[chosen]:
            copies.append(candidate)
        elif digest(candidate) not in told:  # the same file in package/ as well is no news
            told.add(digest(candidate))
            passed_over.append((candidate, why))
    return Choice(chosen, tuple(copies), tuple(passed_over))
