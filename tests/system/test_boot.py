# SPDX-License-Identifier: MIT
"""`oejail boot` as a person types it, in a real AArch64 guest (tests/support/guest.py)."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from oejail.pipeline import Options, Run
from tests.support import bundles, cli, elf_files, foreign_build, guest
from tests.support.cli import Said, oejail

EXPECT = "This is freertos from the openeuler community!"
IMAGE = "payload/FreeRTOS.bin"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with out/, b.tar.zst and rootfs.cpio.gz."""
    directory = tmp_path_factory.mktemp("a boot")
    guest.bundle(directory)
    guest.rootfs(directory / "rootfs.cpio.gz")
    return directory


def given(made: Path, initrd: Path | None = None) -> tuple[str, ...]:
    kernel, _ = guest.parts()
    return ("--kernel", str(kernel), "--initrd", str(initrd or made / "rootfs.cpio.gz"))


def boot(made: Path, where: Path, *arguments: str, status: int = 0, bundle: str = "") -> Said:
    return oejail(
        where, "boot", bundle or str(made / "b.tar.zst"), *given(made), *arguments, status=status
    )


def results(directory: Path) -> dict[str, Any]:
    """results.json of the only run of `directory`."""
    (found,) = (directory / "oejail-runs").glob("*/results.json")
    value: dict[str, Any] = json.loads(found.read_text())
    return value


def test_the_set_is_seen_running(made: Path, tmp_path: Path) -> None:
    said = boot(made, tmp_path, "--expect", EXPECT, "--junit", "report.xml")
    assert "/oejail in the guest is the bundle's payload" in said.err
    assert re.search(r"^observe freertos +passed .*came once$", said.out, re.MULTILINE)
    assert EXPECT in said.out
    found = results(tmp_path)
    assert found["outcome"] == "passed"
    assert {step["outcome"] for step in found["steps"]} == {"passed"}
    names = " ".join(step["name"].split()[0] for step in found["steps"])
    assert names == (
        "verify start boot prepare module enable create load start observe running "
        "shutdown destroy disable"
    )
    command = found["qemu"]["command"]
    assert command[command.index("-append") + 1] == "console=ttyAMA0 loglevel=8 mem=1G"
    assert command[command.index("-nic") + 1] == "none"
    assert command[command.index("-accel") + 1] == "tcg"
    assert {b["path"].rpartition("/")[2] for b in found["booted"]} >= {
        "Image",
        "rootfs.cpio.gz",
        "jailhouse.ko",
        "FreeRTOS.bin",
    }
    (run,) = (tmp_path / "oejail-runs").iterdir()
    assert sorted(path.name for path in run.iterdir()) == [
        "junit.xml",
        "results.json",
        "transcript.txt",
    ]
    transcript = (run / "transcript.txt").read_text()
    assert "The Jailhouse is opening." in transcript and "--- oejail: disable: passed" in transcript
    assert (tmp_path / "report.xml").read_bytes() == (run / "junit.xml").read_bytes()


def test_what_collect_left_with_json(made: Path, tmp_path: Path) -> None:
    said = boot(made, tmp_path, "--json", "--keep-running", bundle=str(made / "out"))
    report = json.loads(said.out)
    assert report["outcome"] == "passed" and report["bundle"]["digest"] == ""
    assert report["steps"][-1]["name"] == "running freertos"
    assert report["expect"]["inmates"][0]["verified"] is True


def test_up_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage boot, on a bundle with a kernel and a root file system of its own."""
    out = guest.collected(tmp_path / "made", bootable=True)
    root = tmp_path / "project"
    root.mkdir()
    oejail(root, "init")
    monkeypatch.chdir(root)
    run = Run(root, Options())
    run.bundle_path.parent.mkdir()
    bundles.packed(out, run.bundle_path)
    assert run.boot().note == "freertos: seen running"
    (found,) = (root / ".oejail" / "runs").glob("*/results.json")
    booted = [file["path"] for file in json.loads(found.read_text())["booted"]]
    assert booted[:2] == ["boot/kernel", "boot/initrd"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert Run(root, Options()).boot().note == "left out: no qemu-system-aarch64 is installed"


def test_a_collection_that_was_changed_is_not_booted(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "out"
    subprocess.run(["cp", "-a", str(made / "out"), str(copy)], check=True)
    (copy / IMAGE).write_bytes(b"\x1f\x20\x03\xd5" * 2000 + EXPECT.encode())
    said = boot(made, tmp_path, bundle=str(copy), status=3)
    assert "FreeRTOS.bin: is not what artifacts.json says it is" in said.err
    assert not list((tmp_path / "oejail-runs").iterdir())


@pytest.mark.parametrize(
    ("image", "arguments", "cause"),
    [
        (bytes(8192), (), "image-blank"),
        (elf_files.elf({".text": foreign_build.FREERTOS}), (), "image-elf"),
        (None, ("--expect", "never"), "expectation-not-met"),
        (None, ("--append", "scenario=fault"), "cell-fault"),
        (None, ("--append", "scenario=absent"), "cell-absent"),
    ],
)
def test_not_hollow(
    image: bytes | None, arguments: tuple[str, ...], cause: str, made: Path, tmp_path: Path
) -> None:
    bundle = made / "b.tar.zst"
    if image is not None:
        bundle = bundles.replace_member(bundle, IMAGE, image, tmp_path / "other.tar.zst")
    said = boot(made, tmp_path, "--timeout", "8", *arguments, bundle=str(bundle), status=5)
    assert f"oejail: error: {cause}: " in said.err
    found = results(tmp_path)
    assert found["outcome"] == cause and found["hint"]
    outcomes = [step["outcome"] for step in found["steps"]]
    assert outcomes.count("failed") == 1 and outcomes[-1] == "not run"
    # That a text is waited for does not mean that it came.
    assert found["expect"]["inmates"][0]["verified"] is (cause in ("cell-fault", "cell-absent"))


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("--qemu-arg=-smp", "--qemu-arg=8"), "smp-many"),
        (("--qemu-arg=-cpu", "--qemu-arg=max"), "cpu-model"),
        (("--append", "mem=2G"), ""),
        (("--qemu-arg=-machine", "--qemu-arg=virtualization=off"), "no-virtualization"),
    ],
)
def test_what_cannot_work_is_refused(
    arguments: tuple[str, ...], rule: str, made: Path, tmp_path: Path
) -> None:
    (tmp_path / "report.xml").write_text("of an earlier run, which passed")
    said = boot(made, tmp_path, *arguments, "--junit", "report.xml", status=3)
    assert f"[{rule}" in said.err and "oejail explain" in said.err
    assert not list((tmp_path / "oejail-runs").iterdir())
    assert not (tmp_path / "report.xml").exists()


def test_a_report_that_cannot_be_written_is_refused_at_once(made: Path, tmp_path: Path) -> None:
    for path, words in (("none/r.xml", "none is no directory"), (".", "is a directory")):
        said = boot(made, tmp_path, "--junit", path, status=2)
        assert f"--junit {path}: " in said.err and words in said.err
    assert not (tmp_path / "oejail-runs").exists()


def test_a_module_for_another_kernel_is_refused(made: Path, tmp_path: Path) -> None:
    bundles.collected(tmp_path)
    bundles.packed(tmp_path / "out", tmp_path / "other.tar.zst")
    said = boot(made, tmp_path, bundle=str(tmp_path / "other.tar.zst"), status=3)
    assert "[module-vermagic]" in said.err and foreign_build.RELEASE in said.err


def test_a_guest_that_wants_a_login(made: Path, tmp_path: Path) -> None:
    initrd = guest.rootfs(tmp_path / "login.cpio.gz", guest.GETTY)
    arguments = ("boot", str(made / "b.tar.zst"), *given(made, initrd))
    oejail(tmp_path, *arguments)
    assert results(tmp_path)["outcome"] == "passed"


def test_a_guest_that_wants_a_password(made: Path, tmp_path: Path) -> None:
    hashed = "$1$abcdefgh$5XhrJpGu.bBXAZh4lT8oY/"  # openssl passwd -1 -salt abcdefgh sesame
    shadow = f"root:{hashed}:19000:0:99999:7:::\n"
    initrd = guest.rootfs(tmp_path / "login.cpio.gz", guest.GETTY, shadow)
    arguments = ("boot", str(made / "b.tar.zst"), *given(made, initrd))
    said = oejail(tmp_path, *arguments, status=5)
    assert "login-wanted: boot: the guest asks for a password; name the user" in said.err
    (tmp_path / "word").write_text("sesame\n")
    said = oejail(tmp_path, *arguments, "--password-file", "word")
    assert "sesame" not in said.out + said.err
    (tmp_path / "word").write_text("wrong\n")
    said = oejail(tmp_path, *arguments, "--password-file", "word", status=5)
    assert "login-refused: boot" in said.err


def test_a_guest_without_init(made: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(foreign_build.cpio())
    initrd = tmp_path / "empty"
    arguments = ("boot", str(made / "b.tar.zst"), *given(made, initrd))
    said = oejail(tmp_path, *arguments, status=5)
    assert re.search("guest-(no-init|panic): boot: ", said.err)


def test_a_qemu_that_refuses_its_command(made: Path, tmp_path: Path) -> None:
    said = boot(made, tmp_path, "--qemu-arg=-no-such", status=5)
    assert "qemu-died: QEMU ended: exit status 1; its own words are below" in said.err
    assert results(tmp_path)["steps"][1]["outcome"] == "failed"


def test_a_sample_is_refused(made: Path, tmp_path: Path) -> None:
    """Its module is no Jailhouse: nothing that a kernel could load."""
    oejail(tmp_path, "up", "--sample")
    (bundle,) = (tmp_path / "dist").glob("*.tar.zst")
    said = boot(made, tmp_path, bundle=str(bundle), status=3)
    assert "a sample: its module and firmware are stand-ins, not Jailhouse" in said.err
    alone = oejail(tmp_path, "boot", str(bundle))
    assert "oejail sample inmate: tick" in alone.out
    assert "a sample has no kernel: its inmate's image runs alone" in alone.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ended_from_outside(number: signal.Signals, made: Path, tmp_path: Path) -> None:
    bundle = str(made / "b.tar.zst")
    process = cli.start(tmp_path, "boot", bundle, *given(made), "--append", "scenario=hang")
    (tmp_path / "oejail-runs").mkdir(exist_ok=True)
    deadline = time.monotonic() + 60
    while not any(
        "oejail: enable: /oejail" in path.read_text()
        for path in (tmp_path / "oejail-runs").glob("*/transcript.txt")
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    cli.wait_until_gone(str(tmp_path / "oejail-runs"), 5)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "interrupted: QEMU was stopped" in said
        assert results(tmp_path)["outcome"] == "interrupted"
        (run,) = (tmp_path / "oejail-runs").iterdir()
        assert not (run / "initrd").exists()


def test_two_at_once_in_one_project(made: Path, tmp_path: Path) -> None:
    oejail(tmp_path, "init")
    words = ("boot", str(made / "b.tar.zst"), *given(made))
    both = [cli.start(tmp_path, *words) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    runs = {Path(text.splitlines()[-1].removeprefix("results: ")) for text in said}
    assert runs == set((tmp_path / ".oejail/runs").iterdir()) and len(runs) == 2
    for run in runs:
        assert json.loads((run / "results.json").read_text())["outcome"] == "passed"
        assert EXPECT in (run / "transcript.txt").read_text()


@pytest.mark.parametrize("what", ["initrd", "transcript.txt"])
def test_a_full_disk(what: str, made: Path, tmp_path: Path) -> None:
    """One line, its status, and no machine left, when what a run writes does not fit."""
    (tmp_path / "oejail-runs").mkdir()
    size = 256 << 10
    if what != "initrd":  # which leaves room for the beginning of a flood
        payload = [p.stat().st_size for p in (made / "out/payload").rglob("*") if p.is_file()]
        size += (made / "rootfs.cpio.gz").stat().st_size + 2 * sum(payload)
    mount = f"mount -t tmpfs -o size={size} tmpfs oejail-runs"
    then = 'code=0; "$@" || code=$?; cat oejail-runs/*/results.json; exit $code'
    argv = ["unshare", "--mount", "--", "sh", "-c", f"{mount} && {{ {then}; }}", "sh"]
    argv += [*cli.OEJAIL, "boot", str(made / "b.tar.zst"), *given(made)]
    done = subprocess.run(
        [*argv, "--append", "scenario=flood"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 6, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error" in line]
    assert re.fullmatch(
        rf"oejail: error: \S+/oejail-runs/\S+/{what}: No space left on device; free some space.*",
        line,
    )
    cli.wait_until_gone(str(tmp_path), 5)
    if what != "initrd":  # what only the run needed has made room for its results
        report = json.loads(done.stdout[done.stdout.index("{\n") :])
        assert report["outcome"] == "error" and "No space left" in report["cause"]


def test_interactive(made: Path, tmp_path: Path) -> None:
    """On a terminal: the console is handed over, and Ctrl-] gives it back."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*cli.OEJAIL, "boot", str(made / "b.tar.zst"), *given(made), "--interactive"],
        cwd=tmp_path,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)

    def until(text: bytes) -> bytes:
        said = b""
        deadline = time.monotonic() + 60
        while text not in said:
            assert time.monotonic() < deadline, said
            if select.select([master], [], [], 0.5)[0]:
                said += os.read(master, 65536)
        return said

    try:
        # The shell drops what was typed before its prompt: a line editor flushes its terminal.
        assert b"\n# " in until(b"gives it back") + until(b"\n# ")
        os.write(master, b"echo sum is $((40+2))\n")
        until(b"sum is 42")
        os.write(master, b"\x1d")
        until(b"taken back")
        until(b"results: ")
        assert process.wait(30) == 0
    finally:
        process.kill()
        os.close(master)
    assert results(tmp_path)["steps"][-1] == results(tmp_path)["steps"][-1] | {
        "name": "disable",
        "outcome": "passed",
    }
