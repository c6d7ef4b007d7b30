# SPDX-License-Identifier: MIT
"""The image that oebuild's container is made from: which one, whether it is there, getting it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from oejail import containers, files
from oejail.errors import ConfigError, PrerequisiteMissing, UsageFault
from oejail.workspace import dockerparam
from oejail.workspace.dockerparam import DockerParam
from oejail.workspace.model import Workspace

_MOVING = re.compile(r"(?:latest|master|main|nightly|edge|dev|develop|stable)?")


@dataclass(frozen=True)
class ImageIdentity:
    """Which image a name stands for on this machine."""

    name: str
    """As compile.yaml says it."""
    id: str
    """`sha256:…` of the image's configuration: the same on every machine that has this image."""
    digest: str
    """`REPOSITORY@sha256:…` by which it is pulled; empty for one that was loaded or imported."""
    moving_tag: bool
    """True when the name is none, or one that its maker moves (`latest` and the like)."""


def docker_param(ws: Workspace) -> DockerParam:
    """docker_param of the build directory's compile.yaml.

    Raises UsageFault without compile.yaml, ConfigError without docker_param.
    """
    try:
        text = files.read_limited(ws.compile_yaml, files.MIB).decode("utf-8", "replace")
    except FileNotFoundError:
        raise UsageFault(f"{ws.build_dir}: no compile.yaml", hint="oejail generate") from None
    param = dockerparam.read(text, str(ws.compile_yaml))
    if param is None:
        raise ConfigError(
            f"{ws.compile_yaml}: no docker_param, so it is not for a container",
            hint="oejail generate --engine container",
        )
    return param


def moves(name: str) -> bool:
    """Whether an image's name may stand for another image tomorrow: no digest, and a usual tag."""
    if "@" in name:
        return False
    _, _, tag = name.rpartition("/")[2].partition(":")
    return _MOVING.fullmatch(tag) is not None


def image_identity(ws: Workspace) -> ImageIdentity | None:
    """The image of `ws` as the daemon has it; None when it does not have it.

    Raises PrerequisiteMissing (no daemon), UsageFault and ConfigError as `docker_param`.
    """
    name = docker_param(ws).image
    with containers.connect(ws.identity) as client:
        return identify(client, name)


def identify(client: Any, name: str) -> ImageIdentity | None:
    """As `image_identity`, of a name, by a client of the daemon."""
    import docker.errors

    try:
        image = client.images.get(name)
    except docker.errors.ImageNotFound:
        return None
    digests = [str(digest) for digest in image.attrs.get("RepoDigests") or ()]
    repository = re.sub(r"(@.*|:[^:/]*)$", "", name)
    own = [digest for digest in digests if digest.partition("@")[0] == repository]
    return ImageIdentity(name, str(image.id), (own or [""])[0], moves(name))


def ensure(client: Any, name: str) -> ImageIdentity:
    """See to it that the daemon has the image `name`, and return it.

    Raises PrerequisiteMissing when it is neither there nor to be had.
    """
    found = identify(client, name)
    if found is None:
        raise PrerequisiteMissing(f"image {name}: not there", hint=f"docker pull {name}")
    return found


def run(client: Any, name: str, command: list[str]) -> str | None:
    """What `command` says in a container of its own of the image; None when it fails."""
    import docker.errors

    try:
        said = client.containers.run(
            name, command, entrypoint=[], network_mode="none", remove=True, stderr=False
        )
    except docker.errors.ContainerError:
        return None
    return bytes(said).decode("utf-8", "replace").strip()
