# SPDX-License-Identifier: MIT
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oejail import project
from oejail.errors import ConfigError, PrerequisiteMissing
from oejail.workspace import hosttools, nativesdk
from oejail.workspace.model import Workspace
from tests.support import trees
from tests.support.trees import nativesdk as sdk

CONF = (
    'HOSTTOOLS_DIR = "${TMPDIR}/hosttools"\n'
    'HOSTTOOLS += " \\\n    [ sh chrpath-x \\\n    python3 \\\n"\n'
    "HOSTTOOLS += \"${@'ip ping' if bb.utils.contains('A', 'b', True, False, d) else ''}\"\n"
    'HOSTTOOLS_NONFATAL += "aws"\n'
)


def workspace(root: Path, more: str = "", engine: str = "host", sanity: str = "") -> Workspace:
    trees.write(root, {"p/oejail.yaml": f"version: 1\nengine: {engine}\n{more}"})
    poky = "w/src/yocto-poky/meta"
    trees.write(root, {f"{poky}/conf/bitbake.conf": CONF, f"{poky}/classes/sanity.bbclass": sanity})
    trees.write(root, {"w/build/b/compile.yaml": 'local_conf: |\n  HOSTTOOLS:append = " ld-x"\n'})
    config = project.load(root / "p")
    return Workspace(root / "w", config, "b", config.config.engine, "openeuler", ("oebuild",))


def test_what_the_tree_wants(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    found = hosttools.look(ws)
    assert found.tools == ("[", "chrpath-x", "ld-x", "python3", "sh")
    assert found.missing == ("chrpath-x", "ld-x") and not found.locale_missing
    with pytest.raises(PrerequisiteMissing, match=r"conf: HOSTTOOLS not on PATH: chrpath-x"):
        hosttools.check(ws)
    assert hosttools.look(workspace(tmp_path / "c", engine="container")) == hosttools.Host(None)


def test_where_tools_are_looked_for(tmp_path: Path) -> None:
    for name, mode in (("runs", 0o755), ("text", 0o644)):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(mode)
    (tmp_path / "directory").mkdir()
    path = f"/nowhere::{tmp_path}"
    names = ("runs", "text", "directory", "none")
    assert hosttools.missing(names, path) == ("text", "directory", "none")


def test_packages() -> None:
    assert hosttools.packages(["chrpath", "pzstd", "zstd", "lz4c", "ld.lld"]) == (
        "apt-get install chrpath zstd lz4 ld.lld, or dnf install /usr/bin/chrpath /usr/bin/pzstd "
        "/usr/bin/zstd /usr/bin/lz4c /usr/bin/ld.lld"
    )


def test_the_locale(tmp_path: Path) -> None:
    """OE-core's sanity check, asked of the python3 that the build will have."""
    wants = 'locale.setlocale(locale.LC_ALL, "en_US.UTF-8")\n'
    here = ["python3", "-c", "import locale; locale.setlocale(locale.LC_ALL, 'en_US.UTF-8')"]
    have = subprocess.run(here, capture_output=True, check=False).returncode == 0
    assert hosttools.look(workspace(tmp_path / "a", sanity=wants)).locale_missing is not have

    directory = sdk(tmp_path / "sdk", "chrpath-x", "export LOCPATH=/nowhere\n")
    ws = workspace(tmp_path / "b", f"nativesdk: {directory}\n", sanity=wants)
    found = hosttools.look(ws)
    assert found.missing == ("ld-x",) and found.locale_missing
    assert found.what == "HOSTTOOLS not on PATH: ld-x; locale en_US.UTF-8: not there"
    (directory / "sysroots/x86_64-openeulersdk-linux/usr/bin/ld-x").symlink_to("chrpath-x")
    with pytest.raises(PrerequisiteMissing, match=r"locale en_US\.UTF-8: not there; localedef"):
        try:
            hosttools.check(ws)
        except PrerequisiteMissing as error:
            raise PrerequisiteMissing(error.lines()[0]) from None


def test_a_nativesdk_that_oebuild_would_pass_over(tmp_path: Path) -> None:
    good = sdk(tmp_path / "sdk")
    assert nativesdk.look_at(good).environment.name == "environment-setup-x86_64-openeulersdk-linux"
    moved = good.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=f"installed at {good}/sysroots/.*, not at {moved}"):
        nativesdk.look_at(moved)
    with pytest.raises(ConfigError, match="no such directory"):
        nativesdk.look_at(good)
    with pytest.raises(ConfigError, match="cannot bear ' '"):
        nativesdk.look_at(tmp_path / "a b")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="no environment-setup-"):
        nativesdk.look_at(empty)
    (empty / "environment-setup-x").write_text("")
    with pytest.raises(ConfigError, match="no sysroots/x86_64-"):
        nativesdk.look_at(empty)
    (empty / "sysroots/x86_64-a-linux").mkdir(parents=True)
    assert nativesdk.look_at(empty).directory == empty
    (empty / "environment-setup-y").write_text("")
    with pytest.raises(ConfigError, match="oebuild takes any"):
        nativesdk.look_at(empty)
