# SPDX-License-Identifier: MIT
"""`oejail bundle`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit, emit_json


def command(
    out: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="What oejail collect left.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The bundle's path.")
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(
            metavar="KEY", help="Sign it with this OpenSSH key; a .pub means the agent's."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Pack the collected files into one reproducible archive.

    In a project, without OUT: its collected files, as dist/<name>-<release>.tar.zst. The rules are
    run before; a finding of severity error ends with status 3, and nothing is packed. Beside the
    bundle goes its SHA-256, in FILE.sha256, and with --sign the signature, in FILE.sig: OpenSSH's,
    over the bundle's SHA256SUMS, namespace oejail-bundle.
    """
    from oejail import origins
    from oejail.artifacts import read_index
    from oejail.bundle import check_out, pack
    from oejail.pipeline import refuse

    with ExitStack() as stack:
        if sign is not None:
            from oejail.bundle.sign import check_key, require_keygen

            require_keygen()
            check_key(sign)
        if out is None:
            from oejail import project as projects

            project = projects.load()
            stack.enter_context(project.lock("bundle"))
            out, name, release = (
                project.state_dir / "artifacts",
                project.name,
                project.config.release,
            )
            waive, sample = project.config.waive, project.is_sample
            sources = origins.kept(project)
            output = output or project.bundle
        else:
            name, release = f"oejail-{read_index(out).platform}", "0"
            waive, sample, sources = {}, False, None
            output = output or Path(f"{name}-{release}.tar.zst")
        findings = check_out(out, waive)
        refuse(findings, str(out))
        packed = pack(
            out,
            output,
            name=name,
            release=release,
            findings=findings,
            sample=sample,
            sources=sources,
        )
        signed = None
        if sign is not None:
            from oejail.bundle.sign import sign as write_signature

            signed = write_signature(output, sign)
    if json:
        emit_json(
            {
                "schema_version": 1,
                "bundle": str(packed.path),
                "sha256": packed.sha256,
                "digest": packed.digest,
                "size": packed.size,
                "signature": None if signed is None else str(signed),
                "findings": [finding.to_dict() for finding in findings],
            }
        )
    else:
        emit(f"bundle: {packed.path}")
