# SPDX-License-Identifier: MIT
"""Changing words of a list variable in a BitBake configuration file and keeping its looks.

Pure functions on the text. They keep indentation, line ends and quoting, and do not judge: the
caller parses the result again and looks whether the value is what it wanted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from oejail.workspace.conf import Statement, Word, value_words

_TAIL = re.compile(r"([^\S\r\n]*\\[^\S\r\n]*)(\r\n|\n|\r)")
_BLANKS = re.compile(r"[^\S\r\n]*")
_NEWLINE = re.compile(r"\r\n|\n|\r")
_EMPTY_VALUE = re.compile(r"(['\"])(?:\s|\\(?=\s*[\r\n]))*\1\s*$")
_SPACES = " \t\f\v"
_ADDS = ("+=", "=+", ".=", "=.")


def _line_start(text: str, at: int) -> int:
    return max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1


def _newline_near(text: str, at: int) -> str:
    """The line end that is in use around `at`."""
    after = _NEWLINE.search(text, at)
    before = _NEWLINE.search(text)
    return after[0] if after else before[0] if before else "\n"


def replace(text: str, word: Word, new: str, drop: Sequence[Word]) -> str:
    """`text` with `word` replaced by `new` and the words `drop` deleted."""
    changes = sorted([*drop, word], key=lambda w: w.start, reverse=True)
    for change in changes:
        if change is word:
            text = text[: word.start] + new + text[word.end :]
        else:
            text = _deleted(text, change)
    return text


def delete(text: str, words: Sequence[Word], *, drop_empty: bool = False) -> str:
    """`text` without `words`, and without the lines that held nothing else.

    An assignment that only added to the variable and is left empty goes too with `drop_empty`.
    """
    # From the end, so that what comes before keeps its place.
    ordered = sorted(words, key=lambda word: word.start, reverse=True)
    for word, following in zip(ordered, [*ordered[1:], None], strict=True):
        text = _deleted(text, word)
        statement = word.statement
        last = following is None or following.statement is not statement
        if drop_empty and last and statement and (statement.op in _ADDS or statement.keyword):
            end = _statement_end(text, statement)
            if _EMPTY_VALUE.search(text[statement.start : end]):
                text = text[: statement.start] + text[end:]
    return text


def _statement_end(text: str, statement: Statement) -> int:
    """Where `statement` ends now, after deletions within it."""
    at = statement.start
    while True:
        newline = _NEWLINE.search(text, at)
        if newline is None:
            return len(text)
        line = text[at : newline.start()].rstrip()
        at = newline.end()
        if not line.endswith("\\"):
            return at


def _deleted(text: str, word: Word) -> str:
    start, end = word.start, word.end
    line = _line_start(text, start)
    first_on_line = not text[line:start].strip()
    tail = _TAIL.match(text, end)
    if first_on_line and tail:
        # What stands on the lines above and below must not become one word.
        above = text[:line].rstrip("\r\n").rstrip(_SPACES).removesuffix("\\")
        below = text[tail.end() : tail.end() + 1]
        if above[-1:].isspace() or below.isspace():
            return text[:line] + text[tail.end() :]
    after = _BLANKS.match(text, end)
    assert after is not None and word.statement is not None
    blanks = start - len(text[line:start]) + len(text[line:start].rstrip())
    first_in_value = blanks <= word.statement.position(0)
    if first_on_line or first_in_value:
        if tail is None and text[after.end() : after.end() + 1] != word.statement.quote:
            return text[:start] + text[after.end() :]
        return text[: start if first_on_line else blanks] + text[end:]
    return text[:blanks] + text[end:]


def insertions(text: str, statement: Statement, new: str, *, alone: bool) -> Iterator[str]:
    """Ways to have the word `new` come after the others in `statement`, the best first.

    Among assignments of one layer each (not `alone`) a line of the same kind is put below it.
    """
    words = value_words(statement)
    single = len(statement.joints) == 1 and len(words) == 1
    if single and not alone and statement.op in ("+=", ".="):
        word = words[0]
        clone = text[statement.start : word.start] + new + text[word.end : statement.end]
        yield _below(text, statement, clone)
    if not words:
        yield _into_empty(text, statement, new)
        return
    yield _behind(text, statement, words, new)
    begin = words[0].start  # where another statement's value follows without a blank
    yield f"{text[:begin]}{new} {text[begin:]}"


def _behind(text: str, statement: Statement, words: Sequence[Word], new: str) -> str:
    """`text` with `new` behind the last word: on a line of its own where the words have such."""
    end = words[-1].end
    if len(statement.joints) == 1:
        return f"{text[:end]} {new}{text[end:]}"
    indent = _indent(text, statement, words)
    tail = _TAIL.match(text, end)
    if tail:
        indent = indent or ("" if tail[1][0].isspace() else " ")
        return text[: tail.end()] + indent + new + tail[0] + text[tail.end() :]
    newline = _newline_near(text, statement.start)
    return f"{text[:end]} \\{newline}{indent}{new}{text[end:]}"


def _indent(text: str, statement: Statement, words: Sequence[Word]) -> str:
    """The white space before the last word that begins a line, else two blanks."""
    for word in reversed(words):
        line = _line_start(text, word.start)
        before = text[line : word.start]
        if line > statement.start and not before.strip():
            return before
        if line > statement.start:
            return before[: len(before) - len(before.lstrip())]
    return "  "


def _into_empty(text: str, statement: Statement, new: str) -> str:
    at = statement.joints[0][1]
    tail = _TAIL.match(text, at)
    if tail:
        space = "" if tail[1][0].isspace() else " "
        return f"{text[: tail.end()]}  {new}{space}{tail[0]}{text[tail.end() :]}"
    before = " " if statement.op == ".=" or statement.keyword == "append" else ""
    after = " " if statement.op == "=." or statement.keyword == "prepend" else ""
    return text[:at] + before + new + after + text[at:]


def new_statement(text: str, own: Sequence[Statement], line: str) -> str:
    """`text` with `line` below the last of the variable's `own` statements, or at its end."""
    newline = _newline_near(text, own[-1].start if own else 0)
    if own:
        return _below(text, own[-1], line + newline)
    missing = newline if text and text[-1] not in "\r\n" else ""
    return text + missing + line + newline


def _below(text: str, statement: Statement, added: str) -> str:
    """`added`, a whole line, below `statement`."""
    newline = _newline_near(text, statement.start)
    at = statement.end
    missing = newline if text[at - 1] not in "\r\n" else ""
    if not added.endswith(("\r", "\n")):
        added += newline
    return text[:at] + missing + added + text[at:]
