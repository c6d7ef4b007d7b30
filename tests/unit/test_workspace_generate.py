# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oejail.errors import ConfigError
from oejail.workspace.compileyaml import carry_over, edit, follow, statements

TEXT = """\
build_in: host
machine: qemu-aarch64  # the board
cache_src_dir:
local_conf: |
  A = "1"
  B = "x \\
    y"
layers:
- a/b
"""


def conf(text: str) -> tuple[str, ...]:
    return statements(str(yaml.safe_load(text).get("local_conf") or ""))


def test_statements() -> None:
    assert statements('A = "1"\n\n  B = "x \\\n y"\nC') == ('A = "1"', 'B = "x \\\ny"', "C")
    assert statements("") == statements(" \n\t\n") == ()
    assert statements("A \\") == ("A \\",)


def test_edit_adds_and_drops() -> None:
    text = edit(TEXT, drop=['A = "1"'], add=["C = '2'", "D"])
    assert conf(text) == ('B = "x \\\ny"', "C = '2'", "D")
    assert "# the board" in text and yaml.safe_load(text)["layers"] == ["a/b"]
    assert edit(text, drop=["C = '2'", "D"], add=['A = "1"']) != text


def test_edit_changes_no_byte_without_need() -> None:
    assert edit(TEXT) is TEXT
    assert edit(TEXT, drop=["X"], add=['A = "1"', 'B = "x \\\ny"']) is TEXT
    assert edit(TEXT, drop=['A = "1"'], add=['A = "1"']) is TEXT


@pytest.mark.parametrize("value", ["", " ''", " null", ' "A"', " |\n  A\n"])
def test_edit_of_any_kind_of_local_conf(value: str) -> None:
    text = edit(f"machine: m\nlocal_conf:{value}\n", add=["B"])
    assert conf(text) == (("A", "B") if "A" in value else ("B",))
    assert conf(edit("machine: m\n", add=["B"])) == ("B",)


def test_what_oebuild_cannot_read() -> None:
    for text in ("a: 1\na: 2\n", "- 1", "a: ["):
        with pytest.raises(ConfigError, match=r"compile\.yaml"):
            edit(text, add=["B"])


def test_additions_go_over() -> None:
    old = "layers: [a, mine, old]\nlocal_conf: |\n  OLD\n  MINE\n  OWN\n"
    new = "layers: [a, new]\nlocal_conf: |\n  NEW\n"
    text = carry_over(old, new, known=["old", "OLD", "OWN"])
    assert yaml.safe_load(text)["layers"] == ["a", "new", "mine"]
    assert conf(text) == ("NEW", "MINE")
    assert carry_over("", new) is new and carry_over(new, new) is new
    # Where nobody knows what was generated, nothing is lost.
    assert conf(carry_over(old, new)) == ("NEW", "OLD", "MINE", "OWN")


def test_follow_touches_what_changed_only() -> None:
    text = '# mine\nX = "1"\n  A = "1"\nB = "x \\\n  y"\nZ'
    assert follow(text, ['A = "1"', 'B = "x \\\ny"'], ["C"]) == '# mine\nX = "1"\nZ\nC\n'
    assert follow(text, ["A"], ["A"]) is not None
    assert follow(text, [], []) == text
    assert follow(text, [], ['X = "1"']) == text
    assert follow("", [], ["A"]) == "A\n"


names = st.lists(st.sampled_from([f'V{n} = "{n} \\\\ # \'"' for n in range(8)]), unique=True)


@given(names, names, names)
def test_edit_does_what_it_says(before: list[str], drop: list[str], add: list[str]) -> None:
    text = edit("machine: m\n", add=before)
    assert list(conf(text)) == before
    kept = [s for s in before if s not in drop or s in add]
    assert list(conf(edit(text, drop=drop, add=add))) == kept + [s for s in add if s not in kept]


@given(names, names, names)
def test_follow_does_what_it_says(user: list[str], before: list[str], after: list[str]) -> None:
    text = "".join(f"{s}\n" for s in dict.fromkeys([*user, *before]))
    found = follow(text, before, after).splitlines()
    assert set(found) == (set(user) - (set(before) - set(after))) | (set(before) & set(after)) | (
        set(after)
    )
    assert follow("\n".join(found), after, after).splitlines() == found
