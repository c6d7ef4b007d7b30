# SPDX-License-Identifier: MIT
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from oejail.errors import ConfigError
from oejail.yamltext import MAX_DEPTH, MAX_NODES, parse, read_mapping


def test_values_and_places() -> None:
    document = parse(b"a: 1\nb:\n  - x\n  - {c: true, d: null}\n'e': 0x1f\n")
    assert document.value == {"a": 1, "b": ["x", {"c": True, "d": None}], "e": 31}
    assert document.marks[("b", 1, "d")] == (4, 15)
    assert document.place(("b", 1, "none", 3)) == (4, 5)
    assert not document.problems


def test_dates_stay_text() -> None:
    assert parse(b"a: 2026-01-02\nb: 2026-01-02 03:04:05\n").value == {
        "a": "2026-01-02",
        "b": "2026-01-02 03:04:05",
    }


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        (b"a: [1", 1, 6, "syntax"),
        (b"a: 1\na: 2", 2, 1, "line 1"),
        (b"x: 1\na: &b 1", 2, 4, "anchor"),
        (b"a: *b", 1, 4, "alias"),
        (b"a: !!python/object:os.system x", 1, 4, "tag"),
        (b"a: 1\n---\nb: 2", 2, 1, "second document"),
        (b"a: 1\nb: \xff", 2, 4, "UTF-8"),
        (b"a: \x01", 1, 4, "U+0001"),
        (b"? [1]\n: 2", 1, 3, "key"),
        (b"a:\n\t- 1", 2, 1, "syntax"),
        (b"a: 1" + b"0" * 5000, 1, 4, "too long"),
        (b'a: "\\ud800"', 1, 4, "surrogate"),
        (b"- " * (MAX_DEPTH + 1) + b"x", 1, 2 * MAX_DEPTH + 1, "deeper"),
        (b"[" + b"1," * MAX_NODES + b"]", 1, 2 * MAX_NODES, "values"),
    ],
)
def test_what_is_refused(text: bytes, line: int, column: int, word: str) -> None:
    problem = parse(text).problems[-1]
    assert (problem.line, problem.column) == (line, column)
    assert word in problem.what


def test_deep_nesting_is_no_recursion() -> None:
    assert "deeper" in parse(b"[" * 100_000).problems[-1].what
    assert "deeper" in parse(b"{a: " * 100_000).problems[-1].what


scalars = st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.text(max_size=20))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_pyyaml_writes_is_read_as_pyyaml_reads_it(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    if "&id" in text:
        return
    document = parse(text.encode("utf-8", "surrogatepass"))
    if document.problems:
        # Only what a file cannot hold as text.
        assert any(ord(c) < 32 or ord(c) >= 0x7F for c in repr(value) + text)
    else:
        assert document.value == yaml.safe_load(text)


@given(st.binary(max_size=200) | st.text("a:-[]{}&*!\n \"'|>#?,1", max_size=60).map(str.encode))
@example(b"%YAML 1.1\n---\n")
@example(b"? \n: \n")
@example(b"\xef\xbb\xbfa: 1")
@example(b"a: 1:60\n")
@example(b"!<tag:yaml.org,2002:str> a: 1")
def test_nothing_else_comes_out(data: bytes) -> None:
    document = parse(data)
    assert document.problems or _plain(document.value)


def _plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def test_read_mapping(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: &x [1]\nb: *x\n")
    assert read_mapping(path) == {"a": [1], "b": [1]}
    for text, word in (("a: [", ":1: not YAML"), ("- 1", "not a mapping"), ("a: \x01", "not YAML")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=word):
            read_mapping(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_mapping(tmp_path / "none")
