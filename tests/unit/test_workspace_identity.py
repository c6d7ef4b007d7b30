# SPDX-License-Identifier: MIT
from __future__ import annotations

import os
import pwd
import sys
from pathlib import Path

import pytest

from oejail import process, project
from oejail.errors import Interrupted, PrerequisiteMissing, UsageFault
from oejail.process import SELF, Identity, Result
from oejail.project import Project
from oejail.workspace import identity

NOBODY = pwd.getpwnam("nobody")


def at(directory: Path, more: str = "") -> Project:
    (directory / "oejail.yaml").write_text(f"version: 1\n{more}")
    return project.load(directory)


@pytest.fixture
def owner(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """We are root, and the project belongs to the user id in the list."""
    owners = [0]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    genuine = Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        info = genuine(self, follow_symlinks=follow_symlinks)
        return os.stat_result([*info[:4], owners[0], *info[5:]])

    monkeypatch.setattr(Path, "stat", stat)
    return owners


def test_an_ordinary_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    assert identity.choose(at(tmp_path, "build_user: x"), "y") == SELF


def test_a_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(PrerequisiteMissing, match="user id 54321 has no entry in /etc/passwd"):
        identity.choose(at(tmp_path))


def test_who_comes_first(tmp_path: Path, owner: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    here = at(tmp_path, "build_user: none-of-the-file")
    with pytest.raises(UsageFault, match=r"oejail\.yaml: build_user: no user none-of-the-file"):
        identity.choose(here)
    monkeypatch.setenv("OEJAIL_BUILD_USER", "none-of-the-environment")
    with pytest.raises(UsageFault, match="OEJAIL_BUILD_USER: no user none-of-the-environment"):
        identity.choose(here)
    with pytest.raises(UsageFault, match="--build-user: no user none-of-the-line"):
        identity.choose(here, "none-of-the-line")
    for name in ("nobody", str(NOBODY.pw_uid)):
        found = identity.choose(here, name)
        assert (found.kind, found.uid, found.gid) == ("user", NOBODY.pw_uid, NOBODY.pw_gid)
        assert found.gid in found.groups and found.home == NOBODY.pw_dir


def test_a_name_for_a_shell_is_quoted_in_the_hint(tmp_path: Path, owner: list[int]) -> None:
    with pytest.raises(UsageFault) as caught:
        identity.choose(at(tmp_path), "$(id)")
    assert caught.value.hint == "useradd --create-home '$(id)'"


@pytest.mark.parametrize("name", ["root", "0"])
def test_root_is_no_build_user(name: str, tmp_path: Path, owner: list[int]) -> None:
    with pytest.raises(UsageFault, match="is root, which oebuild and BitBake refuse"):
        identity.choose(at(tmp_path), name)


def test_the_projects_owner(tmp_path: Path, owner: list[int]) -> None:
    owner[0] = NOBODY.pw_uid
    assert identity.choose(at(tmp_path)).name == "nobody"


def test_nobody_to_be(tmp_path: Path, owner: list[int]) -> None:
    with pytest.raises(PrerequisiteMissing, match="and the project belongs to root") as caught:
        identity.choose(at(tmp_path))
    assert "useradd --create-home oejail-build" in (caught.value.hint or "")
    owner[0] = 54321
    with pytest.raises(PrerequisiteMissing, match="owner, user id 54321, has no entry"):
        identity.choose(at(tmp_path))


def test_the_sample_may_use_a_namespace(
    tmp_path: Path, owner: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = at(tmp_path, "tree: sample\nengine: host\n")
    answer = [Result((), 0)]
    monkeypatch.setattr(process, "run", lambda *_, **__: answer[0])
    assert identity.choose(here).kind == "userns"
    answer[0] = Result((), 1, stderr=("unshare: unshare failed: Operation not permitted",))
    with pytest.raises(
        PrerequisiteMissing, match=r"no way out: .*Operation not permitted"
    ) as caught:
        identity.choose(here)
    assert "useradd" in (caught.value.hint or "")

    def missing(*_: object, **__: object) -> Result:
        raise PrerequisiteMissing("unshare: no such program")

    monkeypatch.setattr(process, "run", missing)
    with pytest.raises(PrerequisiteMissing, match="unshare: no such program"):
        identity.choose(here)


STRANGER = Identity("user", 54321, 54321, (54321,), "stranger", "/")


@pytest.fixture
def shut(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the mode says is what the kernel says."""
    monkeypatch.setattr(process, "run", lambda *_, **__: Result((), 1))


def test_a_directory_that_is_shut_is_named(tmp_path: Path, shut: None) -> None:
    # pytest's own directories may be shut to others: then that is the first on the way.
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a").chmod(0o700)
    way = [*reversed(tmp_path.parents), tmp_path, tmp_path / "a"]
    first = next(path for path in way if not path.stat().st_mode & 1)
    with pytest.raises(PrerequisiteMissing, match=f"^{first}: the build user stranger cannot") as e:
        identity.check_reach(STRANGER, [tmp_path / "a" / "b" / "not there"])
    assert (e.value.hint or "").startswith(f"chmod o+x {first}")


def test_python_that_is_shut(tmp_path: Path, shut: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(PrerequisiteMissing, match="and Python lies below") as caught:
        identity.check_reach(STRANGER, [Path(sys.executable)])
    assert "below /usr" in (caught.value.hint or "")


def test_links_on_the_way_are_followed(tmp_path: Path, shut: None) -> None:
    link = Path("/tmp") / f"oejail-test-{os.getpid()}"
    link.symlink_to(tmp_path)
    try:
        with pytest.raises(PrerequisiteMissing, match="cannot enter it"):
            identity.check_reach(STRANGER, [link / "x"])
    finally:
        link.unlink()


def test_what_an_access_list_opens_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def run(argv: list[object], **_: object) -> Result:
        asked.append(str(argv[-1]))
        return Result((), 0)

    monkeypatch.setattr(process, "run", run)
    identity.check_reach(STRANGER, [tmp_path])
    assert asked


def test_open_ways_ask_nobody(shut: None) -> None:
    identity.check_reach(STRANGER, [Path("/usr/bin/env"), Path("/nowhere/at/all")])
    identity.check_reach(SELF, [Path("/root/x")])


def test_an_interruption_is_no_missing_prerequisite(
    tmp_path: Path, owner: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> process.Result:
        raise Interrupted("interrupted")

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(Interrupted):
        identity.choose(at(tmp_path, "tree: sample"))
    someone = Identity("user", NOBODY.pw_uid, NOBODY.pw_gid, name="nobody")
    (tmp_path / "shut").mkdir(mode=0o700)
    with pytest.raises(Interrupted):
        identity.check_reach(someone, [tmp_path / "shut" / "x"])
