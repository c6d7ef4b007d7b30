# SPDX-License-Identifier: MIT
"""Findings as a JUnit report, which every pipeline can show."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping

from oejail.checks.finding import Finding
from oejail.checks.table import Rule


def report(name: str, findings: Iterable[Finding], rules: Mapping[str, Rule]) -> bytes:
    """One test case a rule, in the suite `name`.

    Errors are the case's failure, waived findings make it skipped, with their reason; warnings and
    information stand in the case's output. Characters that XML cannot hold are escaped.
    """
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    by_rule: dict[str, list[Finding]] = {}
    for finding in findings:
        by_rule.setdefault(finding.rule, []).append(finding)
    suite = TestSuite(name)
    for id_ in (*rules, *(id_ for id_ in by_rule if id_ not in rules)):
        case = TestCase(id_, classname="oejail")
        found = by_rule.get(id_, [])
        failed = [f.line() for f in found if f.fails]
        waived = [f.line() for f in found if f.waived]
        told = [f.line() for f in found if not f.fails and not f.waived]
        if failed:
            failure = Failure(failed[0])
            failure.text = "\n".join(failed)
            case.result = [failure]
        elif waived:
            case.result = [Skipped("; ".join(waived))]
        if told:
            case.system_out = "\n".join(told)
        suite.add_testcase(case)
    document = JUnitXml()
    document.add_testsuite(suite)
    out = io.BytesIO()
    document.write(out, pretty=True)
    return out.getvalue()
