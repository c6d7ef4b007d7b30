# SPDX-License-Identifier: MIT
"""What each stage of `up` read and wrote, so that the next run can tell what is still true.

`.oejail/state.json` holds, for each stage, its reads and writes: names such as
`file:/path`, `git:/path` or `value:engine`, each with what was found then. A file is compared as
git's index does it: the same inode, size, mode and times mean the same bytes; else its SHA-256
decides. A repository is compared by its commit and by whether it has local changes.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oejail import gitrepos
from oejail.files import atomic_write, sha256_file

SCHEMA = 1
ABSENT = "absent"
DIRTY = "+changes"
NOT_DONE = "not done yet"

Facts = dict[str, Any]
"""Name of a thing that was read or written → what was found (a fingerprint, commit or value)."""


def file_fact(path: Path) -> Any:
    """A file's fingerprint: [sha256, size, mode, mtime_ns, ctime_ns, inode], or ABSENT."""
    try:
        info = path.stat()
        if not path.is_file():
            return ABSENT
        return [sha256_file(path), *_stat_part(info)]
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT


def _stat_part(info: os.stat_result) -> list[int]:
    return [info.st_size, info.st_mode, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]


def _same_file(path: Path, then: Any) -> bool:
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError, UnicodeError):
        # A name from a run under UTF-8 need not be one under another locale.
        return bool(then == ABSENT)
    if not isinstance(then, list) or len(then) != 6:
        return False
    now = _stat_part(info)
    if now == then[1:]:
        return True
    return now[:2] == then[1:3] and sha256_file(path) == then[0]


def git_facts(repositories: Iterable[Path]) -> dict[Path, str]:
    """Each repository's commit, with DIRTY appended where it has local changes; ABSENT without one.

    One that git cannot read counts as changed.
    """
    facts = dict.fromkeys(repositories, ABSENT)
    for repository, status in gitrepos.statuses(facts).items():
        facts[repository] = (status.commit or "unreadable") + (DIRTY if status.dirty else "")
    return facts


@dataclass
class Record:
    """One stage: what it read and wrote, and, unless `done`, that it began and did not end well."""

    reads: Facts = field(default_factory=dict)
    writes: Facts = field(default_factory=dict)
    note: str = ""
    done: bool = True


class State:
    """The records of all stages, kept in `.oejail/state.json`.

    A file that cannot be read as such (another version, cut short by hand) counts as empty:
    every stage then runs again, which is always right, only slower.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: dict[str, Record] = {}
        self.settings: dict[str, Any] = {}
        self._settings_files: Facts = {}
        self._git: dict[Path, str] = {}
        try:
            raw = json.loads(path.read_bytes())
            if raw["schema_version"] == SCHEMA:
                for name, record in raw["stages"].items():
                    self.records[name] = Record(**record)
                self.settings = dict(raw["settings"])
                self._settings_files = dict(raw["settings_files"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            self.records, self.settings, self._settings_files = {}, {}, {}

    def save(self) -> None:
        """Write the file, atomically."""
        stages = {name: vars(record) for name, record in self.records.items()}
        whole = {
            "schema_version": SCHEMA,
            "settings": self.settings,
            "settings_files": self._settings_files,
            "stages": stages,
        }
        atomic_write(self.path, json.dumps(whole, indent=1, sort_keys=True))

    def keep_settings(self, load: Callable[[], tuple[Mapping[str, Any], Iterable[Path]]]) -> None:
        """See to it that `settings` is what the files of settings say.

        `load` reads them, when one has changed since: it returns the settings and those files.
        """
        then = self._settings_files
        if not then or not all(_same_file(Path(file), then[file]) for file in then):
            found, read = load()
            self.settings = json.loads(json.dumps(found))
            self._settings_files = {str(file): file_fact(file) for file in read}
            # Kept to save time alone: who only looks (`status`) may not be able to write here.
            with contextlib.suppress(OSError):
                self.save()

    def begin(self, stage: str) -> None:
        """Mark a stage as begun: a kill in its middle must show. What it wrote before stays known,
        so that the next run can still tell what of it was lost."""
        if self.done(stage):
            self.records[stage].done = False
            self.save()

    def done(self, stage: str) -> bool:
        """True when the stage ended well."""
        return stage in self.records and self.records[stage].done

    def ask_git(self, names: Iterable[str] | None = None) -> None:
        """Look at all repositories that the records (or `names`, `git:PATH`) mention, at once."""
        if names is None:
            names = {n for r in self.records.values() for n in (*r.reads, *r.writes)}
        self._git.update(git_facts({Path(n[4:]) for n in names if n.startswith("git:")}))

    def fact(self, name: str, values: Mapping[str, Any]) -> Any:
        """What is found now under `name`; `values` answers for `value:` names."""
        kind, _, rest = name.partition(":")
        if kind == "file":
            return file_fact(Path(rest))
        if kind == "git":
            if Path(rest) not in self._git:
                self.ask_git([name])
            return self._git[Path(rest)]
        return values.get(rest)

    def record(
        self,
        stage: str,
        reads: Iterable[str],
        writes: Iterable[str],
        values: Mapping[str, Any],
        note: str = "",
    ) -> None:
        """Remember what `stage` read and wrote as it is now, and save.

        Where an earlier stage wrote the same file, its record follows: `layers` may well edit
        the compile.yaml that `generate` made.
        """
        written = {name: self.fact(name, values) for name in writes}
        for other in self.records.values():
            for name in written.keys() & other.writes.keys():
                other.writes[name] = written[name]
        read = {name: self.fact(name, values) for name in reads}
        self.records[stage] = Record(read, written, note)
        self.save()

    def claim(self, stage: str, names: Iterable[str]) -> None:
        """Add `names` to what `stage` wrote: a later stage found out what that was."""
        if stage in self.records:
            self.records[stage].writes = {name: self.fact(name, {}) for name in names}

    def stale(self, stage: str, values: Mapping[str, Any]) -> str | None:
        """Why `stage` must run again, or None when all that it read and wrote is as it was."""
        if not self.done(stage):
            return NOT_DONE
        record = self.records[stage]
        for name, then in record.reads.items():
            if not self._same(name, then, values):
                return f"{describe(name)} has changed"
        for name, then in record.writes.items():
            if not self._same(name, then, values):
                path = Path(name.partition(":")[2])
                gone = name.startswith("file:") and not path.exists()
                return f"{describe(name)} {'is gone' if gone else 'was altered'}"
        return None

    def altered(self, stage: str) -> list[Path]:
        """The files that `stage` wrote and that are gone or different now."""
        record = self.records.get(stage, Record())
        names = [n for n in record.writes if n.startswith("file:")]
        return [Path(n[5:]) for n in names if not self._same(n, record.writes[n], {})]

    def _same(self, name: str, then: Any, values: Mapping[str, Any]) -> bool:
        if name.startswith("file:"):
            return _same_file(Path(name[5:]), then)
        return bool(self.fact(name, values) == then)


def describe(name: str) -> str:
    """`name` for a person: the last two parts of a path, or a value's name."""
    kind, _, rest = name.partition(":")
    if kind == "value":
        return rest
    return "/".join(Path(rest).parts[-2:])
