# SPDX-License-Identifier: MIT
"""Proving before any boot that the parts fit: rules over values, no I/O.

`check_set` runs every rule on a SetInput; `set_input` makes one of what `collect` left.
"""

from oejail.checks import rules_cell, rules_files, rules_machine, rules_memory, rules_set
from oejail.checks.finding import (
    ERROR,
    INFORMATION,
    SEVERITIES,
    WARNING,
    Finding,
    any_fails,
    from_dict,
)
from oejail.checks.model import (
    FileInput,
    InmateInput,
    Machine,
    SetInput,
    board_of,
    linux_ram,
    machine_from_options,
    machine_of,
    set_input,
)
from oejail.checks.table import RULES, Rule, check_set, explain

# Importing a module of rules enters them into the table.
RULE_MODULES = (rules_cell, rules_set, rules_memory, rules_machine, rules_files)

__all__ = [
    "ERROR",
    "INFORMATION",
    "RULES",
    "RULE_MODULES",
    "SEVERITIES",
    "WARNING",
    "FileInput",
    "Finding",
    "InmateInput",
    "Machine",
    "Rule",
    "SetInput",
    "any_fails",
    "board_of",
    "check_set",
    "explain",
    "from_dict",
    "linux_ram",
    "machine_from_options",
    "machine_of",
    "set_input",
]
