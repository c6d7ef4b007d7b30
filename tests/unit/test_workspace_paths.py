# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
from pathlib import Path

import pytest

from oejail import project
from oejail.errors import UsageFault
from oejail.process import SELF, Identity
from oejail.project import Project
from oejail.workspace.paths import OWNER_FILE, locate


def at(directory: Path, more: str = "") -> Project:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "oejail.yaml").write_text(f"version: 1\n{more}")
    return project.load(directory)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "oejail" / "workspaces"


def test_in_the_project(tmp_path: Path) -> None:
    found = locate(at(tmp_path / "p"), SELF)
    assert (found.root, found.link) == (tmp_path / "p" / "workspace", None)


def test_where_the_user_says(tmp_path: Path) -> None:
    assert locate(at(tmp_path / "p p", "workspace: ../ws"), SELF).root == tmp_path / "ws"
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert locate(at(tmp_path / "q", "workspace: ../link"), SELF).root == tmp_path / "real"


def test_a_link_of_the_users_own_is_followed(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "real").mkdir()
    here = at(tmp_path / "p p")
    here.workspace_link.symlink_to(tmp_path / "real")
    found = locate(here, SELF)
    assert (found.root, found.link) == (tmp_path / "real", None)


@pytest.mark.parametrize("name", ["a b", "a$b", "a'b", "é", "a;b", "a(b)"])
def test_in_the_cache(name: str, tmp_path: Path, cache: Path) -> None:
    found = locate(at(tmp_path / name), SELF)
    assert found.root.parent == cache and found.link == tmp_path / name / "workspace"
    assert locate(at(tmp_path / name), SELF) == found
    assert not cache.exists()  # looking makes nothing


def test_two_projects_of_one_name_have_two_places(tmp_path: Path, cache: Path) -> None:
    one, two = at(tmp_path / "x" / "a b"), at(tmp_path / "y" / "a b")
    assert locate(one, SELF).root != locate(two, SELF).root


def settle(here: Project) -> Path:
    """What `ensure_init` leaves."""
    found = locate(here, SELF)
    assert found.link is not None
    found.root.mkdir(parents=True, exist_ok=True)
    (found.root / OWNER_FILE).write_text(f"{here.root}\n")
    found.link.unlink(missing_ok=True)
    found.link.symlink_to(found.root)
    return found.root


def test_a_moved_project_keeps_its_workspace(tmp_path: Path, cache: Path) -> None:
    root = settle(at(tmp_path / "a b"))
    (tmp_path / "a b").rename(tmp_path / "c d")
    assert locate(at(tmp_path / "c d"), SELF).root == root
    # Moved to where no cache would be needed, it still is where it was.
    (tmp_path / "c d").rename(tmp_path / "e")
    assert locate(at(tmp_path / "e"), SELF).root == root


def test_a_copied_project_does_not_share_it(tmp_path: Path, cache: Path) -> None:
    root = settle(at(tmp_path / "a b"))
    copy = at(tmp_path / "a copy")
    copy.workspace_link.symlink_to(root)
    assert locate(copy, SELF).root != root
    assert locate(at(tmp_path / "a b"), SELF).root == root


def test_a_cache_that_will_not_do_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c c"))
    with pytest.raises(UsageFault, match="oebuild cannot bear ' ' in a path") as caught:
        locate(at(tmp_path / "a b"), SELF)
    assert "oejail init --workspace DIR" in (caught.value.hint or "")
    with pytest.raises(UsageFault, match="oebuild cannot bear ' ' in a path"):
        locate(at(tmp_path / "p", "workspace: 'w w'"), SELF)


def test_the_build_users_cache(tmp_path: Path, cache: Path) -> None:
    user = Identity("user", 1234, 1234, (), "builder", str(tmp_path / "home"))
    root = locate(at(tmp_path / "a b"), user).root
    assert root.is_relative_to(tmp_path / "home" / ".cache")


def test_a_relative_cache_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    home = Path(os.environ["HOME"])
    assert locate(at(tmp_path / "a b"), SELF).root.is_relative_to(home / ".cache")


def test_inside_another_workspace(tmp_path: Path) -> None:
    (tmp_path / ".oebuild").mkdir()
    (tmp_path / ".oebuild" / "config").write_text("")
    with pytest.raises(UsageFault, match="lies inside the oebuild workspace") as caught:
        locate(at(tmp_path / "p"), SELF)
    assert f"oejail init --workspace {tmp_path}" in (caught.value.hint or "")
    assert locate(at(tmp_path, "workspace: ."), SELF).root == tmp_path
