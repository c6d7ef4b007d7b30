# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail.files import give
from oejail.state import ABSENT, DIRTY, State, git_facts


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(directory), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path / "state.json")


def again(state: State) -> State:
    return State(state.path)


def test_a_stage_without_record_is_stale(state: State) -> None:
    assert state.stale("init", {}) == "not done yet"


def test_unchanged_is_fresh_and_survives_a_reload(state: State, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("1")
    (tmp_path / "out").write_text("2")
    values = {"engine": "host"}
    reads = [f"file:{tmp_path}/in", "value:engine", f"file:{tmp_path}/none"]
    state.record("build", reads, [f"file:{tmp_path}/out"], values)
    assert again(state).stale("build", values) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: (d / "d/in").write_text("3"), "d/in has changed"),
        (lambda d: (d / "d/in").unlink(), "d/in has changed"),
        (lambda d: (d / "d/out").write_text("4"), "d/out was altered"),
        (lambda d: (d / "d/out").chmod(0o600), "d/out was altered"),
        (lambda d: (d / "d/out").unlink(), "d/out is gone"),
        (lambda d: (d / "d/none").write_text(""), "d/none has changed"),
    ],
)
def test_each_change_is_seen(change, reason: str, state: State, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "d").mkdir()
    (tmp_path / "d/in").write_text("1")
    (tmp_path / "d/out").write_text("2")
    (tmp_path / "d/out").chmod(0o644)
    reads = [f"file:{tmp_path}/d/in", f"file:{tmp_path}/d/none"]
    state.record("build", reads, [f"file:{tmp_path}/d/out"], {})
    change(tmp_path)
    assert again(state).stale("build", {}) == reason


def test_changed_value(state: State) -> None:
    state.record("build", ["value:engine"], [], {"engine": "host"})
    assert again(state).stale("build", {"engine": "container"}) == "engine has changed"


def test_same_bytes_in_a_new_file_are_fresh(state: State, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("1")
    state.record("build", [f"file:{tmp_path}/in"], [], {})
    (tmp_path / "new").write_text("1")
    os.utime(tmp_path / "new", (1, 1))
    (tmp_path / "new").rename(tmp_path / "in")
    assert again(state).stale("build", {}) is None


def test_an_edit_with_its_times_put_back_is_seen(state: State, tmp_path: Path) -> None:
    file = tmp_path / "in"
    file.write_text("1")
    state.record("build", [f"file:{file}"], [], {})
    times = file.stat()
    file.write_text("2")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert again(state).stale("build", {}) is not None


def test_a_later_writer_updates_the_earlier_record(state: State, tmp_path: Path) -> None:
    file = tmp_path / "compile.yaml"
    file.write_text("1")
    state.record("generate", [], [f"file:{file}"], {})
    file.write_text("2")
    state.record("layers", [], [f"file:{file}"], {})
    assert again(state).stale("generate", {}) is None


def test_a_stage_that_began_is_stale_and_still_knows_what_it_wrote(
    state: State, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("1")
    state.record("build", [], [f"file:{tmp_path}/out"], {})
    state.begin("build")
    (tmp_path / "out").unlink()
    assert again(state).stale("build", {}) == "not done yet"
    assert again(state).altered("build") == [tmp_path / "out"]
    state.record("build", [], [], {})
    assert again(state).stale("build", {}) is None


@pytest.mark.parametrize(
    "raw", ["", "{", "[]", '{"schema_version": 99}', '{"schema_version":1,"stages":{"a":{"x":1}}}']
)
def test_an_unreadable_file_counts_as_empty(raw: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(raw)
    assert State(tmp_path / "state.json").stale("a", {}) == "not done yet"


def test_git(tmp_path: Path) -> None:
    one, two, none = tmp_path / "one", tmp_path / "two", tmp_path / "none"
    for repository in (one, two):
        repository.mkdir()
        git(repository, "init", "-q")
        (repository / "f").write_text("1")
        git(repository, "add", "f")
        git(repository, "commit", "-q", "-m", "m")
    (two / "g").write_text("untracked")
    facts = git_facts([one, two, none])
    commit = git(one, "rev-parse", "HEAD")
    assert facts[one] == commit
    assert facts[two] == git(two, "rev-parse", "HEAD") + DIRTY
    assert facts[none] == ABSENT


def test_a_repository_cannot_choose_a_program(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "evil").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tmp_path / "evil").chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(tmp_path / "evil"))
    git_facts([tmp_path])
    assert not (tmp_path / "ran").exists()


def test_settings_can_be_looked_at_where_nothing_can_be_written(tmp_path: Path) -> None:
    state = State(tmp_path / "none" / "state.json")
    state.keep_settings(lambda: ({"a": 1}, []))
    assert state.settings == {"a": 1}


def test_a_repository_that_git_cannot_read_counts_as_changed(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / ".git").mkdir(parents=True)
    assert git_facts([broken])[broken].endswith(DIRTY)
    assert git_facts([tmp_path / "none"]) == {tmp_path / "none": ABSENT}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter; those above tmp_path are root's alone."""
    with tempfile.TemporaryDirectory(prefix="oejail-test-") as name:
        os.chmod(name, 0o777)
        yield Path(name)


def test_root_runs_no_program_that_another_users_repository_names(open_directory: Path) -> None:
    """A filter in .git/config is run by `git status`: as its owner, whoever asks."""
    repository, said = open_directory / "r", open_directory / "who"
    repository.mkdir()
    git(repository, "init", "-q")
    (repository / "a").write_text("1")
    git(repository, "add", "a")
    git(repository, "commit", "-q", "-m", "x")
    git(repository, "config", "filter.x.clean", f"id -u >> {said}; cat")
    (repository / ".git/info").mkdir(exist_ok=True)
    (repository / ".git/info/attributes").write_text("* filter=x")
    os.utime(repository / "a", (1, 1))
    owner = os.geteuid()
    if owner == 0:
        owner = 65534
        give(repository, owner, owner)
    assert not git_facts([repository])[repository].endswith(DIRTY)
    assert set(said.read_text().split()) == {str(owner)}
