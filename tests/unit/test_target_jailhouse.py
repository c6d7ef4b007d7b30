# SPDX-License-Identifier: MIT
"""`oejail boot` of a set where no QEMU is installed: a stand-in whose guest is a stand-in as well.

Its shell answers every command at once, with status 0; the real ones are in tests/system.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from oejail.errors import TargetFailed
from oejail.pipeline import Options, Run
from tests.support import bundles, elf_files, fake_qemu
from tests.support.cli import OEJAIL, oejail

EXPECT = "This is freertos from the openeuler community!"
IMAGE = "payload/FreeRTOS.bin"
GUEST = r"""
def answer(nonce, number, status):
    digits = nonce + "%04o%03o" % (number, status)
    say(b"\x1e" + bytes(0x10 + int(digit) for digit in digits) + b"\x1f")


def guest(started):
    say(b"\r\n/ # ")
    rest = b""
    while data := os.read(console, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if found := re.search(rb'printf "\\036((?:\\02[0-7]){6})', line):
                nonce = found[1].decode().replace("\\02", "")
                answer(nonce, 0, 0)
            elif found := re.match(rb"n=(\d+)&&", line):
                if b"cell start" in line:
                    say(b'Started cell "freertos"\r\n')
                answer(nonce, int(found[1]), 0)
                if b"cell start" in line:
                    started()
"""
ELF = elf_files.elf({".text": b"\x1f\x20\x03\xd5" * 64}, kind=2, entry=0x1000)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a foreign build, with a kernel and a root file system."""
    return bundles.foreign(tmp_path_factory.mktemp("bundle"))


def stand_in(directory: Path, started: str) -> str:
    """PATH with a QEMU whose guest does `started` when a cell is started."""
    code = f"{GUEST}\n\ndef started():\n    {started}\n\n\ngreet(lambda: guest(started))"
    return f"{fake_qemu.install(directory / 'bin', code)}:{os.environ['PATH']}"


def results(directory: Path) -> dict[str, Any]:
    (found,) = (directory / "oejail-runs").glob("*/results.json")
    value: dict[str, Any] = json.loads(found.read_text())
    return value


def test_the_stand_in_will_do(bundle: Path, tmp_path: Path) -> None:
    path = stand_in(tmp_path, f"say(b'{EXPECT}\\n')")
    oejail(tmp_path, "boot", str(bundle), PATH=path)
    assert {step["outcome"] for step in results(tmp_path)["steps"]} == {"passed"}


def test_100_mb_of_output_in_bounded_memory(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flood = "[say((b'x' * 1022 + b'\\r\\n') * 1024) for _ in range(100)]"
    path = stand_in(tmp_path, f"{flood}; say(b'{EXPECT}\\n')")
    monkeypatch.setenv("PATH", path)
    highest = 0
    with (tmp_path / "said").open("xb") as output:
        argv = [*OEJAIL, "boot", str(bundle)]
        process = subprocess.Popen(argv, cwd=tmp_path, stdout=output, stderr=output)
        while process.poll() is None:
            # Not its ru_maxrss, which begins with that of the process that started it.
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            highest = int(found[1]) if found else highest
            time.sleep(0.02)
    said = (tmp_path / "said").read_text()
    assert process.returncode == 0, said
    assert len(said) < 300_000 and "more is in the transcript" in said
    assert results(tmp_path)["console"]["bytes"] > 100 << 20
    (transcript,) = (tmp_path / "oejail-runs").glob("*/transcript.txt")
    assert transcript.stat().st_size < 18 << 20
    assert "--- oejail: disable: passed" in transcript.read_text()
    assert 10_000 < highest < 128_000, f"{highest} KiB"


@pytest.mark.parametrize("bare", [False, True])
def test_an_image_that_is_an_elf_is_an_outcome(bare: bool, bundle: Path, tmp_path: Path) -> None:
    """No QEMU is started for it: that nothing runs is known."""
    elf = bundles.replace_member(bundle, IMAGE, ELF, tmp_path / "elf.tar.zst")
    fake = fake_qemu.install(tmp_path / "bin", "open('started', 'x')")
    arguments = ["boot", str(elf), *(["--bare"] if bare else []), "--junit", "report.xml"]
    said = oejail(tmp_path, *arguments, status=5, PATH=f"{fake}:{os.environ['PATH']}")
    (line,) = [line for line in said.err.splitlines() if "error: " in line]
    assert line.startswith("oejail: error: image-elf: ")
    assert f"{IMAGE}: an ELF file, cell 'freertos' needs a raw image" in line
    assert not list(tmp_path.rglob("started"))
    found = results(tmp_path)
    assert found["outcome"] == "image-elf" and found["cause"] in line and found["hint"] in line
    outcomes = [step["outcome"] for step in found["steps"]]
    assert outcomes == ["failed"] + ["not run"] * (len(outcomes) - 1)
    assert 'type="image-elf"' in (tmp_path / "report.xml").read_text()
    (run,) = (tmp_path / "oejail-runs").iterdir()
    left = {path.name for path in run.iterdir()} - {"FreeRTOS.bin"}
    assert left == {"junit.xml", "results.json", "transcript.txt"}
    assert oejail(tmp_path, "verify", str(elf), status=3).out.count("[image-elf]") == 1


def test_other_findings_come_first(bundle: Path, tmp_path: Path) -> None:
    elf = bundles.replace_member(bundle, IMAGE, ELF, tmp_path / "elf.tar.zst")
    broken = bundles.replace_member(elf, "payload/jailhouse.bin", b"x", tmp_path / "b.tar.zst")
    path = stand_in(tmp_path, "pass")
    said = oejail(tmp_path, "boot", str(broken), status=3, PATH=path)
    assert "not booted: " in said.err and "image-elf" not in said.err
    assert not (tmp_path / "oejail-runs").exists()


def test_ups_stage_ends_so_as_well(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oejail(tmp_path, "init")
    monkeypatch.setenv("PATH", stand_in(tmp_path, "pass"))
    monkeypatch.chdir(tmp_path)
    run = Run(tmp_path, Options())
    run.bundle_path.parent.mkdir()
    bundles.replace_member(bundle, IMAGE, ELF, run.bundle_path)
    with pytest.raises(TargetFailed, match="image-elf: verify: "):
        run.boot()
    (found,) = (tmp_path / ".oejail" / "runs").glob("*/results.json")
    assert json.loads(found.read_text())["outcome"] == "image-elf"


def test_what_is_no_kernel_and_no_initrd(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no kernel\n" * 20)
    path = stand_in(tmp_path, "pass")
    for option, words in (("--kernel", "no arm64 Image"), ("--initrd", "no initrd")):
        said = oejail(tmp_path, "boot", str(bundle), option, "text", status=2, PATH=path)
        assert said.err.startswith(f"oejail: error: {option} text: a text, {words}: ")
    assert not list((tmp_path / "oejail-runs").iterdir())
