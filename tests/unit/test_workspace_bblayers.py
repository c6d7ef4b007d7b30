# SPDX-License-Identifier: MIT
"""The editor of bblayers.conf, case by case; test_workspace_bblayers_oracles.py judges at large."""

from __future__ import annotations

import contextlib
import time

import pytest

from oejail.errors import ConfigError, UsageFault
from oejail.workspace import bblayers

NEW = "/ws/src/yocto-poky/../meta-x"
HOST = bblayers.Places(("/usr1/openeuler/src", "/ws/src"), {"TOPDIR": "/ws/build/b"})
USUAL = """\
# POKY_BBLAYERS_CONF_VERSION is increased …
POKY_BBLAYERS_CONF_VERSION = "2"

BBPATH = "${TOPDIR}"
BBFILES ?= ""

BBLAYERS ?= " \\
  /ws/src/yocto-poky/meta \\
  /ws/src/yocto-poky/../meta-openeuler \\
  "
"""


def add(text: str, *layers: str) -> str:
    return bblayers.edit(text, add=layers or [NEW], places=HOST)


def remove(text: str, layer: str = "/ws/src/meta-x") -> str:
    return bblayers.edit(text, remove=[layer], places=HOST)


def test_the_usual_file() -> None:
    new = add(USUAL)
    assert new == USUAL.replace('  "\n', f'  {NEW} \\\n  "\n')
    assert add(new) is new
    assert remove(new) == USUAL
    assert remove(USUAL) is USUAL


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # one line
        ('BBLAYERS = "/a /b"\n', f'BBLAYERS = "/a /b {NEW}"\n'),
        ('BBLAYERS=""\n', f'BBLAYERS="{NEW}"\n'),
        ('BBLAYERS ??= "/a"', f'BBLAYERS ??= "/a {NEW}"'),
        ('BBLAYERS .= ""\n', f'BBLAYERS .= " {NEW}"\n'),
        # several lines, each file's own way
        ('BBLAYERS = "\\\n\t/a \\\n\t/b"\n', f'BBLAYERS = "\\\n\t/a \\\n\t/b \\\n\t{NEW}"\n'),
        ('BBLAYERS = "/a\\\n /b\\\n"\n', f'BBLAYERS = "/a\\\n /b\\\n {NEW}\\\n"\n'),
        (
            'BBLAYERS = " \\\r\n /a \\\r\n "\r\n',
            f'BBLAYERS = " \\\r\n /a \\\r\n {NEW} \\\r\n "\r\n',
        ),
        ('BBLAYERS = " \\\n"\n', f'BBLAYERS = " \\\n  {NEW} \\\n"\n'),
        ('BBLAYERS = "/a /b \\\n"\n', f'BBLAYERS = "/a /b \\\n  {NEW} \\\n"\n'),
        ('BBLAYERS = "/a" \t\n# end\n', f'BBLAYERS = "/a {NEW}" \t\n# end\n'),
        # several assignments: where they are of one layer each, one more of these
        (
            'BBLAYERS = "/a"\nBBLAYERS += "/b"\n\nX = "1"\n',
            f'BBLAYERS = "/a"\nBBLAYERS += "/b"\nBBLAYERS += "{NEW}"\n\nX = "1"\n',
        ),
        (
            'BBLAYERS = "/a"\nBBLAYERS .= " /b"',
            f'BBLAYERS = "/a"\nBBLAYERS .= " /b"\nBBLAYERS .= " {NEW}"\n',
        ),
        # an overridden one has no effect
        (
            f'BBLAYERS ?= "{NEW}"\nBBLAYERS = "/a"\n',
            f'BBLAYERS ?= "{NEW}"\nBBLAYERS = "/a {NEW}"\n',
        ),
        # what oebuild does not see, it must not need to
        ("BBLAYERS = '/a'\n", f"BBLAYERS = '/a'\nBBLAYERS += \"{NEW}\"\n"),
        ('BBLAYERS =\t"/a"\n', f'BBLAYERS =\t"/a"\nBBLAYERS += "{NEW}"\n'),
        ('BBLAYERS:append = " /a"\n', f'BBLAYERS:append = " /a"\nBBLAYERS += "{NEW}"\n'),
        ("BBLAYERS ??= '/a'\n", f"BBLAYERS ??= '/a {NEW}'\n"),  # += would undo the default
        # no assignment at all
        ("", f'BBLAYERS += "{NEW}"\n'),
        ("include conf/more.conf", f'include conf/more.conf\nBBLAYERS += "{NEW}"\n'),
        # an explicit removal is taken back
        (
            'BBLAYERS = "/a"\nBBLAYERS:remove = "/ws/src/meta-x /b"\n',
            f'BBLAYERS = "/a {NEW}"\nBBLAYERS:remove = "/b"\n',
        ),
        # BitBake before 1.52
        (
            'BBLAYERS = "/a"\nBBLAYERS_append = " /b"\n',
            f'BBLAYERS = "/a {NEW}"\nBBLAYERS_append = " /b"\n',
        ),
    ],
)
def test_adding(old: str, new: str) -> None:
    assert add(old) == new
    assert add(new) is new


@pytest.mark.parametrize(
    "spelling",
    [
        "/ws/src/meta-x",
        "/ws/src/meta-x/",
        "/ws/src//./meta-x",
        "/ws/src/yocto-poky/meta/../../meta-x",
        "/usr1/openeuler/src/meta-x",
        "/usr1/openeuler/src/yocto-poky/../meta-x",
        "${TOPDIR}/../../src/meta-x",
        "${HERE}/meta-x",
    ],
)
def test_another_spelling_is_turned_into_oebuilds(spelling: str) -> None:
    text = f'HERE = "/ws/src"\nBBLAYERS = "/a \\\n    {spelling} \\\n  /b"\n'
    assert add(text) == text.replace(spelling + " ", NEW + " ")
    assert remove(text) == text.replace(f"    {spelling} \\\n", "")
    twice = f'HERE = "/ws/src"\nBBLAYERS = "/a {spelling} /b"\nBBLAYERS += "{NEW}"\n'
    assert add(twice) == twice.replace(f" {spelling}", "")


def test_variables_of_the_file_stay() -> None:
    text = (
        'S := "${@os.path.abspath(\'..\')}"\nBBLAYERS = "${S}/meta ${TOPDIR}/../y ${@f("a b")}"\n'
    )
    assert add(text) == text.replace('b")}', f'b")}} {NEW}')


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('BBLAYERS = "/ws/src/meta-x /b"\n', 'BBLAYERS = "/b"\n'),
        ('BBLAYERS = "/a /ws/src/meta-x"\n', 'BBLAYERS = "/a"\n'),
        ('BBLAYERS = "/ws/src/meta-x"\n', 'BBLAYERS = ""\n'),
        ('BBLAYERS = "/ws/src/meta-x \\\n  /b"\n', 'BBLAYERS = " \\\n  /b"\n'),
        ('BBLAYERS = "/a \\\n  /ws/src/meta-x"\n', 'BBLAYERS = "/a \\\n  "\n'),
        ('BBLAYERS = "/a \\\n  /ws/src/meta-x /b \\\n"\n', 'BBLAYERS = "/a \\\n  /b \\\n"\n'),
        ('BBLAYERS = "/a"\nBBLAYERS += "/ws/src/meta-x"\n# end\n', 'BBLAYERS = "/a"\n# end\n'),
        # the empty addition is what keeps the default from counting
        (
            'BBLAYERS ??= "/a"\nBBLAYERS += "/ws/src/meta-x"\n',
            'BBLAYERS ??= "/a"\nBBLAYERS += ""\n',
        ),
        ('BBLAYERS ?= "/ws/src/meta-x"\nBBLAYERS = "/a"\n', 'BBLAYERS ?= ""\nBBLAYERS = "/a"\n'),
        # the line above ends without a blank, the one below begins without: the line stays
        ('BBLAYERS = "/a\\\n /ws/src/meta-x \\\n/b"\n', 'BBLAYERS = "/a\\\n  \\\n/b"\n'),
    ],
)
def test_removing(old: str, new: str) -> None:
    assert remove(old) == new
    assert remove(new) is new


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('A = "1"\nBBLAYERS = "/a" # x\n', 2, "text after the closing quote: '# x'"),
        ('BBLAYERS = "/a" # "x"\n', 1, "text after the closing quote"),
        ('\nBBLAYERS = "/a \\\n /b\n', 2, "without its closing quote"),
        ("BBLAYERS = /a\n", 1, "a value without quotes"),
        (' BBLAYERS = "/a"\n', 1, "begins with white space"),
        ('BBLAYERS = "/a"\n  # note\n', 2, "begins with white space"),
        ('BBLAYERS = "/a \\\n# /b \\\n  /c"\n', 2, "not for a comment"),
        ('# all \\\nBBLAYERS = "/a"\n', 1, "a comment ends in a backslash"),
        ("\\", 1, "nothing but a backslash"),
        ("for layer in x\n", 1, "this line"),
        ('\ufeffBBLAYERS = "/a"\n', 1, "this line"),
        ('BBLAYERS = "${BBLAYERS} /a"\n', 1, "refers to itself"),
        (f'L = "/q {NEW}"\nBBLAYERS = "/a ${{L}}"\n', 2, "already, through '${L}'"),
        ('BBLAYERS = "/ws/src"\nBBLAYERS .= "/meta-x"\n', 2, "already, through"),
    ],
)
def test_refused_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bblayers.edit(text, add=[NEW], places=HOST, path="conf/b.conf")
    assert caught.value.message.startswith(f"conf/b.conf:{line}: ")
    assert what in caught.value.message
    assert "\n" not in caught.value.message


def test_what_is_too_much_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than the limit"):
        add("#" * (bblayers.LIMIT + 1))


@pytest.mark.parametrize("value", ["${@", "${@{", "${@{}", "${@} ", "${A}", "a ", "{ ", "${@x} "])
def test_hostile_files_take_no_time_to_speak_of(value: str) -> None:
    full = value * (60_000 // len(value))
    began = time.process_time()
    for text in (full, "${@" + full, full + "}" * 5):
        with contextlib.suppress(ConfigError):
            add(f'A = "{"${B}" * 5}"\nB = "{"x" * 50}"\nBBLAYERS = "{text}"\n')
    assert time.process_time() - began < 10


@pytest.mark.parametrize("layer", ["/a b", '/a"', "/a\\", "", "/a\n", "/a#'"])
def test_paths_that_would_not_survive(layer: str) -> None:
    with pytest.raises(UsageFault, match="characters"):
        add(USUAL, layer)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("# x\nBBLAYERS = '/a'\n", 2, "single quotes: oebuild stops"),
        ('BBLAYERS:append = " /a"\n', 1, "BBLAYERS:append alone"),
        ('BBLAYERS =\t"/a"\n', 1, "does not recognise"),
        ("# nothing\n", 1, "no assignment of BBLAYERS"),
        ('BBLAYERS = "/a"\r\n', 1, "CR LF"),
        (f'BBLAYERS ?= "{NEW}"\nBBLAYERS := "/a"\n', 2, "a later assignment overrides it"),
        ("BBLAYERS = \"/a\"\nBBLAYERS += '/ws/src/meta-x'\n", 2, "a second time"),
        ('BBLAYERS = "/a"\nBBLAYERS .= "/b"\n', 1, "change the other layers"),
        ('BBLAYERS = "/a"\nBBLAYERS = \\\n"/b"\nX = "1"\n', 2, "would delete it and all below"),
    ],
)
def test_what_oebuild_would_damage(text: str, line: int, what: str) -> None:
    (problem, *_) = bblayers.oebuild_would_damage(text, [NEW], HOST)
    assert problem.line == line
    assert what in problem.message


def test_what_oebuild_leaves_alone() -> None:
    assert bblayers.oebuild_would_damage(USUAL, [NEW], HOST) == []
    assert bblayers.oebuild_would_damage(add('BBLAYERS = "/a"\r\n'), [NEW], HOST) == []
    assert bblayers.oebuild_would_damage(add("BBLAYERS = '/a'\n"), [NEW], HOST) == []


def test_the_layers_of_a_file() -> None:
    document = bblayers.parse(
        'D = "/d"\nBBLAYERS ?= "${D}/a"\nBBLAYERS:append = " /b /c"\nBBLAYERS:remove = "/b"\n'
        "BBLAYERS:append:arm = ' /n'\nBBLAYERS =+ \"/e\"\n"
    )
    assert document.values() == ["/e", "/d/a", "/c"]
    assert [layer.line for layer in document.layers] == [6, 2, 3]
    assert [layer.seen for layer in document.layers] == [True, True, False]
