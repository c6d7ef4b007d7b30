# SPDX-License-Identifier: MIT
"""`oejail verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oejail.cli.output import emit, emit_json
from oejail.errors import FindingsError


def command(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The archive, *.tar.zst.")],
    signers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who may have signed it (OpenSSH's allowed signers)."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a JUnit report too.")
    ] = None,
) -> None:
    """Prove that a bundle is whole and that its parts fit.

    Every member's bytes, name, mode, order and count against the bundle's own lists, the archive
    against its .sha256, and the set against the rules. With --signers (default: signers of
    oejail.yaml) also who signed it. One line a finding; status 3 when one is an error.
    """
    from oejail.bundle import examine
    from oejail.checks import any_fails
    from oejail.cli.signers import allowed_signers

    signers = allowed_signers(signers)
    found = examine(bundle, signers)
    fails = any_fails(found.findings)
    if junit is not None:
        from oejail.bundle.rules import RULES as OF_ARCHIVES
        from oejail.checks import RULES
        from oejail.checks.junit import report
        from oejail.files import atomic_write

        atomic_write(junit, report(f"verify {bundle}", found.findings, OF_ARCHIVES | RULES))
    if json:
        emit_json(
            {
                "schema_version": 1,
                "bundle": str(bundle),
                "ok": not fails,
                "sample": found.sample,
                "digest": found.digest,
                "signer": found.signer or None,
                "findings": [finding.to_dict() for finding in found.findings],
            }
        )
    else:
        if found.sample:
            emit("SAMPLE: made from the sample tree, not Jailhouse")
        for finding in found.findings:
            emit(finding.line())
        if not fails and found.manifest is not None:
            emit(f"whole: {bundle}, digest {found.digest}, {len(found.manifest.files)} files")
            if found.signer:
                emit(f"signed by {found.signer}")
    if fails:
        count = sum(finding.fails for finding in found.findings)
        raise FindingsError(
            f"{bundle}: {count} finding{'' if count == 1 else 's'} of severity error",
            hint="oejail explain RULE says what one means",
        )
