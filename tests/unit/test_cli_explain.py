# SPDX-License-Identifier: MIT
from __future__ import annotations

import json

import pytest

from oejail.bundle.rules import RULES as OF_ARCHIVES
from oejail.checks import RULES
from oejail.cli.explain import command
from oejail.engine.causes import RULES as OF_BUILDS
from oejail.errors import UsageFault
from oejail.target.preflight_rules import RULES as OF_BOARDS


def test_all_rules_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    command()
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert listed == [*RULES, *OF_ARCHIVES, *OF_BUILDS, *OF_BOARDS]


@pytest.mark.parametrize("rule", [*RULES, *OF_ARCHIVES, *OF_BUILDS, *OF_BOARDS])
def test_every_rule_is_explained(rule: str, capsys: pytest.CaptureFixture[str]) -> None:
    command(rule)
    text = capsys.readouterr().out
    assert text.startswith(f"{rule} (")
    assert "To mend it: " in text


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    command("image-elf", json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["schema_version"] == 1
    [rule] = report["rules"]
    assert rule["id"] == "image-elf"
    assert set(rule) == {"id", "severity", "title", "means", "happens", "mend"}


def test_an_unknown_rule_names_the_nearest() -> None:
    with pytest.raises(UsageFault, match="no rule 'image-elv'") as caught:
        command("image-elv")
    assert caught.value.hint == "nearest: image-elf"
