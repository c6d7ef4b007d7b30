# SPDX-License-Identifier: MIT
"""Before BitBake runs: the repositories stand where they should, and no local change is lost.

With a lock every repository is brought to its locked commit. Without one the repositories are used
as they are; but openEuler's fetcher (openeuler.bbclass, do_openeuler_fetch) runs `git checkout .`
and checks out the manifest's commit in each repository whose recipe it fetches, so what that would
lose is refused first. It reads the file that MANIFEST_DIR names: where a lock has other commits
than the tree's manifest, or a repository with local changes is to be built as it is, oejail writes
a manifest of its own into the build directory, and meta-oejail's oejail-manifest.bbclass has tasks
read it. What that does not list, the fetcher leaves alone.

openEuler has no commit of such a repository in the hash of a task: its recipes would not be fetched
again when it moves, or when what was changed in it is gone. oejail notes those that moved since the
workspace began, and those with local changes, and the same class puts that into the hash.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from oejail import files, gitrepos
from oejail.errors import UsageFault
from oejail.gitrepos import Status
from oejail.log import logger
from oejail.workspace import checkout, locking, sources
from oejail.workspace.checkout import Move, short
from oejail.workspace.lockfile import Lock
from oejail.workspace.model import Workspace
from oejail.workspace.sources import Entry

WRITTEN = "oejail-manifest.yaml"
"""The manifest that oejail writes, in the build directory."""

COMMITS = "oejail-commits"
"""Directory in the build directory: NAME/commit of each repository that is not as it first was."""
FIRST = "oejail-commits.json"
"""In the workspace's .oebuild: repository → the commit that the tree's manifest had at the first
build. Of the workspace, as src/sstate-cache is, from which all its build directories take."""

_HINT = "commit them to a branch, or go on with them as they are: --allow-dirty"


@dataclass(frozen=True)
class Source:
    """A repository that is built from. `commit` is None for a directory without git."""

    name: str
    commit: str | None
    dirty: bool


@dataclass(frozen=True)
class Sources:
    """What is built from. Repositories that stand where the manifest says are not listed, but
    those with layers are; so this is the same whatever openEuler's fetcher had cloned before."""

    manifest: str | None
    """SHA-256 of the tree's manifest."""
    repositories: tuple[Source, ...]


def make_missing(ws: Workspace, names: Iterable[str]) -> str | None:
    """Make the repositories `names` that are not in src/ yet at their locked commits; what was
    done, or None. Without a lock, or for names that it has not, nothing is done.

    Raises ChildFailed for a commit that cannot be fetched, naming its URL.
    """
    pins = ws.locked.repositories if ws.locked is not None else {}
    made = []
    for name in dict.fromkeys(names):
        if name in pins and sources.state(ws.src / name) == "absent":
            checkout.make(ws, Move(name, None, pins[name].commit, pins[name].url))
            made.append(name)
    return f"fetched {', '.join(made)} at the locked commits" if made else None


def settle(ws: Workspace) -> list[str]:
    """Bring every repository in src/ to its locked commit; what was done, in words.

    Those that are missing are not made here (`sources` does where they are needed). Raises
    UsageFault, before anything is moved, listing the repositories with local changes or with a
    commit that nothing leads to; with `allow_dirty` these stay as they are. Raises ChildFailed for
    a commit that cannot be fetched, naming its URL; then nothing is moved.
    """
    lock = ws.locked
    if lock is None:
        return []
    checkout.resume(ws)
    paths = {ws.src / name: name for name in lock.repositories}
    found = {paths[path]: status for path, status in gitrepos.statuses(paths).items()}
    moves, faults = [], []
    for name, status in sorted(found.items()):
        pin = lock.repositories[name]
        fault = _fault(ws, name, status, pin.commit)
        if fault is not None:
            faults.append(fault)
        elif status.commit != pin.commit:
            moves.append(Move(name, status.commit, pin.commit, pin.url))
    _refuse(ws, faults, f"not as {ws.project.lock_file.name} says, and to move it would lose work")
    if moves and ws.tree != "openeuler":
        raise _not_ours(ws, moves)
    checkout.move(ws, moves)
    return [f"moved {', '.join(m.name for m in moves)} to the locked commits"] if moves else []


def _fault(ws: Workspace, name: str, status: Status, wanted: str | None) -> str | None:
    """What of a repository would be lost if `wanted` were checked out, or is not locked at all."""
    if status.dirty:
        return f"{ws.src / name}: local changes: {status.changes()}"
    if status.commit is None or status.branch is not None or status.commit == wanted:
        return None
    if checkout.unreachable(ws.src / name, status.commit):
        return f"{ws.src / name}: commit {short(status.commit)}, to which no branch leads"
    return None


def _refuse(ws: Workspace, faults: list[str], why: str) -> None:
    if faults and not ws.allow_dirty:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise UsageFault(f"{faults[0]}{more}: {why}", hint=_HINT, details=faults[1:20])
    for fault in faults:
        logger.warning("%s: stays as it is (--allow-dirty)", fault)


def _not_ours(ws: Workspace, moves: list[Move]) -> UsageFault:
    lines = [f"{m.name}: locked {m.new}, found {m.old}" for m in moves]
    if ws.tree == "sample":
        return UsageFault(
            f"{ws.project.lock_file}: not this sample tree's: {lines[0]}",
            hint="use the oejail that wrote it, or oejail lock",
            details=lines[1:20],
        )
    return UsageFault(
        f"{ws.src.resolve()}: not as {ws.project.lock_file.name} says: {lines[0]}",
        hint="oejail moves nothing in somebody else's tree: check the commits out there, or oejail "
        "lock",
        details=lines[1:20],
    )


def prepare(ws: Workspace) -> Sources:
    """See to it that BitBake may run: `settle`, nothing that openEuler's fetcher would lose, and
    the manifest that it is to follow. Returns what is built from.

    Raises as `settle`; without a lock UsageFault too, for repositories that the fetcher would
    reset.
    """
    settle(ws)
    locking.hold_image(ws)
    listed = locking.manifest_of(ws) if ws.tree != "sample" else {}
    layers = locking.layer_repositories(ws)
    seen = gitrepos.statuses(ws.src / name for name in dict.fromkeys((*layers, *listed)))
    statuses = {path.name: status for path, status in seen.items()}
    kept = _guard(ws, listed, layers, statuses)
    _write_manifest(ws, listed, kept)
    _note_commits(ws, listed, {name: statuses[name] for name in kept})
    return _sources(ws, listed, layers, statuses)


def _wanted(lock: Lock | None, listed: Mapping[str, Entry], name: str) -> str | None:
    """The commit at which a repository of the manifest is to stand."""
    if lock is not None and name in lock.repositories:
        return lock.repositories[name].commit
    return listed[name].version if name in listed else None


def _guard(
    ws: Workspace,
    listed: Mapping[str, Entry],
    layers: Iterable[str],
    statuses: Mapping[str, Status],
) -> set[str]:
    """The repositories that openEuler's fetcher must leave alone; UsageFault when none may be."""
    kept, faults = set(), []
    for name in sorted(listed.keys() & statuses.keys() - set(layers)):
        status, wanted = statuses[name], _wanted(ws.locked, listed, name)
        # What git does not track the fetcher does not touch either.
        fault = _fault(ws, name, status, wanted) if status.changed or not status.dirty else None
        if fault is not None:
            faults.append(fault)
            kept.add(name)
        elif status.commit != wanted:
            logger.info(
                "%s is at %s: openEuler's fetcher will check out %s (oejail lock keeps it)",
                ws.src / name,
                short(status.commit),
                short(wanted),
            )
    if ws.locked is None:
        _refuse(ws, faults, "openEuler's fetcher would reset it")
    return kept


def _write_manifest(ws: Workspace, listed: Mapping[str, Entry], kept: set[str]) -> None:
    """Write the manifest for openEuler's fetcher where it differs from the tree's, else none."""
    path = ws.build_dir / WRITTEN
    wanted = {
        name: {"remote_url": entry.url, "version": _wanted(ws.locked, listed, name)}
        for name, entry in sorted(listed.items())
        if name not in kept
    }
    trees = {n: {"remote_url": e.url, "version": e.version} for n, e in sorted(listed.items())}
    if wanted == trees:
        path.unlink(missing_ok=True)
        return
    # JSON is YAML, and needs no thought about what a name looks like.
    lines = [f"  {json.dumps(n)}: {json.dumps(entry)}" for n, entry in wanted.items()]
    head = "# By oejail, for openEuler's fetcher: the tree's manifest with oejail.lock's commits.\n"
    body = "\n".join(lines) if lines else "  {}"
    text = f"{head}manifest_list:\n{body}\n"
    if not path.is_file() or files.read_limited(path, files.MIB) != text.encode():
        files.atomic_write(path, text)


def _note_commits(ws: Workspace, listed: Mapping[str, Entry], kept: Mapping[str, Status]) -> None:
    """Note for BitBake which repositories of the manifest are not as they were at the beginning.

    `kept`: those that are built as they are.
    """
    beginning, place = ws.root / ".oebuild" / FIRST, ws.build_dir / COMMITS
    first = _first(beginning)
    known = {name: entry.version for name, entry in listed.items()} | first
    if known != first:
        files.atomic_write(beginning, files.canonical_json(known))
    for name in filter(sources.is_name, sorted(listed)):
        path, how = place / name / "commit", "is at another commit"
        wanted = _wanted(ws.locked, listed, name)
        if name in kept:
            wanted, how = _as_it_is(ws, name, kept[name]), "has local changes"
        if wanted is None or wanted == known[name]:
            path.unlink(missing_ok=True)
        elif not path.is_file() or files.read_limited(path, files.MIB) != wanted.encode():
            logger.info("%s %s: what is made of it is built again", name, how)
            files.make_directory(path.parent)
            files.atomic_write(path, wanted)


def _as_it_is(ws: Workspace, name: str, status: Status) -> str:
    """A repository's commit with a digest of what is changed in it, which no commit tells."""
    if not status.changed:
        return str(status.commit)
    words = ("diff", "--binary", "--no-color", "--no-ext-diff", "--no-textconv", "HEAD")
    return f"{status.commit} {files.sha256_bytes(gitrepos.ask(ws.src / name, *words).stdout)}"


def _first(path: Path) -> dict[str, str]:
    try:
        found = json.loads(files.read_limited(path, files.MIB))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _sources(
    ws: Workspace,
    listed: Mapping[str, Entry],
    layers: Iterable[str],
    statuses: Mapping[str, Status],
) -> Sources:
    found = []
    for name in sorted({*layers, *listed}):
        status = statuses.get(name)
        if status is None:
            if name in layers and (ws.src / name).is_dir():
                found.append(Source(name, None, False))
            elif name in listed and _wanted(ws.locked, listed, name) != listed[name].version:
                found.append(Source(name, _wanted(ws.locked, listed, name), False))
        elif name in layers:
            found.append(Source(name, status.commit, status.dirty))
        elif status.changed or status.commit != listed[name].version:
            found.append(Source(name, status.commit, bool(status.changed)))
    return Sources(locking.manifest_digest(ws), tuple(found))
