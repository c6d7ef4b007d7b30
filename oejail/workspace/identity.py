# SPDX-License-Identifier: MIT
"""As whom oebuild and BitBake run: both refuse root, and oebuild does so with exit status 0."""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from oejail import process
from oejail.errors import PrerequisiteMissing, UsageFault
from oejail.log import logger
from oejail.process import SELF, Identity
from oejail.project import Project

USERADD = "useradd --create-home oejail-build"
NOBODY = 65534


def choose(project: Project, build_user: str | None = None) -> Identity:
    """Who runs oebuild and BitBake for `project`.

    An ordinary user: that user. Root: the build user (`build_user` from the command line, else
    OEJAIL_BUILD_USER, else oejail.yaml's), else the project's owner unless that is root, else, for
    the sample tree, a user namespace. Raises UsageFault for a build user that does not exist or is
    root, PrerequisiteMissing when there is nobody.
    """
    if os.geteuid() != 0:
        return _self()
    for origin, name in (
        ("--build-user", build_user),
        ("OEJAIL_BUILD_USER", os.environ.get("OEJAIL_BUILD_USER")),
        ("oejail.yaml: build_user", project.config.build_user),
    ):
        if name:
            return _named(origin, name)
    owner = project.root.stat().st_uid
    if owner == 0:
        return _nobody_else(project, "the project belongs to root")
    try:
        return _of(pwd.getpwuid(owner))
    except KeyError:
        why = f"the project's owner, user id {owner}, has no entry in /etc/passwd"
        return _nobody_else(project, why)


def _self() -> Identity:
    uid = os.geteuid()
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise PrerequisiteMissing(
            f"user id {uid} has no entry in /etc/passwd, and oebuild fails without",
            hint=f"run oejail as a user that has one (as root: {USERADD})",
        ) from None
    return SELF


def _named(origin: str, name: str) -> Identity:
    try:
        entry = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        hint = f"useradd --create-home {shlex.quote(name)}"
        raise UsageFault(f"{origin}: no user {name}", hint=hint) from None
    if entry.pw_uid == 0:
        raise UsageFault(
            f"{origin}: {name} is root, which oebuild and BitBake refuse",
            hint=f"name an ordinary user ({USERADD})",
        )
    return _of(entry)


def _of(entry: pwd.struct_passwd) -> Identity:
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return Identity(
        "user", entry.pw_uid, entry.pw_gid, groups, name=entry.pw_name, home=entry.pw_dir
    )


def _nobody_else(project: Project, why: str) -> Identity:
    why = f"oebuild and BitBake refuse root, and {why}"
    hint = f"{USERADD}, then build_user: oejail-build in oejail.yaml, or OEJAIL_BUILD_USER"
    if not project.is_sample:
        raise PrerequisiteMissing(why, hint=hint)
    namespace = Identity("userns", NOBODY, NOBODY, name="nobody")
    # Whether the kernel and this container allow it can only be tried.
    probe = [sys.executable, "-I", "-S", "-c", "import os, pwd; pwd.getpwuid(os.geteuid())"]
    try:
        result = process.run(probe, identity=namespace, timeout=30, check=False)
    except PrerequisiteMissing as error:  # no unshare(1)
        raise PrerequisiteMissing(f"{why}; {error.message}", hint=hint) from None
    if not result.ok:
        said = next((s for s in reversed(result.stderr) if s.strip()), result.describe())
        raise PrerequisiteMissing(f"{why}; a user namespace is no way out: {said}", hint=hint)
    logger.debug("root: the sample tree is built in a user namespace, which is no protection")
    return namespace


def check_reach(identity: Identity, paths: Iterable[Path]) -> None:
    """See to it that the build user can get at `paths` (as far as they exist).

    Raises PrerequisiteMissing naming the directory that is in the way.
    """
    if identity.kind != "user":
        return
    for path in paths:
        blocking = _blocking(identity, path)
        # Access lists can open what the mode keeps shut: ask the kernel before complaining.
        if blocking is None or _can_enter(identity, blocking):
            continue
        what = "Python" if path == Path(sys.executable) else str(path)
        raise PrerequisiteMissing(
            f"{blocking}: the build user {identity.name} cannot enter it, and {what} lies below",
            hint="install oejail with a Python below /usr, outside anybody's home"
            if what == "Python"
            else f"chmod o+x {blocking}, or choose another place",
        )


def _blocking(identity: Identity, path: Path) -> Path | None:
    """The first directory on the way to `path`, links included, that its mode keeps shut."""
    seen: set[Path] = set()
    queue = [Path(os.path.abspath(path))]
    while queue:
        target = queue.pop()
        for above in reversed((target, *target.parents)):
            if above in seen:
                continue
            seen.add(above)
            try:
                info = above.lstat()
            except OSError:
                break  # not there yet
            if stat.S_ISLNK(info.st_mode):
                # The rest of the way is that of the link's target.
                target_path = os.path.normpath(above.parent / os.readlink(above))
                queue.append(Path(target_path) / target.relative_to(above))
                break
            if stat.S_ISDIR(info.st_mode) and not _may_enter(identity, info):
                return above
    return None


def _may_enter(identity: Identity, info: os.stat_result) -> bool:
    if info.st_uid == identity.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == identity.gid or info.st_gid in identity.groups:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def _can_enter(identity: Identity, directory: Path) -> bool:
    try:
        return process.run(["test", "-x", directory], identity=identity, timeout=30, check=False).ok
    except PrerequisiteMissing:
        return False
