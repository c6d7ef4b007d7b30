# SPDX-License-Identifier: MIT
"""`oejail deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oejail.cli.options import Waive, pairs
from oejail.cli.output import emit, emit_json, emit_table
from oejail.errors import FindingsError, UsageFault

if TYPE_CHECKING:
    from oejail.target.deploy import Deployed
    from oejail.target.deploy_start import Started


def command(
    where: Annotated[
        list[str],
        typer.Argument(metavar="[BUNDLE] [USER@]HOST", help="The archive; default: the project's."),
    ],
    port: Annotated[int | None, typer.Option(metavar="N", help="Port of the board's sshd.")] = None,
    identity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key to log in with (ssh -i).")
    ] = None,
    ssh_config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration of ssh (ssh -F).")
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Who may have signed it (OpenSSH's allowed signers)."),
    ] = None,
    unsigned: Annotated[
        bool, typer.Option("--unsigned", help="Deploy it although nobody has signed it.")
    ] = False,
    start: Annotated[
        bool, typer.Option("--start", help="Start its cells, and see whether they run.")
    ] = False,
    timeout: Annotated[
        int, typer.Option(metavar="S", help="Seconds to wait for each step of --start.")
    ] = 60,
    enable: Annotated[
        bool, typer.Option("--enable", help="Start what is current at each boot.")
    ] = False,
    disable: Annotated[
        bool, typer.Option("--disable", help="No longer; without BUNDLE nothing else changes.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Back to the version before; needs no BUNDLE.")
    ] = False,
    waive: Waive = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what is found and would be done.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Put a bundle on a board, over ssh: /opt/oejail/DIGEST, and /opt/oejail/current by one rename.

    The bundle has to be whole, no sample, and signed by one of the signers (default: signers of
    oejail.yaml), or --unsigned is typed out. The board is looked at first: architecture, kernel,
    CPUs, memory, space, a hypervisor that runs; an error there that is not waived ends with status
    3, and nothing is touched. Cut off at any point, the board has the old version or the new one,
    whole.

    OpenSSH's own client is used, with its configuration, agent and known hosts; the board needs
    no more than BusyBox and an ssh server. Status 5 when it cannot be reached or fails, 7 when
    another one is deploying there.
    """
    from oejail.target import deploy as doing
    from oejail.target import ssh

    if enable and disable:
        raise UsageFault("--enable and --disable: one of them")
    if rollback and start:
        raise UsageFault(
            "--rollback --start: one of them", hint="go back, then deploy that bundle with --start"
        )
    if not 1 <= timeout <= 3600:
        raise UsageFault(f"--timeout {timeout}: not from 1 to 3600 seconds")
    if len(where) > 2:
        raise UsageFault(f"{' '.join(where)}: too many words", hint="oejail deploy --help")
    remote = ssh.Remote(ssh.parse(where[-1], port=port, identity=identity, config=ssh_config))
    boot = "enable" if enable else "disable" if disable else None
    started: Started | None = None
    accepted = dict(pairs("--waive", waive))
    if rollback or (disable and len(where) == 1 and not start):
        if accepted:
            raise UsageFault("--waive: for a deployment only")
        bundle = None
        done = doing.switch(remote, back=rollback, boot=boot, dry_run=dry_run)
    else:
        from oejail.cli.signers import allowed_signers

        path, of_project = _bundle_of(where)
        bundle = doing.verified(
            path, signers=None if unsigned else allowed_signers(signers), unsigned=unsigned
        )
        accepted = of_project | accepted
        done = doing.deploy(remote, bundle, boot=boot, start=start, dry_run=dry_run, waive=accepted)
        if start and not dry_run:
            from oejail.target.deploy_start import start as start_cells

            started = start_cells(remote, bundle, done.findings, timeout=timeout)
    if json:
        _report(done, started, bundle.signer if bundle is not None else "")
    else:
        _show(done, started, start and dry_run)
    if dry_run and any(finding.fails for finding in done.findings):
        raise FindingsError(
            f"{remote.name}: it would be refused: "
            + ", ".join(dict.fromkeys(f.rule for f in done.findings if f.fails)),
            hint="oejail explain RULE says what one means",
        )
    if started is not None and started.fault is not None:
        raise started.fault


def _bundle_of(where: list[str]) -> tuple[Path, dict[str, str]]:
    """The bundle, and what the project here waives."""
    from oejail import project as projects

    try:
        projects.find()
    except UsageFault:
        if len(where) == 1:
            raise
        return Path(where[0]), {}
    project = projects.load()
    path = project.bundle if len(where) == 1 else Path(where[0])
    return path, dict(project.config.waive)


def _report(done: Deployed, started: Started | None, signer: str) -> None:
    emit_json(
        {
            "schema_version": 1,
            "board": done.board,
            "dry_run": done.dry_run,
            "digest": done.digest,
            "was": done.was or None,
            "signer": signer or None,
            "actions": done.actions,
            "findings": [finding.to_dict() for finding in done.findings],
            "run": None
            if started is None
            else {**started.results.to_dict(), "directory": str(started.directory)},
        }
    )


def _show(done: Deployed, started: Started | None, would_start: bool) -> None:
    from oejail.text import printable

    for finding in done.findings:
        emit(finding.line())
    if done.dry_run:
        for action in done.actions or ["nothing is to be done"]:
            emit(f"would {action}" if done.actions else action)
        if would_start:
            emit("would run /opt/oejail/current/oejail-start")
        return
    emit(f"current: {done.digest} (was {done.was or 'nothing'})")
    for action in done.actions:
        if "oejail.init" in action or "oejail.service" in action or "S90oejail" in action:
            emit(f"done: {action}")
    if started is not None:
        rows = [
            (step.name, step.outcome, f"{step.seconds:.1f} s") for step in started.results.steps
        ]
        emit_table(rows)
        if started.fault is None:
            emit(printable(started.results.cause))
        emit(f"results: {started.directory}")
