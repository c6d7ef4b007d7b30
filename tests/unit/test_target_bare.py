# SPDX-License-Identifier: MIT
"""`oejail boot` where no QEMU is installed: with none, and with stand-ins that misbehave."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from oejail.artifacts.model import SetInmate
from oejail.bundle import examine
from oejail.bundle.extract import extract
from oejail.errors import FindingsError, UsageFault
from oejail.files import sha256_file
from oejail.target import bare, qemu
from tests.support import bundles, fake_qemu
from tests.support.cli import Said, oejail, start

EXPECT = "This is freertos from the openeuler community!"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a foreign build."""
    return bundles.foreign(tmp_path_factory.mktemp("bundle"))


def boot(directory: Path, bundle: Path, code: str, *arguments: str, status: int) -> Said:
    """`oejail boot --bare` with a stand-in that runs `code`."""
    path = f"{fake_qemu.install(directory / 'bin', code)}:{os.environ['PATH']}"
    return oejail(directory, "boot", "--bare", str(bundle), *arguments, status=status, PATH=path)


def results(directory: Path) -> dict[str, Any]:
    (found,) = (directory / "oejail-runs").glob("*/results.json")
    value: dict[str, Any] = json.loads(found.read_text())
    return value


def test_the_text_comes(bundle: Path, tmp_path: Path) -> None:
    code = f"greet(lambda: (say(b'noise\\x1b[2J\\n{EXPECT}'), time.sleep(60)))"
    said = boot(tmp_path, bundle, code, status=0)
    assert "SAMPLE" not in said.out
    assert [line[10:] for line in said.out.splitlines()[:2]] == ["noise\\x1b[2J", EXPECT]
    found = results(tmp_path)
    assert found["outcome"] == "passed"
    assert found["qemu"]["version"] == "9.8.7 (fake)"
    (run,) = (tmp_path / "oejail-runs").iterdir()
    assert found["booted"][0]["sha256"] == sha256_file(run / "FreeRTOS.bin")
    assert found["expect"]["seen"] == 1


def test_a_flood_keeps_qemu_from_answering(bundle: Path, tmp_path: Path) -> None:
    """QEMU's own loop waits while a full console is written: until it is read, no answer comes."""
    code = f"greet(before=lambda: (say(b'x' * (4 << 20)), say(b'\\n{EXPECT}\\n')))"
    boot(tmp_path, bundle, code, "--timeout", "20", status=0)
    assert results(tmp_path)["console"]["bytes"] > 4 << 20


def test_a_qemu_that_never_answers(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake_qemu.install(tmp_path / "bin", "time.sleep(60)")
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    monkeypatch.setattr(qemu, "ANSWER", 1)
    monkeypatch.chdir(tmp_path)
    done = bare.boot_bare(bundle)
    assert done.results.outcome == "timed-out"
    assert done.fault is not None
    assert "timed out: QEMU did not answer within 1 s" in done.fault.message


def test_100_mb_of_output(bundle: Path, tmp_path: Path) -> None:
    code = (
        "def flood():\n"
        "    for _ in range(100):\n"
        "        say((b'x' * 1023 + b'\\n') * 1024)\n"
        f"    say(b'{EXPECT}\\n')\n"
        "    time.sleep(60)\n"
        "greet(flood)"
    )
    said = boot(tmp_path, bundle, code, status=0)
    assert len(said.out) < 300_000
    assert "more is in the transcript" in said.out
    assert results(tmp_path)["console"]["bytes"] == (100 << 20) + len(EXPECT) + 1
    (transcript,) = (tmp_path / "oejail-runs").glob("*/transcript.txt")
    assert transcript.stat().st_size < 18 << 20
    assert transcript.read_text().endswith(EXPECT + "\n")


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        ("sys.exit('no such machine')", "died", "exit status 1; its own words are below"),
        ("os.kill(os.getpid(), 9)", "died", "died of SIGKILL"),
        ("greet(lambda: sys.exit(0))", "died", "exit status 0"),
        ("greet()", "silent", "silent: no output within 1 s"),
        ("greet(lambda: say(b'other'))", "expectation-not-met", f"'{EXPECT}' did not come"),
    ],
)
def test_failures(code: str, outcome: str, words: str, bundle: Path, tmp_path: Path) -> None:
    said = boot(tmp_path, bundle, code, "--timeout", "1", status=5)
    assert words in said.err
    found = results(tmp_path)
    assert found["outcome"] == outcome
    assert said.err.startswith(f"oejail: error: {found['cause']}; {found['hint']}\n")
    if outcome == "died" and "own words" in words:
        assert said.err.endswith("  no such machine\n")
    if outcome == "expectation-not-met":
        assert said.err.endswith("other\n")


@pytest.mark.parametrize("last, status", [(EXPECT, 0), ("other", 5)])
def test_lines_are_shown_as_they_come(
    last: str, status: int, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    code = f"""
def talk():
    say(b"one\\n")
    while not os.path.exists({str(tmp_path / "go")!r}):
        time.sleep(0.01)
    say(b"two\\n" * 50)
    say({last.encode()!r} + b"\\n")
    time.sleep(60)
greet(talk)
"""
    path = fake_qemu.install(tmp_path / "bin", code)
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    process = start(tmp_path, "boot", "--bare", str(bundle), "--timeout", "5")
    assert process.stdout is not None
    assert process.stdout.readline().endswith("  one\n")  # while the machine still waits
    process.stdout.close()  # a reader that goes away changes no verdict
    (tmp_path / "go").touch()
    assert process.wait(timeout=30) == status
    assert results(tmp_path)["console"]["lines"] == 52


def test_no_qmp_at_all(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fake_qemu.install(tmp_path / "bin", "os.write(qmp, b'hello\\n')\ntime.sleep(60)")
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    monkeypatch.setattr(qemu, "_LAST_WORDS", 0.1)
    monkeypatch.chdir(tmp_path)
    done = bare.boot_bare(bundle, timeout=10)
    assert done.fault is not None
    assert "it no longer answers, or not as QEMU does" in done.fault.message


def test_without_qemu(bundle: Path, tmp_path: Path) -> None:
    said = oejail(tmp_path, "boot", "--bare", str(bundle), status=6, PATH=str(tmp_path))
    assert said.err == (
        "oejail: error: qemu-system-aarch64: no such program; apt-get install qemu-system-arm\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_broken_bundle(bundle: Path, tmp_path: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[len(data) // 2] ^= 1
    broken = bundles.write_bundle(tmp_path / "b.tar.zst", bytes(data))
    said = boot(tmp_path, broken, "greet()", status=3)
    assert "not booted: bundle-" in said.err
    assert not (tmp_path / "oejail-runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bare", "--kernel", "Image"], "--bare: there is no guest that the other options"),
        (["--bare", "--inmate", "a", "--inmate", "b"], "one inmate runs alone; give --inmate once"),
        (["--interactive"], "--interactive: there is no terminal to hand the console to"),
        (["--password-file", "none"], "none: No such file or directory (--password-file)"),
        (["--expect", "a\tb"], "--expect: not one line of 1 to 200"),
        (["--inmate", "x"], "--inmate x: no such inmate; the set has freertos"),
        (["--bare", "--timeout", "0"], "--timeout 0: not between 1 and 86400"),
        (["--bare", "--expect", " "], "--expect: not one line of 1 to 200"),
        (["--bare", "--inmate", "x"], "--inmate x: no such inmate; the set has freertos"),
    ],
)
def test_usage(arguments: list[str], words: str, bundle: Path, tmp_path: Path) -> None:
    assert words in oejail(tmp_path, "boot", *arguments, str(bundle), status=2).err


def test_no_bundle_and_no_project(tmp_path: Path) -> None:
    assert "no oejail.yaml" in oejail(tmp_path, "boot", "--bare", status=2).err
    missing = oejail(tmp_path, "boot", "--bare", "none.tar.zst", status=2).err
    assert "none.tar.zst: No such file or directory; oejail bundle makes one" in missing


def test_which_inmate(bundle: Path) -> None:
    head = examine(bundle).manifest
    assert head is not None
    (only,) = head.set.inmates

    def choose(inmate: str | None, *found: SetInmate) -> SetInmate:
        return bare.choose("b", dataclasses.replace(head.set, inmates=found), inmate)

    assert choose(None, only) is only
    assert choose(only.name, only) is only
    assert choose(Path(only.cell).stem, only) is only
    more = (only, SetInmate("other", "cells/other.cell", "other.bin"))
    assert choose("other", *more).image == "other.bin"
    with pytest.raises(UsageFault, match="several inmates"):
        choose(None, *more)
    with pytest.raises(UsageFault, match="no inmate"):
        choose(None)


def test_what_is_extracted_is_what_was_verified(bundle: Path, tmp_path: Path) -> None:
    head = examine(bundle).manifest
    assert head is not None
    entry = head.find("payload/FreeRTOS.bin")
    assert entry is not None
    extract(bundle, entry, tmp_path / "image")
    assert sha256_file(tmp_path / "image") == entry.sha256
    other = tmp_path / "other.tar.zst"
    bundles.replace_member(bundle, entry.path, bytes(entry.size), other)
    cut = tmp_path / "cut.tar.zst"
    cut.write_bytes(bundle.read_bytes()[:2000])
    for wrong in (other, cut):
        with pytest.raises(FindingsError, match=r"no more what was verified"):
            extract(wrong, entry, tmp_path / "wrong")
        assert not (tmp_path / "wrong").exists()


def test_kvm_only_on_its_own_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "_KVM", "/dev/null")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert "virt" in qemu.bare_command(Path("i"))
    assert "cortex-a57" in qemu.bare_command(Path("i"))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert "virt,accel=kvm,gic-version=host" in qemu.bare_command(Path("i"))
    monkeypatch.setattr(qemu, "_KVM", "/nowhere")
    assert "virt" in qemu.bare_command(Path("i"))
    assert qemu.bare_command(Path("i"), ["-d", "int"])[-3:] == ["i", "-d", "int"]
