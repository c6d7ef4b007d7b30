# SPDX-License-Identifier: MIT
"""oejail.yaml: found, checked, written."""

from oejail.project.create import init
from oejail.project.load import find, load
from oejail.project.model import Cells, Config, Inmate
from oejail.project.project import Project
from oejail.project.schema import json_schema

__all__ = ["Cells", "Config", "Inmate", "Project", "find", "init", "json_schema", "load"]
