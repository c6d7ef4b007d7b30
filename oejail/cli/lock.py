# SPDX-License-Identifier: MIT
"""`oejail lock`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from oejail.cli.output import emit, emit_json
from oejail.errors import FindingsError, UsageFault

if TYPE_CHECKING:
    from oejail.workspace.lockfile import Lock
    from oejail.workspace.locking import Moved
    from oejail.workspace.model import Workspace


def command(
    repositories: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REPO]...", help="With --update: these repositories alone."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare: status 3 when anything differs.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Move to what upstream has now.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="Lock the commits below local changes.")
    ] = False,
    engine: Annotated[
        str | None, typer.Option(metavar="host|container", help="Where BitBake runs.")
    ] = None,
    build_user: Annotated[
        str | None, typer.Option(metavar="USER", help="As root: who runs oebuild and git.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON.")] = False,
) -> None:
    """Write oejail.lock: what a build is made from, so that it can be made again.

    It holds the commit of each repository, the digest of the tree's manifest and of the container's
    image, and the versions of oebuild and oejail. `up` brings the sources to what it says. --check
    ends with status 3 when the workspace is not as it says, with 2 when there is none. --update
    writes what upstream has now, without touching src/: the next `up` moves there.
    """
    from oejail import project
    from oejail.workspace import lockfile, locking
    from oejail.workspace.workspace import open_workspace

    if check and (update or dry_run or allow_dirty):
        raise UsageFault("--check goes with neither --update, --dry-run nor --allow-dirty")
    if repositories and not update:
        raise UsageFault(
            f"{repositories[0]}: repositories are named with --update alone",
            hint=f"oejail lock --update {' '.join(repositories)}",
        )
    here = project.load()
    with here.lock("lock"):
        workspace = open_workspace(here, engine, build_user=build_user, allow_dirty=allow_dirty)
        before = _before(workspace, needed=check or update)
        if check:
            assert before is not None
            _check(workspace, before, as_json)
            return
        if update:
            assert before is not None
            after = locking.updated(workspace, before, repositories or [])
        else:
            after = locking.lockable(workspace)
        moved = locking.changes(workspace, before, after)
        changed = before != after
        if changed and not dry_run:
            lockfile.write(here.lock_file, after)
    if as_json:
        emit_json(_report(moved, changed=changed, written=changed and not dry_run))
        return
    if before is not None:
        for one in moved:
            emit(one.line())
    if not changed:
        emit(f"{here.lock_file.name} is right")
    else:
        what = "would write" if dry_run else "wrote"
        emit(f"{what} {here.lock_file.name}: {len(after.repositories)} repositories")


def _before(workspace: Workspace, needed: bool) -> Lock | None:
    """The lock that is there. A broken one is no reason not to write it anew."""
    from oejail.errors import ConfigError
    from oejail.log import logger

    try:
        lock = workspace.locked
    except ConfigError as error:
        if needed:
            raise
        logger.warning("%s; it is written anew", error.message)
        workspace.__dict__["locked"] = None
        return None
    if lock is None and needed:
        raise UsageFault(f"{workspace.project.lock_file}: no such file", hint="oejail lock")
    return lock


def _check(workspace: Workspace, lock: Lock, as_json: bool) -> None:
    from oejail.workspace import locking

    found = locking.differences(lock, locking.look(workspace))
    if as_json:
        listed = [{"name": d.name, "locked": d.locked, "found": d.found} for d in found]
        emit_json({"schema_version": 1, "ok": not found, "differences": listed})
    elif not found:
        emit(
            f"{workspace.project.lock_file.name}: {len(lock.repositories)} repositories, as locked"
        )
    if found:
        number = f"{len(found)} difference{'s' if len(found) > 1 else ''}"
        raise FindingsError(
            f"{workspace.project.lock_file}: {number}",
            hint="oejail up brings the sources to it, oejail lock writes what there is",
            details=[] if as_json else [difference.line() for difference in found],
        )


def _report(moved: list[Moved], *, changed: bool, written: bool) -> dict[str, Any]:
    listed = [{"name": m.name, "old": m.old, "new": m.new, "commits": m.commits} for m in moved]
    return {"schema_version": 1, "changed": changed, "written": written, "moved": listed}
