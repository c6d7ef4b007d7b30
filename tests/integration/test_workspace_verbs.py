# SPDX-License-Identifier: MIT
"""The workspace verbs with the real oebuild and real git repositories as remotes."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from oejail import files, oebuild, project
from oejail.errors import ChildFailed, ConfigError, Exit, PrerequisiteMissing, UsageFault
from oejail.process import SELF
from oejail.workspace import identity as who
from oejail.workspace import sources
from oejail.workspace.model import Outcome, Workspace
from oejail.workspace.workspace import (
    ensure_generated,
    ensure_init,
    ensure_sources,
    open_workspace,
)
from tests.support import trees
from tests.support.processes import alive, wait_until
from tests.support.sample_build import identity

GENUINE = who.choose, who.check_reach


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """As root, these trees (our own) are handled in a user namespace, as the sample is."""
    monkeypatch.setattr(who, "choose", lambda *_: identity())
    monkeypatch.setattr(who, "check_reach", lambda *_: None)


@pytest.fixture(scope="session")
def made_remotes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """One set of repositories for each feature schema; not to be changed."""
    made = {}
    for name, tree in (("v1", trees.V1), ("v2", trees.V2)):
        made[name] = tmp_path_factory.mktemp(f"remotes-{name}")
        trees.remotes(made[name], tree)
    return made


class Place:
    """A project whose sources are local repositories."""

    def __init__(self, root: Path, remotes: Path) -> None:
        self.root = root
        self.remotes = remotes
        root.mkdir()
        self.write()

    def write(self, more: str = "", url: str | None = None, ref: str = "master") -> None:
        url = url or f"file://{self.remotes}/yocto-meta-openeuler"
        (self.root / "oejail.yaml").write_text(
            "version: 1\nengine: host\n"
            f"sources: {{yocto-meta-openeuler: {{url: '{url}', ref: {ref}}}}}\n{more}"
        )

    @property
    def ws(self) -> Workspace:
        return open_workspace(project.load(self.root))

    def all(self) -> list[Outcome]:
        ws = self.ws
        return [ensure_init(ws), ensure_sources(ws), ensure_generated(ws)]

    @property
    def compiled(self) -> dict[str, object]:
        found = yaml.safe_load(self.ws.compile_yaml.read_text())
        assert isinstance(found, dict)
        return found

    def conf(self) -> list[str]:
        return str(self.compiled["local_conf"]).splitlines()


@pytest.fixture(params=["v1", "v2"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, made_remotes: Mapping[str, Path]
) -> Place:
    return Place(tmp_path / "p", made_remotes[request.param])


@pytest.fixture
def v2(tmp_path: Path, made_remotes: Mapping[str, Path]) -> Place:
    return Place(tmp_path / "p", made_remotes["v2"])


@pytest.fixture
def v1(tmp_path: Path, made_remotes: Mapping[str, Path]) -> Place:
    return Place(tmp_path / "p", made_remotes["v1"])


def test_from_nothing_and_again(place: Place) -> None:
    assert [outcome.changed for outcome in place.all()] == [True, True, True]
    ws = place.ws
    config = yaml.safe_load((ws.root / ".oebuild" / "config").read_text())
    main = config["basic_repo"]["yocto_meta_openeuler"]
    assert main["remote_url"].endswith("/yocto-meta-openeuler") and main["branch"] == "master"
    # Every repository is at the manifest's commit, which is not the branch's last.
    for name, entry in sources.manifest(ws).items():
        assert sources.head(ws.src / name) == entry.version
        assert (ws.src / name / "version").read_text() == "1\n"
    assert sorted(p.name for p in (ws.root / "build").iterdir()) == ["qemu-aarch64"]

    compiled = place.compiled
    assert (compiled["machine"], compiled["build_in"]) == ("qemu-aarch64", "host")
    assert compiled["no_layer"] is True
    assert compiled["layers"] == ["yocto-meta-openeuler/rtos/meta-openeuler-rtos"]
    assert ws.compile_yaml.stat().st_mode & 0o777 == 0o600
    conf = place.conf()
    assert 'INHERIT += "oejail-events"' in conf and 'COMMON = "1"' in conf
    if place.remotes.name.startswith("remotes-v1"):
        assert conf.index('MCS_FEATURES = "jailhouse"') > conf.index('MCS_FEATURES ?= "openamp"')
    else:
        assert 'MCS_FEATURES ?= "jailhouse"' in conf and "openamp" not in str(conf)

    # Again: nothing is done, nothing is touched, no network is needed.
    before = ws.compile_yaml.stat().st_mtime_ns
    place.write(url="file:///nowhere/yocto-meta-openeuler")
    again = place.all()
    assert [outcome.changed for outcome in again] == [True, False, False]
    assert "URL" in again[0].reason
    assert ws.compile_yaml.stat().st_mtime_ns == before
    assert [outcome.changed for outcome in place.all()] == [False, False, False]


def test_explicit_features_and_lines(v2: Place) -> None:
    v2.all()
    v2.write("features: [jailhouse, systemd]\nlocal_conf: ['MINE = \"1\"', 'M2 = \"2\"']\n")
    done = v2.all()[2]
    assert "features mcs/jailhouse, init/systemd instead of mcs/jailhouse" in done.reason
    assert 'DISTRO_FEATURES:append = " systemd"' in v2.conf() and 'MINE = "1"' in v2.conf()
    v2.write("local_conf: ['M2 = \"2\"']\n")
    assert v2.all()[2].changed
    conf = v2.conf()
    assert 'DISTRO_FEATURES:append = " systemd"' not in conf and 'MINE = "1"' not in conf
    assert 'M2 = "2"' in conf and conf.count('INHERIT += "oejail-events"') == 1
    assert not v2.all()[2].changed


def test_the_tree_has_changed(v2: Place) -> None:
    v2.all()
    feature = v2.ws.meta_openeuler / ".oebuild/features/mcs/mcs.yaml"
    feature.write_text(feature.read_text().replace('" mcs"', '" mcs2"'))
    assert v2.all()[2].changed
    assert 'DISTRO_FEATURES:append = " mcs2"' in v2.conf()
    assert 'DISTRO_FEATURES:append = " mcs"' not in v2.conf()


@pytest.mark.parametrize("with_conf", [False, True])
def test_a_build_directory_survives_a_new_generate(with_conf: bool, v2: Place) -> None:
    v2.all()
    ws = v2.ws
    treasures = ["tmp/work/x", "downloads/y.tar", "sstate-cache/z", "oebuild.log"]
    treasures += ["conf/bblayers.conf", "conf/local.conf"] if with_conf else []
    for name in treasures:
        path = ws.build_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    # What the user added by hand.
    data = v2.compiled
    data["layers"] = ["yocto-meta-openeuler/rtos/meta-openeuler-rtos", "mine/meta-mine"]
    data["local_conf"] = f'{data["local_conf"]}BY_HAND = "1"\n'
    ws.compile_yaml.write_text(yaml.safe_dump(data))
    assert not v2.all()[2].changed

    v2.write("features: [mcs/jailhouse, systemd]\n")
    assert v2.all()[2].changed
    for name in treasures:
        assert (ws.build_dir / name).read_text() == f"{name}\n"
    assert "mine/meta-mine" in str(v2.compiled["layers"]) and 'BY_HAND = "1"' in v2.conf()
    assert 'DISTRO_FEATURES:append = " systemd"' in v2.conf()


def test_conf_follows_what_oebuild_appends_only_once(v2: Place) -> None:
    """With conf/local.conf made by the real oebuild: it must say what compile.yaml says."""
    v2.write("tree: sample\nlocal_conf: ['ONE = \"1\"', 'TWO = \"2\"']\n")
    v2.all()
    ws = v2.ws
    run = oebuild.run(ws.build_dir, ["bitbake", "--version"], identity=ws.identity, timeout=120)
    local = ws.build_dir / "conf" / "local.conf"
    assert 'ONE = "1"' in local.read_text().splitlines(), run.text
    local.write_text(local.read_text() + "# my own\nOWN = '1'\n")
    v2.write("tree: sample\nlocal_conf: ['TWO = \"2\"', 'THREE = \"3\"']\n")
    assert v2.all()[2].changed
    oebuild.run(ws.build_dir, ["bitbake", "--version"], identity=ws.identity, timeout=120)
    lines = local.read_text().splitlines()
    assert 'ONE = "1"' not in lines and "OWN = '1'" in lines and "# my own" in lines
    assert lines.count('TWO = "2"') == lines.count('THREE = "3"') == 1


def test_a_build_directory_of_another_engine_or_machine(v2: Place) -> None:
    v2.all()
    config = project.load(v2.root)
    container = open_workspace(config, "container")
    assert container.build_dir.name == "qemu-aarch64-container"
    assert ensure_generated(container).changed
    data = yaml.safe_load(container.compile_yaml.read_text())
    build = f"{container.build_dir}:/home/openeuler/build/qemu-aarch64-container"
    assert data["build_in"] == "docker" and build in data["docker_param"]["volumns"]
    assert not ensure_generated(container).changed

    # What a user adds to docker_param stays, once taken into account.
    text = container.compile_yaml.read_text()
    container.compile_yaml.write_text(text.replace("parameters: ", "parameters: --privileged "))
    assert ensure_generated(container).reason == "brought what oejail adds to it up to date"
    assert not ensure_generated(container).changed
    assert "--privileged" in container.compile_yaml.read_text()

    # Another engine in the file means the same build directory: fine while it is empty.
    text = (v2.root / "oejail.yaml").read_text()
    (v2.root / "oejail.yaml").write_text(text.replace("engine: host", "engine: container"))
    assert "build_in host instead of docker" in v2.all()[2].reason
    (v2.ws.build_dir / "tmp").mkdir()
    (v2.root / "oejail.yaml").write_text(text)
    with pytest.raises(UsageFault, match="tmp are those of build_in docker instead of host"):
        v2.all()
    v2.write("platform: raspberrypi4-64\nrtos: null\nbuild_name: qemu-aarch64\n")
    with pytest.raises(UsageFault, match="machine qemu-aarch64 instead of raspberrypi4-64"):
        v2.all()


def test_an_adopted_build_directory_that_is_right_stays(v2: Place) -> None:
    ws = v2.ws
    ensure_init(ws)
    ensure_sources(ws)
    words = ["generate", "-p", "qemu-aarch64", "-f", "mcs/jailhouse", "-f", "systemd"]
    oebuild.run(ws.root, [*words, "-d", "qemu-aarch64", "-b_in", "host"], identity=ws.identity)
    made = v2.compiled
    assert made["no_layer"] is False
    done = v2.all()[2]
    assert done.changed and "what oejail adds" in done.reason and "generated" not in done.reason
    now = v2.compiled
    added = 'INHERIT += "oejail-events"\n'
    assert now.pop("local_conf") == str(made.pop("local_conf")).rstrip("\n") + "\n" + added
    assert now == {**made, "no_layer": True}  # or oebuild checks out over what is locked
    # Then the features change: what was there is kept, since nobody knows who put it there.
    v2.write("features: [mcs]\n")
    assert "generated" in v2.all()[2].reason
    assert 'DISTRO_FEATURES:append = " systemd"' in v2.conf()


def test_unknown_feature_and_platform(v2: Place) -> None:
    v2.all()
    v2.write("features: [mcs/jailhous]\n")
    with pytest.raises(ConfigError, match="did you mean mcs/jailhouse"):
        v2.all()
    shutil.rmtree(v2.ws.meta_openeuler / ".oebuild/platform")
    v2.write()
    with pytest.raises(ConfigError, match=r"no platform qemu-aarch64; the tree offers: none"):
        v2.all()


def test_broken_files_of_the_tree(v2: Place) -> None:
    v2.all()
    meta = v2.ws.meta_openeuler / ".oebuild"
    v2.ws.compile_yaml.unlink()
    (meta / "env.yaml").write_text("x: 1\n")
    with pytest.raises(ConfigError, match=r"env\.yaml: neither docker_image nor docker_tag"):
        v2.all()
    (meta / "env.yaml").write_text(trees.ENV)
    (meta / "platform/qemu-aarch64.yaml").write_text("type: platform\nmachine: [")
    with pytest.raises(ConfigError, match=r"platform/qemu-aarch64\.yaml:2: not YAML"):
        v2.all()
    (meta / "platform/qemu-aarch64.yaml").write_text(
        trees.PLATFORM.format(name="qemu-aarch64").replace("machine: qemu", "machine: kemu")
    )
    with pytest.raises(ConfigError, match="machine kemu-aarch64, but oejail's platform qemu-"):
        v2.all()
    shutil.rmtree(meta)
    with pytest.raises(ConfigError, match=r"common\.yaml: no such file, so .* is no tree"):
        v2.all()


def test_a_remote_that_is_not_there(v2: Place) -> None:
    v2.write(url="file:///nowhere/x.git")
    ensure_init(v2.ws)
    with pytest.raises(ChildFailed, match=r"^file:///nowhere/x\.git: cannot be fetched") as caught:
        ensure_sources(v2.ws)
    assert "does not appear to be a git repository" in caught.value.message or (
        "No such file" in caught.value.message or "does not exist" in caught.value.message
    )
    assert caught.value.exit_code == Exit.CHILD_FAILED and "sources:" in (caught.value.hint or "")
    v2.write(ref="openEuler-99")
    ensure_init(v2.ws)
    with pytest.raises(ChildFailed, match="it has no branch or tag openEuler-99"):
        ensure_sources(v2.ws)
    v2.write()
    assert [outcome.changed for outcome in v2.all()] == [True, True, True]


def test_a_commit_that_is_not_there(tmp_path: Path) -> None:
    remotes = tmp_path / "r"
    trees.remotes(remotes, trees.V2)
    manifest = remotes / "yocto-meta-openeuler" / ".oebuild" / "manifest.yaml"
    data = yaml.safe_load(manifest.read_text())
    data["manifest_list"]["yocto-poky"]["version"] = "0" * 40
    trees.repository(manifest.parent.parent, {".oebuild/manifest.yaml": yaml.safe_dump(data)})
    there = Place(tmp_path / "p", remotes)
    with pytest.raises(ChildFailed, match=f"src/yocto-poky: commit {'0' * 40} did not come"):
        there.all()
    data["manifest_list"].pop("yocto-poky")
    meta = there.ws.meta_openeuler / ".oebuild" / "manifest.yaml"
    meta.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match=r"manifest\.yaml: no entry for yocto-poky"):
        there.all()
    data["manifest_list"]["yocto-poky"] = {"remote_url": "ext::sh -c id", "version": "x"}
    meta.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match=r"yocto-poky: 'ext::sh -c id' is no http"):
        there.all()


def test_what_is_there_is_used_as_it_is(v2: Place, caplog: pytest.LogCaptureFixture) -> None:
    v2.all()
    ws = v2.ws
    poky = ws.src / "yocto-poky"
    mine = trees.repository(poky, {"mine": "work\n"})
    (poky / "dirty").write_text("work\n")
    shutil.rmtree(ws.src / "yocto-meta-extra")
    v2.all()  # fetches what is missing, and nothing else
    assert sources.head(poky) == mine and (poky / "dirty").exists()
    assert sources.state(ws.src / "yocto-meta-extra") == "commit"
    oebuild.run(ws.build_dir, ["bitbake", "--version"], identity=ws.identity, timeout=120)
    assert sources.head(poky) == mine and (poky / "dirty").exists()


def test_sources_without_git_will_do(v2: Place, tmp_path: Path) -> None:
    ensure_init(v2.ws)
    for name in ("yocto-meta-openeuler", "yocto-poky", "yocto-meta-extra"):
        trees.write(v2.ws.src / name, trees.V2 if name.endswith("openeuler") else {"x": ""})
    v2.write(url="file:///nowhere/x.git")
    assert not ensure_sources(v2.ws).changed
    assert ensure_generated(v2.ws).changed


def test_mirrors_and_repositories_of_ones_own(v2: Place, tmp_path: Path) -> None:
    trees.repository(tmp_path / "own", {"conf/layer.conf": ""}, branch="main")
    (v2.root / "oejail.yaml").write_text(
        "version: 1\nengine: host\nsources:\n"
        "  yocto-meta-openeuler: {url: 'https://openeuler.invalid/yocto-meta-openeuler'}\n"
        f"  meta-own: {{url: 'file://{tmp_path}/own', ref: main}}\n"
        f"mirrors: [{{match: 'https://openeuler.invalid/', path: {v2.remotes}/}}]\n"
    )
    done = v2.all()[1]
    assert done.reason == "fetched yocto-meta-openeuler; fetched yocto-poky; fetched meta-own"
    assert (v2.ws.src / "meta-own" / "conf" / "layer.conf").exists()
    assert not v2.all()[1].changed


def test_a_tree_of_the_users_own(v2: Place, tmp_path: Path) -> None:
    src = tmp_path / "my-src"
    trees.write(src / "yocto-meta-openeuler", trees.V2)
    for name in ("yocto-poky", "yocto-meta-extra"):
        trees.write(src / name, {"x": ""})
    v2.write("tree: ../my-src\n")
    assert [outcome.changed for outcome in v2.all()] == [True, False, True]
    assert v2.ws.src.is_symlink() and v2.ws.src.resolve() == src
    assert [outcome.changed for outcome in v2.all()] == [False, False, False]
    shutil.rmtree(src / "yocto-poky")
    with pytest.raises(ConfigError, match="src/yocto-poky: missing, and"):
        v2.all()
    v2.write("tree: ../none\n")
    with pytest.raises(UsageFault, match=r"none: no yocto-meta-openeuler/\.oebuild in it"):
        v2.all()


def test_a_path_with_a_space(tmp_path: Path, made_remotes: Mapping[str, Path]) -> None:
    there = Place(tmp_path / "a path with a space", made_remotes["v2"])
    assert [outcome.changed for outcome in there.all()] == [True, True, True]
    link = there.root / "workspace"
    assert link.is_symlink() and link.resolve() == there.ws.root
    assert there.ws.root.is_relative_to(Path(os.environ["HOME"]) / ".cache")
    assert (there.ws.root.parent / "CACHEDIR.TAG").exists()
    assert [outcome.changed for outcome in there.all()] == [False, False, False]
    link.unlink()
    assert [outcome.changed for outcome in there.all()] == [True, False, False]


def test_what_stands_in_the_way(v2: Place) -> None:
    (v2.root / "workspace").mkdir()
    ensure_init(v2.ws)  # an empty directory is none
    shutil.rmtree(v2.root / "workspace")
    (v2.root / "workspace" / "mine").mkdir(parents=True)
    with pytest.raises(UsageFault, match="exists, and is no oebuild workspace"):
        ensure_init(v2.ws)
    assert (v2.root / "workspace" / "mine").is_dir()
    assert sorted(p.name for p in v2.root.iterdir()) == ["oejail.yaml", "workspace"]


def test_oebuild_missing_or_lying(v2: Place, tmp_path: Path) -> None:
    v2.write("oebuild: ../none\n")
    with pytest.raises(PrerequisiteMissing, match="no such program"):
        ensure_init(v2.ws)
    liar = tmp_path / "liar"
    liar.write_text('#!/bin/sh\n[ "$1" = --version ] && echo v0.2.1.3; exit 0\n')
    liar.chmod(0o755)
    v2.write("oebuild: ../liar\n")
    with pytest.raises(ChildFailed, match=r"oebuild init made no workspace: .*no output"):
        ensure_init(v2.ws)
    assert sorted(p.name for p in v2.root.iterdir()) == ["oejail.yaml"]


def test_root_is_refused_with_status_0(v2: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real oebuild as root does nothing and says success; as another user it works."""
    monkeypatch.setattr(who, "choose", lambda *_: SELF)
    if os.geteuid() == 0:
        with pytest.raises(ChildFailed, match=r"can not use oebuild in root \(exit status 0\)"):
            ensure_init(v2.ws)
        assert not (v2.root / "workspace").exists()
    else:
        assert ensure_init(v2.ws).changed


def test_root_drops_to_the_projects_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it really is: where nobody can get at this Python, that is said; else it all is theirs."""
    monkeypatch.setattr(who, "choose", GENUINE[0])
    monkeypatch.setattr(who, "check_reach", GENUINE[1])
    base = Path(tempfile.mkdtemp(prefix="oejail-test-", dir="/tmp"))
    try:
        base.chmod(0o755)
        trees.remotes(base / "remotes", trees.V2)
        there = Place(base / "p", base / "remotes")
        nobody = pwd.getpwnam("nobody")
        owner = nobody.pw_uid if os.geteuid() == 0 else os.geteuid()
        if os.geteuid() == 0:
            files.give(base, nobody.pw_uid, nobody.pw_gid)
        try:
            there.all()
        except PrerequisiteMissing as error:
            where = Path(error.message.partition(":")[0])
            assert os.geteuid() == 0 and where in Path(sys.executable).resolve().parents
            assert not where.stat().st_mode & 0o001
        else:
            assert there.compiled["machine"] == "qemu-aarch64"
            assert {path.lstat().st_uid for path in base.rglob("*")} == {owner}
    finally:
        shutil.rmtree(base)


STEP = """
import os, sys
from pathlib import Path
from oejail import project
from oejail.process import SELF, Identity
from oejail.workspace import identity as who, workspace
me = SELF if os.geteuid() else Identity("userns", 65534, 65534, name="nobody")
who.choose = lambda *_: me
ws = workspace.open_workspace(project.load(Path(sys.argv[1])))
workspace.ensure_init(ws); workspace.ensure_sources(ws); workspace.ensure_generated(ws)
"""


@pytest.mark.parametrize("delay", [0.2, 0.4, 0.6, 0.9, 1.3])
def test_killed_anywhere_and_run_again(delay: float, v2: Place) -> None:
    process = subprocess.Popen([sys.executable, "-c", STEP, str(v2.root)], cwd=Path.cwd())
    time.sleep(delay)
    process.kill()
    process.wait()
    assert wait_until(lambda: not alive(str(v2.root)), 5), alive(str(v2.root))
    v2.all()
    ws = v2.ws
    for name, entry in sources.manifest(ws).items():
        assert sources.head(ws.src / name) == entry.version
    assert trees.git(ws.meta_openeuler, "status", "--porcelain") == ""
    assert v2.compiled["machine"] == "qemu-aarch64"
    assert 'INHERIT += "oejail-events"' in v2.conf()
    assert sorted(p.name for p in v2.root.iterdir()) == ["oejail.yaml", "workspace"]
    assert sorted(p.name for p in (ws.root / "build").iterdir()) == ["qemu-aarch64"]
    assert [outcome.changed for outcome in v2.all()] == [False, False, False]


def test_killed_when_all_had_been_fetched(v2: Place) -> None:
    v2.all()
    left = v2.ws.root / "build" / ".oejail-update"
    left.mkdir()
    (left / "compile.yaml").write_text("{}")
    assert not ensure_sources(v2.ws).changed
    assert not left.exists()


def test_killed_in_the_middle_of_a_checkout(v2: Place) -> None:
    """What a killed checkout leaves: no commit, and files that git would not overwrite."""
    ws = v2.ws
    ensure_init(ws)
    half = ws.meta_openeuler
    half.mkdir()
    trees.git(half, "init", "-q")
    (half / "big").write_text("half")
    (half / ".git" / "index.lock").write_text("")
    with pytest.raises(ConfigError, match="a git repository without a commit"):
        ensure_sources(ws)  # somebody else's, for all we know
    (ws.root / ".oebuild" / "oejail-fetching").write_text('["yocto-meta-openeuler", "../../x"]')
    assert ensure_sources(ws).changed
    assert trees.git(half, "status", "--porcelain") == ""


def test_interrupted_while_it_wrote_compile_yaml(
    v2: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2.all()
    v2.write("features: [mcs/jailhouse, systemd]\nlocal_conf: ['MINE = \"1\"']\n")
    genuine = files.atomic_write

    def dies(path: Path, *args: object, **kwargs: object) -> None:
        if path.name == "compile.yaml":
            os.kill(os.getpid(), signal.SIGINT)
        genuine(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "atomic_write", dies)
    with pytest.raises(KeyboardInterrupt):
        v2.all()
    monkeypatch.setattr(files, "atomic_write", genuine)
    assert 'MINE = "1"' not in v2.conf()
    assert "generated" in v2.all()[2].reason
    assert 'MINE = "1"' in v2.conf() and 'DISTRO_FEATURES:append = " systemd"' in v2.conf()
    assert v2.conf().count('INHERIT += "oejail-events"') == 1
