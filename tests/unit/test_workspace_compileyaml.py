# SPDX-License-Identifier: MIT
"""The layers of compile.yaml; its local_conf is in test_workspace_generate.py."""

from __future__ import annotations

import io
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from oejail.errors import ConfigError
from oejail.workspace.compileyaml import parts, with_layers

USERS = """\
# by hand
build_in: host   # here
local_conf: |
    A = "1"

layers:   # below src/
    - a/b   # first
    # a note
    - "c d"

repos: [x,   y]
"""


def test_a_file_of_a_users_own_layout() -> None:
    assert with_layers(USERS, ["a/b", "c d"]) is USERS
    more = with_layers(USERS, ["a/b", "c d", "e"])
    assert more == USERS.replace('    - "c d"\n', '    - "c d"\n    - e\n')
    assert with_layers(more, ["a/b", "c d"]) == USERS
    assert with_layers(USERS, ["c d"]) == USERS.replace("    - a/b   # first\n", "")
    windows = USERS.replace("\n", "\r\n")
    assert with_layers(windows, ["a/b", "c d", "e"]) == more.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("old", "layers", "new"),
    [
        ("m: 1\nlayers: []\nn: 2\n", ["a"], "m: 1\nlayers:\n- a\nn: 2\n"),
        ("layers:\n- a\nn: 2\n", [], "layers: []\nn: 2\n"),
        ("layers:\n- a", ["a", "b"], "layers:\n- a\n- b\n"),
        ("layers: [a]\n", ["a", "b"], "layers:\n- a\n- b\n"),
        ("m: 1\n", ["a"], "m: 1\nlayers:\n- a\n"),
        ("layers:\n- a\n", ["a", "123"], "layers:\n- a\n- '123'\n"),
        ("layers:\n- a\n- b\n", ["b", "a"], "layers:\n- b\n- a\n"),
        ("layers:\n", ["a"], "layers:\n- a\n"),
    ],
)
def test_layouts(old: str, layers: list[str], new: str) -> None:
    assert with_layers(old, layers) == new


names = st.sampled_from(["a", "b/c", "meta-x", "1", "y", "-", "null", "a b", "x: y", "é", "# n"])


@given(
    old=st.lists(names, unique=True, max_size=5),
    new=st.lists(names, unique=True, max_size=5),
    flow=st.booleans(),
)
def test_what_oebuild_reads_is_what_was_asked_for(
    old: list[str], new: list[str], flow: bool
) -> None:
    listed = f"layers: {json.dumps(old)}\n" if flow else yaml.safe_dump({"layers": old})
    text = f"m: 'x'\n{listed}z: |\n  A\n"
    made = with_layers(text, new)
    assert YAML().load(io.StringIO(made)) == {"m": "x", "layers": new, "z": "A\n"}
    assert parts(made)[0] == tuple(new)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("layers: x\n", "layers: not a list, but str"),
        ("layers: [a, 1]\n", r"layers\[1\]: not a path, but int"),
        ("layers: [[a]]\n", r"layers\[0\]: not a path, but list"),
        ("local_conf: [a]\n", "local_conf: not text, but list"),
        ("- a\n", "not a mapping"),
        ("a: [\n", r"f:2: not YAML"),
        ("a: \x01\n", "not YAML"),
        ("!!python/object:os.system {}\n", "not YAML"),
    ],
)
def test_what_is_no_compile_yaml(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=rf"^f(:\d+)?: .*{what.removeprefix('f:2: ')}"):
        parts(text, "f")


def test_an_alias_bomb_is_refused_at_once() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(b + 1)}: &{chr(b + 1)} [*{chr(b)}, *{chr(b)}, *{chr(b)}]\n" for b in range(97, 119)
    )
    with pytest.raises(ConfigError, match=r"layers\[0\]: not a path"):
        parts(bomb + "layers: [*v]\n")
