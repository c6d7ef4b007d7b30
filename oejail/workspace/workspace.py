# SPDX-License-Identifier: MIT
"""The verbs on a workspace: each looks first, does only what is missing, and says what it did."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import cast

from oejail import files, oebuild
from oejail.errors import ConfigError, UsageFault
from oejail.log import logger
from oejail.project import Project
from oejail.project.adopt import OEBUILD_KEY, is_workspace
from oejail.project.model import META_OPENEULER, bad_workspace_path
from oejail.workspace import identity as who
from oejail.workspace import paths, settle, sources
from oejail.workspace.generate import ensure_generated
from oejail.workspace.model import Engine, Outcome, Tree, Workspace
from oejail.yamltext import read_mapping

__all__ = ["ensure_generated", "ensure_init", "ensure_sources", "open_workspace"]


def open_workspace(
    project: Project,
    engine: str | None = None,
    *,
    build_user: str | None = None,
    allow_dirty: bool = False,
    rtos_in_image: bool = False,
) -> Workspace:
    """The project's workspace as a value; nothing is made or changed.

    `engine` overrides oejail.yaml's. Another engine than oejail.yaml's has a build directory of
    its own, `<build name>-<engine>`: a build directory is full of the paths of the engine that
    filled it. Raises UsageFault (unknown engine, a path that oebuild cannot bear),
    PrerequisiteMissing (nobody may run oebuild, or cannot get at Python or the workspace).
    """
    declared = project.config.engine
    if engine not in (None, "host", "container"):
        raise UsageFault(f"--engine {engine}: not container or host")
    identity = who.choose(project, build_user)
    root = paths.locate(project, identity).root
    tree = project.config.tree
    kind: Tree = cast(Tree, tree) if tree in ("openeuler", "sample") else "path"
    prefix: tuple[str, ...] = oebuild.DEFAULT_PREFIX
    if project.config.oebuild is not None:
        prefix = (str(project.path(project.config.oebuild)),)
    reach = [Path(sys.executable), root, Path(prefix[0])]
    if kind == "path":
        reach.append(project.path(tree))
    if project.config.nativesdk is not None:
        reach.append(project.path(project.config.nativesdk))
    who.check_reach(identity, dict.fromkeys(reach))
    other = engine is not None and engine != declared
    return Workspace(
        root=root,
        project=project,
        build_name=f"{project.build_name}-{engine}" if other else project.build_name,
        engine=cast(Engine, engine or declared),
        tree=kind,
        oebuild=prefix,
        identity=identity,
        allow_dirty=allow_dirty,
        rtos_in_image=rtos_in_image or project.config.rtos_in_image,
    )


def ensure_init(ws: Workspace) -> Outcome:
    """See to it that oebuild's workspace is there, with its sources' URL and branch.

    Raises UsageFault when something else is in its place, ChildFailed when oebuild did not make
    it, PrerequisiteMissing without a fitting oebuild.
    """
    oebuild.require(ws.oebuild, ws.identity)
    done = []
    link = paths.locate(ws.project, ws.identity).link
    if not is_workspace(ws.root):
        _make(ws, in_cache=link is not None)
        done.append(f"made {ws.root}")
    elif _set_source(ws):
        done.append("set the sources' URL and branch")
    if link is not None and _keep_link(ws, link):
        done.append(f"linked {link.name} to {ws.root}")
    if ws.tree == "path":
        if _link_src(ws):
            done.append(f"linked src to {ws.src.resolve()}")
    elif not ws.src.is_dir():
        files.make_directory(ws.src)
        done.append("made src")
    return Outcome(bool(done), "; ".join(done) or f"{ws.root} is there")


def _make(ws: Workspace, *, in_cache: bool) -> None:
    """Let oebuild make the workspace under another name, and rename it when it is whole.

    oebuild wants that the directory does not exist: what a killed run leaves is not in its way.
    """
    parent, name = ws.root.parent, ws.root.name
    if ws.root.exists() and (not ws.root.is_dir() or any(ws.root.iterdir())):
        raise UsageFault(
            f"{ws.root}: exists, and is no oebuild workspace (no .oebuild/config)",
            hint="move it away, or set workspace: in oejail.yaml to another place",
        )
    if in_cache:
        files.mark_cache(parent)
    files.make_directory(parent)
    for leftover in parent.glob(f".{name}.oejail-init-*"):
        files.remove_tree(leftover)
    staging = Path(tempfile.mkdtemp(prefix=f".{name}.oejail-init-", dir=parent))
    try:
        staging.chmod(0o755)
        if ws.identity.kind == "user":
            files.give(staging, ws.identity.uid, ws.identity.gid)
        words = ["init", "workspace"]
        if ws.tree == "openeuler":
            source = sources.main_source(ws.project)
            words += ["-u", source.url, "-b", source.ref]
        result = oebuild.run(staging, words, prefix=ws.oebuild, identity=ws.identity)
        made = staging / "workspace"
        if not is_workspace(made) or not (made / "src").is_dir():
            raise oebuild.failed(result, f"{ws.root}: oebuild init made no workspace")
        if in_cache:
            files.atomic_write(made / paths.OWNER_FILE, os.fsencode(ws.project.root) + b"\n")
        made.rename(ws.root)
    finally:
        files.remove_tree(staging)


def _set_source(ws: Workspace) -> bool:
    """Bring URL and branch in .oebuild/config to what oejail.yaml says; true when they changed."""
    if ws.tree != "openeuler":
        return False
    path = ws.root / ".oebuild" / "config"
    source = sources.main_source(ws.project)
    repositories = read_mapping(path).get("basic_repo")
    main = repositories.get(OEBUILD_KEY) if isinstance(repositories, dict) else None
    if not isinstance(main, dict):
        raise ConfigError(f"{path}: basic_repo: no {OEBUILD_KEY}")
    wanted = {"remote_url": source.url, "branch": source.ref}
    if all(main.get(key) == value for key, value in wanted.items()):
        return False
    import io

    from ruamel.yaml import YAML

    yaml = YAML()
    data = yaml.load(path.read_text("utf-8"))
    data["basic_repo"][OEBUILD_KEY].update(wanted)
    text = io.StringIO()
    yaml.dump(data, text)
    files.atomic_write(path, text.getvalue())
    return True


def _keep_link(ws: Workspace, link: Path) -> bool:
    """See to it that `link` leads to the workspace in the cache, which knows its project."""
    if paths.owner_of(ws.root) != ws.project.root:
        files.atomic_write(ws.root / paths.OWNER_FILE, os.fsencode(ws.project.root) + b"\n")
    return _point(link, ws.root)


def _point(link: Path, target: Path) -> bool:
    """Make `link` a symbolic link to `target`; true when it was not. An empty directory gives way.

    Raises UsageFault when something else stands there.
    """
    if link.is_symlink():
        if os.readlink(link) == str(target):
            return False
    elif link.exists():
        if not link.is_dir() or any(link.iterdir()):
            raise UsageFault(
                f"{link}: stands where a link to {target} belongs", hint="move it away"
            )
        link.rmdir()
    fresh = link.with_name(f".{link.name}.oejail-link")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    info = link.parent.stat()
    if os.geteuid() == 0:
        os.chown(fresh, info.st_uid, info.st_gid, follow_symlinks=False)
    fresh.rename(link)
    return True


def _link_src(ws: Workspace) -> bool:
    """Make src/ a link to the tree that oejail.yaml names; true when it was not."""
    declared = ws.project.config.tree
    target = Path(os.path.realpath(ws.project.path(declared)))
    wrong = bad_workspace_path(str(target))
    if wrong is not None:
        raise UsageFault(f"tree {target}: {wrong}", hint="move it to a path of letters and digits")
    if not (target / META_OPENEULER / ".oebuild").is_dir():
        raise UsageFault(
            f"tree {target}: no {META_OPENEULER}/.oebuild in it",
            hint="give oebuild's src/, with yocto-meta-openeuler and yocto-poky in it",
        )
    if not ws.src.is_symlink() and ws.src.exists() and ws.src.resolve() == target:
        return False
    return _point(ws.src, target)


def ensure_sources(ws: Workspace) -> Outcome:
    """See to it that the sources are in src/; what is there is used as it is, or, with a lock,
    brought to the locked commits.

    Raises UsageFault where that would lose work (see `settle`), ChildFailed (a fetch failed: URL,
    git's words), ConfigError (the tree lacks a file that oebuild needs), PrerequisiteMissing (git,
    or what the sample tree needs).
    """
    if ws.tree == "sample":
        from oejail.workspace import sample

        made = sample.lay_out(ws.src, identity=ws.identity)
        settle.settle(ws)
        return Outcome(made.changed, made.reason)
    done: list[str | None] = []
    if ws.tree == "openeuler":
        done.append(settle.make_missing(ws, [META_OPENEULER]))
        done.append(sources.fetch_main(ws))
    done += settle.settle(ws)
    common = ws.meta_openeuler / ".oebuild" / "common.yaml"
    if not common.is_file():
        raise ConfigError(
            f"{common}: no such file, so {ws.meta_openeuler} is no tree that oebuild can build",
            hint="check tree: and sources: in oejail.yaml",
        )
    repos = read_mapping(common).get("repos") or []
    if ws.tree == "openeuler":
        done.append(settle.make_missing(ws, [*map(str, repos), *ws.project.config.sources]))
        done.append(sources.fetch_listed(ws, map(str, repos)))
    else:
        for name in map(str, repos):
            if not (ws.src / name).is_dir():
                raise ConfigError(
                    f"{ws.src / name}: missing, and {common} lists it",
                    hint="complete the tree; oejail does not fetch into somebody else's",
                )
    done.append(sources.clone_own(ws))
    said = [words for words in done if words]
    for words in said:
        logger.debug("update: %s", words)
    return Outcome(bool(said), "; ".join(said) or "the sources in src/ are used as they are")
