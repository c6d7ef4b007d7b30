# SPDX-License-Identifier: MIT
"""The image: pulled by a real daemon from a registry on loopback, identified, refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from oejail import containers
from oejail.errors import PrerequisiteMissing
from oejail.workspace import image, sample
from tests.support.engines import client
from tests.support.registry import registry


@pytest.fixture
def pulled() -> Iterator[str]:
    """A registry; what was pulled from it is removed."""
    with registry() as address:
        yield address
        with client() as daemon:
            for found in daemon.api.images():  # images.list fails where another test removes one
                if any(address in name for name in found["RepoTags"] or ()):
                    daemon.images.remove(found["Id"], force=True)


def test_pulled_with_its_digest_and_a_word_on_a_name_that_moves(
    pulled: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("oejail"), "propagate", True)
    with client() as daemon:
        name = f"{pulled}/openeuler/small:latest"
        assert image.identify(daemon, name) is None
        found = image.ensure(daemon, name)
        assert found == image.identify(daemon, name)
        assert found.name == name and found.moving_tag
        assert found.id.startswith("sha256:")
        assert found.digest.startswith(f"{pulled}/openeuler/small@sha256:")
        assert f"{name}: that name moves; now it is {found.digest}" in caplog.text
        # By its digest the same one, which does not move; what is there is not pulled again.
        caplog.clear()
        fixed = image.ensure(daemon, found.digest)
        assert (fixed.id, fixed.moving_tag) == (found.id, False)
        assert "pulled" not in caplog.text


def test_what_the_registry_does_not_have(pulled: str) -> None:
    with client() as daemon, pytest.raises(PrerequisiteMissing) as caught:
        image.ensure(daemon, f"{pulled}/openeuler/small:2.0")
    assert "not there, and not to be had: " in caught.value.message
    assert "docker load -i image.tar" in (caught.value.hint or "")


def test_no_room_for_an_image(pulled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "LEAST", 1 << 60)
    with client() as daemon:
        place, free = image.room(daemon) or (None, 0)
        assert place is not None and place.is_dir() and free > 0
        with pytest.raises(PrerequisiteMissing, match="GiB free, at least"):
            image.ensure(daemon, f"{pulled}/openeuler/small:1.0")


def test_the_images_own_gcc_where_there_is_no_zig(image: str) -> None:
    """The version that the sample's build is told is the image's."""
    from oejail.workspace import image as images

    with client() as daemon:
        gcc = sample.find_gcc()
        assert gcc is not None and image
        name = daemon.images.get(image).tags[0]
        assert images.run(daemon, name, ["sh", "-c", sample.ASK_GCC]) == gcc.version
        assert images.run(daemon, name, ["false"]) is None


def test_a_daemon_that_answers_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web server is no daemon: one line, with the address and what came of it."""
    with registry() as address:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://{address}")
        with pytest.raises(PrerequisiteMissing) as caught, containers.connect(timeout=5) as daemon:
            daemon.images.list()
    assert f"container daemon at tcp://{address}: " in caught.value.message
