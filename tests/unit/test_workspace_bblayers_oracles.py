# SPDX-License-Identifier: MIT
"""The editor of bblayers.conf against real BitBake and against oebuild's real editor."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from oejail.errors import ConfigError
from oejail.workspace import bblayers, conf, oebuild_editor
from tests.support.conf_texts import SPELLINGS, SRC, VARIABLES, WANTED, layers, noise, texts
from tests.support.oracles import Oracle

PLACES = bblayers.Places(src=("/usr1/openeuler/src", SRC), variables=VARIABLES)
LAYERS = [WANTED, f"{SRC}/yocto-poky/../meta-z"]

quickly = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def bitbake() -> Iterator[Oracle]:
    with Oracle("bb_oracle") as oracle:
        yield oracle


@pytest.fixture(scope="module")
def oebuild() -> Iterator[Oracle]:
    with Oracle("oebuild_oracle") as oracle:
        yield oracle


def evaluated(bitbake: Oracle, text: str) -> list[str] | None:
    """BBLAYERS as BitBake evaluates it, words split outside inline Python; None when refused."""
    answer = bitbake(text=text, variables=VARIABLES)
    return None if "error" in answer else (answer["value"] or "").split()


def known(values: list[str]) -> list[str]:
    """The one inline expression of the generated texts, evaluated."""
    return [value.replace("${@'/p/q'}", "/p/q") for value in values]


@given(text=st.one_of(noise, texts()))
@quickly
def test_bitbake_and_we_read_the_same_files(bitbake: Oracle, text: str) -> None:
    try:
        conf.statements(text, "f")
        accepted = True
    except ConfigError:
        accepted = False
    answer = bitbake(text=text, variables=VARIABLES)
    # What BitBake refuses later than at parsing is not the reader's business.
    assume("ExpansionError" not in answer.get("error", "") and "recursi" not in str(answer))
    assert accepted == ("error" not in answer), answer


@given(text=texts())
@quickly
def test_our_value_is_the_one_that_bitbake_evaluates(bitbake: Oracle, text: str) -> None:
    try:
        ours = bblayers.parse(text, "f", PLACES).values()
    except ConfigError:
        assume(False)
    assert known(ours) == evaluated(bitbake, text)


@given(text=texts())
@quickly
def test_adding_gives_the_value_asked_for(bitbake: Oracle, oebuild: Oracle, text: str) -> None:
    before = evaluated(bitbake, text)
    assume(before is not None)
    assert before is not None
    try:
        new = bblayers.edit(text, add=[WANTED], places=PLACES)
    except ConfigError as error:
        assume(False)
        raise AssertionError from error
    after = evaluated(bitbake, new)
    key = PLACES.key(WANTED)
    assert after is not None
    assert [x for x in after if PLACES.key(x) == key] == [WANTED]
    assert [x for x in after if PLACES.key(x) != key] == [x for x in before if PLACES.key(x) != key]
    assert bblayers.edit(new, add=[WANTED], places=PLACES) is new, "not idempotent"
    kept_apart(text, new)
    document = bblayers.parse(new, "f", PLACES)
    if document.having(key)[0].seen:
        assert oebuild(text=new, layers=[WANTED]) == {"text": new}
    else:  # a default that an addition would undo, or words glued from several assignments
        glued = any(word.statement is None for word in document.variable.words())
        assert glued or "??=" in {s.op for s in document.effective()}


def kept_apart(old: str, new: str) -> None:
    """All that is no BBLAYERS assignment is still there, in order; no new kind of line end."""

    def rest(text: str) -> list[str]:
        own = [s for s in conf.statements(text, "f") if s.name == "BBLAYERS" and not s.flag]
        for statement in reversed(own):
            text = text[: statement.start] + text[statement.end :]
        return re.split(r"\r\n|\n|\r", text.rstrip("\r\n"))

    assert rest(new) == rest(old)
    assert set(re.findall(r"\r\n|\n|\r", new)) <= set(re.findall(r"\r\n|\n|\r", old)) or {"\n"}


@given(text=texts(), spelling=st.sampled_from(SPELLINGS))
@quickly
def test_removing_gives_the_value_asked_for(bitbake: Oracle, text: str, spelling: str) -> None:
    before = evaluated(bitbake, text)
    assume(before is not None)
    assert before is not None
    try:
        new = bblayers.edit(text, remove=[spelling], places=PLACES)
    except ConfigError:
        assume(False)
    key = PLACES.key(WANTED)
    assert evaluated(bitbake, new) == [x for x in before if PLACES.key(x) != key]
    assert bblayers.edit(new, remove=[spelling], places=PLACES) is new
    kept_apart(text, new)


@given(
    text=st.one_of(noise, texts()),
    wanted=st.lists(st.one_of(layers, st.sampled_from(LAYERS)), max_size=3),
)
@quickly
def test_the_model_does_what_oebuild_does(oebuild: Oracle, text: str, wanted: list[str]) -> None:
    effect = oebuild_editor.apply(text, wanted)
    answer = oebuild(text=text, layers=wanted)
    if effect.text is None:
        assert "Unable to find BBLAYERS" in answer["error"]
    elif effect.changed:
        assert answer == {"text": effect.text}
    else:
        assert answer == {"text": text}
