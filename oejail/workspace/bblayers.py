# SPDX-License-Identifier: MIT
"""The editor of conf/bblayers.conf: layers in, layers out, every other byte as it was.

Pure: text in, text out. `edit` adds exactly the spelling that oebuild writes at every
`oebuild bitbake`, in an assignment that oebuild sees, so that its own editor (modelled in
`oebuild_editor.py`) then finds nothing to do; another spelling of the same layer is turned into
it. A file that BitBake could not parse, or that cannot be edited without changing what else it
says, is refused with its line.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from oejail.errors import ConfigError, UsageFault
from oejail.workspace import layout, oebuild_editor
from oejail.workspace.conf import (
    Scope,
    Statement,
    Variable,
    Word,
    statements,
    value_words,
    without_inline,
)
from oejail.workspace.model import CONTAINER_SRC

LIMIT = 64 * 1024
"""Bytes of a bblayers.conf; real ones have some 2000."""

# One of the first few is good, but for files that were made to have none.
_MAX_WAYS = 40
_SAFE = re.compile(r"(?:[A-Za-z0-9._/+@:-]|\$\{[A-Za-z0-9_]+\})+")


@dataclass(frozen=True)
class Places:
    """What makes two spellings one layer.

    `src`: prefixes that all mean the workspace's src/, the container's included. `variables`:
    what BitBake knows before it reads the file (TOPDIR).
    """

    src: tuple[str, ...] = (CONTAINER_SRC,)
    variables: Mapping[str, str] = field(default_factory=dict)

    def key(self, path: str) -> str:
        """The same string for every spelling of one layer: `src:REL`, or a normal path."""
        normal = posixpath.normpath(path)
        if normal.startswith("//"):
            normal = normal[1:]
        for prefix in self.src:
            if normal == prefix or normal.startswith(prefix + "/"):
                return "src:" + normal[len(prefix) + 1 :]
        return normal


@dataclass(frozen=True)
class Layer:
    """A layer as the file names it and BitBake sees it."""

    word: Word
    expanded: str
    keys: tuple[str, ...]
    """One, but for a reference to a variable that holds several layers."""
    seen: bool
    """oebuild's editor sees it too."""

    @property
    def line(self) -> int:
        """Line of the assignment (from 1); 0 when it is glued together from several."""
        return self.word.statement.line if self.word.statement else 0


@dataclass(frozen=True)
class Problem:
    """Something in the file that stands in the way, with its line (from 1)."""

    line: int
    message: str


class Document:
    """A parsed bblayers.conf; making one raises ConfigError (`path:line: …`) as `parse` does."""

    def __init__(self, text: str, path: str, places: Places) -> None:
        self.text = text
        self.path = path
        self.places = places
        if len(text) > LIMIT:
            raise ConfigError(f"{path}: {len(text)} characters, more than the limit of {LIMIT}")
        self.statements = statements(text, path)
        self.includes = [s for s in self.statements if s.kind == "include"]
        self.scope = Scope(self.statements, places.variables)
        self.own = self.scope.own.get("BBLAYERS", [])
        for statement in self.own:
            self._check(statement)
        self.variable = Variable("BBLAYERS", self.own)
        self._seen = {
            seen.first + 1: {oebuild_editor.plain(word) for word in seen.words}
            for seen in oebuild_editor.scan(text).seen
        }
        gone = {self.scope.expand(word.text) for word in self.variable.removed()}
        self.named = [self._layer(word) for word in self.variable.words()]
        """What the assignments name, before `:remove`."""
        self.layers = [layer for layer in self.named if layer.expanded not in gone]

    def _check(self, statement: Statement) -> None:
        where = f"{self.path}:{statement.line}"
        if statement.kind != "assign":
            return
        for word in value_words(statement):
            bare = without_inline(word.text)
            if statement.quote in bare:
                raise ConfigError(f"{where}: text after the closing quote: near {word.text!r}")
            if bare.startswith("#"):
                line = self.text.count("\n", 0, word.start) + 1
                raise ConfigError(
                    f"{self.path}:{line}: {word.text!r} within the value of BBLAYERS: BitBake "
                    "takes it for a layer, not for a comment",
                    hint="move it out of the quotes, or delete that line",
                )
        if "${BBLAYERS}" in statement.value and statement.op != ":=":
            raise ConfigError(f"{where}: BBLAYERS refers to itself, which BitBake cannot expand")

    def _layer(self, word: Word) -> Layer:
        expanded = self.scope.expand(word.text)
        keys = tuple(self.places.key(part) for part in expanded.split()) or (expanded,)
        seen = word.statement is not None and oebuild_editor.plain(word.text) in self._seen.get(
            word.statement.line, ()
        )
        return Layer(word, expanded, keys, seen)

    def key(self, path: str) -> str:
        """What `path` has in common with all other spellings of the same layer."""
        return self.places.key(self.scope.expand(path))

    def sees(self, statement: Statement) -> bool:
        """True when oebuild's editor sees this assignment."""
        return statement.line in self._seen

    def visible(self, word: Word) -> bool:
        """True when oebuild's editor sees the assignment that holds this word."""
        return word.statement is not None and self.sees(word.statement)

    def effective(self) -> list[Statement]:
        """The assignments that make up the value, those that add at its end last to first."""
        found = {id(p.statement): p.statement for p in self.variable.pieces() if p.statement}
        ordered = sorted(found.values(), key=lambda s: s.start, reverse=True)
        return sorted(ordered, key=lambda s: s.op in ("=+", "=.") or s.keyword == "prepend")

    def having(self, key: str) -> list[Layer]:
        """The layers with `key`, in order."""
        return [layer for layer in self.layers if key in layer.keys]

    def mentions(self, path: str) -> list[Word]:
        """Every word that names the layer, also where it has no effect; `:remove` left out."""
        key = self.key(path)
        whole = {layer.word.start for layer in self.named if layer.word.statement}
        used = {statement.start for statement in self.effective()}
        return [
            word
            for statement in self.own
            if statement.kind == "assign" and statement.keyword != "remove"
            for word in value_words(statement)
            # In an assignment that counts, only what is a word there too: `.=` may glue.
            if self.key(word.text) == key and (statement.start not in used or word.start in whole)
        ]

    def values(self) -> list[str]:
        """BBLAYERS as BitBake evaluates it, as far as the file itself says it."""
        return [part for layer in self.layers for part in layer.expanded.split()]


def parse(text: str, path: str = "conf/bblayers.conf", places: Places | None = None) -> Document:
    """Read a bblayers.conf; ConfigError (`path:line: …`) where BitBake could not."""
    return Document(text, path, places or Places())


def edit(
    text: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    places: Places | None = None,
    path: str = "conf/bblayers.conf",
) -> str:
    """`text` without the layers `remove` and with each of `add` once, in exactly that spelling.

    A layer to remove may be given in any spelling. A text that needs no change is returned as it
    is. Raises UsageFault for a path that would not survive in the file, ConfigError
    (`path:line: …`) when the file cannot be parsed, or not changed without changing more.
    """
    document = parse(text, path, places)
    for layer in add:
        if not _SAFE.fullmatch(layer):
            raise UsageFault(
                f"layer {layer!r}: characters that a layer's path in bblayers.conf cannot have",
                hint="use letters, digits and . _ / + @ : -",
            )
    for layer in remove:
        document = _without(document, layer)
    for layer in add:
        document = _with(document, layer.rstrip("/") or "/")
    return document.text


def _with(document: Document, spelling: str) -> Document:
    key = document.key(spelling)
    layers = [layer for layer in document.named if key in layer.keys]
    banned = [w for w in document.variable.removed() if w.statement and document.key(w.text) == key]
    if len(layers) == 1 and layers[0].seen and layers[0].word.text == spelling and not banned:
        return document
    for layer in layers:
        if layer.word.statement is None or len(layer.keys) > 1:
            raise _refusal(
                document, layer, f"{spelling} is in BBLAYERS already, through {layer.word.text!r}"
            )
    wanted = [layer.expanded for layer in document.layers if key not in layer.keys]
    fallback = None
    for text in islice(_ways_to_add(document, spelling, layers, banned), _MAX_WAYS):
        result = _reparsed(document, text)
        if result is None or [x.expanded for x in result.layers if key not in x.keys] != wanted:
            continue
        new = result.having(key)
        if len(new) != 1 or new[0].word.text != spelling:
            continue
        if new[0].seen:
            return result
        fallback = fallback or result
    if fallback is not None:
        # Once more from there, until nothing gets better: the same call again changes nothing.
        return document if fallback.text == document.text else _with(fallback, spelling)
    raise ConfigError(
        f"{document.path}:{document.own[-1].line if document.own else 1}: cannot add {spelling} "
        "here without changing the other layers",
        hint="write BBLAYERS as plain assignments in double quotes",
    )


def _ways_to_add(
    document: Document, spelling: str, layers: list[Layer], banned: list[Word]
) -> Iterator[str]:
    """Texts that may have `spelling` in them, the best way first; not all are good."""
    text = document.text

    def in_place(keep: Layer) -> str:
        others = [layer.word for layer in layers if layer is not keep]
        return layout.replace(text, keep.word, spelling, [*others, *banned])

    ordered = sorted(layers, key=lambda layer: layer.word.text != spelling)
    visible = [layer for layer in ordered if document.visible(layer.word)]
    hidden = [layer for layer in ordered if not document.visible(layer.word)]
    yield from map(in_place, visible)
    base: Document | None = document
    if layers or banned:
        words = [layer.word for layer in layers] + banned
        base = _reparsed(document, layout.delete(text, words))
    if base is not None:
        places = [s for s in base.effective() if base.sees(s)]
        for statement in places:
            yield from layout.insertions(base.text, statement, spelling, alone=len(base.own) == 1)
        # The second and third for where `:append` or `:prepend` bring no blank with them.
        for line in ('+= "{}"', '=+ "{}"', '+= " {} "'):
            line = f"BBLAYERS {line.format(spelling)}"
            yield layout.new_statement(base.text, base.own, line)
    # Where oebuild does not see it. BitBake does; the check before a build tells what is wrong.
    yield from map(in_place, hidden)
    if base is not None:
        for statement in base.effective():
            yield from layout.insertions(base.text, statement, spelling, alone=True)


def _without(document: Document, layer: str) -> Document:
    key = document.key(layer)
    for found in document.having(key):
        if found.word.statement is None or len(found.keys) > 1:
            raise _refusal(document, found, f"{layer} is in BBLAYERS through {found.word.text!r}")
    words = document.mentions(layer)
    if not words:
        return document
    wanted = [found.expanded for found in document.layers if key not in found.keys]
    for drop_empty in (True, False):
        result = _reparsed(document, layout.delete(document.text, words, drop_empty=drop_empty))
        if result is not None and [found.expanded for found in result.layers] == wanted:
            return result
    line = words[0].statement.line if words[0].statement else 1
    raise ConfigError(
        f"{document.path}:{line}: cannot remove {layer} without changing the other layers",
        hint="remove it by hand",
    )


def _reparsed(document: Document, text: str) -> Document | None:
    try:
        return Document(text, document.path, document.places)
    except ConfigError:
        return None


def _refusal(document: Document, layer: Layer, what: str) -> ConfigError:
    line = layer.line or document.own[-1].line
    return ConfigError(
        f"{document.path}:{line}: {what}", hint="write the layers there out, one path each"
    )


def oebuild_would_damage(
    text: str,
    layers: Sequence[str],
    places: Places | None = None,
    path: str = "conf/bblayers.conf",
) -> list[Problem]:
    """What goes wrong when the next `oebuild bitbake` adds `layers` (spelled as it does).

    Empty when it leaves the file alone, or merely adds what is missing. Raises ConfigError where
    BitBake could not read the file as it is.
    """
    document = parse(text, path, places)
    effect = oebuild_editor.apply(text, layers)
    if effect.text is None:
        line, why = _unseen(document)
        return [Problem(line, f"{why}: oebuild stops with 'Unable to find BBLAYERS'")]
    problems = []
    if effect.changed and "\r" in text:
        line = text.count("\n", 0, text.index("\r")) + 1
        problems.append(Problem(line, "oebuild would turn all CR LF line ends into LF"))
    if effect.changed and effect.scan.lost_from is not None:
        line = effect.scan.lost_from + 1
        problems.append(
            Problem(line, "oebuild does not see where this ends and would delete it and all below")
        )
    try:
        after = Document(effect.text, path, document.places)
    except ConfigError as error:
        return [*problems, Problem(1, f"BitBake could not read what oebuild makes of it: {error}")]
    for layer in layers:
        there = after.having(after.key(layer))
        if len(there) == 1:
            continue
        named = [found.line for found in document.having(document.key(layer)) if found.line]
        line = named[0] if named else document.own[-1].line
        what = f"a second time ({', '.join(found.word.text for found in there)})"
        if not there:
            what = "where a later assignment overrides it"
        problems.append(Problem(line, f"oebuild would have {layer} {what}"))
    keys = {document.key(layer) for layer in layers}
    before_rest = [x.expanded for x in document.layers if not keys & set(x.keys)]
    after_rest = [x.expanded for x in after.layers if not keys & set(x.keys)]
    if not problems and before_rest != after_rest:
        line = effect.scan.seen[0].first + 1
        problems.append(Problem(line, "oebuild would change the other layers"))
    return problems


def _unseen(document: Document) -> tuple[int, str]:
    """Line and reason why oebuild sees no assignment of BBLAYERS at all."""
    for statement in document.own:
        if statement.kind != "assign":
            continue
        if statement.keyword:
            return statement.line, f"BBLAYERS:{statement.keyword} alone, no plain assignment"
        if statement.quote == "'":
            return statement.line, "BBLAYERS in single quotes"
        return statement.line, "BBLAYERS written in a way that oebuild does not recognise"
    return 1, "no assignment of BBLAYERS"
