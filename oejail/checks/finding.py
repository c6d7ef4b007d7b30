# SPDX-License-Identifier: MIT
"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from oejail.text import harmless

ERROR = "error"
WARNING = "warning"
INFORMATION = "information"
SEVERITIES = (ERROR, WARNING, INFORMATION)
"""Worst first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect, or one fact worth knowing.

    `rule` is the id in the table of rules, `where` a file and, after a colon, a part of it,
    `waived` the reason of whoever accepted it (a waived finding fails nothing).
    """

    rule: str
    severity: str
    message: str
    where: str
    waived: str = ""

    @property
    def fails(self) -> bool:
        """True for an error that nobody waived."""
        return self.severity == ERROR and not self.waived

    def line(self) -> str:
        """`error: cells/x.cell: memory[4]: … [rule]`, on one line."""
        text = f"{self.severity}: {self.where}: {self.message} [{self.rule}]"
        if self.waived:
            text += f" (waived: {self.waived})"
        return harmless(text, "")

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `waived` only where it is."""
        view = {
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "where": self.where,
        }
        return view | {"waived": self.waived} if self.waived else view


def from_dict(data: Mapping[str, Any]) -> Finding:
    """The finding that `to_dict` showed; KeyError or TypeError for anything else."""
    return Finding(
        str(data["rule"]),
        str(data["severity"]),
        str(data["message"]),
        str(data["where"]),
        str(data.get("waived", "")),
    )


def sort(findings: Iterable[Finding]) -> list[Finding]:
    """Unwaived first, worst first, then as they were found."""
    return sorted(findings, key=lambda f: (bool(f.waived), SEVERITIES.index(f.severity)))


def any_fails(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings is an error that nobody waived."""
    return any(finding.fails for finding in findings)
