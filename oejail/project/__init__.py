# SPDX-License-Identifier: MIT
"""oejail.yaml: found, checked, written."""

from oejail.project.load import find, load
from oejail.project.model import Cells, Config, Inmate
from oejail.project.project import Project

__all__ = ["Cells", "Config", "Inmate", "Project", "find", "load"]
