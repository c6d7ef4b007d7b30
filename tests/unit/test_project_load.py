# SPDX-License-Identifier: MIT
from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from oejail import project
from oejail.configfile import check
from oejail.errors import ConfigError, Exit, UsageFault, WorkspaceBusy
from oejail.project.model import Config


def config(text: str) -> Config:
    return check(text.encode(), Config, shown="oejail.yaml")


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config(text)
    return list(caught.value.details) or [caught.value.message]


def test_version_alone_is_enough() -> None:
    found = config("version: 1")
    assert found.targets == ("jailhouse", "jailhouse-freertos", "openeuler-image-mcs")
    assert found.layers == ("yocto-meta-openeuler/rtos/meta-freertos",)
    assert found.features == "auto" and found.engine == "container" and found.tree == "openeuler"
    with pytest.raises(FrozenInstanceError):
        found.engine = "host"  # type: ignore[misc]


def test_every_field() -> None:
    found = config(
        """\
version: 1
name: my-product
release: "1.2"
tree: ../src
platform: boards/mine.yaml
build_name: b_1
oebuild: ~/bin/oebuild
engine: host
build_user: builder
rtos: null
features: [mcs/jailhouse, systemd]
layers: [mine/meta-mine]
targets: ["virtual/kernel", "mc:x:y"]
workspace: /srv/ws
sources: {yocto-meta-openeuler: {url: "git@host:a/b.git", ref: r/1.0}}
mirrors: [{match: "https://atomgit.com/", path: /srv/mirror}]
local_conf: ['BB_NUMBER_THREADS = "4"']
cells:
  root: qemu-arm64-mcs
  inmates: [{cell: a, image: sub/b.bin, address: 0x7a000000, expect: tick, expect_repeat: true}]
waive: {CELL-RAM: "known"}
signers: keys/allowed
bundle: {compression: zstd}
"""
    )
    assert found.features == ("mcs/jailhouse", "systemd")
    assert found.sources["yocto-meta-openeuler"].ref == "r/1.0"
    assert found.cells is not None and found.cells.inmates[0].address == 0x7A000000


def test_all_errors_at_once_in_the_files_order() -> None:
    found = errors(
        """\
version: 2
releas: "1"
release: 1.0
targets: [ok, "a;b", 3]
engine: hots
cells:
  inmates:
    - {cel: a, image: ../x}
"""
    )
    assert found == [
        "oejail.yaml:1:1: version: 2 is not 1",
        "oejail.yaml:2:1: releas: unknown key; did you mean release?",
        "oejail.yaml:3:1: release: 1.0 where text is wanted: put it in quotes",
        "oejail.yaml:4:15: targets[1]: 'a;b' is not a BitBake target "
        "(letters, digits, . + _ : / -)",
        "oejail.yaml:4:22: targets[2]: 3 where text is wanted: put it in quotes",
        "oejail.yaml:5:1: engine: 'hots' is not container or host; did you mean host?",
        "oejail.yaml:6:1: cells.root: is missing",
        "oejail.yaml:8:7: cells.inmates[0].cell: is missing",
        "oejail.yaml:8:8: cells.inmates[0].cel: unknown key; did you mean cell?",
        "oejail.yaml:8:16: cells.inmates[0].image: '../x' is not a file name",
    ]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("targets: ['-c']", "targets[0]: '-c' is not a BitBake target"),
        ("targets: ['$(id)']", "targets[0]"),
        ('targets: ["a\\nb"]', "targets[0]"),
        ("targets: a", "targets: 'a' where a list is wanted"),
        ("build_name: ../x", "build_name"),
        ("build_name: Qemu", "build_name"),
        ("layers: [/abs]", "layers[0]: '/abs' is absolute; write it relative"),
        ("layers: [a/../../b]", "layers[0]: 'a/../../b' leaves its directory ('..')"),
        ("layers: ['a b']", "layers[0]: 'a b' is not a layer's path"),
        ("layers: [.]", "layers[0]: '.' names no file"),
        ("features: yes", "features: true where a list is wanted"),
        ("features: jailhouse", "features: 'jailhouse' is not auto"),
        ("features: [a b]", "features[0]"),
        ("local_conf: ['# X']", "local_conf[0]: '# X' is a comment"),
        ('local_conf: ["A = 1\\nB = 2"]', "local_conf[0]"),
        (
            "sources: {yocto-meta-openeuler: {url: '--upload-pack=x'}}",
            "sources.yocto-meta-openeuler",
        ),
        ("sources: {yocto-meta-openeuler: {url: 'ext::sh -c id'}}", "sources.yocto-meta-openeuler"),
        ("sources: {x: {url: 'https://h/x', ref: '-x'}}", "sources.x.ref"),
        ("sources: {../x: {url: 'https://h/x'}}", "sources.../x"),
        ("build_user: 1000", "build_user: 1000 where text is wanted: put it in quotes"),
        ("build_user: 'a;b'", "build_user"),
        ("tree: opneuler", "tree: 'opneuler' is neither openeuler, sample nor a path"),
        ("name: a/b", "name: 'a/b' is not a file name"),
        ("name: ..", "name: '..' is not a file name"),
        (
            "cells: {root: a, inmates: [{cell: b, image: c, address: -1}]}",
            "cells.inmates[0].address",
        ),
        ("cells: {root: a, inmates: [{cell: b, image: c, expect: ''}]}", "cells.inmates[0].expect"),
        ("cells: null", ""),
        ("bundle: null", "bundle: nothing (null) where a mapping is wanted"),
        ("waive: {A: ''}", "waive.A: is empty"),
        ("platform: ''", "platform: is empty"),
        ("x: {y: {z: 1}}", "x: unknown key; known are version, name, "),
    ],
)
def test_one_error_each(line: str, error: str) -> None:
    text = f"version: 1\n{line}\n"
    if not error:
        assert config(text).cells is None
        return
    (found,) = errors(text)
    place, _, rest = found.partition(": ")
    assert place.startswith("oejail.yaml:2:")
    assert rest.startswith(error)


def test_more_errors_than_anybody_reads_are_counted() -> None:
    found = errors("version: 1\ntargets: [" + ", ".join(["';'"] * 200) + "]\n")
    assert len(found) == 51 and found[-1] == "oejail.yaml: and 150 more errors"


words = st.sampled_from(
    [*(f.name for f in fields(Config)), "root", "inmates", "url", "ref", "cell", "x"]
)
inner = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(words, inner, max_size=5))
@example({"version": 1, "cells": {"inmates": [{"cell": []}]}})
@example({"version": 1, "features": {"auto": 1}})
@example({"version": 1, "address": float("nan")})
@example({"version": True})
@example({"version": 1.0})
def test_any_yaml_is_a_config_or_an_error(value: dict[str, Any]) -> None:
    _config_or_error(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_config_or_an_error(data: bytes) -> None:
    _config_or_error(data)


def _config_or_error(data: bytes) -> None:
    try:
        found = check(data, Config, shown="oejail.yaml")
    except ConfigError as error:
        assert error.exit_code == Exit.USAGE
        for line in error.details or [error.message]:
            assert line.startswith("oejail.yaml:")
            assert line.isprintable() and len(line) < 2000
    else:
        assert isinstance(found, Config) and found.version == 1


def write(directory: Path, text: str) -> Path:
    (directory / "oejail.yaml").write_text(text)
    return directory


def test_found_from_below(tmp_path: Path) -> None:
    below = write(tmp_path, "version: 1") / "a" / "b"
    below.mkdir(parents=True)
    assert project.load(below).root == tmp_path


def test_none_found(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"no oejail\.yaml in .* or above") as caught:
        project.load(tmp_path)
    assert caught.value.hint == "oejail init writes one"


@pytest.mark.parametrize("kind", ["directory", "fifo", "large", "broken link"])
def test_files_that_are_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "oejail.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        import os

        os.mkfifo(path)
    elif kind == "large":
        path.write_bytes(b"#" * (1 << 20) + b"\n")
    else:
        path.symlink_to("nowhere")
    with pytest.raises((ConfigError, UsageFault)) as caught:
        project.load(tmp_path)
    assert caught.value.exit_code == Exit.USAGE


def test_platform_of_ones_own(tmp_path: Path) -> None:
    from oejail import platforms

    board = (Path(platforms.__file__).parent / "qemu-aarch64.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(board.replace("name: qemu-aarch64", "name: mine"))
    found = project.load(write(tmp_path, "version: 1\nplatform: ./mine.yaml"))
    assert found.platform.name == "mine" and found.build_name == "mine"
    (tmp_path / "mine.yaml").write_text(board.replace("arch: arm64", "arch: arm65"))
    with pytest.raises(ConfigError, match=r"oejail\.yaml:2:1: platform: .*mine\.yaml:5:1: arch"):
        project.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("platform: qemu-arch64", "2:1: platform: platform 'qemu-arch64' is unknown; did you mean"),
        ("platform: raspberrypi4-64", "1:1: rtos: freertos does not run on raspberrypi4-64"),
        (
            "cells: {root: a, inmates: [{cell: b, image: c, expect_repeat: true}]}",
            "2:48: cells.inmates[0].expect_repeat: needs a text in expect",
        ),
        (
            "cells: {root: a, inmates: [{cell: b, image: c}, {cell: b, image: d}]}",
            "2:50: cells.inmates[1].cell: b stands in the set twice",
        ),
    ],
)
def test_what_does_not_fit_together(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        project.load(write(tmp_path, f"version: 1\n{text}\n"))
    assert caught.value.message.startswith(f"oejail.yaml:{error}")


def test_what_a_project_says(tmp_path: Path) -> None:
    found = project.load(write(tmp_path, "version: 1\ntargets: [a, core-image-x, image-y, imager]"))
    assert found.name == "oejail-qemu-aarch64" and found.build_name == "qemu-aarch64"
    assert found.targets() == ("a", "core-image-x", "image-y", "imager")
    assert found.targets(image=False) == ("a", "imager")
    assert found.path("~/x") == Path("~/x").expanduser() and found.path("x") == tmp_path / "x"
    (inmate,) = found.cells.inmates
    assert (inmate.cell, inmate.image) == ("qemu-arm64-freertos-demo", "FreeRTOS.bin")
    assert inmate.expect == "This is freertos from the openeuler community!"
    with found.lock("a test"), pytest.raises(WorkspaceBusy, match="oejail a test"), found.lock("b"):
        pass


def test_the_sample_says_something_else(tmp_path: Path) -> None:
    found = project.load(write(tmp_path, "version: 1\ntree: sample\nengine: host"))
    assert [i.expect for i in found.cells.inmates] == ["oejail sample inmate: tick"]
