# SPDX-License-Identifier: MIT
"""Fixtures that system tests share, and how they are shared out."""

import pytest

from tests.support.engines import build, image
from tests.support.sample_build import sample_build, sample_copy

__all__ = ["build", "image", "sample_build", "sample_copy"]

LONGEST = (
    "test_session",
    "test_twelve_lies",
    "test_interruption",
    "test_causes",
    "test_boot",
    "test_container_engine",
    "test_container_image",
    "test_container_lock",
    "test_deploy_guest",
)
"""Files that take longest: whichever begins last decides how long all take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first; their tests stay together (`--dist loadfile`:
    xdist 3.8 does not see its groups with pytest 9.2)."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
