# SPDX-License-Identifier: MIT
"""`oejail deploy` over a real OpenSSH client and server, to a board on loopback (tests.support).

The same to a Linux guest in QEMU, with BusyBox's shell: test_deploy_guest.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oejail import platforms
from oejail.artifacts import SetSpec, collect
from oejail.files import sha256_bytes
from tests.support import bundles, cli, elf_files, foreign_build
from tests.support.board import Board, Made, keygen
from tests.support.cli import OEJAIL, Said, oejail

TOOL = """#!/bin/sh
echo "jailhouse $*" >>/ran
scenario=$(cat /scenario 2>/dev/null)
case "$scenario/$*" in
"no memory/enable "*)
    echo 'jailhouse: request_mem_region failed for hypervisor memory.' >>/log
    echo 'JAILHOUSE_ENABLE: Invalid argument' >&2
    exit 1 ;;
"hang/enable "*) kill -9 $(cat /session) ;;
"el1/enable "*) exec sleep 60 ;;
"vhe/enable "*)
    echo 'Unhandled 64-bit el1h sync exception on CPU2, ESR 0x5a000000 -- HVC (AArch64)' >>/log
    exec sleep 60 ;;
"no unit/cell create "*)
    echo 'JAILHOUSE_CELL_CREATE: Device or resource busy' >&2
    exit 1 ;;
"too large/cell load "*)
    echo 'JAILHOUSE_CELL_LOAD: Invalid argument' >&2
    exit 1 ;;
"fault/console")
    echo 'Unhandled data read at 0x60000000(4)'
    echo 'Parking CPU 1 (Cell: "freertos")' ;;
*"/cell list")
    echo 'ID      Name                    State             Assigned CPUs           Failed CPUs'
    state=running
    case $scenario in failed | fault) state=failed ; ;; esac
    [ "$scenario" = lied ] || printf '%-8s%-24s%-18s%s\\n' 1 freertos "$state" 1 ;;
"speaks/console") echo 'This is freertos from the openeuler community!' ;;
*/console) exit 1 ;;
esac
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """Two bundles, both signed by alice; `made[0].path.parent` has her allowed signers."""
    top = tmp_path_factory.mktemp("made")
    keygen(top / "alice")
    (top / "signers").write_text(f"alice@example.org {(top / 'alice.pub').read_text()}")
    platform = platforms.load("qemu-aarch64")
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign_build, "TOOL", TOOL.encode())
        for number in range(2):
            build = foreign_build.make(top / f"build{number}", decoys=False)
            image = foreign_build.FREERTOS + os.urandom(3_000_000) * number + bytes([number])
            build.make_freertos(f"{number}-r0", image)
            build.record("jailhouse-freertos", "jailhouse-freertos", str(number), {})
            out = top / f"out{number}"
            collect(build.directory, platform, SetSpec.from_platform(platform), out)
            oejail(top, "bundle", out.name, "-o", f"b{number}.tar.zst", "--sign", "alice")
            found.append(Made.of(top / f"b{number}.tar.zst"))
    return found


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path / "board")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def deploy(board: Board, *arguments: str | Path, status: int = 0, host: str = "board") -> Said:
    words = ["deploy", *map(str, arguments), host, "--ssh-config", str(board.config)]
    return oejail(board.top, *words, status=status)


def is_whole(board: Board, version: Made) -> bool:
    place = board.base / version.digest
    found = {
        str(path.relative_to(place)): sha256_bytes(path.read_bytes())
        for path in place.rglob("*")
        if path.is_file() and path.name != ".previous"
    }
    return found == version.files


def error(said: Said) -> str:
    """The one line that says what is wrong."""
    [line] = [line for line in said.err.splitlines() if line.startswith("oejail: error: ")]
    return line


def test_install_upgrade_rollback(board: Board, made: list[Made]) -> None:
    one, two = made
    signers = ("--signers", one.path.parent / "signers")
    said = deploy(board, one.path, *signers, "--dry-run")
    assert f"would make /opt/oejail/{one.digest}/" in said.out
    assert f"would link /opt/oejail/current to {one.digest} (now nothing)" in said.out
    assert os.listdir(board.root / "opt") == []
    said = deploy(board, one.path, *signers)
    assert said.out == f"current: {one.digest} (was nothing)\n"
    assert board.holds() == sorted([one.digest, "current"])
    assert is_whole(board, one)
    report = json.loads(deploy(board, two.path, *signers, "--json").out)
    assert (report["digest"], report["was"], report["signer"]) == (
        two.digest,
        one.digest,
        "alice@example.org",
    )
    assert is_whole(board, one) and is_whole(board, two)
    assert board.current() == two.digest
    said = deploy(board, "--rollback", "--dry-run")
    assert said.out == f"would link /opt/oejail/current to {one.digest} (now {two.digest})\n"
    assert board.current() == two.digest
    said = deploy(board, "--rollback")
    assert said.out == f"current: {one.digest} (was {two.digest})\n"
    assert board.current() == one.digest
    deploy(board, two.path, "--rollback")  # a bundle is not needed, and does no harm
    assert board.current() == two.digest
    # Again: nothing changes, and what lies there is compared.
    (board.base / two.digest / "FreeRTOS.bin").write_bytes(b"bit rot")
    assert deploy(board, two.path, *signers).out == f"current: {two.digest} (was {two.digest})\n"
    assert is_whole(board, two)


def test_without_sha256sum(board: Board, made: list[Made]) -> None:
    """openEuler's BusyBox is configured so."""
    (board.root / "bin" / "sha256sum").unlink()
    deploy(board, made[0].path, "--unsigned")
    assert is_whole(board, made[0])


def test_options_instead_of_a_configuration(board: Board, made: list[Made]) -> None:
    """OpenSSH takes its known hosts from the user's passwd entry: only the refusal is seen here."""
    words = ["deploy", str(made[0].path), "--unsigned", "root@127.0.0.1", "--port"]
    words += [str(board.port), "--identity", str(board.top / "key")]
    said = oejail(board.top, *words, status=5)
    assert "root@127.0.0.1: its host key is not known; connect once with ssh" in error(said)
    assert board.holds() == []


def damage(text: bytes) -> bytes:
    return text.replace(b"A", b"B").replace(b"a", b"b")


@pytest.mark.parametrize(
    ("prepare", "arguments", "status", "words"),
    [
        (lambda p: None, [], 2, "who may sign it is not said; --signers FILE"),
        (lambda p: (p / "b.tar.zst.sig").unlink(), ["--signers", "s"], 3, "bundle-signature-miss"),
        (
            lambda p: (p / "b.tar.zst.sig").write_bytes(damage((p / "b.tar.zst.sig").read_bytes())),
            ["--signers", "s"],
            3,
            "not deployed: bundle-signature",
        ),
        (
            lambda p: (p / "s").write_text("# nobody\n"),
            ["--signers", "s"],
            3,
            "not deployed: bundle-signature-signer",
        ),
        (
            lambda p: (p / "b.tar.zst").write_bytes((p / "b.tar.zst").read_bytes()[:-9]),
            ["--unsigned"],
            3,
            "not deployed: bundle-",
        ),
    ],
    ids=["not said", "missing", "broken", "stranger", "archive"],
)
def test_nothing_is_sent_that_is_not_trusted(
    tmp_path: Path,
    made: list[Made],
    prepare: Callable[[Path], object],
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    """There is no board at all: it is not even asked."""
    for suffix in ("", ".sha256", ".sig"):
        source = Path(f"{made[0].path}{suffix}")
        (tmp_path / f"b.tar.zst{suffix}").write_bytes(source.read_bytes())
    (tmp_path / "s").write_bytes((made[0].path.parent / "signers").read_bytes())
    prepare(tmp_path)
    said = oejail(tmp_path, "deploy", "b.tar.zst", "root@none.invalid", *arguments, status=status)
    assert words in error(said)


def test_a_sample_is_refused(tmp_path: Path) -> None:
    mark = elf_files.module(extra=b"OEJAIL SAMPLE, NOT JAILHOUSE\0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(foreign_build, "MODULE", mark)
        bundles.collected(tmp_path)
    bundles.packed(tmp_path / "out", tmp_path / "b.tar.zst")
    said = oejail(tmp_path, "deploy", "b.tar.zst", "root@none.invalid", "--unsigned", status=3)
    assert "not deployed: deploy-sample" in error(said)


BAD_BOARDS: list[tuple[dict[str, str], set[str]]] = [
    (
        {
            "machine": "x86_64\n",
            "release": "6.6.0-other\n",
            "proc/mounts": "/dev/root / ext4 ro,relatime 0 0\n",
            "sys/devices/system/cpu/present": "0-1\n",
            "proc/iomem": "40000000-80ffffff : System RAM\n",
        },
        {
            *("deploy-architecture", "deploy-kernel", "deploy-read-only"),
            *("smp-few", "hypervisor-linux"),
        },
    ),
    (
        {
            "machine": "aarch64\n",
            "release": f"{foreign_build.RELEASE}\n",
            "proc/mounts": "/dev/root / ext4 rw,relatime 0 0\n",
            "sys/devices/system/cpu/present": "0-7\n",
            "proc/iomem": "84000000-bfffffff : System RAM\n",
        },
        {"smp-many", "memory-linux"},
    ),
]


def test_findings_come_before_anything_is_touched(board: Board, made: list[Made]) -> None:
    """All of them at once."""
    for files, expected in BAD_BOARDS:
        for path, text in files.items():
            board.says(path, text)
        report = deploy(board, made[0].path, "--unsigned", "--dry-run", "--json", status=3)
        found = json.loads(report.out)["findings"]
        assert {f["rule"] for f in found if f["severity"] == "error"} == expected
    (board.root / "bin" / "tar").unlink()
    board.says("bin/mv", "#!/bin/sh\necho \"mv: invalid option -- 'T'\" >&2\nexit 1\n")
    said = deploy(board, made[0].path, "--unsigned", status=3)
    assert "board: no tar, mv -T [deploy-tools]" in said.err
    assert "board: nothing was touched: deploy-tools, smp-many, memory-linux" in error(said)
    assert os.listdir(board.root / "opt") == []


def test_freertos_on_a_raspberry_pi(board: Board, made: list[Made]) -> None:
    board.says("proc/device-tree/compatible", "raspberrypi,4-model-b\0brcm,bcm2711\0")
    said = deploy(board, made[0].path, "--unsigned", status=3)
    assert "openEuler has no FreeRTOS port for the Raspberry Pi 4 yet [deploy-board]" in said.err


def test_what_is_worth_knowing(board: Board, made: list[Made]) -> None:
    board.says("proc/mounts", "rootfs / rootfs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n")
    board.says("sys/devices/jailhouse/enabled", "1\n")
    said = deploy(board, made[0].path, "--unsigned", "--start", status=3)
    assert "nothing was touched: deploy-hypervisor" in error(said)
    said = deploy(board, made[0].path, "--unsigned")
    assert "warning: board: /opt/oejail: on / (rootfs), which lies in memory" in said.out
    assert "warning: board: Jailhouse is enabled" in said.out
    assert is_whole(board, made[0])


def test_a_board_that_says_nonsense(board: Board, made: list[Made]) -> None:
    board.says("bin/uname", "#!/bin/sh\nprintf 'aarch64\\033[2J'; head -c 100000 /dev/zero\n")
    said = deploy(board, made[0].path, "--unsigned", status=3)
    assert "\033" not in said.err and "deploy-kernel" in said.err
    board.says("bin/uname", "#!/bin/sh\nkill -9 $PPID\n")
    said = deploy(board, made[0].path, "--unsigned", status=5)
    assert "board: the connection was lost while looking" in error(said)


def test_enable_and_disable(board: Board, made: list[Made]) -> None:
    link = board.root / "etc" / "init.d" / "S90oejail"
    target = "/opt/oejail/current/oejail.init"
    said = deploy(board, made[0].path, "--unsigned", "--enable", "--dry-run")
    assert said.out.splitlines()[-1] == f"would link /etc/init.d/S90oejail to {target}"
    assert not link.is_symlink()
    said = deploy(board, made[0].path, "--unsigned", "--enable")
    assert f"done: link /etc/init.d/S90oejail to {target}" in said.out
    assert os.readlink(link) == target
    everything = [p for p in (board.root / "etc").rglob("*") if p.is_symlink()]
    assert everything == [link]
    # At boot: the script, by its link, as init calls it.
    argv = ["chroot", str(board.root), "/bin/sh", "/etc/init.d/S90oejail", "start"]
    subprocess.run(argv, check=True, env={"PATH": "/sbin:/bin"}, capture_output=True)
    ran = (board.root / "ran").read_text().splitlines()
    assert ran[0] == f"insmod /opt/oejail/{made[0].digest}/jailhouse.ko"
    assert ran[-1] == "jailhouse cell start freertos"
    deploy(board, made[1].path, "--unsigned")
    assert os.readlink(link) == target
    said = deploy(board, "--disable", "--dry-run")
    assert said.out == "would remove /etc/init.d/S90oejail\n"
    deploy(board, "--disable")
    assert not link.is_symlink()
    assert board.current() == made[1].digest


def test_what_is_in_the_way_of_enable(board: Board, made: list[Made]) -> None:
    """Found before anything is touched; where that is waived, the end says what is current."""
    board.says("etc/init.d/S90oejail", "theirs")
    said = deploy(board, made[0].path, "--unsigned", "--enable", status=3)
    assert "nothing was touched: deploy-init" in error(said)
    assert "board: /etc/init.d/S90oejail: is in the way, and not ours" in said.err
    assert board.holds() == []
    waive = ("--waive", "deploy-init=they go away")
    said = deploy(board, made[0].path, "--unsigned", "--enable", *waive, status=5)
    assert f"{made[0].digest} is current, whole: only its start at boot" in error(said)
    assert board.current() == made[0].digest and is_whole(board, made[0])
    deploy(board, "--disable")
    assert (board.root / "etc/init.d/S90oejail").read_text() == "theirs"


def test_start(board: Board, made: list[Made]) -> None:
    board.says("scenario", "speaks")
    said = deploy(board, made[0].path, "--unsigned", "--start", "--json", "--timeout", "2")
    run = json.loads(said.out)["run"]
    assert run["outcome"] == "passed"
    assert [step["outcome"] for step in run["steps"]] == ["passed"] * 7
    kinds = " ".join(step["name"].split()[0] for step in run["steps"])
    assert kinds == "module enable create load start observe running"
    [inmate] = run["expect"]["inmates"]
    assert (inmate["inmate"], inmate["seen"], inmate["verified"]) == ("freertos", 1, True)
    directory = Path(run["directory"])
    names = {path.name for path in (board.top / directory).iterdir()}
    assert names == {"transcript.txt", "results.json", "junit.xml"}
    assert run["bundle"]["digest"] == made[0].digest
    ran = (board.root / "ran").read_text().splitlines()
    assert ran[:2] == [
        f"insmod /opt/oejail/{made[0].digest}/jailhouse.ko",
        f"jailhouse enable /opt/oejail/{made[0].digest}/cells/qemu-arm64-openeuler-demo.cell",
    ]


@pytest.mark.parametrize(
    ("scenario", "cause", "step"),
    [
        ("no memory", "memory-not-reserved", "enable"),
        ("no unit", "cell-busy", "create freertos"),
        ("too large", "image-does-not-fit", "load freertos"),
        ("fault", "cell-fault", "running freertos"),
        ("failed", "cell-failed", "running freertos"),
        ("lied", "cell-absent", "running freertos"),
    ],
)
def test_start_that_fails(
    board: Board, made: list[Made], scenario: str, cause: str, step: str
) -> None:
    board.says("scenario", scenario)
    said = deploy(board, made[0].path, "--unsigned", "--start", status=5)
    assert f"{cause}: {step}: " in error(said)
    [directory] = (board.top / "oejail-runs").iterdir()
    report = json.loads((directory / "results.json").read_text())
    assert report["outcome"] == cause
    assert [s["name"] for s in report["steps"] if s["outcome"] == "failed"] == [step]
    assert is_whole(board, made[0])


@pytest.mark.parametrize("board_lives", [False, True])
def test_the_connection_goes_at_enable(board: Board, made: list[Made], board_lives: bool) -> None:
    """What a hang looks like from here, unless the board is there again."""
    board.says("scenario", "hang")
    wrapper = board.top / "shut"
    assert board.process is not None
    kills = "$PPID" if board_lives else f"$PPID {board.process.pid}"
    text = wrapper.read_text().replace("exec env", f"echo {kills} >{board.root}/session; exec env")
    wrapper.write_text(text)
    said = deploy(board, made[0].path, "--unsigned", "--start", status=5)
    if board_lives:
        assert "no-answer: enable: board: the connection was lost" in error(said)
    else:
        assert "enable-hangs: enable: " in error(said)
    [directory] = (board.top / "oejail-runs").iterdir()
    report = json.loads((directory / "results.json").read_text())
    assert [s["outcome"] for s in report["steps"]][:3] == ["passed", "no answer", "not run"]


@pytest.mark.parametrize(("scenario", "cause"), [("vhe", "cpu-vhe"), ("el1", "el1")])
def test_a_step_that_does_not_answer(
    board: Board, made: list[Made], scenario: str, cause: str
) -> None:
    """The board lives on: its kernel's log is asked for once more, and tells why."""
    level = 1 if scenario == "el1" else 2
    board.says("log", f"Booting Linux\nCPU: All CPU(s) started at EL{level}\n")
    board.says("scenario", scenario)
    said = deploy(board, made[0].path, "--unsigned", "--start", "--timeout", "1", status=5)
    assert f"{cause}: enable: " in error(said)


def test_start_interrupted(board: Board, made: list[Made]) -> None:
    board.says("scenario", "el1")
    words = ["deploy", str(made[0].path), "--unsigned", "--start", "board"]
    process = cli.start(board.top, *words, "--ssh-config", str(board.config))
    deadline = time.monotonic() + 60
    while not any(
        "jailhouse enable" in path.read_text()
        for path in (board.top / "oejail-runs").glob("*/transcript.txt")
    ):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "error: interrupted: what was started on board runs on; /opt/oejail/current/bin" in said
    [directory] = (board.top / "oejail-runs").iterdir()
    report = json.loads((directory / "results.json").read_text())
    assert report["outcome"] == "interrupted" and "disable" in report["hint"]
    assert "<failure" in (directory / "junit.xml").read_text()


def test_a_finding_that_is_waived(board: Board, made: list[Made]) -> None:
    board.says("release", "6.6.0\n")
    arguments = (made[0].path, "--unsigned", "--start")
    assert "deploy-kernel" in error(deploy(board, *arguments, status=3))
    waive = ("--waive", "deploy-kernel=the module is forced")
    said = deploy(board, *arguments, *waive, "--json")
    report = json.loads(said.out)
    found = {f["rule"]: f.get("waived") for f in report["findings"]}
    assert found["deploy-kernel"] == "the module is forced"
    run = report["run"]
    assert run["outcome"] == "passed"
    assert run["bundle"]["waived"] == {"deploy-kernel": "the module is forced"}
    # What a cell prints on the board's UART is not seen, and no step that passed.
    observe, running = run["steps"][-2:]
    assert (observe["outcome"], running["outcome"]) == ("not run", "passed")
    assert "not seen over ssh" in observe["detail"] and "not seen over ssh" in run["cause"]
    [inmate] = run["expect"]["inmates"]
    assert (inmate["seen"], inmate["verified"]) == (0, False)
    for text, words in (
        ("deploy-kernl=x", "no rule 'deploy-kernl'; nearest: deploy-kernel"),
        ("deploy-sample=x", "no rule 'deploy-sample'"),
        ("deploy-kernel= ", "no reason given"),
        ("deploy-kernel", "write --waive A=B"),
    ):
        assert words in deploy(board, *arguments, "--waive", text, status=2).err
    assert "for a deployment only" in deploy(board, "--rollback", *waive, status=2).err


# The connection


def test_a_host_key_that_changed(board: Board, made: list[Made]) -> None:
    keygen(board.top / "other")
    public = (board.top / "other.pub").read_text()
    (board.top / "known").write_text(f"[127.0.0.1]:{board.port} {public}")
    said = deploy(board, made[0].path, "--unsigned", status=5)
    assert "its host key is not the one that is known" in error(said)
    with board.config.open("a") as stream:
        stream.write("  StrictHostKeyChecking no\n")
    text = board.config.read_text()
    board.config.write_text(f"StrictHostKeyChecking no\n{text}")
    assert "its host key is not the one" in error(
        deploy(board, made[0].path, "--unsigned", status=5)
    )
    assert board.holds() == []


def test_other_ways_not_to_get_there(board: Board, made: list[Made]) -> None:
    keygen(board.top / "stranger")
    (board.top / "key").write_bytes((board.top / "stranger").read_bytes())
    (board.top / "key.pub").rename(board.top / "key.pub.away")
    assert "it takes none of the keys" in error(deploy(board, made[0].path, "--unsigned", status=5))
    board.stop()
    assert "nobody listens there" in error(deploy(board, made[0].path, "--unsigned", status=5))
    said = deploy(board, made[0].path, "--unsigned", status=5, host="none.invalid")
    assert "none.invalid: no such host" in error(said)
    with board.config.open("a") as stream:
        stream.write("Frobnicate yes\n")
    said = deploy(board, made[0].path, "--unsigned", status=5)
    assert "ssh does not take its configuration" in error(said)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["b", "-oProxyCommand=x"], 2, ""),
        (["b", "root@-oProxyCommand=x"], 2, "not USER@HOST"),
        (["b", "root@host;reboot"], 2, "not USER@HOST"),
        (["b", "a b@host"], 2, "not USER@HOST"),
        (["b", "root@host", "--port", "0"], 2, "not from 1 to 65535"),
        (["b", "root@host", "--identity", "none"], 2, "none: no such file"),
        (["b", "root@host", "--enable", "--disable"], 2, "one of them"),
        (["b", "c", "root@host"], 2, "too many words"),
        (["root@host"], 2, "no oejail.yaml"),
        (["b", "root@host", "--unsigned"], 2, "b: No such file"),
        (["root@host", "--rollback", "--start"], 2, "one of them"),
    ],
)
def test_usage(tmp_path: Path, words: list[str], status: int, says: str) -> None:
    assert says in oejail(tmp_path, "deploy", *words, status=status).err


def test_lost_in_each_step(board: Board, made: list[Made]) -> None:
    """The connection is cut after so many bytes: while greeting, looking, and all through sending.

    The board has the old version or the new one, whole, and the same command goes on.
    """
    one, two = made
    deploy(board, one.path, "--unsigned")
    ends = set()
    for limit in (100, 3_000, 6_000, 12_000, 200_000, 1_500_000, 2_900_000):
        board.limit.write_text(str(limit))
        said = deploy(board, two.path, "--unsigned", status=5, host="cut")
        ends.add(error(said).partition("lost ")[2].partition(":")[0])
        assert board.current() == one.digest, limit
        assert is_whole(board, one)
        assert not (board.base / two.digest).exists()
    assert {"while looking", "while installing"} <= ends
    board.limit.write_text("1000000000")
    deploy(board, two.path, "--unsigned", host="cut")
    assert is_whole(board, two)
    # What the ones before left is gone.
    assert board.holds() == sorted([one.digest, two.digest, "current"])


def test_killed_in_the_middle(board: Board, made: list[Made]) -> None:
    one, two = made
    deploy(board, one.path, "--unsigned")
    words = ["deploy", str(two.path), "--unsigned", "board", "--ssh-config", str(board.config)]
    for seen in range(2):
        process = subprocess.Popen([*OEJAIL, *words], cwd=board.top, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 30
        while not any(name.startswith(".new-") for name in board.holds()):
            assert time.monotonic() < deadline and process.poll() is None, seen
        time.sleep(0.01 * seen)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        while ".busy" in board.holds():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        now = board.current()
        assert now in (one.digest, two.digest)
        assert is_whole(board, one if now == one.digest else two)
        if now == two.digest:
            deploy(board, "--rollback")
    deploy(board, two.path, "--unsigned")
    assert board.current() == two.digest and is_whole(board, two)
    assert board.holds() == sorted([one.digest, two.digest, "current"])


def test_two_at_once(board: Board, made: list[Made]) -> None:
    """The one that comes second is refused with 7, or comes after the first has ended."""
    board.base.mkdir()
    holder = subprocess.Popen(["sleep", "100"])
    try:
        (board.base / ".busy").symlink_to(f"{holder.pid}::")
        said = deploy(board, made[0].path, "--unsigned", status=7)
        assert f"process {holder.pid} is installing" in error(said)
    finally:
        holder.kill()
        holder.wait()
    deploy(board, made[0].path, "--unsigned")
    assert is_whole(board, made[0])


# The board's disk


def on_disk(tmp_path: Path, options: str, then: str = "") -> Board:
    """A board whose /opt is a file system of its own, seen from inside only."""
    board = Board(tmp_path / "board")
    opt = board.root / "opt"
    board.start(f"mount -t tmpfs -o {options} tmpfs {opt}{then and f' && {then.format(opt=opt)}'}")
    return board


def test_no_space(tmp_path: Path, made: list[Made]) -> None:
    board = on_disk(tmp_path, "size=1m")
    try:
        board.says("proc/mounts", "/dev/root / ext4 rw 0 0\ntmpfs /opt ext4 rw 0 0\n")
        deploy(board, made[0].path, "--unsigned")
        said = deploy(board, made[1].path, "--unsigned", status=3)
        assert "nothing was touched: deploy-space" in error(said)
        # And where df does not tell: it is noticed while receiving.
        board.says("bin/df", "#!/bin/sh\nexit 1\n")
        said = deploy(board, made[1].path, "--unsigned", status=5)
        assert "receiving failed; is there space on the device" in error(said)
        out = deploy(board, made[0].path, "--unsigned").out
        assert out == f"current: {made[0].digest} (was {made[0].digest})\n"
    finally:
        board.stop()


def test_a_read_only_disk(tmp_path: Path, made: list[Made]) -> None:
    """/proc/mounts does not tell, so that installing meets it."""
    board = on_disk(tmp_path, "size=9m", "mount -o remount,ro {opt}")
    try:
        said = deploy(board, made[0].path, "--unsigned", status=5)
        assert "installing ended with status 1: /opt/oejail: cannot be made" in error(said)
    finally:
        board.stop()
