# SPDX-License-Identifier: MIT
"""Boards: one YAML file each, here or the user's own."""

from oejail.platforms.load import file_of, load, names
from oejail.platforms.model import Platform, Rtos

__all__ = ["Platform", "Rtos", "file_of", "load", "names"]
