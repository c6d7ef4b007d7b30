# SPDX-License-Identifier: MIT
"""From a failed build to what the user reads.

`tests/data/engine/*.case` hold a failure each: the events, the task's log, BitBake's output, and
what oejail says of it (OEJAIL_TEST_WRITE_GOLDEN=1 writes that anew, to be read before it is kept).
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.bundle import rules as archives
from oejail.checks import table as rules
from oejail.engine import causes, diagnose
from oejail.engine.events import parse
from oejail.engine.track import TaskFailure, Track
from tests.conftest import repository

CASES = sorted((repository() / "tests/data/engine").glob("*.case"))


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_what_is_said_of_a_failure(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    parts = sections(text)
    for name, log in parts.items():
        if name.startswith("log "):
            (tmp_path / f"log.{name.split()[1]}.42").write_text(log)
    track = Track()
    for line in parts["events"].replace("@DIR@", str(tmp_path)).splitlines():
        event = parse(line.encode())
        assert event is not None
        track.feed(event)
    failures = diagnose.diagnose(
        track,
        parts["output"].splitlines(),
        "exit status 1",
        owner=os.geteuid(),
        log=tmp_path / "run.log",
    )
    error = diagnose.error(failures)
    said = f"[{failures[0].id}]\n" + "\n".join(error.lines()) + "\n"
    said = said.replace(str(tmp_path), "@DIR@")
    if os.environ.get("OEJAIL_TEST_WRITE_GOLDEN"):
        path.write_text(text[: text.index("### expected\n")] + "### expected\n" + said)
    assert said == parts["expected"]
    assert error.exit_code == 4
    assert all(line.isprintable() for line in error.lines())


def test_every_cause_is_reached_by_a_case() -> None:
    reached = {sections(p.read_text())["expected"].split("]")[0][1:] for p in CASES}
    table = {cause.id for cause in causes.CAUSES}
    # Those that the cases have in company only.
    assert table - reached == {"expansion", "skipped", "many-providers"}


def test_the_documentation_has_every_cause() -> None:
    """docs/diagnosis.md's table, row for row (OEJAIL_TEST_WRITE_GOLDEN=1 writes it anew)."""
    path = repository() / "docs/diagnosis.md"
    rows = [f"| `{c.id}` | {c.title} | {c.means} | {c.mend} |" for c in causes.CAUSES]
    head, _, rest = path.read_text().partition("| --- | --- | --- | --- |\n")
    _, end, tail = rest.partition("\n\n")
    if os.environ.get("OEJAIL_TEST_WRITE_GOLDEN"):
        path.write_text(head + "| --- | --- | --- | --- |\n" + "\n".join(rows) + end + tail)
    assert rest.partition("\n\n")[0].splitlines() == rows


def test_no_cause_has_the_name_of_a_rule() -> None:
    assert not causes.RULES.keys() & (rules.RULES.keys() | archives.RULES.keys())


def test_secrets_are_masked(tmp_path: Path) -> None:
    log = tmp_path / "log.do_fetch.42"
    log.write_text("ERROR: Fetcher failure for URL: 'https://me:s3cr3t@example.com/x'. No.\n")
    track = Track()
    track.failed["f", "do_fetch"] = TaskFailure("demo", "do_fetch", "/demo.bb", str(log), 1)
    failures = diagnose.diagnose(track, [], "exit status 1", owner=os.geteuid(), log=tmp_path)
    assert "s3cr3t" not in repr(failures)
    assert "https://***@example.com/x" in failures[0].cause


@pytest.mark.parametrize(
    "warning",
    [
        "WARNING: Network access disabled through BB_NO_NETWORK (for url http://example.com/x)",
        "WARNING: QA Issue: File /usr/bin/x in package demo doesn't have GNU_HASH [ldflags]",
        # As BitBake's front end shows it.
        "WARNING: demo-1.0-r0 do_package_qa: QA Issue: /usr/bin/x: no GNU_HASH [ldflags]",
    ],
)
def test_a_warning_is_not_taken_for_the_cause(warning: str, tmp_path: Path) -> None:
    output = [warning, "ERROR: something else"]
    (failure,) = diagnose.diagnose(Track(), output, "exit status 1", owner=0, log=tmp_path)
    assert (failure.id, failure.lines) == ("no-events", ("ERROR: something else",))


def test_what_the_configuration_says_itself_is_taken_before_what_was_left_of_it(
    tmp_path: Path,
) -> None:
    said = "ERROR: The following layer directories do not exist:"
    output = [said, diagnose.ASKED, said, "ERROR:    /gone"]
    (failure,) = diagnose.diagnose(Track(), output, "exit status 1", owner=0, log=tmp_path)
    assert (failure.id, failure.lines) == ("missing-layer", (said, "ERROR:    /gone"))
    (failure,) = diagnose.diagnose(
        Track(), ["ERROR: x", diagnose.ASKED], "exit status 1", owner=0, log=tmp_path
    )
    assert failure.lines == ("ERROR: x",)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (
            "ERROR: ExpansionError during parsing /x.bb: Failure expanding variable S, "
            "expression was ${@foo} which triggered exception NameError",
            "expansion",
            "${@foo} which triggered exception NameError",
        ),
        ("foo was skipped: missing required distro feature 'mcs'", "skipped", "distro feature"),
        (
            "ERROR: Multiple .bb files are due to be built which each provide virtual/kernel:\n a",
            "many-providers",
            "several recipes provide virtual/kernel:",
        ),
        ("OSError: [Errno 28] No space left on device: 'x'", "disk-full", "disk is full"),
        ("/bin/sh: line 1:   123 Killed      gcc -c x.c", "killed", "memory"),
        (
            "ERROR: demo-1.0-r0 do_compile: ExecutionError('/x/run.do_compile.7', -9, None, None)",
            "killed",
            "memory",
        ),
        ("x.rs:1:2: error: expected", "source-error", "refused"),
    ],
)
def test_other_words_for_a_cause(text: str, name: str, said: str) -> None:
    found = causes.find(text)
    assert found is not None
    assert found.id == name
    assert said in found.text


@pytest.mark.parametrize(
    "text", ["", "all is well", "task killed_counter finished", "an error occurred", "1: a: b"]
)
def test_ordinary_words_are_no_cause(text: str) -> None:
    assert causes.find(text) is None


@given(st.text(max_size=300))
def test_no_text_makes_it_fail(text: str) -> None:
    causes.find(text)
    shown, rest = diagnose.scan(text.split("\n"))
    assert len(shown) <= diagnose.MAX_LINES
    assert all(line.isprintable() for line in shown)
    assert len(rest) <= 500


@pytest.mark.parametrize(
    "unit",
    [
        "x",
        ":1",
        "a:1:",
        "ERROR: ",
        "Layer '",
        "error ",
        " ",
        "ParseError at ",
        "a was skipped ",
        "'",
    ],
)
def test_no_text_costs_much_time(unit: str) -> None:
    began = time.process_time()
    line = (unit * 70_000)[:70_000]
    _, rest = diagnose.scan([line] * 100)
    causes.find("\n".join(rest))
    causes.find(line)
    assert time.process_time() - began < 5


def failure(path: Path) -> TaskFailure:
    return TaskFailure("demo", "do_compile", "/demo.bb", str(path), 1)


def read(path: Path, owner: int | None = None) -> list[str]:
    return list(diagnose.read_log(path, os.geteuid() if owner is None else owner))


def test_a_log_is_read_only_if_it_is_one(tmp_path: Path) -> None:
    log = tmp_path / "log.do_compile.1"
    log.write_bytes(b"one\r\n\xfftwo")
    assert read(log) == ["one", "\ufffdtwo"]
    assert read(log, os.geteuid() + 1) == []
    assert read(tmp_path / "log.do_compile.2") == []
    (tmp_path / "secret").write_text("key")
    assert read(tmp_path / "secret") == []
    assert read(tmp_path / "log.do_x\0") == []
    fifo = tmp_path / "log.do_fifo"
    os.mkfifo(fifo)
    assert read(fifo) == []
    (tmp_path / "log.do_dir").mkdir()
    assert read(tmp_path / "log.do_dir") == []


def test_a_link_to_somebody_elses_file_is_not_followed_to_its_end(tmp_path: Path) -> None:
    link = tmp_path / "log.do_compile"
    link.symlink_to("/proc/1/status")
    assert read(link, 12345) == []


def test_a_huge_log_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnose, "_MAX_LOG", 1000)
    log = tmp_path / "log.do_compile.1"
    log.write_text("0123456789\n" * 1000 + "the end\n")
    lines = read(log)
    assert len(lines) < 100
    assert lines[-1] == "the end"


def test_further_failures_are_named_too(tmp_path: Path) -> None:
    track = Track()
    for n in range(8):
        failed = TaskFailure(f"demo{n}", "do_compile", f"/demo{n}.bb", "", 1)
        track.failed[failed.file, failed.task] = failed
    failures = diagnose.diagnose(track, [], "exit status 1", owner=0, log=tmp_path)
    lines = diagnose.error(failures).lines()
    assert lines[0].startswith("demo0: do_compile failed")
    assert sum(line.startswith("also failed: ") for line in lines) == 5
    assert lines[-1] == "and 2 more"
