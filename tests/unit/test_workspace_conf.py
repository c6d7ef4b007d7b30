# SPDX-License-Identifier: MIT
"""BitBake's configuration language: statements, values, words and where they stand."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oejail.errors import ConfigError
from oejail.workspace.conf import (
    Scope,
    Variable,
    inline_end,
    statements,
    value_words,
    without_inline,
)
from tests.support.conf_texts import texts


def test_statements_know_their_lines() -> None:
    text = "# note\n\nA = \"1\"\r\nexport B[flag] ?= '2 \\\r\n  3'\n"
    text += "include x.inc\nunset A\nunset B[ff]\n"
    found = statements(text, "f")
    assert [(s.line, s.kind, s.name, s.op, s.flag) for s in found] == [
        (3, "assign", "A", "=", ""),
        (4, "assign", "B", "?=", "flag"),
        (6, "include", "x.inc", "", ""),
        (7, "unset", "A", "", ""),
        (8, "other", "", "", ""),
    ]
    assert found[1].value == "2   3"
    assert text[found[1].start : found[1].end] == "export B[flag] ?= '2 \\\r\n  3'\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A:append", ("A", "append", "")),
        ("A_append", ("A", "append", "")),
        ("A:prepend:arm:mine", ("A", "prepend", "arm:mine")),
        ("A_remove_arm", ("A", "remove", "arm")),
        ("A:append:ARM", ("A:append:ARM", "", "")),
        ("A:arm", ("A:arm", "", "")),
    ],
)
def test_keywords(name: str, expected: tuple[str, str, str]) -> None:
    (found,) = statements(f'{name} = "1"\n', "f")
    assert (found.name, found.keyword, found.override) == expected


def test_lenient_reading_passes_over_what_it_cannot_read() -> None:
    text = "what is this\nA = '1'\n# x \\\nB = \"2\"\n\\"
    assert [s.name for s in statements(text, "f", lenient=True)] == ["A"]
    with pytest.raises(ConfigError, match=r"^f:1: BitBake cannot parse this line: 'what is this'$"):
        statements(text, "f")


def test_other_variables_do_not_matter() -> None:
    found = statements('B = "1"\nA ?= "2"\nA[doc] = "3"\ninclude A\nA:append = " 4"\n', "f")
    assert Variable("A", found).text == Scope(found).variable("A").text == "2 4"


def test_expansion() -> None:
    text = 'A = "${B}/a"\nB = "${C}"\nL = "${M}"\nM = "${L}x"\nW ?= "1"\nW += "2"\n'
    scope = Scope(statements(text, "f"), {"C": "/c", "A": "never"})
    assert scope.expand("${A} ${L} ${UNKNOWN} ${@'${C}'} ${W}") == (
        "/c/a ${L}x ${UNKNOWN} ${@'/c'} 1 2"
    )


def test_expansion_ends() -> None:
    lines = [f'V{n} = "{f"${{V{n + 1}}}" * 10}"' for n in range(100)]
    scope = Scope(statements("\n".join([*lines, 'V100 = "0123456789"']), "f"))
    assert len(scope.expand("${V0}")) <= 1 << 16
    deep = "\n".join(f'V{n} = "${{V{n + 1}}}"' for n in range(9000))
    assert Scope(statements(deep, "f")).expand("${V0}").startswith("${V")


def test_doubling_ends() -> None:
    text = 'A = "' + "x" * 1000 + '"\n' + 'A := "${A}${A}"\n' * 60
    assert len(Scope(statements(text, "f")).variable("A").text) < 1 << 24


# As BitBake's own expression has it; it takes cubic time.
INLINE = re.compile(r"\$\{@(?:\{.*?\}|.)+?\}")


@given(text=st.text(st.sampled_from("${@}} x"), max_size=20))
@settings(max_examples=1000)
@example(text="${@}")
@example(text="${@}}")
@example(text="${@{}x")
@example(text="${@{a{}b}c}d}")
def test_inline_python_ends_where_bitbake_ends_it(text: str) -> None:
    match = INLINE.match("${@" + text)
    assert inline_end("${@" + text, 0) == (match.end() if match else 0)
    assert without_inline(text) == INLINE.sub("", text)


def test_an_old_value_within_an_immediate_one() -> None:
    text = 'A = "1 2"\nA := "0 ${A}3 ${A}"\n'
    words = Scope(statements(text, "f")).variable("A").words()
    assert [word.text for word in words] == ["0", "1", "23", "1", "2"]
    assert [word.statement and word.statement.line for word in words] == [2, 1, None, 1, 1]


@given(text=texts())
def test_words_stand_where_they_say(text: str) -> None:
    for statement in statements(text, "f"):
        if statement.kind == "assign":
            for word in value_words(statement):
                there = text[word.start : word.end].replace("\\\r\n", "").replace("\\\n", "")
                assert there == word.text
