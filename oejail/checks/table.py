# SPDX-License-Identifier: MIT
"""The table of rules. An id once published keeps its meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

from oejail.checks.finding import Finding, sort
from oejail.checks.model import SetInput
from oejail.errors import UsageFault

Check = Callable[[SetInput], Iterator[tuple[str, str]]]
"""Yields where and message of each defect; severity and rule are the table's."""

MAX_FINDINGS = 100
"""A rule stops after these: a hostile file has thousands of regions."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row.

    `title` is the rule in a few words, `means` says what it is about, `happens` what the target
    would do, `mend` what to change.
    """

    id: str
    severity: str
    check: Check
    title: str
    means: str
    happens: str
    mend: str


RULES: dict[str, Rule] = {}
"""By id, in the order in which they run."""


def rule(
    id: str, severity: str, *, title: str, means: str, happens: str, mend: str
) -> Callable[[Check], Check]:
    """Enter the decorated function into the table."""

    def enter(check: Check) -> Check:
        assert id not in RULES, id
        RULES[id] = Rule(id, severity, check, title, means, happens, mend)
        return check

    return enter


def check_set(given: SetInput, waive: Mapping[str, str] | None = None) -> list[Finding]:
    """Everything that the rules find, worst first.

    `waive` maps rule ids to reasons; their findings stay, marked, and fail nothing. UsageFault for
    a waiver of a rule that does not exist, or without a reason.
    """
    reasons = dict(waive or {})
    waivers(reasons)
    findings: list[Finding] = []
    for row in RULES.values():
        found = list(islice(row.check(given), MAX_FINDINGS + 1))
        for where, message in found[:MAX_FINDINGS]:
            findings.append(Finding(row.id, row.severity, message, where))
        if len(found) > MAX_FINDINGS:
            message = f"more than {MAX_FINDINGS} findings of this rule"
            findings.append(Finding(row.id, row.severity, message, "set"))
    return sort(replace(f, waived=reasons.get(f.rule, "")) for f in findings)


def waivers(reasons: Mapping[str, str], rules: Mapping[str, Rule] = RULES) -> None:
    """UsageFault for a waiver of a rule that is none of `rules`, or without a reason."""
    for id_, reason in reasons.items():
        _known(id_, rules)
        if not reason.strip():
            raise UsageFault(f"waiver of {id_}: no reason given")


def explain(rule_id: str, rules: Mapping[str, Rule] = RULES) -> str:
    """What a rule means, what would happen on the target, how to mend it; UsageFault: no such."""
    row = _known(rule_id, rules)
    return "\n".join(
        [
            f"{row.id} ({row.severity}): {row.title}",
            "",
            row.means,
            "",
            f"On the target: {row.happens}",
            "",
            f"To mend it: {row.mend}",
        ]
    )


def _known(rule_id: str, rules: Mapping[str, Rule] = RULES) -> Rule:
    if rule_id not in rules:
        import difflib

        near = difflib.get_close_matches(rule_id, rules, 1)
        hint = f"nearest: {near[0]}" if near else "oejail explain lists them"
        raise UsageFault(f"no rule {rule_id!r}", hint=hint)
    return rules[rule_id]
