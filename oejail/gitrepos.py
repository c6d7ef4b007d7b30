# SPDX-License-Identifier: MIT
"""What git says of repositories that are looked at, never written: commits and local changes.

A repository is data, and its configuration can name programs that git runs (filters, fsmonitor):
as root they must not run as root, so a repository's owner is asked instead.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from oejail.process import scrubbed_environment

_AT_ONCE = 16
"""Repositories that are looked at together: most of the time git waits for the disk."""
_OURS = "file.lock"
"""What openEuler's fetcher locks a repository with, and leaves there when it is killed."""

_NO_CONFIG = {"GIT_CONFIG_GLOBAL": os.devnull, "XDG_CONFIG_HOME": "/"}
"""Root's own settings of git, which another user cannot read."""


@dataclass(frozen=True)
class Status:
    """A repository's commit and local changes. One that git cannot read has no commit."""

    commit: str | None
    branch: str | None = None
    """None when a commit is checked out, not a branch."""
    changed: tuple[str, ...] = ()
    """Tracked files that are modified, staged, renamed or in conflict."""
    untracked: tuple[str, ...] = ()
    """Files that git neither tracks nor ignores; of a directory full of such its name."""

    @property
    def dirty(self) -> bool:
        """Whether it holds anything that its commit does not, or cannot be read."""
        return bool(self.changed or self.untracked) or self.commit is None

    def changes(self) -> str:
        """`2 files changed, 1 untracked (a, b, c)`; for people."""
        if self.commit is None:
            return "git cannot read it"
        words = []
        if self.changed:
            words.append(f"{len(self.changed)} changed")
        if self.untracked:
            words.append(f"{len(self.untracked)} untracked")
        names = (*self.changed, *self.untracked)
        more = f", and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{' and '.join(words)} ({', '.join(names[:3])}{more})"


def statuses(repositories: Iterable[Path]) -> dict[Path, Status]:
    """The status of each of `repositories` that is one (has a `.git`), asked side by side.

    Nothing is written, git's index neither.
    """
    there = [path for path in repositories if (path / ".git").exists()]
    if len(there) <= 1:
        return {path: _status(path) for path in there}
    with ThreadPoolExecutor(min(_AT_ONCE, len(there))) as pool:
        return dict(zip(there, pool.map(_status, there), strict=True))


def ask(repository: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """`git WORDS` in a repository, as its owner; only for what reads."""
    environment = scrubbed_environment({"GIT_OPTIONAL_LOCKS": "0"})
    owner = _owner(repository)
    argv = ["git", "-c", "core.fsmonitor=false", "-c", f"safe.directory={repository}"]
    return subprocess.run(
        [*argv, "-C", str(repository), *words],
        env=environment if owner is None else {**environment, "HOME": "/", **_NO_CONFIG},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        user=owner and owner[0],
        group=owner and owner[1],
        extra_groups=owner and [],
        check=False,
    )


def _status(repository: Path) -> Status:
    done = ask(repository, "status", "--porcelain=v2", "--branch", "--no-renames")
    return parse(done.stdout.decode(errors="replace")) if done.returncode == 0 else Status(None)


def parse(text: str) -> Status:
    """What `git status --porcelain=v2 --branch` printed (git-status(1), Porcelain Format 2)."""
    commit = branch = None
    changed, untracked = [], []
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if line.startswith("# branch.oid "):
            commit = line.split(" ")[2]
        elif line.startswith("# branch.head "):
            branch = line.split(" ", 2)[2]
        elif kind == "?":
            untracked.append(rest)
        elif kind in ("1", "2", "u"):
            fields = {"1": 7, "2": 8, "u": 9}[kind]
            changed.append(rest.split(" ", fields)[-1])
    return Status(
        commit if commit and commit != "(initial)" else None,
        None if branch == "(detached)" else branch,
        tuple(changed),
        tuple(name for name in untracked if name != _OURS),
    )


def _owner(repository: Path) -> tuple[int, int] | None:
    """As root: uid and gid of whoever else may write `repository`'s configuration; else None."""
    if os.geteuid() != 0:
        return None
    info = (repository / ".git").stat()
    return (info.st_uid, info.st_gid) if info.st_uid != 0 else None
