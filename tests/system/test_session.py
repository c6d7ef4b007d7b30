# SPDX-License-Identifier: MIT
"""The Jailhouse session in a real AArch64 guest: one boot, one scenario after the other.

Each scenario is a row of what can go wrong, answered by the stand-ins of tests/support/guest.py as
the recorded consoles answer, and has to end with the cause that oejail names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from oejail.artifacts.layout import read_index
from oejail.target import cpio, outcome, qemu
from oejail.target.driver import Driver
from oejail.target.outcome import Story
from oejail.target.results import Transcript
from oejail.target.session import Inmate, Run
from tests.support import foreign_build, guest

EXPECT = "This is freertos from the openeuler community!"
VIRT = "virt,gic-version=3,virtualization=on,its=off"

# scenario: the step that fails, and its cause
ROWS = {
    "vermagic": ("module", "module-vermagic"),
    "symbol": ("module", "module-symbol"),
    "format": ("module", "module-format"),
    "loaded": ("module", "module-loaded"),
    "key": ("module", "module-key"),
    "no-driver": ("enable", "module-not-loaded"),
    "revision": ("enable", "config-revision"),
    "no-root": ("enable", "not-a-root-cell"),
    "architecture": ("enable", "config-architecture"),
    "region": ("enable", "memory-not-reserved"),
    "refused": ("enable", "enable-refused"),
    "no-firmware": ("enable", "firmware-missing"),
    "no-file": ("enable", "cell-file-missing"),
    "hang": ("enable", "enable-hangs"),
    "vhe": ("enable", "cpu-vhe"),
    "cpus-few": ("enable", "cpus-few"),
    "beyond-ram": ("enable", "hypervisor-beyond-ram"),
    "gic": ("enable", "gic-mismatch"),
    "gic-version": ("enable", "gic-version"),
    "busy": ("enable", "enabled-already"),
    "cell-revision": ("create", "config-revision"),
    "no-cell": ("create", "not-a-cell"),
    "cell-architecture": ("create", "config-architecture"),
    "cell-cut": ("create", "cell-file-cut"),
    "exists": ("create", "cell-exists"),
    "cell-busy": ("create", "cell-busy"),
    "create-refused": ("create", "create-refused"),
    "unknown": ("load", "cell-unknown"),
    "too-large": ("load", "image-does-not-fit"),
    "no-image": ("load", "image-missing"),
    "storm": ("load", "cell-over-hypervisor"),
    "stall": ("load", "cell-in-linux-ram"),
    "panic": ("load", "guest-panic"),
    "unknown-start": ("start", "cell-unknown"),
    "fault": ("observe", "cell-fault"),
    "failed": ("running", "cell-failed"),
    "stopped": ("running", "cell-stopped"),
    "absent": ("running", "cell-absent"),
    "lost": ("destroy", "cell-unknown"),
}
NO_ANSWER = {"hang", "vhe", "gic", "cell-cut", "storm", "stall", "panic"}

Work = Callable[[Driver], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was collected, and the guest's initrd with it."""
    directory = tmp_path_factory.mktemp("session")
    found = guest.collected(directory)
    initrd = guest.rootfs(directory / "initrd")
    payload = sorted(path for path in (found / "payload").rglob("*") if path.is_file())
    with initrd.open("r+b") as stream:
        stream.seek(0, 2)
        cpio.append(
            stream,
            [
                cpio.Member(str(p.relative_to(found / "payload")), p, p.stat().st_mode)
                for p in payload
            ],
        )
    return found


def within(out: Path, work: Work, *arguments: str, machine: str = VIRT, timeout: float = 60) -> str:
    """Boot the guest and do `work` in it; what the console showed."""
    image, _ = guest.parts()
    initrd = out.parent / "initrd"
    command = [
        *(qemu.PROGRAM, "-machine", machine, "-cpu", "cortex-a57", "-smp", "4", "-m", "1G"),
        *("-accel", "tcg", "-nographic", "-nic", "none", "-no-reboot", "-kernel", str(image)),
        *("-initrd", str(initrd), "-append", "console=ttyAMA0 loglevel=8", *arguments),
    ]
    path = out.parent / "transcript.txt"
    path.unlink(missing_ok=True)

    async def go() -> None:
        with Transcript(path) as transcript:
            async with qemu.start(command) as machine:
                await machine.connect()
                driver = Driver(machine, transcript, timeout, Story(root_cpus=4))
                await machine.run()
                assert (await driver.boot()).outcome == "passed"
                await work(driver)

    asyncio.run(go())
    return path.read_text()


def session(out: Path, driver: Driver, expect: str | None = EXPECT, **fields: Any) -> Run:
    """A session of the collected set, on a guest where nothing has been done yet."""
    chosen = read_index(out).set
    run = Run(chosen, [Inmate(chosen.inmates[0], expect, **fields)])
    run.driver = driver
    driver.story = Story(root_cpus=4)
    run.plan()
    return run


async def play(driver: Driver, run: Run, scenario: str) -> tuple[str, str, str]:
    """Step, outcome and cause of what ended a session."""
    told = await driver.run(outcome.OTHER, f"echo {scenario}>/tmp/scenario", quiet=True)
    assert told.outcome == "passed"
    await run.begin() and await run.end()
    if run.failed is None:
        return "", "passed", ""
    step, verdict = run.failed
    if verdict.outcome == "no answer":
        await driver.interrupt()
    return step.name.split()[0], verdict.outcome, verdict.cause


def test_every_row_has_its_cause(out: Path) -> None:
    found = {}

    async def work(driver: Driver) -> None:
        for scenario in ROWS:
            driver.patience = {ROWS[scenario][0]: 2} if scenario in NO_ANSWER else {}
            found[scenario] = await play(driver, session(out, driver), scenario)
        found["good"] = await play(driver, session(out, driver), "good")

    said = within(out, work)
    wanted = {
        scenario: (step, "no answer" if scenario in NO_ANSWER else "failed", cause)
        for scenario, (step, cause) in ROWS.items()
    }
    assert found == wanted | {"good": ("", "passed", "")}, said[-20_000:]


def test_what_a_cell_says(out: Path) -> None:
    """Silence by its reason, text that Linux tears, a flood, and what was never expected."""
    found: dict[str, tuple[str, str, str]] = {}

    async def work(driver: Driver) -> None:
        kept = await driver.run(outcome.OTHER, "cp /oejail/FreeRTOS.bin /tmp/sound")
        assert kept.outcome == "passed"
        for name in ("torn", "any"):
            expect = None if name == "any" else EXPECT
            found[name] = await play(driver, session(out, driver, expect), name)
        driver.patience = {outcome.OBSERVE: 6}
        found["never"] = await play(driver, session(out, driver, "never"), "good")
        driver.patience = {outcome.OBSERVE: 2}
        await driver.run(outcome.OTHER, "head -c 8000 /dev/zero >/oejail/FreeRTOS.bin")
        for fact in ("elf", "blank", ""):
            facts = frozenset([fact] if fact else [])
            run = session(out, driver, EXPECT, facts=facts)
            found[fact or "silent"] = await play(driver, run, "good")
        found["unverified"] = await play(driver, session(out, driver, None), "good")
        driver.patience = {}
        await driver.run(outcome.OTHER, "cp /tmp/sound /oejail/FreeRTOS.bin")
        found["flood"] = await play(driver, session(out, driver), "flood")

    said = within(out, work)
    silent = {"elf": "image-elf", "blank": "image-blank", "silent": "cell-silent"}
    wanted = {name: ("", "passed", "") for name in ("torn", "flood", "any")}
    wanted["never"] = ("observe", "failed", "expectation-not-met")
    wanted |= {name: ("observe", "failed", cause) for name, cause in silent.items()}
    wanted["unverified"] = ("observe", "failed", "cell-silent")
    assert found == wanted, said[-20_000:]
    assert said.count("Hello from cell!") > 1000


@pytest.mark.parametrize(
    ("machine", "arguments", "cause"),
    [
        (VIRT.replace("virtualization=on", "virtualization=off"), (), "el1"),
        (VIRT, ("-smp", "6"), "cpus-many"),
    ],
)
def test_a_silent_hang_is_told_from_what_linux_said_at_boot(
    out: Path, machine: str, arguments: tuple[str, ...], cause: str
) -> None:
    async def work(driver: Driver) -> None:
        driver.patience = {outcome.ENABLE: 2}
        run = Run(read_index(out).set, [])
        run.driver = driver
        run.plan()
        assert await play(driver, run, "hang") == ("enable", "no answer", cause)

    within(out, work, *arguments, machine=machine)


def test_the_payload_in_the_guest(out: Path) -> None:
    """Byte for byte, beside what the guest had."""

    async def work(driver: Driver) -> None:
        command = "cd /oejail&&find . -type f|sort|xargs sha256sum;ls -l bin|tail -n 1;ls -d /bin"
        assert (await driver.run(outcome.OTHER, command, quiet=True)).outcome == "passed"

    said = within(out, work)
    index = read_index(out)
    for artifact in index.artifacts:
        if artifact.path.startswith("payload/"):
            shown = f"{artifact.sha256}  ./{artifact.path.removeprefix('payload/')}"
            assert shown in said
    assert "-rwxr-xr-x" in said
    assert foreign_build.INMATE in said


def test_a_lost_command_is_typed_again_and_one_that_was_cut_is_not(out: Path) -> None:
    async def work(driver: Driver) -> None:
        # Something else reads the console's first line: it never reaches the shell.
        await driver._type(b"read -r swallowed\n")
        verdict = await driver.run(outcome.OTHER, "echo once >>/tmp/times")
        assert verdict.outcome == "passed"
        count = await driver.run(outcome.OTHER, "[ $(wc -l </tmp/times) = 1 ]")
        assert count.outcome == "passed"

    within(out, work)
