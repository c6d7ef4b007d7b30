# SPDX-License-Identifier: MIT
"""A memory map as SVG: for a screen and, by its patterns and outlines, for grey paper."""

from __future__ import annotations

from math import log2
from xml.sax.saxutils import escape, quoteattr

from oejail.cells.sizes import format_size, rough_size
from oejail.checks.memmap.model import (
    DEVICE,
    HYPERVISOR,
    KINDS,
    LINUX,
    ROOT,
    SHARED,
    Claim,
    MemoryMap,
)
from oejail.text import harmless

_AXIS = 250
"""Where the columns begin; addresses and sizes stand left of it. All lengths in pixels."""
_COLUMN, _SPACE, _MARGIN = 230, 14, 24
_HEAD = 92
_ROW, _TALLEST, _GAP = 20, 64, 22
_INSET = 12
"""What lies in a larger claim of the same owner is drawn narrower by this, once for each."""

_INK, _FAINT, _ALARM = "#1b1f24", "#6a737d", "#c1121f"
_FILLS = {
    HYPERVISOR: "#3d4451",
    LINUX: "#a9cdf0",
    ROOT: "#eaf2fb",
    SHARED: "url(#shared)",
    DEVICE: "url(#device)",
}
_CELLS = ("#f7c78b", "#b5dfa9", "#dcc0ee", "#f4e39a", "#f4b6b6", "#a8dfd9", "#d9cbb8", "#c9d18f")
"""Of one cell after the other."""

_SQUARE = 'patternUnits="userSpaceOnUse"'
_DEFINITIONS = f"""<defs>
<pattern id="shared" width="8" height="8" {_SQUARE} patternTransform="rotate(45)">
<rect width="8" height="8" fill="#def3f4"/>
<line y2="8" stroke="#58b3ba" stroke-width="2.4"/></pattern>
<pattern id="device" width="7" height="7" {_SQUARE}>
<rect width="7" height="7" fill="#f3f3f1"/>
<circle cx="2" cy="2" r="1.1" fill="#a8a8a0"/></pattern>
<pattern id="conflict" width="9" height="9" {_SQUARE} patternTransform="rotate(-45)">
<line y2="9" stroke="{_ALARM}" stroke-width="4" stroke-opacity=".55"/></pattern>
</defs>"""


def svg(drawn: MemoryMap, title: str) -> str:
    """The map as one SVG document, lowest addresses at the top; rows are not to scale."""
    return _Drawing(drawn, title).document()


class _Drawing:
    def __init__(self, drawn: MemoryMap, title: str) -> None:
        self.map = drawn
        self.title = title
        self.parts: list[str] = []
        self.tops: list[float] = []
        y = float(_HEAD)
        for band in drawn.bands:
            self.tops.append(y)
            tall = _ROW + 2.2 * max(0.0, log2(max(band.size, 4096) / 4096))
            y += min(tall, _TALLEST) if band.claims else _GAP
        self.bottom = y
        self.rows = {band.start: index for index, band in enumerate(drawn.bands)}
        self.ends = {band.end: index for index, band in enumerate(drawn.bands)}
        columns = len(drawn.columns)
        self.width = max(_AXIS + columns * (_COLUMN + _SPACE) + _MARGIN, 760)

    def document(self) -> str:
        height = self.bottom + 58 + 20 * len(self.map.conflicts)
        self.heads()
        self.bands()
        for claim in sorted(self.map.claims, key=lambda claim: claim.rank):
            self.block(claim)
        self.labels()
        self.conflicts()
        self.legend()
        size = f'width="{self.width}" height="{height:.0f}" viewBox="0 0 {self.width} {height:.0f}"'
        font = 'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
                f"<title>{_text(self.title)}</title>",
                _DEFINITIONS,
                f'<rect width="{self.width}" height="{height:.0f}" fill="#ffffff"/>',
                *self.parts,
                "</svg>\n",
            ]
        )

    def add_text(
        self, x: float, y: float, text: str, *, fill: str = _INK, more: str = "", halo: bool = False
    ) -> None:
        """Text with its baseline at `y`; a halo keeps it legible on a pattern."""
        around = ' stroke="#ffffff" stroke-width="4" paint-order="stroke"' if halo else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}"{around} {more}>{_text(text)}</text>'
        )

    def left(self, owner: int) -> float:
        return _AXIS + owner * (_COLUMN + _SPACE)

    def heads(self) -> None:
        self.add_text(_MARGIN, 32, self.title, more='font-size="18" font-weight="bold"')
        said = self.map.machine or "machine not known"
        self.add_text(_MARGIN, 52, f"{said}; physical addresses, not to scale", fill=_FAINT)
        for owner, name in enumerate(self.map.columns):
            middle = self.left(owner) + _COLUMN / 2
            more = 'text-anchor="middle" font-weight="bold"'
            self.add_text(middle, _HEAD - 12, _cut(name, 32), more=more)

    def bands(self) -> None:
        right = self.left(len(self.map.columns)) - _SPACE
        mono = 'text-anchor="end" font-family="DejaVu Sans Mono, monospace" font-size="11"'
        edges = [(top, band.start) for top, band in zip(self.tops, self.map.bands, strict=True)]
        if edges:
            edges.append((self.bottom, self.map.bands[-1].end))
        for y, address in edges:
            self.parts.append(
                f'<line x1="{_AXIS - 8}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" '
                'stroke="#d0d4d9" stroke-width="0.7"/>'
            )
            self.add_text(_AXIS - 12, y + 4, f"{address:#x}", more=mono)
        for index, band in enumerate(self.map.bands):
            below = self.tops[index + 1] if index + 1 < len(self.tops) else self.bottom
            middle = (self.tops[index] + below) / 2 + 4
            if band.claims:
                size = rough_size(band.size)
                self.add_text(_MARGIN + 76, middle, size, fill=_FAINT, more='text-anchor="end"')
                continue
            what = "unused RAM" if band.ram else "nothing"
            text = f"{what}, {rough_size(band.size)}"
            more = 'text-anchor="middle" font-size="11" font-style="italic"'
            self.torn(self.tops[index], below, right)
            self.add_text((_AXIS + right) / 2, middle, text, fill=_FAINT, more=more, halo=True)

    def torn(self, top: float, bottom: float, right: float) -> None:
        """A gap, as a torn strip across the columns."""
        middle, step = (top + bottom) / 2, 12
        points, up = [], True
        x = float(_AXIS)
        while x <= right:
            points.append(f"{x:.0f},{middle + (-3 if up else 3):.1f}")
            x, up = x + step, not up
        line = " ".join(points)
        self.parts.append(
            f'<polyline points="{line}" fill="none" stroke="#b9bfc6" stroke-width="1"/>'
        )

    def extent(self, claim: Claim) -> tuple[float, float]:
        """Top and bottom of a claim."""
        last = self.ends[claim.end] + 1
        return (
            self.tops[self.rows[claim.start]],
            self.tops[last] if last < len(self.tops) else self.bottom,
        )

    def depth(self, claim: Claim) -> int:
        """How many claims of the same owner this one lies on."""
        return sum(
            other.owner == claim.owner
            and other is not claim
            and other.start < claim.end
            and claim.start < other.end
            and other.rank < claim.rank
            for other in self.map.claims
        )

    def box(self, claim: Claim) -> str:
        top, bottom = self.extent(claim)
        inset = min(_INSET * self.depth(claim), _COLUMN / 2 - 20)
        x, wide = self.left(claim.owner) + inset, _COLUMN - 2 * inset
        return f'x="{x:.1f}" y="{top:.1f}" width="{wide:.1f}" height="{bottom - top:.1f}"'

    def block(self, claim: Claim) -> None:
        fill = _FILLS.get(claim.kind) or _CELLS[(claim.owner - 2) % len(_CELLS)]
        dashes = ' stroke-dasharray="5 3"' if claim.kind == ROOT else ""
        told = f"{claim.label}: {claim.start:#x}-{claim.end:#x}, {format_size(claim.size)}"
        self.parts.append(
            f'<rect {self.box(claim)} rx="2" fill="{fill}" stroke="{_INK}" '
            f'stroke-width="1"{dashes}><title>{_text(told)}</title></rect>'
        )

    def labels(self) -> None:
        """Each label in the tallest row where nothing smaller of the same owner covers it."""
        for claim in self.map.claims:
            rows = range(self.rows[claim.start], self.ends[claim.end] + 1)
            free = [row for row in rows if self.uncovered(claim, row)]
            if not free:
                continue
            row = max(free, key=self.height)
            middle = self.tops[row] + self.height(row) / 2
            fill = "#ffffff" if claim.kind == HYPERVISOR else _INK
            more = 'text-anchor="middle" font-size="11"'
            x = self.left(claim.owner) + _COLUMN / 2
            halo = claim.kind in (SHARED, DEVICE)
            self.add_text(x, middle + 4, _cut(claim.label, 39), fill=fill, more=more, halo=halo)

    def uncovered(self, claim: Claim, row: int) -> bool:
        held = [c for c in self.map.bands[row].claims if c.owner == claim.owner]
        return max(held, key=lambda c: c.rank) is claim

    def height(self, row: int) -> float:
        return (self.tops[row + 1] if row + 1 < len(self.tops) else self.bottom) - self.tops[row]

    def conflicts(self) -> None:
        for conflict in self.map.conflicts:
            top = self.tops[self.rows[conflict.start]]
            last = self.ends[conflict.end] + 1
            bottom = self.tops[last] if last < len(self.tops) else self.bottom
            for claim in (conflict.first, conflict.second):
                x = self.left(claim.owner) - 3
                self.parts.append(
                    f'<rect x="{x}" y="{top - 1:.1f}" width="{_COLUMN + 6}" '
                    f'height="{bottom - top + 2:.1f}" fill="url(#conflict)" stroke="{_ALARM}" '
                    'stroke-width="3"/>'
                )
        for number, line in enumerate(self.map.conflict_lines()):
            y = self.bottom + 62 + 20 * number
            self.add_text(_MARGIN, y, f"Conflict {line}", fill=_ALARM, more='font-weight="bold"')

    def legend(self) -> None:
        x, y = float(_MARGIN), self.bottom + 20
        used = [kind for kind in KINDS if any(claim.kind == kind for claim in self.map.claims)]
        for kind in used:
            fill = quoteattr(_FILLS.get(kind, _CELLS[0]))
            dashes = ' stroke-dasharray="5 3"' if kind == ROOT else ""
            self.parts.append(
                f'<rect x="{x:.0f}" y="{y:.0f}" width="20" height="13" fill={fill} '
                f'stroke="{_INK}"{dashes}/>'
            )
            self.add_text(x + 26, y + 11, KINDS[kind], more='font-size="11"')
            x += 44 + 6.4 * len(KINDS[kind])
            if x > self.width - 260 and kind != used[-1]:
                x, y = float(_MARGIN), y + 20


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(text: str) -> str:
    """XML text: what XML cannot hold is written as an escape."""
    shown = harmless(text, "")
    return escape(shown)
