# SPDX-License-Identifier: MIT
"""What a lock says of a workspace: made from what is there, compared with it, moved to upstream.

A lock names every repository that a build of the tree can read: yocto-meta-openeuler, the layers'
repositories, those of `sources:`, and all of the tree's manifest, whether openEuler's fetcher has
cloned them yet or not. So it does not depend on what was built before, and its differences from one
commit to the next are the tree's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from oejail import __version__, containers, files, gitrepos, oebuild
from oejail.errors import ChildFailed, ConfigError, PrerequisiteMissing, UsageFault
from oejail.gitrepos import Status
from oejail.log import logger
from oejail.project.model import META_OPENEULER, bad_ref, bad_url
from oejail.workspace import checkout, features, image, sources
from oejail.workspace.checkout import Move
from oejail.workspace.lockfile import COMMIT, Image, Lock, Pin
from oejail.workspace.model import Workspace
from oejail.workspace.sources import Entry
from oejail.yamltext import read_mapping


@dataclass(frozen=True)
class Difference:
    """One thing that is not as the lock says. `found` or `locked` is None where it is not there."""

    name: str
    locked: str | None
    found: str | None

    def line(self) -> str:
        """For people."""
        return f"{self.name}: locked {self.locked or 'nothing'}, found {self.found or 'nothing'}"


@dataclass(frozen=True)
class Found:
    """A workspace as it is: what a lock of it would be, and which repositories have changes."""

    lock: Lock
    statuses: Mapping[str, Status]
    unlockable: tuple[str, ...]
    """Directories of src/ that a build reads and that are no git repositories."""


@dataclass(frozen=True)
class Moved:
    """A repository whose commit changes, and how many commits lead there, where that is known."""

    name: str
    old: str | None
    new: str | None
    commits: int | None = None

    def line(self) -> str:
        """For people."""
        number = f" ({self.commits} commits)" if self.commits is not None else ""
        if self.commits == 1:
            number = " (1 commit)"
        old = checkout.short(self.old) if self.old else "not locked"
        new = checkout.short(self.new) if self.new else "gone"
        return f"{self.name}: {old} -> {new}{number}"


def manifest_digest(ws: Workspace) -> str | None:
    """SHA-256 of the tree's manifest; None in a tree that has none."""
    try:
        return files.sha256_bytes(files.read_limited(sources.manifest_file(ws), files.MIB))
    except (FileNotFoundError, NotADirectoryError):
        return None


def manifest_of(ws: Workspace) -> dict[str, Entry]:
    """The tree's manifest; empty in a tree that has none."""
    return sources.manifest(ws) if sources.manifest_file(ws).exists() else {}


def layer_repositories(ws: Workspace) -> tuple[str, ...]:
    """Repositories whose layers BitBake reads: yocto-meta-openeuler, those that the tree and
    compile.yaml list in `repos`, those of the layers and the sources of oejail.yaml."""
    names = [META_OPENEULER]
    for path in (ws.meta_openeuler / ".oebuild" / "common.yaml", ws.compile_yaml):
        if path.is_file():
            names += map(str, read_mapping(path).get("repos") or ())
    names += [layer.partition("/")[0] for layer in ws.project.config.layers]
    if ws.tree != "sample":
        names += ws.project.config.sources
    return tuple(dict.fromkeys(name for name in names if sources.is_name(name)))


def look(ws: Workspace) -> Found:
    """The workspace as it is. No network is used.

    Raises ConfigError where there is no yocto-meta-openeuler under git, or a file of the tree is
    broken; PrerequisiteMissing without oebuild, or without a daemon for the container's image.
    """
    listed = manifest_of(ws)
    layers = layer_repositories(ws)
    names = list(dict.fromkeys((*layers, *listed)))
    seen = gitrepos.statuses(ws.src / name for name in names)
    statuses = {name: seen[ws.src / name] for name in names if ws.src / name in seen}
    main = statuses.get(META_OPENEULER)
    if main is None or main.commit is None:
        raise ConfigError(
            f"{ws.meta_openeuler}: no git repository with a commit, so there is nothing to lock",
            hint="oejail up --until update" if ws.tree == "openeuler" else "put the tree under git",
        )
    digest = manifest_digest(ws)
    pins: dict[str, Pin] = {}
    unlockable = []
    for name in names:
        status = statuses.get(name)
        entry = listed.get(name)
        if status is not None and status.commit is not None:
            pins[name] = Pin(status.commit, _url(ws, name, entry))
        elif (ws.src / name).is_dir() and any((ws.src / name).iterdir()):
            unlockable.append(name)
        elif (pin := _of_absent(ws, name, entry, digest)) is not None:
            pins[name] = pin
    lock = Lock(
        schema_version=1,
        oejail=__version__,
        oebuild=oebuild.version(ws.oebuild, ws.identity),
        tree=ws.tree,
        platform=ws.project.platform.name,
        feature_schema=features.read(ws.meta_openeuler / ".oebuild").schema,
        image=_image(ws),
        manifest=digest,
        repositories=pins,
    )
    return Found(lock, statuses, tuple(unlockable))


def lockable(ws: Workspace) -> Lock:
    """A lock of the workspace as it is.

    Raises UsageFault for repositories with local changes, which no commit holds; with
    `allow_dirty` the commits below them are locked. Else as `look`.
    """
    found = look(ws)
    dirty = [f"{ws.src / n}: local changes: {s.changes()}"
             for n, s in sorted(found.statuses.items()) if s.dirty]  # fmt: skip
    if dirty and not ws.allow_dirty:
        more = f", and {len(dirty) - 1} more" if len(dirty) > 1 else ""
        raise UsageFault(
            f"{dirty[0]}{more}: no lock can hold them",
            hint="commit them, or lock what is below them: --allow-dirty",
            details=dirty[1:20],
        )
    for fault in dirty:
        logger.warning("%s: they are not in the lock", fault)
    if ws.engine == "container" and found.lock.image is None:
        logger.warning(
            "the container's image is not there yet, so it is not in the lock: %s, then %s",
            ws.command("up"),
            ws.command("lock"),
        )
    for name in found.unlockable:
        logger.warning("%s: no git repository, so it is not in the lock", ws.src / name)
    for name, status in sorted(found.statuses.items()):
        if ws.tree == "openeuler" and _unpublished(ws, name, status):
            logger.warning(
                "%s: commit %s is nowhere upstream, as far as can be told here: others cannot "
                "fetch it before it is pushed",
                ws.src / name,
                checkout.short(status.commit),
            )
    return found.lock


def _unpublished(ws: Workspace, name: str, status: Status) -> bool:
    if status.commit is None:
        return False
    repository = ws.src / name
    if not checkout.unreachable(repository, status.commit, "refs/remotes", "refs/tags"):
        return False
    listed = sources.manifest(ws).get(name) if sources.manifest_file(ws).exists() else None
    return listed is None or listed.version != status.commit


def _image(ws: Workspace) -> Image | None:
    """The container's image; where it is not there yet, the one that `hold_image` would bring.

    The host engine has none, and nothing to say of one that was locked.
    """
    locked = ws.locked.image if ws.locked is not None else None
    if ws.engine != "container" or not ws.compile_yaml.is_file():
        return locked
    found = image.image_identity(ws)
    if found is None and locked is not None and locked.digest is not None:
        return locked if locked.name == image.docker_param(ws).image else None
    return Image(found.name, found.id, found.digest or None) if found is not None else None


def _of_absent(ws: Workspace, name: str, entry: Entry | None, digest: str | None) -> Pin | None:
    """The commit that openEuler's fetcher would take for a repository that is not there yet."""
    locked = ws.locked.repositories.get(name) if ws.locked else None
    if ws.locked is not None and locked is not None and ws.locked.manifest == digest:
        return locked  # through the manifest that oejail writes
    if entry is not None and re.fullmatch(COMMIT, entry.version):
        return Pin(entry.version, _clean(entry.url))
    return None


def _url(ws: Workspace, name: str, entry: Entry | None) -> str | None:
    """Where a repository comes from: oejail.yaml, the manifest, or its own remote say so."""
    if ws.tree == "sample":
        return None
    if name == META_OPENEULER and ws.tree == "openeuler":
        return sources.main_source(ws.project).url
    declared = ws.project.config.sources.get(name)
    if declared is not None and name != META_OPENEULER:
        return declared.url
    if entry is not None:
        return _clean(entry.url)
    for remote in ("upstream", "origin"):
        said = gitrepos.ask(ws.src / name, "config", "--get", f"remote.{remote}.url")
        if said.returncode == 0:
            return _clean(said.stdout.decode(errors="replace").strip())
    return None


def _clean(url: str) -> str | None:
    """`url` without a password, which has no place in a file under version control."""
    url = re.sub(r"^(https?://)[^/@]*@", r"\1", url)
    url = re.sub(r"^(\w+://[^/@:]*):[^/@]*@", r"\1@", url)
    return None if bad_url(url) else url


def differences(lock: Lock, found: Found) -> list[Difference]:
    """Everything in which a workspace is not what `lock` says; empty when it is."""
    now = found.lock
    result = []
    for key in ("tree", "platform", "feature_schema", "oebuild", "oejail", "manifest"):
        old, new = getattr(lock, key), getattr(now, key)
        if old != new:
            result.append(Difference(key, old, new))
    if not same_image(lock.image, now.image):
        result.append(Difference("image", _shown(lock.image), _shown(now.image)))
    for name in sorted(lock.repositories.keys() | now.repositories.keys()):
        pin, there = lock.repositories.get(name), now.repositories.get(name)
        status = found.statuses.get(name)
        commit = there.commit if there else None
        if status is not None and status.dirty:
            changes = f"{commit} with local changes: {status.changes()}"
            result.append(Difference(name, pin.commit if pin else None, changes))
        elif pin is None or commit != pin.commit:
            result.append(Difference(name, pin.commit if pin else None, commit))
        if pin is not None and there is not None and pin.url != there.url:
            result.append(Difference(f"{name} url", pin.url, there.url))
    return result


def same_image(locked: Image | None, found: Image | None) -> bool:
    """Whether two images are the same, by id or by the digest under which they are pulled."""
    if locked is None or found is None:
        return locked is found
    return locked.id == found.id or (locked.digest is not None and locked.digest == found.digest)


def hold_image(ws: Workspace) -> None:
    """See to it that the container is made from the locked image, which is pulled when missing.

    Raises UsageFault when its name stands for another image, PrerequisiteMissing when it is not
    there and not to be had.
    """
    locked = ws.locked.image if ws.locked is not None else None
    if locked is None or ws.engine != "container":
        return
    name = image.docker_param(ws).image
    with containers.connect(ws.identity) as client:
        found = image.identify(client, name)
        if found is None and name == locked.name:
            if locked.digest is None:
                raise PrerequisiteMissing(
                    f"image {name}: not there, and {ws.project.lock_file.name} knows no digest to "
                    "pull it by",
                    hint=f"docker load -i an archive of {locked.id}",
                )
            image.ensure(client, locked.digest, name)
            client.images.get(locked.digest).tag(name)
            found = image.identify(client, name)
        now = Image(found.name, found.id, found.digest or None) if found is not None else None
        if not same_image(locked, now):
            raise UsageFault(
                f"image {name}: locked {_shown(locked)}, found {_shown(now) or 'none'}",
                hint=f"{_how_to_have(ws, client, locked, name)}, or oejail lock",
            )


def _how_to_have(ws: Workspace, client: Any, locked: Image, name: str) -> str:
    """What to do for `name`, of compile.yaml, to stand for the locked image."""
    if name != locked.name:
        return f"image: {locked.name} in compile.yaml, then {ws.command('generate')}"
    if image.identify(client, locked.id) is not None:
        return f"docker tag {locked.id} {name}"
    if locked.digest is not None:
        return f"docker pull {locked.digest} && docker tag {locked.digest} {name}"
    return f"docker load -i an archive of {locked.id}"


def _shown(value: Image | None) -> str | None:
    return f"{value.name} {value.digest or value.id}" if value is not None else None


def changes(ws: Workspace, old: Lock | None, new: Lock) -> list[Moved]:
    """The repositories in which two locks differ."""
    before = old.repositories if old is not None else {}
    moved = []
    for name in sorted(before.keys() | new.repositories.keys()):
        was = before[name].commit if name in before else None
        now = new.repositories[name].commit if name in new.repositories else None
        if was == now:
            continue
        number = None
        if was and now and (ws.src / name / ".git").exists():
            number = checkout.count(ws, ws.src / name, was, now)
        moved.append(Moved(name, was, now, number))
    return moved


def updated(ws: Workspace, lock: Lock, names: Iterable[str]) -> Lock:
    """`lock` moved to what upstream has now; src/ stays as it is.

    yocto-meta-openeuler and the repositories of `sources:` go to the tip of their branch, all
    others to what the manifest there says. With `names` only these move, and what followed the
    manifest goes on following it. Raises UsageFault for a name that is not locked or a tree that
    has no upstream, ChildFailed for a URL that does not answer.
    """
    if ws.tree != "openeuler":
        raise UsageFault(
            f"tree {ws.project.config.tree}: has no upstream that oejail knows",
            hint="bring it to the commits that you want, then oejail lock",
        )
    chosen = set(names)
    own = {n: s for n, s in ws.project.config.sources.items() if n != META_OPENEULER}
    unknown = sorted(chosen - lock.repositories.keys() - own.keys())
    if unknown:
        raise UsageFault(f"{unknown[0]}: not in {ws.project.lock_file.name}", hint="oejail lock")
    main = lock.repositories[META_OPENEULER]
    if not chosen or META_OPENEULER in chosen:
        source = sources.main_source(ws.project)
        main = Pin(_tip(ws, META_OPENEULER, source.url, source.ref), source.url)
        checkout.fetch(
            ws,
            ws.meta_openeuler,
            Move(META_OPENEULER, lock.repositories[META_OPENEULER].commit, main.commit, main.url),
        )
    before = _manifest_at(ws, lock.repositories[META_OPENEULER].commit)[0]
    after, digest = _manifest_at(ws, main.commit)
    pins = {META_OPENEULER: main}
    for name in sorted(lock.repositories.keys() | after.keys() | own.keys()):
        asked = not chosen or name in chosen
        pin, entry = lock.repositories.get(name), after.get(name)
        if name == META_OPENEULER:
            continue
        if name in own:
            if asked or pin is None:
                pin = Pin(_tip(ws, name, own[name].url, own[name].ref), own[name].url)
        elif entry is not None and re.fullmatch(COMMIT, entry.version):
            followed = pin is None or (name in before and before[name].version == pin.commit)
            if asked or followed:
                pin = Pin(entry.version, _clean(entry.url))
        elif name in before and name not in layer_repositories(ws):
            continue  # upstream dropped it
        if pin is not None:
            pins[name] = pin
    return replace(
        lock,
        oejail=__version__,
        oebuild=oebuild.version(ws.oebuild, ws.identity),
        image=_image(ws) or lock.image if not chosen else lock.image,
        manifest=digest,
        repositories=pins,
    )


def _tip(ws: Workspace, name: str, url: str, ref: str) -> str:
    """The commit of a branch, or a tag, upstream."""
    if re.fullmatch(COMMIT, ref):
        return ref
    wrong = bad_ref(ref)
    if wrong is not None:
        raise ConfigError(f"sources: {name}: {wrong}")
    # A tag's ^{} line is the commit that it stands for.
    said = checkout.git(ws, ws.root, "ls-remote", "--", url, f"refs/heads/{ref}",
                        f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}")  # fmt: skip
    if not said.ok:
        raise sources.unfetched(ws, name, url, ref, said)
    listed: dict[str, str] = {}
    for line in said.stdout:
        commit, _, place = line.partition("\t")
        listed[place] = commit
    for place in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"):
        if re.fullmatch(COMMIT, listed.get(place, "")):
            return listed[place]
    raise ChildFailed(
        f"{url}: has no branch or tag {ref} of {name}", hint="check sources: in oejail.yaml"
    )


def _manifest_at(ws: Workspace, commit: str) -> tuple[dict[str, Entry], str | None]:
    """The manifest in a commit of yocto-meta-openeuler, and its SHA-256; empty where the commit
    or the file is not there."""
    place = f"{commit}:.oebuild/manifest.yaml"
    said = gitrepos.ask(ws.meta_openeuler, "cat-file", "blob", place)
    if said.returncode != 0:
        logger.debug("lock: no %s", place)
        return {}, None
    try:
        data = yaml.safe_load(said.stdout[: files.MIB])
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise ConfigError(f"{META_OPENEULER} {place}: not YAML: {words}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{META_OPENEULER} {place}: not a mapping (KEY: VALUE lines)")
    return sources.manifest_entries(data, place), files.sha256_bytes(said.stdout)
