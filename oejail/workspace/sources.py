# SPDX-License-Identifier: MIT
"""The repositories in src/: what is there, and fetching what is missing, by oebuild.

What is there is used as it is: no network, no update, no checkout over somebody's work. oebuild
hides what git says and ends with status 0 when a fetch fails, so success is the commit that is
there afterwards, and git is asked for the reason when it is not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oejail import files, oebuild, process
from oejail.errors import ChildFailed, ConfigError, PrerequisiteMissing
from oejail.log import logger
from oejail.project import Project
from oejail.project.model import META_OPENEULER, META_URL, Source, bad_ref, bad_url
from oejail.workspace.model import Workspace
from oejail.yamltext import read_mapping

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCRATCH = ".oejail-update"


@dataclass(frozen=True)
class Entry:
    """A repository of the tree's manifest."""

    url: str
    version: str
    """Commit, usually."""


def head(repository: Path) -> str | None:
    """The commit that is checked out in `repository`; None without one.

    git sets it last, so where it is set the fetch and the checkout had ended. Only files are read,
    no git is run: the repository may belong to another user, whose git settings are not ours.
    """
    if shutil.which("git") is None:
        raise PrerequisiteMissing("git: no such program", hint="install git")
    import git

    try:
        with git.Repo(repository) as opened:
            return str(git.SymbolicReference.dereference_recursive(opened, "HEAD"))
    except (git.GitError, ValueError, OSError):
        return None


def state(repository: Path) -> str:
    """`absent`, `plain` (files without git), `unborn` (git without a commit), or `commit`."""
    if not repository.is_dir() or not any(repository.iterdir()):
        return "absent"
    if not (repository / ".git").exists():
        return "plain"
    return "unborn" if head(repository) is None else "commit"


def main_source(project: Project) -> Source:
    """Where yocto-meta-openeuler comes from."""
    return project.config.sources.get(META_OPENEULER, Source(META_URL))


def git_environment(project: Project) -> dict[str, str]:
    """Variables that make git fetch from the project's mirrors."""
    environment = {}
    mirrors = project.config.mirrors
    for number, mirror in enumerate(mirrors):
        place = mirror.path if "://" in mirror.path else str(project.path(mirror.path))
        if mirror.path.endswith("/") and not place.endswith("/"):
            place += "/"
        environment[f"GIT_CONFIG_KEY_{number}"] = f"url.{place}.insteadOf"
        environment[f"GIT_CONFIG_VALUE_{number}"] = mirror.match
    if mirrors:
        environment["GIT_CONFIG_COUNT"] = str(len(mirrors))
    return environment


def is_name(name: str) -> bool:
    """Whether `name` may be that of a repository: one part of a path, and no option of git's."""
    return _NAME.fullmatch(name) is not None


def manifest_file(ws: Workspace) -> Path:
    """The tree's manifest; trees before 22.09 have none."""
    return ws.meta_openeuler / ".oebuild" / "manifest.yaml"


def manifest(ws: Workspace) -> dict[str, Entry]:
    """The tree's manifest: repository → URL and commit. Raises ConfigError for a bad one."""
    path = manifest_file(ws)
    return manifest_entries(read_mapping(path), str(path))


def manifest_entries(data: Mapping[str, Any], path: str) -> dict[str, Entry]:
    """The entries of a manifest that `path` names; ConfigError for a bad one."""
    listed = data.get("manifest_list")
    if not isinstance(listed, dict):
        raise ConfigError(f"{path}: no mapping manifest_list")
    entries = {}
    for name, item in listed.items():
        if not isinstance(item, dict) or not {"remote_url", "version"} <= item.keys():
            raise ConfigError(f"{path}: {name}: remote_url or version is missing")
        entries[str(name)] = Entry(str(item["remote_url"]), str(item["version"]))
    return entries


def fetch_main(ws: Workspace) -> str | None:
    """See to it that yocto-meta-openeuler is there; what was done, or None.

    Raises ChildFailed, with the URL and git's words, when it cannot be fetched.
    """
    with _Fetching(ws, [META_OPENEULER]) as missing:
        source = main_source(ws.project)
        if not missing:
            _note_other_branch(ws, source)
            return None
        logger.info("update: fetching %s from %s", META_OPENEULER, source.url)
        result = _run(ws, ws.root, "yocto")
        if head(ws.meta_openeuler) is None:
            raise unfetched(ws, META_OPENEULER, source.url, source.ref, result)
    return f"fetched {META_OPENEULER}"


def _note_other_branch(ws: Workspace, source: Source) -> None:
    import git

    try:
        with git.Repo(ws.meta_openeuler) as opened:
            branch = opened.active_branch.name
    except (git.GitError, TypeError, ValueError, OSError):
        return  # no repository, or a commit is checked out: somebody chose it
    if branch != source.ref:
        logger.warning(
            "%s: branch %s is used as it is, although oejail.yaml says %s",
            ws.meta_openeuler,
            branch,
            source.ref,
        )


def fetch_listed(ws: Workspace, names: Iterable[str]) -> str | None:
    """See to it that the repositories `names` of the manifest are in src/; what was done, or None.

    Raises ConfigError for a name that the manifest lacks, ChildFailed for one that cannot be
    fetched.
    """
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if not is_name(name):
            raise ConfigError(f"{ws.meta_openeuler / '.oebuild'}: repository {name!r} has no name")
    scratch = ws.root / "build" / _SCRATCH
    files.remove_tree(scratch)  # of a run that was killed, maybe when all had been fetched
    with _Fetching(ws, wanted) as missing:
        if not missing:
            return None
        entries = manifest(ws)
        for name in missing:
            _check(ws, name, entries)
        logger.info("update: fetching %s", ", ".join(missing))
        # In a build directory of its own, whose compile.yaml lists what is missing only: oebuild
        # would check out the manifest's commit over whatever somebody works on in the others.
        files.make_directory(scratch)
        text = json.dumps({"build_in": "host", "repos": missing})
        files.atomic_write(scratch / "compile.yaml", text)
        result = _run(ws, scratch, "layer")
        for name in missing:
            found, entry = head(ws.src / name), entries[name]
            if found is None or (_COMMIT.fullmatch(entry.version) and found != entry.version):
                raise unfetched(ws, name, entry.url, entry.version, result)
        files.remove_tree(scratch)
    return f"fetched {', '.join(missing)}"


def _check(ws: Workspace, name: str, entries: Mapping[str, Entry]) -> None:
    path = ws.meta_openeuler / ".oebuild" / "manifest.yaml"
    if name not in entries:
        raise ConfigError(
            f"{path}: no entry for {name}, which the build needs",
            hint=f"put it into {ws.src / name} yourself, or mend the manifest",
        )
    entry = entries[name]
    wrong = bad_url(entry.url) or bad_ref(entry.version)
    if wrong is not None:
        raise ConfigError(f"{path}: {name}: {wrong}")


def clone_own(ws: Workspace) -> str | None:
    """Clone the repositories of `sources:` that are the user's own; what was done, or None."""
    done = []
    for name, source in ws.project.config.sources.items():
        target = ws.src / name
        if name == META_OPENEULER or state(target) != "absent":
            continue
        fresh = ws.src / f".oejail-{name}"
        files.remove_tree(fresh)
        logger.info("update: fetching %s from %s", name, source.url)
        result = process.run(
            ["git", "clone", "--quiet", "--branch", source.ref, "--", source.url, fresh],
            cwd=ws.src,
            env=git_environment(ws.project),
            identity=ws.identity,
            check=False,
        )
        if not result.ok or head(fresh) is None:
            files.remove_tree(fresh)
            raise unfetched(ws, name, source.url, source.ref, result)
        fresh.rename(target)
        done.append(name)
    return f"fetched {', '.join(done)}" if done else None


class _Fetching:
    """Knows which repositories a fetch is about to make, so that one that was killed is cleared.

    A killed checkout leaves files that the next one would refuse to overwrite. They are removed
    only where a marker says that the directory was not there before: nobody's work is in it.
    """

    def __init__(self, ws: Workspace, names: Iterable[str]) -> None:
        self.ws = ws
        self.names = list(names)
        self.marker = ws.root / ".oebuild" / "oejail-fetching"

    def __enter__(self) -> list[str]:
        for name in self._marked():
            if state(self.ws.src / name) == "unborn":
                files.remove_tree(self.ws.src / name)
        missing = []
        for name in self.names:
            found = state(self.ws.src / name)
            if found == "unborn":
                raise ConfigError(
                    f"{self.ws.src / name}: a git repository without a commit",
                    hint="remove it, and run the same command again",
                )
            if found == "absent":
                missing.append(name)
        if missing:
            files.atomic_write(self.marker, json.dumps(missing))
        return missing

    def _marked(self) -> list[str]:
        try:
            names = json.loads(files.read_limited(self.marker, files.MIB))
        except (FileNotFoundError, ValueError):
            return []
        return [name for name in names if isinstance(name, str) and is_name(name)]

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.marker.unlink(missing_ok=True)


def _run(ws: Workspace, directory: Path, what: str) -> process.Result:
    return oebuild.run(
        directory,
        ["update", what],
        prefix=ws.oebuild,
        identity=ws.identity,
        env=git_environment(ws.project),
    )


def unfetched(
    ws: Workspace, name: str, url: str, version: str, result: process.Result
) -> ChildFailed:
    """The error for a repository that did not come, with git's own words."""
    asked = process.run(
        ["git", "ls-remote", "--exit-code", "--", url, *([] if _is_commit(version) else [version])],
        cwd=Path(os.sep),
        env=git_environment(ws.project),
        identity=ws.identity,
        timeout=120,
        check=False,
    )
    words = [line.strip() for line in asked.stderr if line.strip()]
    fatal = [line for line in words if line.startswith("fatal:")]
    if asked.returncode == 2 and not fatal:
        said = f"it has no branch or tag {version}"
    elif not asked.ok:
        said = (fatal or words or [asked.describe()])[0]
    else:
        what = f"commit {version}" if _is_commit(version) else version
        said = f"{what} did not come: {oebuild.complaint(result)}"
    return ChildFailed(
        f"{url}: cannot be fetched to src/{name}: {said}",
        hint="check the network, sources: and mirrors: in oejail.yaml, or put the repository there "
        "yourself, and run the same command again",
    )


def _is_commit(version: str) -> bool:
    return _COMMIT.fullmatch(version) is not None
