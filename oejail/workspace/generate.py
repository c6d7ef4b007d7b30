# SPDX-License-Identifier: MIT
"""compile.yaml: made by `oebuild generate`, kept right, and made again when it must be.

oebuild deletes a build directory that exists (all of it, when conf/ is missing). So it always
generates into a directory of its own, from which compile.yaml is moved: tmp/, downloads/ and conf/
are never in its reach. What was added to compile.yaml by hand (layers, lines for local.conf) is
found by comparing with what was generated before, and goes over into the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from oejail import files, oebuild
from oejail.errors import ConfigError, UsageFault
from oejail.log import logger
from oejail.workspace import dockerparam, features, inimage, nativesdk, settle, sources
from oejail.workspace.compileyaml import (
    carry_over,
    edit,
    follow,
    parts,
    statements,
    without_updates,
)
from oejail.workspace.features import Offer
from oejail.workspace.model import Outcome, Workspace
from oejail.yamltext import read_mapping

EVENTS_LINE = 'INHERIT += "oejail-events"'
"""Has every build write its events for oejail (layers/meta-oejail)."""

_SCRATCH = ".oejail-generate"
_OEBUILD_MARK = "#===========the content is user added=================="
"""What oebuild writes into conf/local.conf before compile.yaml's lines, which it does once."""
_BUILD_IN = {"host": "host", "container": "docker"}


@dataclass(frozen=True)
class _Recipe:
    """What compile.yaml is made from; kept beside it, to see when that changes."""

    platform: str
    features: tuple[str, ...]
    build_in: str
    tree: str
    """SHA-256 of the tree's files that oebuild reads."""
    place: str
    """The build directory as BitBake sees it."""
    nativesdk: str | None = None
    """Its directory, where oejail.yaml gives one to the host engine."""


@dataclass(frozen=True)
class _Record:
    """What was made the last time."""

    recipe: _Recipe | None = None
    """None: a run was killed while it made compile.yaml."""
    layers: tuple[str, ...] = ()
    local_conf: tuple[str, ...] = ()
    """As oebuild generated them; empty when somebody else made compile.yaml."""
    own: tuple[str, ...] = ()
    """Statements of local.conf that oejail added."""
    docker: tuple[str, ...] = ()
    """Image, parameters, command and volumes of the container, as oebuild generated them."""


def ensure_generated(ws: Workspace) -> Outcome:
    """See to it that the build directory has a compile.yaml that is right, and that the
    repositories that it lists are in src/.

    Right: this machine, this engine, the features' lines and layers, Jailhouse as MCS's pedestal,
    oejail's lines for local.conf. Raises ConfigError (an unknown platform or feature, naming what
    the tree offers; a broken file of the tree), UsageFault (the build directory was filled for
    another machine or engine), ChildFailed (oebuild did not generate it).
    """
    version = oebuild.version(ws.oebuild, ws.identity)
    nativesdk.require(ws, version)
    sdk = nativesdk.declared(ws)
    offer = offer_of(ws, version)
    chosen = features.wanted(offer, ws.project.platform, ws.project.config.features)
    recipe = _Recipe(
        ws.project.platform.name,
        chosen,
        _BUILD_IN[ws.engine],
        _digest(ws, offer),
        ws.build_dir_as_built,
        None if sdk is None else str(sdk.directory),
    )
    kept = _read_record(_record_path(ws))
    record = kept or _Record()
    _refuse_moved(ws, record)
    done = []
    reason = _why_generate(ws, offer, recipe, kept)
    old = _text(ws.compile_yaml)
    docker = record.docker
    if reason is None:
        layers, conf, text = record.layers, record.local_conf, old
    else:
        _refuse_foreign(ws, recipe)
        fresh = _generate(ws, offer, recipe)
        layers, conf = parts(fresh)
        text = carry_over(old, fresh, known=(*record.layers, *record.local_conf, *record.own))
        text = dockerparam.carry_over(old, text, _docker(docker))
        docker = _docker_words(fresh)
        done.append(f"generated {ws.build_dir.name}/compile.yaml: {reason}")
    own = _own_lines(ws, offer, chosen, edit(text, drop=record.own))
    text = without_updates(edit(text, drop=record.own, add=own))
    if ws.engine == "container":
        text = dockerparam.complete(text, ws, _tools(ws, own))
    if text != old:
        # In this order, so that the next run finishes what a kill leaves half done.
        _write_record(ws, replace(record, recipe=None))
        (old_layers, old_conf), (new_layers, new_conf) = parts(old), parts(text)
        _follow_in_conf(ws, old_conf, new_conf)
        if (ws.build_dir / "conf" / "bblayers.conf").exists():
            for layer in [layer for layer in old_layers if layer not in new_layers]:
                logger.warning(
                    "%s is no longer asked for, but conf/bblayers.conf may list it: "
                    "oejail layers remove %s",
                    layer,
                    layer,
                )
        files.make_directory(ws.build_dir)
        files.atomic_write(ws.compile_yaml, text, mode=0o600)
        if reason is None:
            done.append("brought what oejail adds to it up to date")
    now = _Record(recipe, layers, conf, own, docker)
    if now != kept or text != old:
        _write_record(ws, now)
    _note_unheard(ws, text, known=(*conf, *own))
    if (fetched := _ensure_repositories(ws)) is not None:
        done.append(fetched)
    return Outcome(bool(done), "; ".join(done) or f"{ws.build_dir.name}/compile.yaml is right")


def offer_of(ws: Workspace, version: str) -> Offer:
    """What the tree in src/ offers an oebuild of `version`. Raises as `features.read`."""
    chosen = features.feature_root(ws.root / ".oebuild" / "config")
    return features.read(ws.meta_openeuler / ".oebuild", chosen, oebuild.schemas(version))


def _digest(ws: Workspace, offer: Offer) -> str:
    """SHA-256 over the files of the tree that oebuild makes compile.yaml from."""
    total = hashlib.sha256()
    paths = {feature.file for feature in offer.features.values()}
    paths |= {offer.root / "common.yaml", offer.root / "env.yaml"}
    paths.add(offer.root / "platform" / f"{ws.project.platform.name}.yaml")
    for path in sorted(paths):
        data = files.read_limited(path, files.MIB) if path.is_file() else b""
        total.update(f"{path.relative_to(offer.root)}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def _own_lines(ws: Workspace, offer: Offer, chosen: Sequence[str], others: str) -> tuple[str, ...]:
    """Lines for local.conf: Jailhouse on v1 trees, the events, the sample's, oejail.yaml's.

    `others` is compile.yaml without them.
    """
    declared = ws.project.config.local_conf
    lines = [*features.jailhouse_lines(offer, chosen, declared, parts(others)[1]), EVENTS_LINE]
    if ws.tree == "sample":
        from oejail.workspace import sample

        lines += sample.local_conf_lines(sample.compiler_for(ws, _image(others)))
    if ws.rtos_in_image:
        lines += inimage.lines(ws.project)
    return statements("\n".join((*lines, *declared)))


def _image(text: str) -> str:
    """The image that a compile.yaml names; empty without one."""
    param = dockerparam.read(text)
    return param.image if param else ""


def _tools(ws: Workspace, own: Sequence[str]) -> list[tuple[str, str]]:
    """Directories of this machine that the container is to see, and their names there."""
    if ws.tree != "sample":
        return []
    from oejail.workspace import sample

    return sample.mounts("zig" if any(dockerparam.TOOLS in line for line in own) else "gcc")


def _docker_words(text: str) -> tuple[str, ...]:
    param = dockerparam.read(text)
    return (param.image, param.parameters, param.command, *param.volumns) if param else ()


def _docker(words: tuple[str, ...]) -> dockerparam.DockerParam | None:
    if len(words) < 3:
        return None
    return dockerparam.DockerParam(words[0], words[1], words[3:], words[2])


def _why_generate(
    ws: Workspace, offer: Offer, recipe: _Recipe, record: _Record | None
) -> str | None:
    """Why compile.yaml has to be made again; None when it is right."""
    if not ws.compile_yaml.is_file():
        return "there was none"
    try:
        now = read_mapping(ws.compile_yaml)
    except ConfigError as error:
        hint = "mend it, or remove it and run oejail generate"
        raise ConfigError(error.message, hint=hint) from None
    wrong = _other_target(now, ws, recipe)
    if wrong is not None:
        return wrong
    sdk = now.get("nativesdk_dir")
    if sdk != recipe.nativesdk and (recipe.nativesdk or (record and record.recipe)):
        return f"nativesdk {recipe.nativesdk or 'none'} instead of {sdk or 'none'}"
    if record is not None:
        if record.recipe is None:
            return "a run was stopped while it made it"
        if record.recipe.features != recipe.features:
            before = ", ".join(record.recipe.features) or "none"
            return f"features {', '.join(recipe.features) or 'none'} instead of {before}"
        if record.recipe.tree != recipe.tree:
            return "the tree's .oebuild has changed"
    return _missing_feature(now, ws, offer, recipe)


def _other_target(now: dict[str, Any], ws: Workspace, recipe: _Recipe) -> str | None:
    """For what else than wanted a compile.yaml is; None when it is for that."""
    machine, build_in = now.get("machine"), now.get("build_in", "docker")
    if machine != ws.project.platform.machine:
        return f"machine {machine} instead of {ws.project.platform.machine}"
    if build_in != recipe.build_in:
        return f"build_in {build_in} instead of {recipe.build_in}"
    return None


def _missing_feature(
    now: dict[str, Any], ws: Workspace, offer: Offer, recipe: _Recipe
) -> str | None:
    """Which feature a compile.yaml has not the lines or layers of; None when it has all."""
    lines = {line.strip() for line in str(now.get("local_conf") or "").splitlines()}
    layers = set(map(str, now.get("layers") or ()))
    for feature in features.enabled(offer, ws.project.platform, recipe.features):
        missing = [x for x in feature.local_conf if x not in lines]
        missing += [x for x in feature.layers if x not in layers]
        if missing:
            return f"feature {feature.name} is missing ({missing[0]})"
    return None


def known(root: Path, build_name: str) -> bool:
    """Whether oejail has worked in a build directory of the workspace at `root`."""
    return _record_of(root, build_name).is_file()


def made(root: Path, build_name: str) -> bool:
    """Whether oejail made that build directory, and did not find it there with a compile.yaml."""
    record = _read_record(_record_of(root, build_name))
    return record is not None and bool(record.layers or record.local_conf or record.docker)


def _refuse_moved(ws: Workspace, record: _Record) -> None:
    """Raise UsageFault for a build directory that lay elsewhere when it was filled.

    Its conf/ and tmp/ are full of absolute paths, and BitBake refuses or, worse, follows them.
    """
    then = record.recipe
    was = ws.build_dir_as_built
    if then is not None and then.build_in == _BUILD_IN[ws.engine]:
        was = then.place
    filled = [name for name in ("conf", "tmp") if (ws.build_dir / name).exists()]
    if filled and was != ws.build_dir_as_built:
        raise UsageFault(
            f"{ws.build_dir}: {' and '.join(filled)} were made when it was {was}, and name that",
            hint="move it back, or oejail clean --all and build anew",
        )


def _refuse_foreign(ws: Workspace, recipe: _Recipe) -> None:
    """Raise UsageFault for a build directory that BitBake filled for another machine or engine.

    Its conf/ and tmp/ have that one's machine and paths in them, which BitBake refuses.
    """
    filled = [name for name in ("conf", "tmp") if (ws.build_dir / name).exists()]
    if not filled or not ws.compile_yaml.is_file():
        return
    other = _other_target(read_mapping(ws.compile_yaml), ws, recipe)
    if other is None:
        return
    raise UsageFault(
        f"{ws.build_dir}: {' and '.join(filled)} are those of {other}",
        hint="give build_name: in oejail.yaml another name, or remove that build directory",
    )


def _generate(ws: Workspace, offer: Offer, recipe: _Recipe) -> str:
    """Have oebuild generate into a directory of its own; the compile.yaml that it made."""
    _check_image(offer.root / "env.yaml")
    scratch = ws.root / "build" / _SCRATCH
    files.make_directory(scratch.parent)
    files.remove_tree(scratch)
    # -ny: src/ is used as it is. Else each run of bitbake checks out the manifest's commits in it.
    words = ["generate", "-p", recipe.platform, "-d", _SCRATCH, "-b_in", recipe.build_in, "-ny"]
    for name in recipe.features:
        words += ["-f", name]
    if recipe.nativesdk is not None:
        words += ["-n", recipe.nativesdk]
    result = oebuild.run(ws.root, words, prefix=ws.oebuild, identity=ws.identity)
    made = scratch / "compile.yaml"
    if not made.is_file():
        raise oebuild.failed(result, f"{ws.build_dir}: oebuild generate made no compile.yaml")
    compiled = read_mapping(made)
    wrong = _other_target(compiled, ws, recipe) or _missing_feature(compiled, ws, offer, recipe)
    if wrong is not None:
        raise oebuild.failed(result, f"{ws.build_dir}: oebuild generated something else: {wrong}")
    # The container's volumes name the directory that it was generated in.
    text = _text(made).replace(f"build/{_SCRATCH}", f"build/{ws.build_name}")
    files.remove_tree(scratch)
    return text


def _check_image(path: Path) -> None:
    """Raise ConfigError where oebuild would ask which container image to take, in either engine."""
    if not path.is_file():
        return  # then the branch's name decides; failing that, oebuild fails and we say so
    if not {"docker_image", "docker_tag"} & read_mapping(path).keys():
        raise ConfigError(
            f"{path}: neither docker_image nor docker_tag, so oebuild would ask for one",
            hint="add a line docker_image: REGISTRY/IMAGE:TAG",
        )


def _ensure_repositories(ws: Workspace) -> str | None:
    """The repositories that compile.yaml lists are in src/; what was done, or None."""
    repos = [str(name) for name in read_mapping(ws.compile_yaml).get("repos") or ()]
    if ws.tree == "openeuler":
        made = settle.make_missing(ws, repos)
        return "; ".join(filter(None, [made, sources.fetch_listed(ws, repos)])) or None
    for name in repos:
        if not (ws.src / name).is_dir():
            raise ConfigError(
                f"{ws.src / name}: missing, and {ws.compile_yaml} lists it",
                hint="complete the tree; oejail does not fetch into somebody else's",
            )
    return None


def _follow_in_conf(ws: Workspace, before: Sequence[str], after: Sequence[str]) -> None:
    """oebuild appends local_conf to conf/local.conf once; later changes are up to us."""
    path = ws.build_dir / "conf" / "local.conf"
    try:
        data = files.read_limited(path, files.MIB)
    except FileNotFoundError:
        return
    text = data.decode("utf-8", "surrogateescape")
    if _OEBUILD_MARK not in text:
        return
    changed = follow(text, before, after)
    if changed != text:
        files.atomic_write(path, changed.encode("utf-8", "surrogateescape"))


def _note_unheard(ws: Workspace, text: str, known: Sequence[str]) -> None:
    """Say which lines that were put into compile.yaml by hand BitBake does not see."""
    local = ws.build_dir / "conf" / "local.conf"
    try:
        there = files.read_limited(local, files.MIB).decode("utf-8", "replace")
    except FileNotFoundError:
        return  # oebuild makes it with all lines that are in compile.yaml by then
    present = statements(there)
    for line in parts(text)[1]:
        if line not in known and line not in present:
            logger.warning(
                "%s: %s is not in conf/local.conf, into which oebuild put such lines once: move it "
                "to local_conf: in oejail.yaml, then oejail generate",
                ws.compile_yaml,
                line.splitlines()[0],
            )


def _text(path: Path) -> str:
    """A file's text; empty when there is none. Raises ConfigError when it is not UTF-8."""
    try:
        return files.read_limited(path, files.MIB).decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8") from None


def _record_path(ws: Workspace) -> Path:
    return _record_of(ws.root, ws.build_name)


def _record_of(root: Path, build_name: str) -> Path:
    return root / ".oebuild" / f"oejail-{build_name}.json"


def _read_record(path: Path) -> _Record | None:
    """The record; None when oejail did not make compile.yaml."""
    try:
        raw = json.loads(files.read_limited(path, 4 * files.MIB))
        recipe = raw["recipe"]
        if recipe is not None:
            recipe = _Recipe(**{**recipe, "features": tuple(recipe["features"])})
        raw.setdefault("docker", ())
        return _Record(recipe, *(tuple(raw[k]) for k in ("layers", "local_conf", "own", "docker")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, ConfigError):
        return _Record()


def _write_record(ws: Workspace, record: _Record) -> None:
    files.atomic_write(_record_path(ws), files.canonical_json(asdict(record)))
