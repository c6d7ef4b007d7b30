# SPDX-License-Identifier: MIT
"""Fixtures that system tests share."""

from tests.support.engines import build, image
from tests.support.sample_build import sample_build, sample_copy

__all__ = ["build", "image", "sample_build", "sample_copy"]
