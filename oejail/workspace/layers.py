# SPDX-License-Identifier: MIT
"""Layer injection: into compile.yaml, which survives, and conf/bblayers.conf, where it is there.

oebuild copies compile.yaml's `layers:` into bblayers.conf at every `oebuild bitbake`, spelled
`<src>/yocto-poky/../<layer>`. The same spelling is written here, so that it finds nothing to do.
"""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail import files
from oejail.errors import ConfigError, UsageFault
from oejail.files import read_limited
from oejail.resources import data_dir
from oejail.workspace import bblayers, compileyaml, layerconf
from oejail.workspace.bblayers import Places
from oejail.workspace.layerconf import LayerConf
from oejail.workspace.model import CONTAINER_SRC, Outcome, Workspace

META_OEJAIL = "meta-oejail"
_SAMPLE = "bblayers.conf.sample"


@dataclass(frozen=True)
class View:
    """A layer of the build, for `layers show`."""

    path: str
    """Relative to src/, or absolute when outside it."""
    where: tuple[str, ...]
    """The files that name it: `compile.yaml`, `bblayers.conf`."""
    conf: LayerConf | None
    problem: str = ""


def add(ws: Workspace, paths: Sequence[str | Path], *, dry_run: bool = False) -> Outcome:
    """Add layers, each checked before anything is written.

    Raises UsageFault (a path outside src/), ConfigError (no layer, another series, a dependency
    that no other layer meets, a collection that is there already, a bblayers.conf that cannot be
    read or that oebuild would damage).
    """
    return _change(ws, [_relative(ws, path) for path in paths], (), dry_run)


def remove(ws: Workspace, paths: Sequence[str | Path], *, dry_run: bool = False) -> Outcome:
    """Take layers out of both files. Raises UsageFault for one that neither of them names."""
    names = [_relative(ws, path, must_exist=False) for path in paths]
    there = {view.path for view in show(ws)}
    for name in names:
        if name not in there:
            raise UsageFault(f"{name}: no layer of this build", hint="oejail layers show")
    return _change(ws, (), names, dry_run)


def ensure(ws: Workspace) -> Outcome:
    """See to it that oejail.yaml's layers and meta-oejail are there."""
    installed = install_meta_oejail(ws)
    outcome = _change(ws, [*ws.project.config.layers, META_OEJAIL], (), False)
    if installed:
        return Outcome(True, f"installed {META_OEJAIL}; {outcome.reason}")
    return outcome


def layer_files(ws: Workspace) -> list[Path]:
    """The layer.conf files that `ensure` looked at."""
    return [ws.src / name / "conf" / "layer.conf" for name in _declared(ws)]


def install_meta_oejail(ws: Workspace) -> bool:
    """Bring src/meta-oejail to what this oejail carries; true when it was not."""
    source, target = data_dir("layers") / META_OEJAIL, ws.src / META_OEJAIL
    if _contents(source) == _contents(target):
        return False
    with files.atomic_directory(target) as fresh:
        shutil.copytree(source, fresh, dirs_exist_ok=True, ignore=_no_bytecode)
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


def show(ws: Workspace) -> list[View]:
    """The layers of the build in BitBake's order, then those that oebuild has yet to add."""
    declared = _declared(ws)
    document = _document(ws)
    listed = [] if document is None else _values(document)
    if document is None:
        listed = [*_base(ws), *(spelled(ws, name) for name in declared)]
    views: dict[str, View] = {}
    wanted = [(value, document is not None) for value in listed]
    wanted += [(spelled(ws, name), False) for name in declared]
    for value, in_file in wanted:
        name = _name(ws, value)
        where = [*(["compile.yaml"] if name in declared else []), *(["bblayers.conf"] * in_file)]
        if name in views:
            continue
        try:
            conf, problem = layerconf.read(_host_path(ws, value)), ""
        except ConfigError as error:
            conf, problem = None, error.message
        views[name] = View(name, tuple(where), conf, problem)
    return list(views.values())


def spelled(ws: Workspace, name: str) -> str:
    """A layer's path as oebuild writes it, for the workspace's engine."""
    return posixpath.join(ws.src_as_built, "yocto-poky", "..", name)


def _relative(ws: Workspace, path: str | Path, *, must_exist: bool = True) -> str:
    """`path` relative to src/. It may be absolute, or relative to the current directory or src/."""
    source = Path(os.path.realpath(ws.src))
    tried = [Path(path)] if Path(path).is_absolute() else [Path.cwd() / path, ws.src / path]
    if str(path).startswith(CONTAINER_SRC + "/"):
        tried.insert(0, ws.src / str(path).removeprefix(CONTAINER_SRC + "/"))
    there = next((place for place in tried if place.is_dir()), None)
    if there is None:
        if must_exist:
            raise ConfigError(
                f"{path}: no such layer, neither here nor in {ws.src}", hint="oejail layers show"
            )
        there = tried[-1]
    resolved = Path(os.path.realpath(there))
    for candidate in (Path(os.path.normpath(there)), resolved):
        for top in (ws.src, source):
            if candidate != top and candidate.is_relative_to(top):
                return str(candidate.relative_to(top))
    raise UsageFault(
        f"{path}: lies outside {ws.src}, and compile.yaml's layers are relative to that",
        hint="clone it into src/ (sources: in oejail.yaml does so at every update)",
    )


def _declared(ws: Workspace) -> tuple[str, ...]:
    """compile.yaml's layers."""
    return tuple(posixpath.normpath(name) for name in compileyaml.parts(_compile_yaml(ws))[0])


def _compile_yaml(ws: Workspace) -> str:
    try:
        return read_limited(ws.compile_yaml, files.MIB).decode()
    except FileNotFoundError:
        raise UsageFault(
            f"{ws.compile_yaml}: not generated yet", hint="oejail generate makes it"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{ws.compile_yaml}: no UTF-8 at byte {error.start}") from None


def _places(ws: Workspace) -> Places:
    known = (CONTAINER_SRC, str(ws.src), os.path.realpath(ws.src))
    return Places(tuple(dict.fromkeys(known)), {"TOPDIR": ws.build_dir_as_built})


def _conf_path(ws: Workspace) -> Path:
    return ws.build_dir / "conf" / "bblayers.conf"


def _text(ws: Workspace) -> str | None:
    """bblayers.conf, byte for byte (line ends too), or None before the first BitBake run."""
    path = _conf_path(ws)
    try:
        return read_limited(path, bblayers.LIMIT).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no UTF-8 at byte {error.start}") from None


def _document(ws: Workspace) -> bblayers.Document | None:
    text = _text(ws)
    return None if text is None else bblayers.parse(text, str(_conf_path(ws)), _places(ws))


def _values(document: bblayers.Document) -> list[str]:
    return document.values()


def _base(ws: Workspace) -> list[str]:
    """The layers of the tree's bblayers.conf.sample: those that the first BitBake run will see."""
    path = ws.meta_openeuler / ".oebuild" / _SAMPLE
    try:
        text = read_limited(path, bblayers.LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such file, so oebuild cannot make conf/bblayers.conf",
            hint="check tree: in oejail.yaml",
        ) from None
    text = text.replace("##OEROOT##", f"{ws.src_as_built}/yocto-poky")
    return bblayers.parse(text, str(path), _places(ws)).values()


def _name(ws: Workspace, value: str) -> str:
    """A layer of bblayers.conf by its path relative to src/; absolute when it lies outside."""
    return _places(ws).key(value).removeprefix("src:")


def _host_path(ws: Workspace, value: str) -> Path:
    """Where a layer of bblayers.conf lies on this machine."""
    return ws.src / _name(ws, value)


def _change(
    ws: Workspace, adding: Sequence[str], removing: Sequence[str], dry_run: bool
) -> Outcome:
    """Bring both files to where `adding` is in and `removing` is out."""
    old = _compile_yaml(ws)
    declared = _declared(ws)
    _check(ws, [name for name in adding if name not in declared or not _in_conf(ws, name)], adding)
    layers = [name for name in declared if name not in removing]
    layers += [name for name in dict.fromkeys(adding) if name not in layers]
    text = compileyaml.with_layers(old, layers)
    conf = _edited_conf(ws, layers, removing)
    done = []
    if text != old:
        done.append(ws.compile_yaml)
        if not dry_run:
            files.atomic_write(ws.compile_yaml, text, mode=0o600)
    if conf is not None:
        done.append(_conf_path(ws))
        if not dry_run:
            files.atomic_write(_conf_path(ws), conf)
    would = "would change" if dry_run else "changed"
    names = ", ".join(path.name for path in done)
    return Outcome(bool(done), f"{would} {names}" if done else "the layers are there")


def _in_conf(ws: Workspace, name: str) -> bool:
    document = _document(ws)
    return document is None or bool(document.having(f"src:{name}"))


def _edited_conf(ws: Workspace, layers: Sequence[str], removing: Sequence[str]) -> bytes | None:
    """bblayers.conf as it should be; None when it is so, or is not there yet."""
    old = _text(ws)
    if old is None:
        return None
    path, places = str(_conf_path(ws)), _places(ws)
    spellings = [spelled(ws, name) for name in layers]
    new = bblayers.edit(
        old,
        add=spellings,
        remove=[spelled(ws, name) for name in removing],
        places=places,
        path=path,
    )
    problems = bblayers.oebuild_would_damage(new, spellings, places, path)
    if problems:
        raise ConfigError(
            f"{path}:{problems[0].line}: {problems[0].message}",
            hint='write it as BBLAYERS ?= " … " with one path a line',
            details=[f"{path}:{problem.line}: {problem.message}" for problem in problems[1:]],
        )
    return None if new == old else new.encode()


def _check(ws: Workspace, fresh: Sequence[str], adding: Sequence[str]) -> None:
    """Raise ConfigError unless each of `fresh` can join the layers that are there."""
    if not fresh:
        return
    others = {view.path: view.conf for view in show(ws) if view.conf is not None}
    series = {name for conf in others.values() for name in conf.core_series}
    confs = {name: layerconf.read(ws.src / name) for name in adding}
    together = {**others, **confs}
    for name in fresh:
        conf = confs[name]
        _check_series(conf, series)
        _check_collections(name, conf, together)
        _check_depends(conf, together.values())


def _check_series(conf: LayerConf, core: set[str]) -> None:
    if core and conf.series and not core & set(conf.series):
        raise ConfigError(
            f"{conf.path}: LAYERSERIES_COMPAT is {' '.join(conf.series)}, the tree's series "
            f"{' '.join(sorted(core))}",
            hint="take the layer's branch for that series",
        )
    if core and not conf.series and conf.collections:
        raise ConfigError(
            f"{conf.path}: no LAYERSERIES_COMPAT_{conf.collections[0]}; the tree's series is "
            f"{' '.join(sorted(core))}",
            hint=f'add LAYERSERIES_COMPAT_{conf.collections[0]} = "{min(core)}" to its '
            "conf/layer.conf",
        )


def _check_collections(name: str, conf: LayerConf, together: dict[str, LayerConf]) -> None:
    for other, there in together.items():
        twice = set(conf.collections) & set(there.collections) if other != name else set()
        if twice:
            raise ConfigError(
                f"{conf.path}: its collection {min(twice)} is {there.path}'s already",
                hint=f"oejail layers remove {other}, or leave this one out",
            )


def _check_depends(conf: LayerConf, together: Iterable[LayerConf]) -> None:
    have = {collection for other in together for collection in other.collections}
    missing = [name for name in conf.depends if name not in have]
    if missing:
        colon = " (in the colon spelling, which BitBake overlooks)" * (missing[0] in conf.unseen)
        raise ConfigError(
            f"{conf.path}: depends on {', '.join(missing)}{colon}, which no layer here provides; "
            f"there are {' '.join(sorted(have))}",
            hint="oejail layers add the layer that does, first or together with it",
        )
