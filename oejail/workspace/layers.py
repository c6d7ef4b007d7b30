# SPDX-License-Identifier: MIT
"""Layer injection: into compile.yaml, which survives, and conf/bblayers.conf, where it is there.

oebuild copies compile.yaml's `layers:` into bblayers.conf at every `oebuild bitbake`, spelled
`<src>/yocto-poky/../<layer>`. The same spelling is written here, so that it finds nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail import files
from oejail.errors import ConfigError, UsageFault
from oejail.files import read_limited
from oejail.log import logger
from oejail.project.model import bad_workspace_path
from oejail.resources import data_dir
from oejail.workspace import bblayers, compileyaml, inimage, layerchecks, layerconf
from oejail.workspace.bblayers import Places
from oejail.workspace.layerconf import LayerConf
from oejail.workspace.model import CONTAINER_SRC, Outcome, Workspace

META_OEJAIL = "meta-oejail"
COMPILE_YAML = "compile.yaml"
BBLAYERS = "conf/bblayers.conf"
SAMPLE = "bblayers.conf.sample"
"""What the first `oebuild bitbake` makes conf/bblayers.conf from."""


@dataclass(frozen=True)
class View:
    """A layer of the build, for `layers show`."""

    path: str
    """Relative to src/, or absolute when outside it."""
    where: tuple[str, ...]
    """What names it: `compile.yaml`, `conf/bblayers.conf`, `bblayers.conf.sample`."""
    conf: LayerConf | None
    problems: tuple[str, ...] = ()


def add(ws: Workspace, paths: Sequence[str | Path], *, dry_run: bool = False) -> Outcome:
    """Add layers, each checked before anything is written.

    A path may be relative to the current directory or to src/, or absolute. Raises UsageFault (a
    path that this engine or oebuild cannot bear), ConfigError (no layer, another series, a
    dependency that no other layer meets, a collection that is there already, a bblayers.conf that
    cannot be read or that oebuild would damage).
    """
    build = _Build(ws)
    names = [_find(build, path) for path in paths]
    _check(build, names)
    return _write(build, names, (), dry_run)


def remove(ws: Workspace, paths: Sequence[str | Path], *, dry_run: bool = False) -> Outcome:
    """Take layers out of both files. Raises UsageFault for one that neither of them names."""
    build = _Build(ws)
    names = [_find(build, path, must_exist=False) for path in paths]
    for path, name in zip(paths, names, strict=True):
        if name not in build.declared and not build.in_conf(name):
            if name in build.listed:
                raise UsageFault(
                    f"{path}: comes from {build.sample_path}",
                    hint=f"remove it when the first build has made {BBLAYERS} from that",
                )
            raise UsageFault(
                f"{path}: no layer of this build; there are {' '.join(build.names())}",
                hint="oejail layers show",
            )
    _warn_about_removal(build, names)
    return _write(build, (), names, dry_run)


def ensure(ws: Workspace) -> Outcome:
    """See to it that oejail.yaml's layers and meta-oejail are there, and can be built with.

    Raises as `add` does, and ConfigError for any layer of the build whose directory is gone.
    """
    installed = install_meta_oejail(ws)
    build = _Build(ws)
    names = list(dict.fromkeys([*map(posixpath.normpath, ws.project.config.layers), META_OEJAIL]))
    _check(build, names)
    for name in filter(build.readable, build.names()):
        build.conf(name)
    outcome = _write(build, names, (), False)
    if installed:
        return Outcome(True, f"installed {META_OEJAIL}; {outcome.reason}")
    return outcome


def layer_files(ws: Workspace) -> list[Path]:
    """The layer.conf files of compile.yaml's layers, which `ensure` looked at."""
    return [ws.src / name / "conf" / "layer.conf" for name in _Build(ws).declared]


def show(ws: Workspace) -> list[View]:
    """The layers of the build in BitBake's order, then those that oebuild has yet to add."""
    build = _Build(ws)
    names, confs, missing = build.names(), {}, {}
    for name in names:
        try:
            confs[name] = build.conf(name)
        except ConfigError as error:
            missing[name] = error.message
    views = []
    for name in names:
        where = [COMPILE_YAML] if name in build.declared else []
        if name in build.listed:
            where.append(SAMPLE if build.document is None else BBLAYERS)
        problems = [missing[name]] if name in missing else []
        if name in confs:
            problems += [what for what, _ in layerchecks.problems(name, confs, ws.src)]
        views.append(View(name, tuple(where), confs.get(name), tuple(problems)))
    return views


def spelled(ws: Workspace, name: str) -> str:
    """A layer's path as oebuild writes it, for the workspace's engine."""
    return posixpath.join(ws.src_as_built, "yocto-poky", "..", name)


def install_meta_oejail(ws: Workspace) -> bool:
    """Bring src/meta-oejail to what this oejail carries; true when it was not."""
    source, target = data_dir("layers") / META_OEJAIL, ws.src / META_OEJAIL
    script = inimage.script()
    if {**_contents(source), inimage.SCRIPT: script} == _contents(target):
        return False
    with files.atomic_directory(target) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True, ignore=_no_bytecode)
        (fresh / inimage.SCRIPT).parent.mkdir(exist_ok=True)
        (fresh / inimage.SCRIPT).write_bytes(script)
        for path in (fresh, *fresh.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        if ws.identity.kind == "user":
            files.give(fresh, ws.identity.uid, ws.identity.gid)
    return True


_no_bytecode = shutil.ignore_patterns("__pycache__", "*.pyc")


def _contents(top: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(top)): path.read_bytes()
        for path in top.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


class _Build:
    """Both files as they are now. A layer's name is its path relative to src/, or absolute."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        known = (CONTAINER_SRC, str(ws.src), os.path.realpath(ws.src))
        self.places = Places(tuple(dict.fromkeys(known)), {"TOPDIR": ws.build_dir_as_built})
        self.compile_text = _read_text(ws.compile_yaml, files.MIB)
        if self.compile_text is None:
            raise UsageFault(
                f"{ws.compile_yaml}: not generated yet", hint=f"{ws.command('generate')} makes it"
            )
        raw, _ = compileyaml.parts(self.compile_text, str(ws.compile_yaml))
        for entry in raw:
            wrong = bad_workspace_path(entry)
            if wrong is not None:
                raise ConfigError(f"{ws.compile_yaml}: layers: {entry!r}: {wrong}")
        self.declared = tuple(dict.fromkeys(self.name(spelled(ws, entry)) for entry in raw))
        """compile.yaml's layers."""
        self.conf_path = ws.build_dir / BBLAYERS
        self.conf_text = _read_text(self.conf_path, bblayers.LIMIT)
        self.document: bblayers.Document | None = None
        """conf/bblayers.conf; None before the first BitBake run."""
        if self.conf_text is not None:
            self.document = bblayers.parse(self.conf_text, str(self.conf_path), self.places)
        self.listed = self._listed()
        """The layers that BitBake sees, or will see, without oebuild's additions."""

    def _listed(self) -> tuple[str, ...]:
        document = self.document
        if document is None:
            document = bblayers.parse(self.sample_text(), str(self.sample_path), self.places)
        return tuple(dict.fromkeys(map(self.name, document.values())))

    @property
    def sample_path(self) -> Path:
        """The tree's template of bblayers.conf."""
        return self.ws.meta_openeuler / ".oebuild" / SAMPLE

    def sample_text(self) -> str:
        """bblayers.conf as oe-init-build-env will make it."""
        text = _read_text(self.sample_path, bblayers.LIMIT)
        if text is None:
            raise ConfigError(
                f"{self.sample_path}: no such file, so oebuild cannot make {BBLAYERS}",
                hint="check tree: in oejail.yaml",
            )
        return text.replace("##OEROOT##", f"{self.ws.src_as_built}/yocto-poky")

    def name(self, value: str) -> str:
        """A layer's name, from any spelling of its path."""
        return self.places.key(value).removeprefix("src:")

    def names(self) -> list[str]:
        """All layers, BitBake's order first."""
        return list(dict.fromkeys([*self.listed, *self.declared]))

    def in_conf(self, name: str) -> bool:
        """True when conf/bblayers.conf itself names the layer, though it may have no effect."""
        return self.document is not None and bool(self.document.mentions(spelled(self.ws, name)))

    def readable(self, name: str) -> bool:
        """False for what only BitBake knows: a variable of its own, a place in the container."""
        return "$" not in name and not (self.ws.engine == "container" and name.startswith("/"))

    def conf(self, name: str) -> LayerConf:
        """A layer's layer.conf. Raises ConfigError when it is no layer, or `readable` is false."""
        if not self.readable(name):
            raise ConfigError(f"{name}: only BitBake can tell where that is")
        path = self.ws.src / name
        if not path.is_dir() and (name in self.declared or name in self.listed):
            listed = BBLAYERS if self.document else SAMPLE
            where = COMPILE_YAML if name in self.declared else listed
            raise ConfigError(
                f"{path}: no such layer, and {where} lists it",
                hint=f"put it back, or oejail layers remove {name}",
            )
        return layerconf.read(path)

    def confs(self) -> dict[str, LayerConf]:
        """The layer.conf of each layer that has one to be read."""
        found = {}
        for name in self.names():
            with contextlib.suppress(ConfigError):
                found[name] = self.conf(name)
        return found


def _read_text(path: Path, limit: int) -> str | None:
    """A file's text, line ends as they are; None when there is none."""
    try:
        data = read_limited(path, limit)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not UTF-8: {error.reason}") from None


def _find(build: _Build, path: str | Path, *, must_exist: bool = True) -> str:
    """The name of the layer that somebody means by `path`."""
    ws, given = build.ws, str(path)
    if given.startswith(CONTAINER_SRC + "/"):
        given = str(ws.src / given.removeprefix(CONTAINER_SRC + "/"))
    tried = [Path(given)] if given.startswith("/") else [Path.cwd() / given, ws.src / given]
    there = [place for place in tried if place.is_dir()]
    if not there and must_exist:
        raise ConfigError(
            f"{path}: no such directory, neither here nor in {ws.src}",
            hint="give a layer's directory, relative to here or to src/",
        )
    places = there or tried[-1:]
    # What lies in src/ first: a link from there to elsewhere is a layer of src/ by its name.
    spellings = [os.path.normpath(place) for place in places]
    names = [build.name(x) for x in (*spellings, *map(os.path.realpath, places))]
    name = next((name for name in names if not name.startswith("/")), names[0])
    if must_exist:
        _check_place(ws, str(path), name)
    return name


def _check_place(ws: Workspace, path: str, name: str) -> None:
    """Raise UsageFault for a layer where oebuild or BitBake cannot get at it."""
    wrong = bad_workspace_path(name) if name else "that is all of src/"
    if wrong is not None:
        raise UsageFault(f"layer {path}: {wrong}", hint="give the layer's own directory")
    seen = Path(os.path.realpath(ws.src / name))
    inside = seen.is_relative_to(os.path.realpath(ws.src))
    if ws.engine == "container" and not inside:
        raise UsageFault(
            f"layer {path}: lies outside {ws.src}, all that the container sees of this machine",
            hint="clone or copy it into src/ (sources: in oejail.yaml clones at every update)",
        )
    if name.startswith("/"):
        logger.warning("%s lies outside src/: only the host engine can build with it", name)


def _check(build: _Build, names: Sequence[str]) -> None:
    """Raise ConfigError unless each of `names` can be, with the others, a layer of the build."""
    # By oebuild's way to it: where yocto-poky is a link, its `..` is another directory.
    for name in names:
        conf = build.conf(name)
        way = build.ws.src / "yocto-poky" / ".." / name
        if not way.is_dir():
            raise ConfigError(
                f"{way}: not there, though {conf.path} is, and that is how oebuild spells it",
                hint="make yocto-poky a directory of src/, no link",
            )
    confs = {**build.confs(), **{name: build.conf(name) for name in names}}
    for name in names:
        for what, hint in layerchecks.problems(name, confs, build.ws.src):
            raise ConfigError(what, hint=hint)


def _warn_about_removal(build: _Build, names: Sequence[str]) -> None:
    ws = build.ws
    kept = [*ws.project.config.layers, META_OEJAIL]
    for name in names:
        if name in kept:
            why = "oejail needs it" if name == META_OEJAIL else "oejail.yaml's layers: list it"
            logger.warning("%s: %s, so the next build adds it again", name, why)
    for name, needed in layerchecks.orphans(build.confs(), names):
        logger.warning("%s depends on %s, which goes", name, needed)


def _write(build: _Build, adding: Sequence[str], removing: Sequence[str], dry_run: bool) -> Outcome:
    """Bring both files to where `adding` is in and `removing` is out; compile.yaml first."""
    assert build.compile_text is not None
    layers = [name for name in build.declared if name not in removing]
    layers += [name for name in dict.fromkeys(adding) if name not in layers]
    compiled = compileyaml.with_layers(build.compile_text, layers)
    conf = _edited_conf(build, layers, removing)
    changed = []
    if compiled != build.compile_text:
        changed.append(COMPILE_YAML)
        if not dry_run:
            files.atomic_write(build.ws.compile_yaml, compiled)
    if conf != build.conf_text and conf is not None:
        changed.append(BBLAYERS)
        if not dry_run:
            files.atomic_write(build.conf_path, conf)
    done = [("added", name) for name in adding if name not in build.declared]
    done += [("removed", name) for name in removing]
    if not changed:
        return Outcome(False, "the layers are as they should be")
    words = ", ".join(f"{verb} {name}" for verb, name in done) or "brought the layers up to date"
    return Outcome(True, f"{'would have ' if dry_run else ''}{words} ({', '.join(changed)})")


def _edited_conf(build: _Build, layers: Sequence[str], removing: Iterable[str]) -> str | None:
    """bblayers.conf as it should be; None when it is not there yet.

    Raises ConfigError (`path:line: …`) when oebuild's editor would damage it, or the template that
    it is going to be made from.
    """
    ws, places = build.ws, build.places
    spellings = [spelled(ws, name) for name in layers]
    path, new = str(build.conf_path), build.conf_text
    if new is not None:
        gone = [spelled(ws, name) for name in removing]
        new = bblayers.edit(new, add=spellings, remove=gone, places=places, path=path)
    else:
        path = str(build.sample_path)
    text = build.sample_text() if new is None else new
    problems = bblayers.oebuild_would_damage(text, spellings, places, path)
    if problems:
        raise ConfigError(
            f"{path}:{problems[0].line}: {problems[0].message}",
            hint='write it as BBLAYERS ?= " … " with one path a line',
            details=[f"{path}:{problem.line}: {problem.message}" for problem in problems[1:]],
        )
    return new
