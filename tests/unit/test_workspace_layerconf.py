# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest

from oejail.errors import ConfigError
from oejail.workspace.layerconf import LIMIT, Dependency, parse, read

FREERTOS = """\
BBPATH .= ":${LAYERDIR}"
BBFILES += "${LAYERDIR}/recipes-*/*/*.bb \\
\t${LAYERDIR}/recipes-*/*/*.bbappend"
BBFILE_COLLECTIONS += "freertosproject"
BBFILE_PATTERN_freertosproject = "^${LAYERDIR}/"
BBFILE_PRIORITY_freertosproject = "25"
LAYERVERSION_freertosproject = "1"
LAYERDEPENDS:freertosproject = "core meta-python"
LAYERSERIES_COMPAT_freertosproject = "kirkstone"
"""


def test_a_layer_in_the_colon_spelling() -> None:
    (found,) = parse(FREERTOS, Path("/l")).collections
    assert (found.name, found.priority, found.version) == ("freertosproject", 25, "1")
    assert found.series == ("kirkstone",)
    assert found.depends == (Dependency("core", seen=False), Dependency("meta-python", seen=False))


def test_the_core_layer() -> None:
    text = 'BBFILE_COLLECTIONS = "core"\nLAYERSERIES_CORENAMES = "kirkstone"\n'
    found = parse(text, Path("/l"))
    assert found.core_series == ("kirkstone",)
    assert found.collections[0].series == ()


def test_dependencies_with_versions() -> None:
    text = """\
BBFILE_COLLECTIONS += "a b"
LAYERDEPENDS_a = "core (>= 12) x:3 \\
   y ( = 1.2 ) plain"
LAYERDEPENDS_a += "more"
LAYERDEPENDS_a:append = " last"
LAYERDEPENDS:a = "plain onlycolon"
LAYERDEPENDS_b = "${@bb.utils.contains('X', 'y', 'a', '', d)}"
LAYERSERIES_COMPAT_b = "${LAYERSERIES_COMPAT_core}"
BBFILE_PRIORITY_b = "high"
"""
    a, b = parse(text, Path("/l")).collections
    assert [str(need) for need in a.depends] == [
        "core (>= 12)",
        "x (= 3)",
        "y (= 1.2)",
        "plain",
        "more",
        "last",
        "onlycolon",
    ]
    assert [need.name for need in a.depends if not need.seen] == ["onlycolon"]
    assert (b.depends, b.series, b.priority) == ((), (), None)


@pytest.mark.parametrize(
    ("op", "need", "have", "met"),
    [
        ("", "", "", True),
        (">=", "3", "12", True),
        (">=", "3", "2", False),
        ("=", "1.2", "1.2", True),
        ("=<", "1.2", "1.10", False),
        ("!=", "1", "1", False),
        (">", "1", "", False),
        ("=", "one", "one", True),
    ],
)
def test_versions(op: str, need: str, have: str, met: bool) -> None:
    assert Dependency("x", op, need).met_by(have) is met


def test_what_is_no_layer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such layer"):
        read(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"no conf/layer\.conf in it"):
        read(tmp_path)
    conf = tmp_path / "conf" / "layer.conf"
    conf.parent.mkdir()
    conf.write_bytes(b"#" * (LIMIT + 1))
    with pytest.raises(ConfigError, match="more than the limit"):
        read(tmp_path)
    conf.write_bytes(b"\xff\xfe garbage = \nBBFILE_COLLECTIONS = 'x'\n")
    assert read(tmp_path).collections[0].name == "x"
