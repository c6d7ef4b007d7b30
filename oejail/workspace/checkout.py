# SPDX-License-Identifier: MIT
"""Repositories brought to a commit: fetched when it is missing, checked out, nothing lost.

oebuild's and openEuler's own fetching can only follow the tree's manifest, and both say success
when they failed; a locked commit is fetched and checked out here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from oejail import files, gitrepos, process
from oejail.errors import ChildFailed
from oejail.log import logger
from oejail.workspace.model import Workspace
from oejail.workspace.sources import git_environment, head

_STALL = 60
"""Seconds without a thousand bytes a second, after which git gives an HTTP server up."""
_OPTIONS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "http.lowSpeedLimit=1000",
    f"http.lowSpeedTime={_STALL}",
)
_REFUSED = re.compile(r"unadvertised object|not our ref|did not send all|remote ref", re.IGNORECASE)
"""A server that does not serve a commit by its name; its branches may still hold it."""
_UPSTREAM = "refs/remotes/upstream"


@dataclass(frozen=True)
class Move:
    """A repository that is to stand at another commit. `old` None: it is to be made."""

    name: str
    old: str | None
    new: str
    url: str | None


def git(ws: Workspace, repository: Path, *words: str | Path) -> process.Result:
    """`git WORDS` in a repository, as the one to whom the sources belong, through the mirrors.

    The repository's hooks and monitors are not run. The result is to be looked at.
    """
    options = [word for option in _OPTIONS for word in ("-c", option)]
    return process.run(
        ["git", *options, "-C", repository, *words],
        cwd=repository,
        env=git_environment(ws.project),
        identity=ws.identity,
        check=False,
    )


def has(ws: Workspace, repository: Path, commit: str) -> bool:
    """Whether a repository has `commit`; no network is used."""
    return git(ws, repository, "cat-file", "-e", f"{commit}^{{commit}}").ok


def fetch(ws: Workspace, repository: Path, move: Move) -> None:
    """See to it that `repository` has the commit `move.new`; what is there is not fetched.

    A new or shallow repository gets that commit alone, without its history. No branch, remote or
    file of the repository is changed. Raises ChildFailed with the URL and git's words.
    """
    if has(ws, repository, move.new):
        return
    if move.url is None:
        raise ChildFailed(
            f"{repository}: commit {move.new} is not there, and oejail does not know from where "
            f"to fetch {move.name}",
            hint=f"fetch it yourself, or name its URL in sources: of oejail.yaml: {move.name}",
        )
    logger.info("update: fetching %s %s from %s", move.name, short(move.new), move.url)
    shallow = move.old is None or (repository / ".git" / "shallow").exists()
    depth = ["--depth=1"] if shallow else []
    said = git(ws, repository, "fetch", "--quiet", "--no-tags", *depth, "--", move.url, move.new)
    if not said.ok and _REFUSED.search("\n".join(said.stderr)):
        branches = f"+refs/heads/*:{_UPSTREAM}/*"
        said = git(ws, repository, "fetch", "--quiet", "--no-tags", "--", move.url, branches)
        if said.ok and not has(ws, repository, move.new):
            raise ChildFailed(
                f"{move.url}: has commit {move.new} of {move.name} no more: its history was "
                "rewritten",
                hint=f"oejail lock --update {move.name}, or fetch it from a clone that still has "
                "it",
            )
    if not said.ok or not has(ws, repository, move.new):
        raise ChildFailed(
            f"{move.url}: commit {move.new} of {move.name} cannot be fetched: {_words(said)}",
            hint="check the network, sources: and mirrors: in oejail.yaml, and run the same "
            "command again",
        )


def _words(said: process.Result) -> str:
    """git's reason."""
    lines = [line.strip() for line in said.stderr if line.strip()]
    fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (fatal or lines or [said.describe()])[0]


def make(ws: Workspace, move: Move) -> None:
    """Make src/NAME at a commit; it appears whole or not at all. Raises as `fetch`."""
    fresh, target = ws.src / f".oejail-{move.name}", ws.src / move.name
    files.remove_tree(fresh)
    files.make_directory(fresh)
    try:
        made = git(ws, fresh, "init", "--quiet", "--template=", ".")
        if not made.ok:
            raise ChildFailed(f"{fresh}: git init: {_words(made)}")
        if move.url is not None:  # by the name that oebuild gives it
            git(ws, fresh, "remote", "add", "upstream", move.url)
        fetch(ws, fresh, move)
        _check_out(ws, fresh, move)
        if target.is_dir():
            target.rmdir()  # empty, or it would not be made
        fresh.rename(target)
    finally:
        files.remove_tree(fresh)


def move(ws: Workspace, moves: list[Move]) -> None:
    """Fetch all that `moves` need, then check it out; a failed fetch leaves all where they were.

    The repositories have no local changes: the caller has looked. What a kill in the middle of a
    checkout leaves is put right by `resume`. Raises ChildFailed.
    """
    for each in moves:
        fetch(ws, ws.src / each.name, each)
    files.atomic_write(_marker(ws), json.dumps({each.name: each.new for each in moves}))
    for each in moves:
        _check_out(ws, ws.src / each.name, each)
        logger.info("update: moved %s from %s to %s", each.name, short(each.old), short(each.new))
    _marker(ws).unlink()


def _check_out(ws: Workspace, repository: Path, move: Move) -> None:
    said = git(ws, repository, "checkout", "--quiet", "--detach", move.new)
    if not said.ok or head(repository) != move.new:
        raise ChildFailed(
            f"{repository}: cannot be brought to {short(move.new)}: {_words(said)}",
            hint="look at what is in the way there",
        )


def resume(ws: Workspace) -> None:
    """End what a killed `move` began. Its half-written files look like somebody's changes.

    They were checked out in a repository without any. Should somebody have edited one since, git
    keeps all that is there in a commit first, under refs/oejail/interrupted/.
    """
    marked = _marked(ws)
    for name, new in marked.items():
        repository = ws.src / name
        if not (repository / ".git").exists() or not has(ws, repository, new):
            continue
        for name_of_lock in ("index.lock", "HEAD.lock"):
            (repository / ".git" / name_of_lock).unlink(missing_ok=True)
        if not gitrepos.statuses([repository])[repository].dirty:
            continue
        kept = git(ws, repository, "-c", "user.name=oejail", "-c", "user.email=oejail@localhost",
                   "stash", "create")  # fmt: skip
        commit = kept.text.strip()
        if commit:
            ref = f"refs/oejail/interrupted/{commit}"
            kept = git(ws, repository, "update-ref", ref, commit)
        if not kept.ok:
            raise ChildFailed(
                f"{repository}: half of {short(new)} is checked out there, since a run was killed, "
                f"and what there is cannot be kept: {_words(kept)}",
                hint=f"git -C {repository} checkout --force {new}, when you have looked",
            )
        said = git(ws, repository, "checkout", "--quiet", "--force", "--detach", new)
        if not said.ok:
            raise ChildFailed(f"{repository}: cannot be brought to {short(new)}: {_words(said)}")
        logger.info("update: ended what was interrupted: %s is at %s", name, short(new))
    if marked:
        _marker(ws).unlink(missing_ok=True)


def _marker(ws: Workspace) -> Path:
    return ws.root / ".oebuild" / "oejail-moving"


def _marked(ws: Workspace) -> Mapping[str, str]:
    try:
        found = json.loads(files.read_limited(_marker(ws), files.MIB))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return {
        name: new
        for name, new in (found.items() if isinstance(found, dict) else ())
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", name)
        and isinstance(new, str)
        and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", new)
    }


def unreachable(repository: Path, commit: str, *among: str) -> bool:
    """Whether a checked out `commit` would be hard to find again once another one is checked out.

    No branch, tag or other reference (of those `among`, such as `refs/tags`) leads to it, and it
    was not fetched as it is (oebuild and openEuler's fetcher take single commits: these stand in
    .git/shallow and in FETCH_HEAD).
    """
    for name in ("shallow", "FETCH_HEAD"):
        try:
            data = files.read_limited(repository / ".git" / name, 4 * files.MIB)
        except OSError:
            continue
        if commit.encode() in data:
            return False
    found = gitrepos.ask(repository, "for-each-ref", "--count=1", f"--contains={commit}", *among)
    return found.returncode == 0 and not found.stdout.strip()


def count(ws: Workspace, repository: Path, old: str, new: str) -> int | None:
    """How many commits lead from `old` to `new`; None where the history is not there."""
    if (repository / ".git" / "shallow").exists():
        return None
    said = git(ws, repository, "rev-list", "--count", f"{old}..{new}")
    text = said.text.strip()
    return int(text) if said.ok and text.isdecimal() else None


def short(commit: str | None) -> str:
    """A commit as people write it."""
    return commit[:12] if commit else "nothing"
