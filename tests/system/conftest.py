# SPDX-License-Identifier: MIT
"""Fixtures that system tests share, and which tests may run beside one another."""

import pytest

from tests.support.engines import build, image
from tests.support.sample_build import sample_build, sample_copy

__all__ = ["build", "image", "sample_build", "sample_copy"]

CONTAINERS = (
    "test_causes",
    "test_container_build",
    "test_container_engine",
    "test_container_image",
    "test_container_lock",
    "test_interruption",
    "test_twelve_lies",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `-n`: a file's tests stay together, and all that use the container engine as well."""
    for item in items:
        name = item.path.stem
        group = "containers" if name in CONTAINERS else name
        item.add_marker(pytest.mark.xdist_group(group))
