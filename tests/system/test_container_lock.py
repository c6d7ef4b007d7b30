# SPDX-License-Identifier: MIT
"""The container's image in oejail.lock: kept when its name moves on, pulled by its digest where it
is missing, and brought in a file where there is no network."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from oejail.workspace import lockfile
from oejail.workspace.lockfile import Image
from tests.support import container_image
from tests.support.engines import Builder, builder, client, left
from tests.support.registry import Registry, serve

BITBAKE = ("bitbake", "--", "--version")


@dataclass(frozen=True)
class Locked:
    """A project whose image was pulled from a registry, and locked."""

    build: Builder
    hub: Registry
    name: str
    image: Image

    @property
    def used(self) -> str:
        """Id of the image that the build directory's only container was made from."""
        (container,) = left(self.build.directory)
        with client() as daemon:
            return str(daemon.api.inspect_container(container)["Image"])

    def forget(self) -> None:
        """As on another machine: neither the container nor an image is there."""
        with client() as daemon:
            for container in left(self.build.directory):
                daemon.api.remove_container(container, force=True)
            daemon.images.remove(self.image.id, force=True)


@pytest.fixture(scope="module")
def locked() -> Iterator[Locked]:
    with serve() as hub, builder() as build:
        name = f"{hub.address}/openeuler/container:latest"
        tree = container_image.build(cross=False, taken=container_image.TAKEN)
        digest = hub.publish("latest", tree, container_image.ENVIRONMENT)
        build.oejail("init", "--sample")
        yaml = build.directory / "oejail.yaml"
        yaml.write_text(re.sub("(?m)^engine: host", "engine: container", yaml.read_text()))
        build.oejail("up", "--until", "generate")
        path = build.build_dir / "compile.yaml"
        path.write_text(re.sub(r"(?m)^  image: .*$", f"  image: {name}", path.read_text()))
        build.oejail("up", "--until", "layers")
        said = build.oejail("lock")
        assert "the container's image is not there yet, so it is not in the lock" in said.err
        assert "that name moves; now it is" in build.oejail(*BITBAKE).err
        build.oejail("lock")
        lock = lockfile.read(build.directory / "oejail.lock")
        assert lock is not None and lock.image is not None
        assert (lock.image.name, lock.image.digest) == (name, f"{name[:-7]}@{digest}")
        made = Locked(build, hub, name, lock.image)
        assert made.used == lock.image.id
        try:
            yield made
        finally:
            made.forget()


def test_a_name_that_moved_on_is_said_and_the_locked_image_is_what_builds(locked: Locked) -> None:
    build, name, image = locked.build, locked.name, locked.image
    assert "as locked" in build.oejail("lock", "--check").out
    with client() as daemon:
        text = f"FROM {image.id}\nLABEL another=1\n"
        other, _ = daemon.images.build(fileobj=io.BytesIO(text.encode()), tag=name)
    said = build.oejail("lock", "--check", status=3)
    assert f"  image: locked {name} {image.digest}, found {name} {other.id}" in said.err
    said = build.oejail("up", status=2)
    assert f"image {name}: locked {name} {image.digest}, found {name} {other.id}" in said.err
    (command,) = re.findall(r"; (docker tag .*), or oejail lock$", said.err, re.MULTILINE)
    subprocess.run(command.split(), check=True)
    build.oejail(*BITBAKE)
    assert locked.used == image.id
    # Who wants the other one locks that: the container of the first one is not what builds.
    with client() as daemon:
        daemon.images.get(other.id).tag(name)
    build.oejail("lock")
    assert "was made from another image: removed" in build.oejail(*BITBAKE).err
    assert locked.used == other.id
    build.oejail("lock", "--check")
    with client() as daemon:
        daemon.images.get(image.id).tag(name)
        daemon.images.remove(other.id, force=True)
    build.oejail("lock")


def test_a_locked_image_that_is_missing_is_pulled_by_its_digest(locked: Locked) -> None:
    """Though the registry has another one under the name by now."""
    locked.forget()
    moved = locked.hub.files["latest"]
    locked.hub.files["latest"] = locked.hub.files["1.0"]
    assert "as locked" in locked.build.oejail("lock", "--check").out
    locked.build.oejail(*BITBAKE)
    assert locked.used == locked.image.id
    locked.hub.files["latest"] = moved


def test_without_a_network_a_file_brings_it(locked: Locked) -> None:
    """The way that the refusal shows: docker save there, docker load here, and up to a bundle."""
    build, archive = locked.build, locked.build.directory / "image.tar"
    subprocess.run(["docker", "save", "-o", archive, locked.name], check=True)
    locked.forget()
    there = dict(locked.hub.files)
    locked.hub.files.clear()
    said = build.oejail("up", status=6)
    digest = locked.image.digest
    assert f"image {digest}: not there, and not to be had: " in said.err
    assert (
        f"docker tag {digest} {locked.name} && docker save -o image.tar {locked.name}" in said.err
    )
    assert "and here docker load -i image.tar" in said.err
    subprocess.run(["docker", "load", "-q", "-i", archive], check=True)
    said = build.oejail("up")
    assert said.bundle.is_file() and locked.used == locked.image.id
    assert "as locked" in build.oejail("lock", "--check").out
    locked.hub.files.update(there)
