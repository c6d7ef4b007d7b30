# SPDX-License-Identifier: MIT
"""Laying out the sample tree: the same everywhere, never over anybody's work."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from oejail import process
from oejail.errors import Exit, PrerequisiteMissing
from oejail.resources import data_dir
from oejail.workspace import sample

CELLS = "meta-openeuler/recipes-extended/jailhouse/files/cells"

# SHA-256 of the exact bytes of openEuler's configurations at revision 13.
GENUINE = {
    "qemu-arm64-openeuler-demo": "aa53d0b091dacf229be662c6dd6cbb3ba5777c7cc15f9987fe53ebce6277a5c9",
    "qemu-arm64-freertos-demo": "0f7b86238b0f73542711b2b9a45d97eba6355ee45345ff25e4cb3bb56e8ab706",
    "qemu-arm64-inmate-demo": "497373eb05364f3225b17f5f9dcbca15147c1e235f7983d8185eb7e321b859e9",
}


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", repository, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and bytes of every file outside .git."""
    return {
        str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    src = tmp_path_factory.mktemp("laid-out") / "src"
    outcome = sample.lay_out(src)
    assert outcome.changed
    assert outcome.reason == "yocto-poky: laid out; yocto-meta-openeuler: laid out"
    return src


def test_two_repositories_whose_manifest_fits(laid_out: Path) -> None:
    assert sorted(path.name for path in laid_out.iterdir()) == [
        "yocto-meta-openeuler",
        "yocto-poky",
    ]
    for repository in laid_out.iterdir():
        assert git(repository, "status", "--porcelain", "--ignored") == ""
        assert git(repository, "rev-list", "--count", "HEAD") == "1"
    manifest = yaml.safe_load(
        (laid_out / "yocto-meta-openeuler/.oebuild/manifest.yaml").read_text()
    )
    poky = manifest["manifest_list"]["yocto-poky"]
    assert poky["version"] == git(laid_out / "yocto-poky", "rev-parse", "HEAD")
    assert ".invalid/" in poky["remote_url"]


def test_every_file_of_samples_is_in_it(laid_out: Path) -> None:
    root = data_dir("samples")
    there = contents(laid_out)
    for path in root.glob("yocto-*/**/*"):
        if path.is_file() and "__pycache__" not in path.parts:
            name = str(path.relative_to(root))
            assert name in there
            if not name.endswith("manifest.yaml"):
                assert there[name][1] == path.read_bytes()


def test_bitbakes_library_is_the_wheels(laid_out: Path) -> None:
    wheel = importlib.metadata.distribution("bitbake-setup")
    library = laid_out / "yocto-poky/bitbake/lib/bb"
    for file in wheel.files or ():
        if file.parts[0] == "bb" and file.suffix == ".py" and file.parts[1] != "tests":
            copied = library.joinpath(*file.parts[1:])
            assert copied.read_bytes() == Path(str(file.locate())).read_bytes()
    licence = (laid_out / "yocto-poky/bitbake/LICENSE.GPL-2.0-only").read_text()
    assert "GNU GENERAL PUBLIC LICENSE" in licence
    assert not list(laid_out.rglob("__pycache__"))
    assert not list(laid_out.rglob("*.pyc"))


def test_programs_are_executable_and_nothing_else_is(laid_out: Path) -> None:
    programs = {name for name, (mode, _) in contents(laid_out).items() if mode & 0o111}
    assert programs == {
        "yocto-poky/bitbake/bin/bitbake",
        "yocto-poky/bitbake/bin/bitbake-server",
        "yocto-poky/bitbake/bin/bitbake-worker",
        "yocto-poky/scripts/elf-to-flat",
    }


def test_the_cells_are_the_genuine_ones(laid_out: Path) -> None:
    there = contents(laid_out / "yocto-meta-openeuler" / CELLS)
    for stem, digest in GENUINE.items():
        _, data = there[f"qemu-aarch64/{stem}.cell"]
        assert hashlib.sha256(data).hexdigest() == digest
    assert "raspberrypi4-64/rpi4.cell" in there
    assert not [name for name in there if name.startswith("raspberrypi4-64/qemu")]


def test_a_second_time_nothing_is_touched(laid_out: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in laid_out.rglob("*")}
    outcome = sample.lay_out(laid_out)
    assert not outcome.changed
    assert {path: path.stat().st_mtime_ns for path in laid_out.rglob("*")} == before


def test_the_same_commits_under_any_configuration(
    laid_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-commit").chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        "[user]\nname = Somebody\nemail = somebody@example.org\n"
        f"[core]\nhooksPath = {hooks}\nautocrlf = true\nexcludesFile = {tmp_path}/ignored\n"
        "[commit]\ngpgSign = true\n[init]\ndefaultBranch = trunk\ndefaultObjectFormat = sha256\n"
    )
    (tmp_path / "ignored").write_text("*\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody")
    monkeypatch.setenv("LC_ALL", "C")
    old = os.umask(0o077)
    try:
        sample.lay_out(tmp_path / "src")
    finally:
        os.umask(old)
    for name in ("yocto-poky", "yocto-meta-openeuler"):
        here, there = tmp_path / "src" / name, laid_out / name
        assert git(here, "rev-parse", "HEAD") == git(there, "rev-parse", "HEAD")
        assert contents(here) == contents(there)


@pytest.fixture
def own(laid_out: Path, tmp_path: Path) -> Path:
    """A copy of the laid-out tree; in it, both repositories are of another version of oejail."""
    src = tmp_path / "src"
    subprocess.run(["cp", "-a", laid_out, src], check=True)
    for repository in src.iterdir():
        state = repository / ".git/oejail-sample.json"
        data = json.loads(state.read_text())
        state.write_text(json.dumps({**data, "digest": "0" * 64}))
    return src


def test_another_version_is_replaced_where_nothing_was_edited(own: Path) -> None:
    (own / "yocto-poky/bitbake/lib/bb/__pycache__").mkdir()
    (own / "yocto-poky/bitbake/lib/bb/__pycache__/x.pyc").write_bytes(b"x")
    assert sample.lay_out(own).changed
    assert not (own / "yocto-poky/bitbake/lib/bb/__pycache__").exists()
    assert not sample.lay_out(own).changed
    assert sorted(path.name for path in own.iterdir()) == ["yocto-meta-openeuler", "yocto-poky"]


@pytest.mark.parametrize("how", ["edited", "added", "committed", "deleted"])
def test_edits_are_kept(own: Path, how: str) -> None:
    repository = own / "yocto-meta-openeuler"
    recipe = repository / "rtos/meta-freertos/recipes-rtos/jailhouse-freertos"
    if how == "deleted":
        (recipe / "files/start.S").unlink()
    else:
        name = "new.patch" if how == "added" else "files/inmate.c"
        (recipe / name).write_text("/* mine */\n")
    if how == "committed":
        git(repository, "-c", "user.name=me", "-c", "user.email=me@x", "commit", "-qam", "mine")
    before = contents(repository)
    outcome = sample.lay_out(own)
    assert "yocto-meta-openeuler: kept, it has edits" in outcome.reason
    assert "yocto-poky: laid out" in outcome.reason
    assert contents(repository) == before
    assert sample.lay_out(own, force=True).changed
    assert (recipe / "files/start.S").exists() and contents(repository) != before


def test_edits_of_this_version_are_kept(laid_out: Path, tmp_path: Path) -> None:
    src = tmp_path / "src"
    subprocess.run(["cp", "-a", laid_out, src], check=True)
    conf = src / "yocto-poky/meta/conf/bitbake.conf"
    conf.write_text(conf.read_text() + "# mine\n")
    assert not sample.lay_out(src).changed
    assert conf.read_text().endswith("# mine\n")


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_what_oejail_did_not_make_is_kept(tmp_path: Path, kind: str) -> None:
    src = tmp_path / "src"
    src.mkdir()
    theirs = src / "yocto-meta-openeuler"
    if kind == "directory":
        theirs.mkdir()
        (theirs / "README").write_text("theirs\n")
    elif kind == "file":
        theirs.write_text("theirs\n")
    else:
        theirs.symlink_to(tmp_path / "elsewhere")
    outcome = sample.lay_out(src)
    assert "yocto-meta-openeuler: kept, oejail did not make it" in outcome.reason
    assert theirs.is_symlink() or theirs.is_file() or (theirs / "README").exists()


def test_killed_on_the_way_it_is_finished_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> str:
        raise KeyboardInterrupt

    src = tmp_path / "src"
    with monkeypatch.context() as patch:
        patch.setattr(sample, "_commit", killed)
        with pytest.raises(KeyboardInterrupt):
            sample.lay_out(src)
    assert list(src.iterdir()) == []
    # SIGKILL leaves the unfinished directory behind.
    (src / ".yocto-poky.new-xyz").mkdir()
    assert sample.lay_out(src).changed
    assert sorted(path.name for path in src.iterdir()) == ["yocto-meta-openeuler", "yocto-poky"]


def test_without_bitbake_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(PrerequisiteMissing) as caught:
        sample.lay_out(tmp_path / "src")
    assert caught.value.exit_code == Exit.PREREQUISITE
    assert "pipx install 'oejail[sample,cross]'" in caught.value.lines()[0]
    assert not (tmp_path / "src").exists()


@pytest.fixture
def unknown_compiler() -> Iterator[None]:
    """Nothing is remembered of the machine's compiler, before and afterwards."""
    sample.cross_compiler.cache_clear()
    yield
    sample.cross_compiler.cache_clear()


@pytest.mark.usefixtures("unknown_compiler")
def test_the_systems_gcc_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ld"):
        (tmp_path / name).write_text("#!/bin/sh\necho 12.2.0\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = sample.cross_compiler()
    assert (found.kind, found.version) == ("gcc", "12.2.0")
    assert sample.local_conf_lines() == ['SAMPLE_TOOLCHAIN = "gcc-12.2.0"']


@pytest.mark.usefixtures("unknown_compiler")
def test_then_zig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = sample.cross_compiler()
    assert found.kind == "zig"
    assert found.version == importlib.metadata.version("ziglang")
    assert sample.local_conf_lines() == [
        f'SAMPLE_TOOLCHAIN = "zig-{found.version}"',
        f'SAMPLE_TOOLCHAIN_PATH = "{found.program.parent}"',
    ]
    assert process.run([found.program, "version"]).text == found.version


@pytest.mark.usefixtures("unknown_compiler")
def test_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PrerequisiteMissing) as caught:
        sample.cross_compiler()
    assert "aarch64-linux-gnu-gcc" in caught.value.message
    assert "oejail[sample,cross]" in caught.value.lines()[0]
