# SPDX-License-Identifier: MIT
"""The image that oebuild's container is made from: which one, whether it is there, getting it."""

from __future__ import annotations

import re
import shutil
import sys
import time
from dataclasses import dataclass
from logging import INFO
from pathlib import Path
from typing import Any

from oejail import containers, files
from oejail.errors import ConfigError, PrerequisiteMissing, UsageFault
from oejail.log import logger, redact, shows
from oejail.workspace import dockerparam
from oejail.workspace.dockerparam import DockerParam
from oejail.workspace.model import Workspace

GIB = 1 << 30
LEAST = GIB // 4
"""Free bytes in the daemon's storage below which nothing is pulled."""
USUAL = 8 * GIB
"""Free bytes in the daemon's storage that openEuler's image, unpacked, may take."""

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
        raise UsageFault(f"{ws.build_dir}: no compile.yaml", hint=ws.command("generate")) from None
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


def ensure(client: Any, name: str, tag: str | None = None) -> ImageIdentity:
    """See to it that the daemon has the image `name`: what is there is used, else it is pulled.

    `tag` is the name under which it is to be found, where `name` is a digest. Raises
    PrerequisiteMissing when it is neither there nor to be had, or the daemon's disk is full.
    """
    found = identify(client, name)
    if found is not None:
        return found
    _require_room(client)
    logger.info("image %s: not there, pulled", name)
    _pull(client, name, tag)
    found = identify(client, name)
    if found is None:
        raise PrerequisiteMissing(
            f"image {name}: pulled, but not there", hint=f"docker pull {name}"
        )
    if found.moving_tag:
        logger.warning(
            "image %s: that name moves; now it is %s (oejail lock keeps it)",
            name,
            found.digest or found.id,
        )
    return found


def room(client: Any) -> tuple[Path, int] | None:
    """Where the daemon keeps images, and the free bytes there; None when it can't be asked for."""
    if containers.socket_path() is None:  # on another machine
        return None
    place = Path(str(client.info().get("DockerRootDir", "")))
    try:
        return place, shutil.disk_usage(place).free
    except OSError:
        return None


def _require_room(client: Any) -> None:
    """Raise PrerequisiteMissing where no image has room; warn where an image hardly has."""
    found = room(client)
    if found is None:
        return
    place, free = found
    words = f"{place}, where the container daemon keeps images: {free / GIB:.1f} GiB free"
    if free < LEAST:
        raise PrerequisiteMissing(
            f"{words}, at least {LEAST / GIB:.2f} are needed",
            hint="docker system df shows what takes it",
        )
    if free < USUAL:
        logger.warning("%s; openEuler's image takes some %d", words, USUAL // GIB)


def _pull(client: Any, name: str, as_tag: str | None) -> None:
    """Pull an image and show how far it is. Raises PrerequisiteMissing with the daemon's words."""
    import docker.errors
    import docker.utils

    repository, tag = docker.utils.parse_repository_tag(name)
    layers: dict[str, tuple[int, int]] = {}
    with _Progress(name) as shown:
        try:
            events = client.api.pull(repository, tag=tag or "latest", stream=True, decode=True)
            for event in events:
                if "error" in event:
                    raise _no_image(name, as_tag, str(event["error"]))
                detail = event.get("progressDetail") or {}
                if event.get("status") == "Downloading" and "total" in detail:
                    layers[str(event.get("id"))] = (int(detail["current"]), int(detail["total"]))
                elif event.get("status") in ("Download complete", "Pull complete"):
                    known = layers.get(str(event.get("id")), (0, 0))
                    layers[str(event.get("id"))] = (known[1], known[1])
                shown.show(*map(sum, zip(*layers.values(), strict=True)) if layers else (0, 0))
        except docker.errors.APIError as error:
            raise _no_image(name, as_tag, str(error.explanation or error)) from None


def _no_image(name: str, tag: str | None, words: str) -> PrerequisiteMissing:
    said = redact(" ".join(words.split()))[:300]
    # An archive that is saved by a digest has no name, and what has none cannot be built in.
    save = f"docker save -o image.tar {tag or name}"
    if tag is not None:
        save = f"docker pull {name} && docker tag {name} {tag} && {save}"
    return PrerequisiteMissing(
        f"image {name}: not there, and not to be had: {said}",
        hint=f"where there is no network: {save} elsewhere, and here docker load -i image.tar",
        details=("oejail explain image-missing says more",),
    )


class _Progress:
    """How far a pull is: a bar on a terminal, a line each ten seconds elsewhere."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said = time.monotonic()
        self.bar: Any = None

    def __enter__(self) -> _Progress:
        if sys.stderr is not None and sys.stderr.isatty() and shows(INFO):
            from tqdm import tqdm

            self.bar = tqdm(desc="image", unit="B", unit_scale=True, total=0, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, done: int, total: int) -> None:
        """`done` of `total` bytes of what is known so far are here."""
        if self.bar is not None:
            self.bar.total, self.bar.n = total, done
            self.bar.refresh()
        elif time.monotonic() - self.said >= 10:
            self.said = time.monotonic()
            logger.info("image: %d of %d MiB", done >> 20, total >> 20)


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
