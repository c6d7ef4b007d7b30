# SPDX-License-Identifier: MIT
from __future__ import annotations

from junitparser import Failure, JUnitXml, Skipped

from oejail.checks import RULES, Finding
from oejail.checks.junit import report

FINDINGS = [
    Finding("smp-many", "error", "8 CPUs", "root.cell"),
    Finding("memory-linux", "error", "one <&> \x1b\ud800", "a.cell"),
    Finding("memory-linux", "error", "two", "b.cell"),
    Finding("cell-trailing", "warning", "56 bytes", "a.cell"),
    Finding("cpu-model", "error", "max", "QEMU", waived="it is known"),
]


def test_a_case_a_rule() -> None:
    document = JUnitXml.fromstring(report("cell check root.cell", FINDINGS, RULES).decode())
    [suite] = list(document)
    assert suite.name == "cell check root.cell"
    assert (suite.tests, suite.failures, suite.skipped) == (len(RULES), 2, 1)
    cases = {case.name: case for case in suite}
    assert list(cases) == list(RULES)
    assert not cases["cell-format"].result and not cases["cell-format"].system_out
    [failure] = cases["memory-linux"].result
    assert isinstance(failure, Failure)
    assert failure.message == "error: a.cell: one <&> \\x1b\\ud800 [memory-linux]"
    assert str(failure.text).splitlines()[1:] == ["error: b.cell: two [memory-linux]"]
    assert cases["cell-trailing"].system_out == "warning: a.cell: 56 bytes [cell-trailing]"
    assert not cases["cell-trailing"].result
    [skipped] = cases["cpu-model"].result
    assert isinstance(skipped, Skipped) and "(waived: it is known)" in str(skipped.message)


def test_the_same_findings_give_the_same_bytes() -> None:
    assert report("x", FINDINGS, RULES) == report("x", FINDINGS, RULES)


def test_rules_of_others_get_a_case_too() -> None:
    text = report("x", [Finding("elsewhere", "error", "m", "w")], RULES).decode()
    [suite] = list(JUnitXml.fromstring(text))
    assert (suite.tests, suite.failures) == (len(RULES) + 1, 1)
