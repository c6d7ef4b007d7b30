# SPDX-License-Identifier: MIT
"""Layer injection with the real oebuild and BitBake on the sample tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oejail import oebuild, project
from oejail.errors import ConfigError
from oejail.process import Result
from oejail.workspace import bblayers, layers
from oejail.workspace.model import Workspace
from oejail.workspace.workspace import (
    ensure_generated,
    ensure_init,
    ensure_sources,
    open_workspace,
)
from tests.support.cli import oejail

FREERTOS = "yocto-meta-openeuler/rtos/meta-freertos"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace of the sample tree with compile.yaml; BitBake has not run in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        root = tmp_path_factory.mktemp("layers")
        project.init(root, sample=True)
        ws = open_workspace(project.load(root))
        for verb in (ensure_init, ensure_sources, ensure_generated):
            verb(ws)
        layers.install_meta_oejail(ws)
    return ws


@pytest.fixture
def ws(generated: Workspace) -> Workspace:
    """The same, with what tests change put back: one layer (local.conf needs it), no conf/."""
    from oejail import files

    text = generated.compile_yaml.read_text()
    head, _, _ = text.partition("\nlayers:")
    assert text != head
    generated.compile_yaml.write_text(f"{head}\nlayers: [meta-oejail]\n")
    files.remove_tree(generated.build_dir / "conf")
    return generated


def bitbake(ws: Workspace, *args: str) -> Result:
    return oebuild.run(
        ws.build_dir,
        ["bitbake", *args],
        prefix=ws.oebuild,
        identity=ws.identity,
        timeout=120,
    )


def conf(ws: Workspace) -> Path:
    return ws.build_dir / "conf" / "bblayers.conf"


def twice_without_a_change(ws: Workspace) -> None:
    """The real `oebuild bitbake` two times: neither a byte of bblayers.conf nor its time."""
    before = conf(ws).read_bytes(), conf(ws).stat().st_mtime_ns
    for _ in range(2):
        result = bitbake(ws, "--version")
        assert result.ok, result
        assert (conf(ws).read_bytes(), conf(ws).stat().st_mtime_ns) == before


def evaluated(ws: Workspace) -> list[str]:
    """BBLAYERS as the build's own BitBake evaluates it, having parsed all layers."""
    result = bitbake(ws, "-e")
    assert result.ok, "\n".join(result.stdout[-20:])
    (line,) = [text for text in result.stdout if ' - INFO - BBLAYERS="' in text]
    return line.split('"')[1].split()


def test_before_the_first_build_and_after(ws: Workspace) -> None:
    assert layers.ensure(ws).changed
    assert not conf(ws).exists()
    assert bitbake(ws, "--version").ok
    assert conf(ws).read_text().count(f"{ws.src}/yocto-poky/../{FREERTOS} ") == 1
    assert not layers.ensure(ws).changed, "what oebuild wrote is what we want"
    twice_without_a_change(ws)
    assert evaluated(ws)[-2:] == [layers.spelled(ws, "meta-oejail"), layers.spelled(ws, FREERTOS)]


CORE = "{src}/yocto-poky/meta"
OTHERS = CORE + " {src}/yocto-poky/../yocto-meta-openeuler/meta-openeuler"


@pytest.mark.parametrize(
    "text",
    [
        f'BBLAYERS ?= "{OTHERS}"\r\n# the end\r\n',
        "BBLAYERS += '" + OTHERS.replace(" ", " \\\n\t") + "'\n",
        # other spellings of a layer that is to be added
        f'BBLAYERS = " \\\n    {OTHERS} \\\n    {{src}}/{FREERTOS}/ \\\n"\n# one\n',
        f'BBLAYERS = "{OTHERS}"\nBBLAYERS .= " ${{TOPDIR}}/../../src/{FREERTOS}"\n',
    ],
)
def test_add_leaves_oebuild_nothing_to_do(ws: Workspace, text: str) -> None:
    assert bitbake(ws, "--version").ok  # makes conf/
    conf(ws).write_bytes(text.replace("{src}", str(ws.src)).encode())
    assert layers.add(ws, [FREERTOS, "yocto-meta-openeuler/meta-openeuler"]).changed
    twice_without_a_change(ws)
    ours = [view.path for view in layers.show(ws)]
    openeuler = "yocto-meta-openeuler/meta-openeuler"
    assert sorted(ours) == sorted(["yocto-poky/meta", openeuler, FREERTOS, "meta-oejail"])
    # It reads the file, the layers, and (a collection twice would end it) all of them together.
    assert [bblayers.Places((str(ws.src),)).key(x)[4:] for x in evaluated(ws)] == ours


def test_without_us_oebuild_has_the_layer_twice(ws: Workspace) -> None:
    """What the editor's care is for: proof that it is needed."""
    assert bitbake(ws, "--version").ok
    conf(ws).write_text(f'BBLAYERS = "{OTHERS} {{src}}/{FREERTOS}"\n'.replace("{src}", str(ws.src)))
    text = conf(ws).read_text()
    ws.compile_yaml.write_text(
        ws.compile_yaml.read_text().replace("[meta-oejail]", f"[meta-oejail, {FREERTOS}]")
    )
    result = bitbake(ws, "-e")
    assert "Found duplicated BBFILE_COLLECTIONS 'freertosproject'" in result.text
    places = bblayers.Places((str(ws.src),))
    (problem,) = bblayers.oebuild_would_damage(text, [layers.spelled(ws, FREERTOS)], places)
    assert problem.line == 1
    assert "a second time" in problem.message


def test_what_is_refused_is_what_oebuild_stumbles_over(ws: Workspace) -> None:
    assert bitbake(ws, "--version").ok
    conf(ws).write_text(f"BBLAYERS ??= '{OTHERS}'\n".replace("{src}", str(ws.src)))
    with pytest.raises(ConfigError, match=r"bblayers\.conf:1: BBLAYERS in single quotes"):
        layers.add(ws, [FREERTOS])
    ws.compile_yaml.write_text(
        ws.compile_yaml.read_text().replace("[meta-oejail]", f"[meta-oejail, {FREERTOS}]")
    )
    result = bitbake(ws, "--version")
    assert "Unable to find BBLAYERS" in "\n".join((*result.stdout, *result.stderr))


def test_on_the_host_a_layer_may_lie_outside_src(ws: Workspace, tmp_path: Path) -> None:
    layer = tmp_path / "outside" / "conf" / "layer.conf"
    layer.parent.mkdir(parents=True)
    layer.write_text(
        'BBFILE_COLLECTIONS += "outside"\nBBFILE_PATTERN_outside = ""\n'
        'LAYERSERIES_COMPAT_outside = "kirkstone"\nLAYERDEPENDS_outside = "core (>= 1)"\n'
    )
    layers.add(ws, [tmp_path / "outside"])
    assert bitbake(ws, "--version").ok
    assert not layers.add(ws, [tmp_path / "outside"]).changed
    twice_without_a_change(ws)
    assert evaluated(ws)[-1] == str(tmp_path / "outside")


def test_the_commands(ws: Workspace) -> None:
    root = ws.project.root
    assert bitbake(ws, "--version").ok
    where = "(compile.yaml, conf/bblayers.conf)"
    assert oejail(root, "layers", "add", FREERTOS, "--dry-run").out == (
        f"would have added {FREERTOS} {where}\n"
    )
    assert oejail(root, "layers", "add", FREERTOS).out == f"added {FREERTOS} {where}\n"
    shown = oejail(root, "layers", "show").out.splitlines()
    assert shown[0].split() == ["LAYER", "COLLECTION", "PRIORITY", "SERIES", "IN"]
    assert shown[1].split() == ["yocto-poky/meta", "core", "5", "kirkstone", "conf/bblayers.conf"]
    assert shown[4].startswith(FREERTOS) and shown[4].endswith("compile.yaml, conf/bblayers.conf")
    report = json.loads(oejail(root, "layers", "show", "--json").out)
    assert report["schema_version"] == 1
    assert report["layers"][-1]["path"] == FREERTOS
    assert report["layers"][-1]["collections"][0]["name"] == "freertosproject"
    assert [layer["problems"] for layer in report["layers"]] == [[], [], [], []]
    removed = oejail(root, "layers", "remove", f"workspace/src/{FREERTOS}")
    assert removed.out == f"removed {FREERTOS} {where}\n"
    failed = oejail(root, "layers", "add", "meta-none", status=2)
    assert failed.out == "" and len(failed.err.splitlines()) == 1
    assert failed.err.startswith("oejail: error: meta-none: no such directory")
