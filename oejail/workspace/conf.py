# SPDX-License-Identifier: MIT
"""BitBake's configuration language (`*.conf`), as far as oejail reads it: statements and values.

Pure: text in, values out. What is accepted was read off BitBake 2.19's ConfHandler and tried
against it (tests/unit/test_workspace_conf.py); the differences of 1.50 and 2.0 are noted where
they matter. Every value remembers where in the text it stands, so that an editor can change one
word and leave every other byte alone.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from oejail.errors import ConfigError

# As Python's text mode (and so BitBake's and oebuild's readline) ends a line; str.splitlines
# would also split at form feeds and Unicode separators.
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")

_NAME = r"[A-Za-z0-9_.+${}/~:-]"
_ASSIGNMENT = re.compile(
    rf"(?:export\s+)?(?P<name>{_NAME}*?)"
    r"(?:\[(?P<flag>[A-Za-z0-9_.+-][A-Za-z0-9_.+@/-]*)\])?"
    r"\s*(?P<op>\?\?=|:=|\?=|\+=|=\+|\.=|=\.|=)\s*"
    r"(?P<quote>['\"])(?P<value>.*)(?P=quote)"
)
_INCLUDE = re.compile(r"(?:include|require|include_all)\s+(?P<file>.+)")
_PLAIN = r"[A-Za-z0-9_.+${}/~-]+"
_UNSET = re.compile(rf"unset\s+(?P<name>{_PLAIN})")
_OTHER = re.compile(
    rf"export\s+{_PLAIN}$|unset\s+{_PLAIN}\[[A-Za-z0-9_.+-][A-Za-z0-9_.+@-]+\]$"
    r"|addpylib\s+.+\s+.|addfragments\s+.+\s+.+\s+.+\s+."
)

# `:append` and its kin act when the variable is read; `_append` is how BitBake before 1.52 wrote
# it (later ones refuse the file). The override after it is never upper case.
_DEFERRED = re.compile(
    r"(?P<base>.*?)(?P<sign>[:_])(?P<keyword>append|prepend|remove)(?:(?P=sign)(?P<override>[^A-Z]*))?$"
)

_INLINE = "${@"
_WORD = re.compile(r"\S+")
_BRACE = re.compile(r"[{}]")
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_.+/~:-]+)\}")
_MAX_EXPANDED = 1 << 16
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: text[start:end] with its line ends, beginning on `line` (from 1)."""

    line: int
    start: int
    end: int
    kind: str
    """`assign`, `include`, `unset` or `other`."""
    name: str = ""
    """Variable without keyword and override; the file of an include."""
    op: str = ""
    quote: str = ""
    value: str = ""
    """Between the quotes, continued lines joined as BitBake joins them."""
    keyword: str = ""
    """`append`, `prepend`, `remove` or empty."""
    override: str = ""
    flag: str = ""
    joints: tuple[tuple[int, int], ...] = ()
    """Pairs (offset in value, offset in text): the value's parts, one a line."""

    def position(self, offset: int) -> int:
        """Where in the text the value's character `offset` stands."""
        index = bisect_right(self.joints, (offset, 1 << 62)) - 1
        in_value, in_text = self.joints[index]
        return in_text + offset - in_value

    def end_position(self, offset: int) -> int:
        """The text position just behind the value's character `offset - 1`."""
        return self.position(offset - 1) + 1 if offset else self.position(0)


def statements(text: str, path: str, *, lenient: bool = False) -> list[Statement]:
    """All statements of a configuration file, comments and blank lines left out.

    Raises ConfigError (`path:line: …`) at the first thing that BitBake could not parse; with
    `lenient` such lines are passed over.
    """
    found = []
    for line, start, end, joined, joints in _logical_lines(text, path, lenient):
        statement = _statement(line, start, end, joined, joints)
        if statement is not None:
            found.append(statement)
        elif not lenient:
            raise ConfigError(f"{path}:{line}: BitBake cannot parse {_why(joined)}")
    return found


def _logical_lines(
    text: str, path: str, lenient: bool
) -> Iterator[tuple[int, int, int, str, tuple[tuple[int, int], ...]]]:
    """(line, start, end, joined text, joints) of each statement, lines joined as BitBake does."""
    physical = [(m[1].rstrip(), m.start(), m.end()) for m in _LINE.finditer(text)]
    if physical and physical[-1][1] == physical[-1][2]:
        physical.pop()
    index = 0
    while index < len(physical):
        first = index
        joined, start, end = physical[index]
        index += 1
        if not joined:
            continue
        joints = [(0, start)]
        while joined.endswith("\\"):
            part, at, end = physical[index] if index < len(physical) else ("", end, end)
            index += 1
            if joined[0] == "#" and not part.startswith("#") and not lenient:
                raise ConfigError(
                    f"{path}:{first + 1}: a comment ends in a backslash and the next line is none: "
                    "BitBake refuses that",
                    hint="remove the backslash",
                )
            joined = joined[:-1]
            joints.append((len(joined), at))
            joined += part
        if joined and joined[0] != "#":
            yield first + 1, start, end, joined, tuple(joints)
        elif not joined and not lenient:
            raise ConfigError(f"{path}:{first + 1}: nothing but a backslash, which BitBake refuses")


def _statement(
    line: int, start: int, end: int, joined: str, joints: tuple[tuple[int, int], ...]
) -> Statement | None:
    if match := _ASSIGNMENT.fullmatch(joined):
        value, quote = match["value"], match["quote"]
        if value.count(quote) == 1 or not match["name"]:
            return None  # three quotes: one of them is missing or misplaced
        name, keyword, override = match["name"], "", ""
        if deferred := _DEFERRED.fullmatch(name):
            name, keyword = deferred["base"], deferred["keyword"]
            override = deferred["override"] or ""
        # The joints of the value alone, counted from its first character.
        begin = match.start("value")
        inside = tuple((max(at, begin) - begin, pos + max(begin - at, 0)) for at, pos in joints)
        last = max(i for i, (at, _) in enumerate(joints) if at <= begin)
        return Statement(
            line,
            start,
            end,
            "assign",
            name,
            match["op"],
            quote,
            value,
            keyword,
            override,
            match["flag"] or "",
            inside[last:],
        )
    if match := _INCLUDE.match(joined):
        return Statement(line, start, end, "include", match["file"])
    if match := _UNSET.fullmatch(joined):
        return Statement(line, start, end, "unset", match["name"])
    if _OTHER.match(joined):
        return Statement(line, start, end, "other")
    return None


def _why(joined: str) -> str:
    """What is wrong with a line that is no statement, in one line."""
    shown = joined if len(joined) <= 60 else joined[:57] + "…"
    if joined[0].isspace():
        return f"a line that begins with white space: {shown.strip()!r}"
    head = re.match(rf"{_NAME}+(?:\[[^]]*\])?\s*(?:\?\?=|[?+:.]?=[+.]?)\s*(.*)", joined)
    if head is None:
        return f"this line: {shown!r}"
    rest = head[1]
    if not rest.startswith(("'", '"')):
        return f"a value without quotes: {shown!r}"
    if rest.count(rest[0]) == 1:
        return f"a value without its closing quote (is a backslash missing?): {shown!r}"
    return f"text after the closing quote: {rest[rest.index(rest[0], 1) + 1 :].strip()!r}"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a statement's value within a variable's value; no statement: a separator."""

    text: str
    statement: Statement | None = None
    offset: int = 0
    """Of the first character in the statement's value."""


@dataclass(frozen=True, slots=True)
class Word:
    """A white-space separated word of a variable's value."""

    text: str
    statement: Statement | None
    """Where it stands; None when it is glued together from several statements."""
    offset: int = 0
    """Of the first character in the statement's value."""

    @property
    def start(self) -> int:
        """Position in the text."""
        assert self.statement is not None
        return self.statement.position(self.offset)

    @property
    def end(self) -> int:
        """Position in the text just behind the word."""
        assert self.statement is not None
        return self.statement.end_position(self.offset + len(self.text))


class Variable:
    """What BitBake makes of the assignments to one variable of a file, override names aside.

    Nothing sets OVERRIDES while bblayers.conf and layer.conf are read, so that `X:name = …` and
    `X:append:name = …` have no effect there.
    """

    def __init__(self, name: str, found: Iterable[Statement]) -> None:
        """`found`: the file's statements, in order; those of other variables do not matter."""
        self.name = name
        self._forget()
        for statement in found:
            if statement.name == name and not statement.flag:
                if statement.kind == "unset":
                    self._forget()
                elif statement.kind == "assign":
                    self._assign(statement)

    def _forget(self) -> None:
        self.content: list[Piece] | None = None
        self.weak: list[Piece] | None = None
        self.appends: list[list[Piece]] = []
        self.prepends: list[list[Piece]] = []
        self.removals: list[list[Piece]] = []

    def _assign(self, new: Statement) -> None:
        pieces = [Piece(new.value, new)]
        space = [Piece(" ")]
        if new.keyword:
            if new.op == "??=" or new.override:
                return
            if new.op in ("+=", "=+"):
                pieces = space + pieces if new.op == "+=" else pieces + space
            kind = {"append": self.appends, "prepend": self.prepends, "remove": self.removals}
            kind[new.keyword].append(pieces)
            return
        old = self.content or []
        match new.op:
            case "=":
                self.content = pieces
            case ":=":
                self.content = self._inserted(new)
            case "?=":
                self.content = pieces if self.content is None else self.content
            case "??=":
                self.weak = pieces
            case "+=":
                self.content = old + space + pieces
            case "=+":
                self.content = pieces + space + old
            case ".=":
                self.content = old + pieces
            case "=.":
                self.content = pieces + old

    def _inserted(self, new: Statement) -> list[Piece]:
        """The pieces of an immediate value; a reference to the variable itself is its old value."""
        pieces: list[Piece] = []
        at = 0
        old = self.pieces()
        size = sum(len(piece.text) for piece in old) + len(old)
        for match in re.finditer(re.escape(f"${{{self.name}}}"), new.value):
            if len(pieces) * size > _MAX_EXPANDED * 16:
                break  # doubled again and again; BitBake would run out of memory
            pieces.append(Piece(new.value[at : match.start()], new, at))
            pieces += old
            at = match.end()
        return [*pieces, Piece(new.value[at:], new, at)]

    def pieces(self) -> list[Piece]:
        """The value before removals, in pieces."""
        pieces = list((self.weak if self.content is None else self.content) or [])
        for more in self.appends:
            pieces += more
        for more in self.prepends:
            pieces = more + pieces
        return pieces

    @property
    def is_set(self) -> bool:
        """False when nothing gives the variable a value."""
        return bool(self.content is not None or self.weak is not None or self.pieces())

    @property
    def text(self) -> str:
        """The value, unexpanded, before removals."""
        return "".join(piece.text for piece in self.pieces())

    def words(self) -> list[Word]:
        """The words of the value, before removals."""
        return _words(self.pieces())

    def removed(self) -> list[Word]:
        """The words that `:remove` names."""
        return [word for pieces in self.removals for word in _words(pieces)]


def _words(pieces: Sequence[Piece]) -> list[Word]:
    """The words of pieces put together, each with the one statement it stands in."""
    starts, at = [], 0
    for piece in pieces:
        starts.append(at)
        at += len(piece.text)
    words = []
    text = "".join(piece.text for piece in pieces)
    for begin, end in _spans(text):
        index = bisect_right(starts, begin) - 1
        piece = pieces[index]
        inside = begin - starts[index]
        if inside + end - begin > len(piece.text):
            words.append(Word(text[begin:end], None))
        else:
            words.append(Word(text[begin:end], piece.statement, piece.offset + inside))
    return words


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the words are: BitBake splits a list at white space after expansion, so an inline
    Python expression, which may contain white space, is (part of) one word here."""
    if _INLINE not in text:
        for match in _WORD.finditer(text):
            yield match.span()
        return
    begin, at = None, 0
    while at < len(text):
        inline = text.startswith(_INLINE, at) and inline_end(text, at)
        if not inline and text[at].isspace():
            if begin is not None:
                yield begin, at
            begin = None
        elif begin is None:
            begin = at
        at = inline or at + 1
    if begin is not None:
        yield begin, at


def inline_end(text: str, start: int) -> int:
    """Where the inline Python that begins at `start` ends, 0 when it does not.

    As BitBake finds it: at the first brace that closes, one pair of braces within passed over.
    """
    at, last, closed = start + len(_INLINE), text.rfind("}"), 0
    first = True
    while at <= last:
        brace = _BRACE.search(text, at)
        assert brace is not None
        at = brace.start()
        if brace[0] == "{":
            at = closed = text.index("}", at) + 1
        elif first and at == start + len(_INLINE):
            at += 1  # an expression is never empty
        else:
            return at + 1
        first = False
    return closed


def without_inline(text: str) -> str:
    """`text` without its inline Python."""
    at = text.find(_INLINE)
    while at >= 0:
        end = inline_end(text, at)
        text = text[:at] + text[end:] if end else text
        at = text.find(_INLINE, at if end else at + 1)
    return text


def value_words(statement: Statement) -> list[Word]:
    """The words of one statement's value, whether or not they have an effect."""
    return _words([Piece(statement.value, statement)])


class Scope:
    """The variables of a file, and `given` (TOPDIR and the like) for those that it does not set."""

    def __init__(self, found: Iterable[Statement], given: Mapping[str, str] | None = None) -> None:
        self.given = given or {}
        self.own: dict[str, list[Statement]] = {}
        self.known: dict[str, str | None] = {}
        self.depth = 0
        for statement in found:
            if statement.kind in ("assign", "unset") and not statement.flag:
                self.own.setdefault(statement.name, []).append(statement)

    def variable(self, name: str) -> Variable:
        """What the file makes of a variable."""
        return Variable(name, self.own.get(name, ()))

    def expand(self, text: str) -> str:
        """`text` with known references replaced; the others and inline Python stay as they are."""
        if "${" not in text or self.depth > _MAX_DEPTH:
            return text
        self.depth += 1
        expanded = _REFERENCE.sub(self._reference, text)
        self.depth -= 1
        return expanded if len(expanded) <= _MAX_EXPANDED else text

    def _reference(self, match: re.Match[str]) -> str:
        name = match[1]
        if name not in self.known:
            self.known[name] = None  # a variable that refers to itself stays as it is
            variable = self.variable(name)
            value = variable.text if variable.is_set else self.given.get(name)
            self.known[name] = None if value is None else self.expand(value)
        value = self.known[name]
        return match[0] if value is None else value
