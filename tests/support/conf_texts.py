# SPDX-License-Identifier: MIT
"""Hypothesis strategies for bblayers.conf texts: every operator and layout that BitBake accepts."""

from __future__ import annotations

from hypothesis import strategies as st

SRC = "/ws/src"
WANTED = f"{SRC}/yocto-poky/../meta-x"
SPELLINGS = (
    WANTED,
    f"{SRC}/meta-x",
    f"{SRC}/meta-x/",
    f"{SRC}/./meta-x",
    "/usr1/openeuler/src/yocto-poky/../meta-x",
    "${SRC_DIR}/meta-x",
    "${TOPDIR}/../../src/meta-x",
)
VARIABLES = {"TOPDIR": "/ws/build/b", "SRC_DIR": SRC}

others = st.sampled_from(
    [
        "/a/meta",
        "/a/meta-poky",
        "${TOPDIR}/../meta-y",
        f"{SRC}/meta-xx",
        "${@'/p/q'}",
        "/a+b/c.d~",
        "${MORE}",
    ]
)
layers = st.one_of(others, others, others, st.sampled_from(SPELLINGS))
blanks = st.sampled_from([" ", "  ", "\t", "   \t"])
maybe_blank = st.sampled_from(["", " ", " ", " ", "\t"])
operators = st.sampled_from(["=", "?=", "??=", ":=", "+=", ".=", "=.", "=+"])
names = st.sampled_from(
    ["BBLAYERS"] * 6 + ["BBLAYERS:append", "BBLAYERS:prepend", "BBLAYERS:remove"]
)


@st.composite
def values(draw: st.DrawFn, newline: str) -> str:
    """The inside of the quotes, on one line or several, neat or odd."""
    items = draw(st.lists(layers, max_size=4))
    match draw(st.integers(0, 3)):
        case 0:
            text = " ".join(items)
        case 1:
            lead = draw(blanks)
            text = "".join(lead + item for item in items) + draw(maybe_blank)
        case 2:  # the usual layout: one a line
            indent = draw(st.sampled_from(["  ", "    ", "\t", "", " \t "]))
            before = draw(st.sampled_from([" ", " ", "  ", "\t"]))
            text = before + "\\" + newline
            text += "".join(f"{indent}{item}{before}\\{newline}" for item in items)
            text += draw(st.sampled_from(["", indent]))
        case _:  # anything
            text = draw(maybe_blank)
            for item in items:
                text += item + draw(
                    st.sampled_from(
                        [" ", "\t", f" \\{newline} ", f"\\{newline}\t", f" \\ {newline}"]
                    )
                )
            text += draw(st.sampled_from(["", f"\\{newline}", f"  \\{newline}\t"]))
    return text


@st.composite
def assignments(draw: st.DrawFn, newline: str) -> str:
    """One assignment to BBLAYERS."""
    name, quote = draw(names), draw(st.sampled_from(['"', '"', '"', "'"]))
    value = draw(values(newline))
    if quote in value:
        quote = '"'
    operator = draw(operators) if ":" not in name else "="
    end = draw(st.sampled_from(["", "", "", " ", "\t"]))
    return f"{name}{draw(maybe_blank)}{operator}{draw(maybe_blank)}{quote}{value}{quote}{end}"


fillers = st.sampled_from(
    [
        "",
        "",
        "# a comment",
        '#BBLAYERS = "/commented"',
        "  ",
        'BBPATH = "${TOPDIR}"',
        "BBFILES ?= ''",
        f'SRC_DIR = "{SRC}"',
        'BBLAYERS[doc] = "words"',
        'BBLAYERS_NON_REMOVABLE ?= "/a/meta"',
        'OTHER = " \\\n  # no layer \\\n  x"',
        "# two \\\n# lines",
    ]
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A whole bblayers.conf that BitBake can read."""
    newline = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    parts = draw(
        st.lists(st.one_of(assignments(newline), fillers, assignments(newline)), max_size=6)
    )
    text = newline.join(part.replace("\n", newline) if part in FIXED else part for part in parts)
    return text + draw(st.sampled_from([newline, newline, newline, ""]))


FIXED = frozenset(['OTHER = " \\\n  # no layer \\\n  x"', "# two \\\n# lines"])

# Pieces that make a line nearly right: what BitBake refuses is to be refused too.
_PIECES = ["BBLAYERS", "A", ":", ".", " = ", " ?= ", "+=", '"', '"', "'", "\\", "#", " ", "/a"]
_PIECES += ["${A}", "unset A", "export ", "[f]", "@", "é", 'A = "', '"\n', "\\\n", "\n", "\r\n"]
_PIECES += ["\r", "\t", "\f", "\u3000", "\x85", "\ufeff"]
noise = st.lists(st.sampled_from(_PIECES), max_size=14).map("".join)
