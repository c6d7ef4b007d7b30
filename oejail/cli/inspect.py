# SPDX-License-Identifier: MIT
"""`oejail inspect`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.output import emit, emit_json, emit_table
from oejail.text import harmless

if TYPE_CHECKING:
    from oejail.bundle import BundleView


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The archive, *.tar.zst.")],
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Show what a bundle contains.

    Reads manifest.json alone, so it is quick, and it checks nothing: that is what verify is for.
    """
    from oejail.bundle import read

    view = read(bundle)
    if json:
        head = {"schema_version": 1, "bundle": str(bundle), "size": view.size}
        emit_json({**head, "digest": view.digest, "manifest": asdict(view.manifest)})
    else:
        _show(view)


def _show(view: BundleView) -> None:
    head = view.manifest
    if head.sample:
        emit("SAMPLE: made from the sample tree, not Jailhouse")
    tools = head.tools
    revision = "" if head.jailhouse.revision is None else f", revision {head.jailhouse.revision}"
    rows: list[tuple[str, ...]] = [
        ("bundle", f"{head.name} {head.release}, digest {view.digest}, {view.size} bytes"),
        ("platform", head.platform),
        ("kernel", head.kernel_release or "unknown"),
        ("jailhouse", (head.jailhouse.version or "unknown") + revision),
        ("made by", f"oejail {tools.oejail}, zstandard {tools.zstandard} (zstd {tools.zstd})"),
        *(("compiler", compiler) for compiler in tools.compilers),
        ("root cell", f"{head.set.name} ({head.set.root})"),
    ]
    for inmate in head.set.inmates:
        where = "" if inmate.address is None else f" at {inmate.address:#x}"
        rows.append(("inmate", f"{inmate.name} ({inmate.cell}) runs {inmate.image}{where}"))
        rows.append(("", f"expects {inmate.expect!r}" if inmate.expect else "expects any output"))
    if head.absent:
        rows.append(("absent", ", ".join(head.absent)))
    emit_table(_printable(rows))
    for finding in head.findings:
        emit(finding.line())
    emit()
    emit_table(_printable([(f.mode, str(f.size), f.sha256[:12], f.path) for f in head.files]))


def _printable(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """A manifest is data of others: no control characters reach the terminal."""
    return [tuple(harmless(text, "") for text in row) for row in rows]
