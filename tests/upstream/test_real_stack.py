# SPDX-License-Identifier: MIT
"""The whole session on real Jailhouse, which CI cannot have: `make test-upstream`.

OEJAIL_REAL_STACK names a directory with what was built from upstream's sources for one kernel and
one configuration revision: Image, rootfs.cpio.gz (a shell, nothing of Jailhouse), jailhouse.ko,
jailhouse.bin, jailhouse (static), cells/ (with qemu-arm64-openeuler-demo and
qemu-arm64-freertos-demo, as `oejail cell build` makes them), inmates/, FreeRTOS.bin and
FreeRTOS.elf, which print openEuler's greeting, and fault.bin, which after the greeting writes to
memory that the cell does not have. For ssh besides: modules/, with the kernel's failover.ko,
net_failover.ko and virtio_net.ko, and OEJAIL_TEST_GUEST, which has dropbear (`.ci/guest DIR`).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
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
from tests.support.cli import Said, oejail
from tests.support.real_stack import collected
from tests.support.sshguest import SshGuest

GREETING = "This is freertos from the openeuler community!"
VIRT = "virt,gic-version=3,virtualization=on,its=off"
JAILHOUSE = "/oejail/bin/jailhouse"
ROOT = "/oejail/cells/qemu-arm64-openeuler-demo.cell"
CELL = "/oejail/cells/qemu-arm64-freertos-demo.cell"

Work = Callable[[Driver], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def stack() -> Path:
    directory = os.environ.get("OEJAIL_REAL_STACK")
    assert directory, "OEJAIL_REAL_STACK: not set; the head of this file says what it names"
    return Path(directory)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, stack: Path) -> Path:
    return collected(tmp_path_factory.mktemp("stack"), stack)


def causes(said: Said) -> str:
    """The cause that an error begins with."""
    (line,) = [line for line in said.err.splitlines() if line.startswith("oejail: error: ")]
    return line.removeprefix("oejail: error: ").partition(":")[0]


def test_freertos_runs_in_its_cell(tmp_path: Path, out: Path) -> None:
    oejail(tmp_path, "bundle", str(out), "-o", "b.tar.zst")
    said = oejail(tmp_path, "boot", "b.tar.zst", "--expect", GREETING)
    assert re.search(r"^observe freertos +passed .*came once$", said.out, re.MULTILINE)


def test_a_bare_initrd_will_do(tmp_path: Path, out: Path, stack: Path) -> None:
    given = ("--kernel", str(stack / "Image"), "--initrd", str(stack / "rootfs.cpio.gz"))
    said = oejail(tmp_path, "boot", str(out), *given, "--expect", "task B: 3")
    assert re.search(r"^running freertos +passed", said.out, re.MULTILINE)


@pytest.mark.parametrize("image", ["uart-demo.bin", "gic-demo.bin"])
def test_jailhouses_own_inmates(tmp_path: Path, out: Path, image: str) -> None:
    """What they print is known; their RAM lies below the platform's mem=1G, which gives way."""
    build = ("--build-dir", str(out.parent / "build"), "--platform", "qemu-aarch64")
    demo = f"qemu-arm64-inmate-demo=inmates/{image}"
    oejail(tmp_path, "collect", *build, "--inmate", demo)
    said = oejail(tmp_path, "boot", "oejail-artifacts")
    assert re.search(r"^observe inmate-demo +passed .*came \d+ times$", said.out, re.MULTILINE)


def test_it_is_not_hollow(tmp_path: Path, out: Path, stack: Path) -> None:
    (stack_of_zeros := tmp_path / "zeros").mkdir()
    for path in stack.iterdir():
        (stack_of_zeros / path.name).symlink_to(path)
    (stack_of_zeros / "zeros.bin").write_bytes(bytes(17888))
    blank = collected(tmp_path / "1", stack_of_zeros, "zeros.bin")
    said = oejail(tmp_path, "boot", str(blank), "--timeout", "8", status=5)
    assert causes(said) == "image-blank"
    fault = collected(tmp_path / "2", stack, "fault.bin")
    assert causes(oejail(tmp_path, "boot", str(fault), status=5)) == "cell-fault"
    said = oejail(tmp_path, "boot", str(out), "--expect", "never", "--timeout", "8", status=5)
    assert causes(said) == "expectation-not-met"
    elf = collected(tmp_path / "3", stack, "FreeRTOS.elf")
    assert causes(oejail(tmp_path, "boot", str(elf), status=5)) == "image-elf"


@pytest.mark.parametrize(("image", "cause"), [("FreeRTOS.bin", ""), ("fault.bin", "cell-fault")])
def test_over_ssh(tmp_path: Path, stack: Path, image: str, cause: str) -> None:
    """`deploy --start`: what FreeRTOS prints is on the board's UART, the hypervisor is heard."""
    out = collected(tmp_path, stack, image)
    oejail(tmp_path, "bundle", str(out), "-o", "b.tar.zst")
    board = SshGuest(tmp_path / "board", stack)
    try:
        board.start()
        words = ["deploy", "b.tar.zst", "board", "--unsigned", "--start"]
        config = ["--ssh-config", str(board.config)]
        said = oejail(tmp_path, *words, *config, status=5 if cause else 0)
        deadline = time.monotonic() + 30
        while GREETING not in board.log.read_text(errors="replace"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        board.stop()
    (run,) = (tmp_path / "oejail-runs").iterdir()
    report = json.loads((run / "results.json").read_text())
    ends = [step["outcome"] for step in report["steps"]]
    assert ends == ["passed"] * 5 + ["not run", "failed" if cause else "passed"]
    assert report["outcome"] == (cause or "passed")
    assert 'console Started cell "freertos"' in (run / "transcript.txt").read_text()
    if cause:
        assert causes(said) == cause


def within(
    out: Path,
    stack: Path,
    work: Work,
    *,
    machine: str = VIRT,
    cpu: str = "cortex-a57",
    smp: int = 4,
    ram: str = "2G",
    mem: str = "mem=1G",
) -> None:
    """Boot a machine that oejail's own rules may refuse, and do `work` in it."""
    initrd = out.parent / "initrd"
    shutil.copy(stack / "rootfs.cpio.gz", initrd)
    payload = out / "payload"
    files = [path for path in sorted(payload.rglob("*")) if path.is_file()]
    with initrd.open("r+b") as stream:
        stream.seek(0, 2)
        members = [cpio.Member(str(p.relative_to(payload)), p, p.stat().st_mode) for p in files]
        cpio.append(stream, members)
    command = [
        *(qemu.PROGRAM, "-machine", machine, "-cpu", cpu, "-smp", str(smp), "-m", ram),
        *("-accel", "tcg", "-nographic", "-nic", "none", "-no-reboot"),
        *("-kernel", str(stack / "Image"), "-initrd", str(initrd)),
        *("-append", f"console=ttyAMA0 loglevel=8 {mem}"),
    ]

    path = out.parent / "transcript.txt"
    path.unlink(missing_ok=True)

    async def go() -> None:
        with Transcript(path) as transcript:
            async with qemu.start(command) as guest:
                await guest.connect()
                driver = Driver(guest, transcript, 30, Story(root_cpus=4))
                driver.patience = dict.fromkeys(("enable", "create", "load", "observe"), 8)
                await guest.run()
                assert (await driver.boot()).outcome == "passed"
                await work(driver)

    asyncio.run(go())


def session(out: Path, driver: Driver) -> Run:
    chosen = read_index(out).set
    run = Run(chosen, [Inmate(chosen.inmates[0], GREETING)])
    run.driver = driver
    run.plan()
    return run


@pytest.mark.parametrize(
    ("machine", "step", "cause"),
    [
        ({"machine": VIRT.replace("virtualization=on", "virtualization=off")}, "enable", "el1"),
        ({"smp": 8}, "enable", "cpus-many"),
        ({"smp": 2}, "enable", "cpus-few"),
        ({"cpu": "max"}, "enable", "cpu-vhe"),
        ({"ram": "1G"}, "enable", "hypervisor-beyond-ram"),
        ({"mem": "mem=2G"}, "enable", "memory-not-reserved"),
        ({"machine": VIRT.replace("gic-version=3", "gic-version=2")}, "enable", "gic-mismatch"),
    ],
)
def test_a_machine_that_does_not_fit(
    out: Path, stack: Path, machine: dict[str, Any], step: str, cause: str
) -> None:
    found = []

    async def work(driver: Driver) -> None:
        run = session(out, driver)
        await run.begin()
        assert run.failed is not None
        found.append((run.failed[0].name.split()[0], run.failed[1].cause))

    within(out, stack, work, **machine)
    assert found == [(step, cause)]


def test_what_is_done_in_the_wrong_order(out: Path, stack: Path) -> None:
    found: dict[str, str] = {}

    async def work(driver: Driver) -> None:
        run = session(out, driver)

        async def step(name: str, kind: str, command: str) -> None:
            found[name] = (await driver.run(kind, f"{JAILHOUSE} {command}", "freertos")).cause

        assert await run.prepare()
        await step("no module", outcome.ENABLE, f"enable {ROOT}")
        assert await run.module()
        await step("not a root cell", outcome.ENABLE, f"enable {CELL}")
        assert await run.enable()
        await step("twice", outcome.ENABLE, f"enable {ROOT}")
        await step("unknown", outcome.LOAD, "cell load freertos /oejail/FreeRTOS.bin")
        await step("not a cell", outcome.CREATE, f"cell create {ROOT}")
        await step("created", outcome.CREATE, f"cell create {CELL}")
        await step("exists", outcome.CREATE, f"cell create {CELL}")
        await step("no image", outcome.LOAD, "cell load freertos /oejail/none.bin")
        await step("outside", outcome.LOAD, "cell load freertos /oejail/FreeRTOS.bin -a 0x5000000")
        await step("removed", outcome.DESTROY, "cell destroy freertos")
        await step("gone", outcome.DESTROY, "cell destroy freertos")

    within(out, stack, work)
    assert found == {
        "no module": "module-not-loaded",
        "not a root cell": "not-a-root-cell",
        "twice": "enabled-already",
        "unknown": "cell-unknown",
        "not a cell": "not-a-cell",
        "created": "",
        "exists": "cell-exists",
        "no image": "image-missing",
        "outside": "image-does-not-fit",
        "removed": "",
        "gone": "cell-unknown",
    }
