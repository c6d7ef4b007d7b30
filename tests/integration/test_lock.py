# SPDX-License-Identifier: MIT
"""Locks over real git repositories: written, kept, compared, moved; nobody's work lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from oejail import cleanup, project
from oejail.cli import main
from oejail.errors import ChildFailed, ConfigError, UsageFault
from oejail.workspace import checkout, identity, lockfile, locking, settle, sources
from oejail.workspace.model import Workspace
from oejail.workspace.workspace import (
    ensure_generated,
    ensure_init,
    ensure_sources,
    open_workspace,
)
from tests.support import gitserver, trees
from tests.support.sample_build import identity as somebody

META, JAILHOUSE = "yocto-meta-openeuler", "Jailhouse"


@pytest.fixture(autouse=True)
def ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, these trees (our own) are handled in a user namespace, as the sample is."""
    monkeypatch.setattr(identity, "choose", lambda *_: somebody())
    monkeypatch.setattr(identity, "check_reach", lambda *_: None)


class Upstream:
    """openEuler's repositories: layers, and one that only openEuler's fetcher clones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = f"file://{root}"
        self.commit(JAILHOUSE, {"hypervisor": "one\n"})
        trees.remotes(root, trees.V2)
        self.publish()

    def commit(self, name: str, contents: dict[str, str]) -> str:
        return trees.repository(self.root / name, contents)

    def head(self, name: str) -> str:
        return trees.git(self.root / name, "rev-parse", "HEAD")

    def publish(self, **more: str) -> str:
        """A commit of yocto-meta-openeuler whose manifest has Jailhouse as it is now."""
        path = self.root / META / ".oebuild/manifest.yaml"
        listed = yaml.safe_load(path.read_text())["manifest_list"]
        for entry in listed.values():
            entry["remote_url"] = f"{self.base}/{entry['remote_url'].rpartition('/')[2]}"
        listed[JAILHOUSE] = {
            "remote_url": f"{self.base}/{JAILHOUSE}",
            "version": self.head(JAILHOUSE),
        }
        text = yaml.safe_dump({"manifest_list": listed})
        return self.commit(META, {".oebuild/manifest.yaml": text, **more})


@dataclass
class Place:
    """A project of those."""

    root: Path
    upstream: Upstream

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.write()

    def write(self, more: str = "", base: str | None = None) -> None:
        (self.root / "oejail.yaml").write_text(
            "version: 1\nengine: host\nlayers: []\n"
            f"sources: {{{META}: {{url: '{base or self.upstream.base}/{META}', ref: master}}}}\n"
            f"{more}"
        )

    def ws(self, allow_dirty: bool = False) -> Workspace:
        return open_workspace(project.load(self.root), allow_dirty=allow_dirty)

    def up(self, allow_dirty: bool = False) -> str:
        """init, update and generate; what update says."""
        ensure_init(self.ws(allow_dirty))
        said = ensure_sources(self.ws(allow_dirty)).reason
        ensure_generated(self.ws(allow_dirty))
        return said

    def lock(self, allow_dirty: bool = False) -> lockfile.Lock:
        made = locking.lockable(self.ws(allow_dirty))
        lockfile.write(self.file, made)
        return made

    @property
    def file(self) -> Path:
        return self.root / "oejail.lock"

    def src(self, name: str) -> Path:
        return self.ws().src / name

    def head(self, name: str) -> str | None:
        return sources.head(self.src(name))

    def clone(self, name: str = JAILHOUSE) -> Path:
        """What openEuler's fetcher does: a shallow fetch of the manifest's commit."""
        entry = sources.manifest(self.ws())[name]
        path = self.src(name)
        path.mkdir()
        trees.git(path, "init", "-q")
        trees.git(path, "remote", "add", "upstream", entry.url)
        trees.git(path, "fetch", "-q", "--depth=1", "upstream", entry.version)
        trees.git(path, "checkout", "-q", entry.version)
        return path

    @property
    def written(self) -> dict[str, str] | None:
        """The versions in the manifest that oejail wrote for openEuler's fetcher."""
        path = self.ws().build_dir / settle.WRITTEN
        if not path.exists():
            return None
        listed = yaml.safe_load(path.read_text())["manifest_list"]
        return {name: entry["version"] for name, entry in listed.items()}


@pytest.fixture
def upstream(tmp_path: Path) -> Upstream:
    return Upstream(tmp_path / "upstream")


@pytest.fixture
def place(tmp_path: Path, upstream: Upstream) -> Place:
    made = Place(tmp_path / "p", upstream)
    made.up()
    return made


def another(place: Place) -> Place:
    """A colleague's project: the same oejail.yaml and oejail.lock, an empty directory."""
    other = Place(place.root.with_name("other"), place.upstream)
    shutil.copy(place.root / "oejail.yaml", other.root)
    shutil.copy(place.file, other.root)
    return other


def test_a_colleague_gets_the_same_commits_later(place: Place) -> None:
    lock = place.lock()
    assert set(lock.repositories) == {META, "yocto-poky", "yocto-meta-extra", JAILHOUSE}
    place.upstream.commit(JAILHOUSE, {"hypervisor": "two\n"})
    newer = place.upstream.publish(news="x")
    other = another(place)
    other.up()
    assert other.head(META) == lock.repositories[META].commit != newer
    for name in ("yocto-poky", "yocto-meta-extra"):
        assert other.head(name) == lock.repositories[name].commit
    assert locking.differences(lock, locking.look(other.ws())) == []
    # What nobody fetched yet is pinned by the manifest: the lock is the same before and after.
    other.clone()
    assert locking.look(other.ws()).lock == lock
    assert settle.prepare(other.ws()).manifest == lock.manifest
    assert other.written is None


def test_another_commit_than_the_manifests_reaches_openeulers_fetcher(place: Place) -> None:
    second = place.upstream.commit(JAILHOUSE, {"hypervisor": "two\n"})
    path = place.clone()
    trees.git(path, "fetch", "-q", "--depth=1", "upstream", second)
    trees.git(path, "checkout", "-q", second)
    lock = place.lock()
    assert lock.repositories[JAILHOUSE].commit == second
    built = settle.prepare(place.ws())
    assert place.written is not None and place.written[JAILHOUSE] == second
    assert settle.Source(JAILHOUSE, second, False) in built.repositories
    # A colleague has not got the repository at all, and yet builds with that commit.
    other = another(place)
    other.up()
    assert settle.prepare(other.ws()) == built
    assert other.written == place.written
    compiled = yaml.safe_load(other.ws().compile_yaml.read_text())
    assert compiled["no_layer"] is True
    assert locking.differences(lock, locking.look(other.ws())) == []
    other.file.unlink()
    settle.prepare(other.ws())
    assert other.written is None


def test_a_repository_that_moved_is_noted_for_bitbake(place: Place) -> None:
    """Else the recipes that use it would not be fetched again: openEuler hashes no commit."""

    def noted() -> dict[str, str]:
        settle.prepare(place.ws())
        top = place.ws().build_dir / settle.COMMITS
        return {path.parent.name: path.read_text() for path in top.glob("*/commit")}

    first = place.clone()
    assert noted() == {}
    one, two = place.head(JAILHOUSE), place.upstream.commit(JAILHOUSE, {"hypervisor": "two\n"})
    trees.git(first, "fetch", "-q", "--depth=1", "upstream", two)
    trees.git(first, "checkout", "-q", two)
    assert noted() == {}  # without a lock the fetcher takes the manifest's commit
    lock = place.lock()
    assert noted() == {JAILHOUSE: two}
    pins = {**lock.repositories, JAILHOUSE: lockfile.Pin(str(one), f"file://{first}")}
    lockfile.write(place.file, lockfile.Lock(**{**vars(lock), "repositories": pins}))
    assert noted() == {}
    # The tree itself moves, with another manifest.
    place.upstream.publish()
    lockfile.write(place.file, locking.updated(place.ws(), place.lock(), []))
    assert noted() == {JAILHOUSE: two}
    # A build directory that begins now takes shared state of the same sstate-cache.
    shutil.rmtree(place.ws().build_dir / settle.COMMITS)
    assert noted() == {JAILHOUSE: two}


def test_what_a_failed_fetch_leaves_is_nobodys_work(tmp_path: Path, upstream: Upstream) -> None:
    place = Place(tmp_path / "p", upstream)
    place.write(base=f"file://{tmp_path}/gone")
    with pytest.raises(ChildFailed):
        place.up()
    assert sources.state(place.src(META)) == "unborn"
    assert cleanup.changed_repositories(place.ws()) == []
    with pytest.raises(ConfigError) as caught:
        place.lock()
    assert caught.value.hint == "oejail up --until update"
    trees.write(place.src(META), {"mine": "x"})
    assert cleanup.changed_repositories(place.ws()) == [place.src(META)]


def test_the_host_engine_leaves_the_image_that_is_locked(place: Place) -> None:
    lock = place.lock()
    image = lockfile.Image("registry/image:1", "sha256:" + "1" * 64, None)
    lockfile.write(place.file, lockfile.Lock(**{**vars(lock), "image": image}))
    assert place.lock().image == image
    assert locking.differences(place.lock(), locking.look(place.ws())) == []


def test_local_changes_are_noted_for_bitbake_and_their_end_too(place: Place) -> None:
    """Else what was made of them would be in a build that is clean again, and said to be so."""
    path = place.clone()

    def noted(allow_dirty: bool) -> str:
        settle.prepare(place.ws(allow_dirty))
        note = place.ws().build_dir / settle.COMMITS / JAILHOUSE / "commit"
        return note.read_text() if note.exists() else ""

    assert noted(False) == ""
    trees.write(path, {"hypervisor": "mine\n"})
    one = noted(True)
    assert one.startswith(f"{place.head(JAILHOUSE)} ") and noted(True) == one
    trees.write(path, {"hypervisor": "mine too\n"})
    assert noted(True) not in (one, "")
    trees.git(path, "checkout", "-q", ".")
    assert noted(False) == ""
    mine = trees.repository(path, {"hypervisor": "mine\n"})  # to which no branch leads
    assert noted(True) == mine


def test_what_drifted_is_brought_back_and_said(place: Place) -> None:
    lock = place.lock()
    assert place.up() == "the sources in src/ are used as they are"
    path, locked = place.src("yocto-poky"), lock.repositories["yocto-poky"].commit
    trees.git(path, "fetch", "-q", "upstream", "master")
    trees.git(path, "checkout", "-q", "-b", "mine", "FETCH_HEAD")
    mine = trees.repository(path, {"mine": "x"})
    found = locking.differences(lock, locking.look(place.ws()))
    assert [d.line() for d in found] == [f"yocto-poky: locked {locked}, found {mine}"]
    assert "moved yocto-poky to the locked commits" in place.up()
    assert place.head("yocto-poky") == locked
    assert trees.git(path, "rev-parse", "mine") == mine  # a branch keeps what it has
    # The same from a tree whose servers are gone: nothing has to be fetched.
    trees.git(path, "checkout", "-q", "mine")
    place.upstream.root.rename(place.upstream.root.with_name("gone"))
    assert "moved yocto-poky" in place.up()
    assert locking.differences(lock, locking.look(place.ws())) == []


@pytest.mark.parametrize("kind", ["modified", "staged", "untracked", "detached"])
def test_work_is_refused_and_kept(kind: str, place: Place) -> None:
    place.lock()
    path = place.src("yocto-poky")
    if kind == "detached":
        trees.repository(path, {"version": "mine\n"})  # a commit to which no branch leads
    elif kind == "untracked":
        trees.write(path, {"mine.bbappend": "mine\n"})
    else:
        trees.write(path, {"version": "mine\n"})
    if kind == "staged":
        trees.git(path, "add", "version")
    before = (trees.git(path, "status", "--porcelain"), place.head("yocto-poky"))
    with pytest.raises(UsageFault, match=r"src/yocto-poky: (local changes: 1|commit .* no branch)"):
        place.up()
    with pytest.raises(UsageFault) as caught:
        settle.prepare(place.ws())
    assert "--allow-dirty" in (caught.value.hint or "")
    assert place.up(allow_dirty=True)
    built = settle.prepare(place.ws(allow_dirty=True))
    assert (trees.git(path, "status", "--porcelain"), place.head("yocto-poky")) == before
    (poky,) = [source for source in built.repositories if source.name == "yocto-poky"]
    assert (poky.commit, poky.dirty) == (before[1], kind != "detached")
    if kind != "detached":
        with pytest.raises(UsageFault, match="no lock can hold them"):
            place.lock()
        assert place.lock(allow_dirty=True).repositories["yocto-poky"].commit == before[1]
        (left,) = locking.differences(place.lock(True), locking.look(place.ws()))
        assert left.found is not None and "with local changes: 1 " in left.found


def test_a_refusal_lists_all_and_moves_none(place: Place) -> None:
    place.lock()
    for name in ("yocto-poky", META):
        trees.write(place.src(name), {"mine": "x"})
    trees.git(place.src("yocto-meta-extra"), "checkout", "-q", "-b", "b")
    other = trees.repository(place.src("yocto-meta-extra"), {"x": ""})
    with pytest.raises(UsageFault) as caught:
        place.up()
    text = "\n".join(caught.value.lines())
    assert f"src/{META}: local changes: 1 untracked (mine), and 1 more" in text
    assert "src/yocto-poky: local changes" in text
    assert place.head("yocto-meta-extra") == other


def test_without_a_lock_openeulers_fetcher_may_not_reset_work(place: Place) -> None:
    path = place.clone()
    layers = ["yocto-meta-extra", META, "yocto-poky"]
    assert [source.name for source in settle.prepare(place.ws()).repositories] == layers
    trees.write(path, {"untracked": "it leaves that alone\n"})
    settle.prepare(place.ws())
    trees.write(path, {"hypervisor": "mine\n"})
    trees.write(place.src("yocto-poky"), {"version": "a layer, which it does not touch\n"})
    with pytest.raises(UsageFault, match=r"src/Jailhouse: local changes.*fetcher would reset it"):
        settle.prepare(place.ws())
    built = settle.prepare(place.ws(allow_dirty=True))
    assert place.written is not None and JAILHOUSE not in place.written
    assert settle.Source(JAILHOUSE, place.head(JAILHOUSE), True) in built.repositories
    trees.git(path, "checkout", "-q", "hypervisor")
    trees.repository(path, {"hypervisor": "a commit without a branch\n"})
    with pytest.raises(UsageFault, match="to which no branch leads"):
        settle.prepare(place.ws())
    trees.git(path, "checkout", "-q", "-b", "mine")
    settle.prepare(place.ws())
    assert place.written is None


@pytest.fixture
def line(upstream: Upstream) -> Iterator[gitserver.Line]:
    """The repositories are served by git daemon; their URLs lead through a line to it."""
    with gitserver.daemon(upstream.root) as port:
        made = gitserver.Line(port)
        upstream.base = f"git://127.0.0.1:{made.port}"
        upstream.publish()
        yield made
        made.close()


def test_a_server_that_serves_branches_only(
    upstream: Upstream, line: gitserver.Line, tmp_path: Path
) -> None:
    """The branch moved on, and the server (protocol 0) gives no commit by its name."""
    place = Place(tmp_path / "p", upstream)
    place.up()
    lock = place.lock()
    for name in (META, "yocto-poky"):
        trees.git(upstream.root / name, "config", "uploadpack.allowAnySHA1InWant", "false")
        upstream.commit(name, {"more": "x"})
    trees.git(tmp_path, "config", "--global", "protocol.version", "0")
    other = another(place)
    other.up()
    assert other.head(META) == lock.repositories[META].commit
    assert locking.differences(lock, locking.look(other.ws())) == []


def test_a_commit_that_was_pushed_away(
    upstream: Upstream, line: gitserver.Line, tmp_path: Path
) -> None:
    place = Place(tmp_path / "p", upstream)
    place.up()
    lock = place.lock()
    remote = upstream.root / META
    trees.git(remote, "commit", "-q", "--amend", "-m", "rewritten")
    other = another(place)
    other.up()  # no branch leads there, but the server has it still
    assert other.head(META) == lock.repositories[META].commit
    shutil.rmtree(other.ws().src / META)
    trees.git(remote, "reflog", "expire", "--expire=now", "--all")
    trees.git(remote, "gc", "-q", "--prune=now")
    with pytest.raises(ChildFailed, match=r"git://.* of yocto-meta-openeuler no more: its history"):
        other.up()
    assert not other.src(META).exists()
    assert [p.name for p in other.ws().src.iterdir() if p.name.startswith(".oejail")] == []
    # Who has it needs no server.
    assert place.up() == "the sources in src/ are used as they are"


def test_a_connection_that_is_cut(upstream: Upstream, line: gitserver.Line, tmp_path: Path) -> None:
    import random

    noise = "".join(random.Random(1).choices("abcdefghijklmnop", k=400_000))
    upstream.publish(noise=noise)
    place = Place(tmp_path / "p", upstream)
    place.up()
    old = place.lock()
    other = another(place)
    line.cut = 60_000
    ensure_init(other.ws())
    with pytest.raises(
        ChildFailed, match=r"git://127.*cannot be fetched: (fatal|error): "
    ) as caught:
        ensure_sources(other.ws())
    assert line.cuts and "run the same command again" in (caught.value.hint or "")
    assert list(other.ws().src.iterdir()) == []
    line.cut = None
    other.up()
    assert other.head(META) == old.repositories[META].commit
    # Moving: one of two fetches is cut, so neither repository moves.
    poky = upstream.commit("yocto-poky", {"noise": noise[::-1]})
    extra = upstream.commit("yocto-meta-extra", {"small": "x"})
    pins = {n: lockfile.Pin(c, f"{upstream.base}/{n}")
            for n, c in (("yocto-poky", poky), ("yocto-meta-extra", extra))}  # fmt: skip
    lockfile.write(other.file, lockfile.Lock(**{**vars(old), "repositories":
                                                {**old.repositories, **pins}}))  # fmt: skip
    line.cut = 60_000
    with pytest.raises(ChildFailed, match=f"commit {poky} of yocto-poky cannot be fetched"):
        other.up()
    assert other.head("yocto-meta-extra") == old.repositories["yocto-meta-extra"].commit
    line.cut = None
    assert "moved yocto-meta-extra, yocto-poky" in other.up()
    assert (other.head("yocto-poky"), other.head("yocto-meta-extra")) == (poky, extra)


def test_a_kill_in_the_middle_of_a_checkout(place: Place) -> None:
    """As git leaves it: files of the new commit, the index of the old one, a lock on it."""
    lock = place.lock()
    path, old = place.src("yocto-poky"), place.head("yocto-poky")
    new = place.upstream.commit("yocto-poky", {"version": "3\n", "fresh": "x"})
    pins = {
        **lock.repositories,
        "yocto-poky": lockfile.Pin(new, f"{place.upstream.base}/yocto-poky"),
    }
    lockfile.write(place.file, lockfile.Lock(**{**vars(lock), "repositories": pins}))
    trees.git(path, "fetch", "-q", "--depth=1", "upstream", new)
    trees.write(path, {"version": "3\n", "fresh": "x", ".git/index.lock": ""})
    (place.ws().root / ".oebuild/oejail-moving").write_text(json.dumps({"yocto-poky": new}))
    (path / "oe-init-build-env").write_text("somebody's edit since\n")
    place.up()
    assert place.head("yocto-poky") == new != old
    assert trees.git(path, "status", "--porcelain") == ""
    kept = trees.git(path, "for-each-ref", "--format=%(refname)", "refs/oejail/interrupted")
    assert trees.git(path, "show", f"{kept}:oe-init-build-env") == "somebody's edit since"
    assert not (place.ws().root / ".oebuild/oejail-moving").exists()


def test_update_says_what_moves(place: Place, capfd: pytest.CaptureFixture[str],
                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(place.root)
    assert main._run(["lock"]) == 0
    old = lockfile.read(place.file)
    assert old is not None
    # A clone with its history, so that commits can be counted.
    trees.git(place.src(META), "fetch", "-q", "--unshallow", "upstream", "master")
    place.upstream.commit(META, {"a": "1"})
    jailhouse = place.upstream.commit(JAILHOUSE, {"hypervisor": "two\n"})
    tip = place.upstream.publish()
    capfd.readouterr()
    expected = [
        f"{JAILHOUSE}: {old.repositories[JAILHOUSE].commit[:12]} -> {jailhouse[:12]}",
        f"{META}: {old.repositories[META].commit[:12]} -> {tip[:12]} (2 commits)",
    ]
    before = place.file.read_bytes()
    assert main._run(["lock", "--update", "--dry-run"]) == 0
    assert capfd.readouterr().out.splitlines()[:2] == expected
    assert place.file.read_bytes() == before
    assert main._run(["lock", "--update", "yocto-poky"]) == 0  # nothing new there
    assert place.file.read_bytes() == before
    assert main._run(["lock", "--update", META, "--json"]) == 0
    out = json.loads(capfd.readouterr().out.partition("oejail.lock is right\n")[2])
    assert [m["name"] for m in out["moved"]] == [JAILHOUSE, META] and out["written"] is True
    new = lockfile.read(place.file)
    assert new is not None and new.repositories[JAILHOUSE].commit == jailhouse
    assert place.head(META) == old.repositories[META].commit  # src/ is up's affair
    assert main._run(["lock", "--check"]) == 3
    assert f"moved {META}" in place.up()
    assert main._run(["lock", "--check"]) == 0
    assert main._run(["lock", "--update", "nothing"]) == 2
    shutil.rmtree(place.upstream.root / META)
    assert main._run(["lock", "--update"]) == 4
    assert main._run(["lock", "--check"]) == 0  # a lock needs no server


def test_check_for_pipelines(place: Place, capfd: pytest.CaptureFixture[str],
                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(place.root)
    assert main._run(["lock", "--check"]) == 2
    assert "oejail.lock: no such file; oejail lock" in capfd.readouterr().err
    assert main._run(["lock", "yocto-poky"]) == 2
    assert main._run(["lock", "--check", "--update"]) == 2
    assert main._run(["lock"]) == 0
    assert main._run(["lock"]) == 0
    assert "oejail.lock is right" in capfd.readouterr().out
    assert main._run(["lock", "--check", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["differences"] == []
    old = place.head("yocto-poky")
    trees.git(place.src("yocto-poky"), "checkout", "-q", "-b", "b")
    new = trees.repository(place.src("yocto-poky"), {"x": ""})
    text = place.file.read_text()
    place.file.write_text(text.replace('oebuild: "0.2.1.3"', 'oebuild: "0.2.1.0"'))
    assert main._run(["lock", "--check", "--json"]) == 3
    out, err = capfd.readouterr()
    assert json.loads(out)["differences"] == [
        {"name": "oebuild", "locked": "0.2.1.0", "found": "0.2.1.3"},
        {"name": "yocto-poky", "locked": old, "found": new},
    ]
    assert "oejail.lock: 2 differences" in err
    assert main._run(["lock", "--check"]) == 3
    assert f"  yocto-poky: locked {old}, found {new}" in capfd.readouterr().err
    place.file.write_text("schema_version: 9\n")
    assert main._run(["lock", "--check"]) == 2
    assert "oejail.lock:1:1: schema version 9" in capfd.readouterr().err
    with pytest.raises(ConfigError, match="schema version 9"):
        place.up()
    assert main._run(["lock"]) == 0
    assert "written anew" in capfd.readouterr().err
    assert main._run(["lock", "--check"]) == 0


def test_a_password_does_not_get_into_the_file(place: Place) -> None:
    url = "https://me:secret@openeuler.invalid/yocto-meta-extra.git"
    path = place.src(META) / ".oebuild/manifest.yaml"
    listed = yaml.safe_load(path.read_text())
    listed["manifest_list"]["yocto-meta-extra"]["remote_url"] = url
    path.write_text(yaml.safe_dump(listed))
    trees.git(path.parent, "commit", "-q", "-a", "-m", "x")
    place.lock()
    assert "secret" not in place.file.read_text()
    assert "https://openeuler.invalid/yocto-meta-extra.git" in place.file.read_text()


def test_somebody_elses_tree_is_not_moved(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.ws().src, tmp_path / "tree", symlinks=True)
    other = Place(tmp_path / "own", place.upstream)
    other.write("tree: ../tree\n")
    other.up()
    lock = other.lock()
    assert lock.tree == "path" and lock.repositories[META].url == f"{place.upstream.base}/{META}"
    trees.git(tmp_path / "tree/yocto-poky", "checkout", "-q", "-b", "b")
    moved = trees.repository(tmp_path / "tree/yocto-poky", {"x": ""})
    with pytest.raises(UsageFault, match=f"tree: not as oejail.lock says: .* found {moved}"):
        other.up()
    assert other.head("yocto-poky") == moved
    with pytest.raises(UsageFault, match="no upstream that oejail knows"):
        locking.updated(other.ws(), lock, [])


def test_a_repository_of_ones_own(place: Place, tmp_path: Path) -> None:
    first = trees.repository(tmp_path / "own", {"conf/layer.conf": ""}, branch="main")
    text = (place.root / "oejail.yaml").read_text()
    own = f"  meta-own: {{url: 'file://{tmp_path}/own', ref: main}}\n"
    text = text.replace(f"sources: {{{META}: ", f"sources:\n  {META}: ").replace(
        "ref: master}}", "ref: master}"
    )
    (place.root / "oejail.yaml").write_text(text + own)
    place.up()
    lock = place.lock()
    assert lock.repositories["meta-own"] == lockfile.Pin(first, f"file://{tmp_path}/own")
    second = trees.repository(tmp_path / "own", {"more": ""})
    other = another(place)
    other.up()
    assert other.head("meta-own") == first
    new = locking.updated(other.ws(), lock, ["meta-own"])
    assert [m.line() for m in locking.changes(other.ws(), lock, new)] == [
        f"meta-own: {first[:12]} -> {second[:12]}"
    ]


def test_a_repository_whose_place_nobody_knows(place: Place) -> None:
    lock = place.lock()
    pins = {**lock.repositories, "yocto-poky": lockfile.Pin("d" * 40)}
    lockfile.write(place.file, lockfile.Lock(**{**vars(lock), "repositories": pins}))
    with pytest.raises(ChildFailed, match="does not know from where to fetch yocto-poky"):
        place.up()


def test_a_commit_that_nobody_else_can_fetch_is_said(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.lock()
    assert "nowhere upstream" not in caplog.text
    trees.git(place.src("yocto-poky"), "checkout", "-q", "-b", "mine")
    trees.repository(place.src("yocto-poky"), {"x": ""})
    place.lock()
    assert "yocto-poky: commit" in caplog.text and "nowhere upstream" in caplog.text


def test_hooks_of_a_repository_are_not_run(place: Place, tmp_path: Path) -> None:
    place.lock()
    path = place.src("yocto-poky")
    hook = trees.write(path, {".git/hooks/post-checkout": f"#!/bin/sh\ntouch {tmp_path}/ran\n"})
    (hook / ".git/hooks/post-checkout").chmod(0o755)
    trees.git(path, "-c", "core.hooksPath=/dev/null", "checkout", "-q", "-b", "b")
    trees.repository(path, {"x": ""})
    assert "moved yocto-poky" in place.up()
    assert not (tmp_path / "ran").exists()
    assert checkout.unreachable(path, "d" * 40) is False  # no such commit: nothing to lose
