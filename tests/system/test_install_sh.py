# SPDX-License-Identifier: MIT
"""install.sh and oejail-start under BusyBox ash, with BusyBox's own tools and no others.

Needs busybox (Debian: busybox-static) and unshare (util-linux).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from oejail import bundle, platforms
from oejail.artifacts import SetSpec, collect
from oejail.artifacts.layout import TARGET_FILES
from oejail.files import sha256_bytes
from tests.support import bundles, foreign_build

BUSYBOX = shutil.which("busybox") or "busybox"
PLATFORM = platforms.load("qemu-aarch64")


@dataclass(frozen=True)
class Version:
    """An unpacked bundle."""

    directory: Path
    digest: str

    @property
    def files(self) -> dict[str, bytes]:
        return tree(self.directory / "payload")


def tree(directory: Path) -> dict[str, bytes]:
    """Every file below `directory`, but oejail's own note."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".previous"
    }


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> list[Version]:
    """Three bundles with different FreeRTOS.bin, unpacked by BusyBox's tar."""
    made = []
    for number in range(3):
        top = tmp_path_factory.mktemp("version")
        build = foreign_build.make(top / "build", decoys=False)
        build.make_freertos(f"{number}-r0", foreign_build.FREERTOS + bytes([number]) * 50_000)
        build.record("jailhouse-freertos", "jailhouse-freertos", str(number), {})
        collect(build.directory, PLATFORM, SetSpec.from_platform(PLATFORM), top / "out")
        packed = bundles.packed(top / "out", top / "b.tar.zst")
        (top / "unpacked").mkdir()
        tar = bundles.tar(bundles.entries(packed.path))
        argv = [BUSYBOX, "tar", "-xf", "-", "-C", str(top / "unpacked")]
        subprocess.run(argv, input=tar, check=True)
        made.append(Version(top / "unpacked", bundle.read(packed.path).digest))
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "a root"
    directory.mkdir()
    return directory


def install(
    script: Path, *arguments: str | Path, **options: object
) -> subprocess.CompletedProcess[str]:
    argv = [BUSYBOX, "ash", str(script), *map(str, arguments)]
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        argv,
        env={"PATH": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        **options,
    )


def run(version: Version, root: Path, *arguments: str) -> str:
    """Run a version's install.sh, which must succeed without a word on stderr."""
    done = install(version.directory / "install.sh", *arguments, "--root", root)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr + done.stdout
    return done.stdout


def current(root: Path) -> str:
    return os.readlink(root / "opt" / "oejail" / "current")


def installed(root: Path) -> list[str]:
    """What lies in /opt/oejail, hidden names as well."""
    return sorted(os.listdir(root / "opt" / "oejail"))


def is_whole(root: Path, version: Version) -> bool:
    return tree(root / "opt" / "oejail" / version.digest) == version.files


def test_install(versions: list[Version], root: Path) -> None:
    one = versions[0]
    assert run(one, root) == f"current: {one.digest} (was nothing)\n"
    assert installed(root) == sorted([one.digest, "current"])
    assert current(root) == one.digest
    assert is_whole(root, one)
    place = root / "opt" / "oejail" / "current"
    for path in place.rglob("*"):
        executable = path.is_dir() or path.name in (
            "jailhouse",
            "oejail-start",
            "oejail.init",
        )
        assert path.stat().st_mode & 0o777 == (0o755 if executable else 0o644), path


def test_the_payload_alone_is_installed(versions: list[Version], root: Path) -> None:
    """Nothing but /opt/oejail is touched."""
    (root / "lib").symlink_to("usr/lib")
    run(versions[0], root)
    assert sorted(os.listdir(root)) == ["lib", "opt"]
    assert os.readlink(root / "lib") == "usr/lib"
    assert os.listdir(root / "opt") == ["oejail"]


def test_upgrade_and_rollback(versions: list[Version], root: Path) -> None:
    one, two, three = versions
    run(one, root)
    assert run(two, root) == f"current: {two.digest} (was {one.digest})\n"
    assert current(root) == two.digest
    assert is_whole(root, one) and is_whole(root, two)
    assert run(two, root, "--rollback") == f"current: {one.digest} (was {two.digest})\n"
    assert current(root) == one.digest
    assert run(two, root, "--rollback") == f"current: {two.digest} (was {one.digest})\n"
    run(three, root)
    # The version before is kept, older ones are not.
    assert installed(root) == sorted([two.digest, three.digest, "current"])
    run(one, root)
    assert installed(root) == sorted([one.digest, three.digest, "current"])
    run(three, root)  # it is still there: only the link changes
    assert installed(root) == sorted([one.digest, three.digest, "current"])
    run(three, root, "--rollback")
    assert current(root) == one.digest


def test_again_changes_nothing(versions: list[Version], root: Path) -> None:
    one, two, _ = versions
    run(one, root)
    run(two, root)
    before = {p: p.lstat() for p in (root / "opt").rglob("*")}
    assert run(two, root) == f"current: {two.digest} (was {two.digest})\n"
    after = {p: p.lstat() for p in (root / "opt").rglob("*")}
    assert {p: s.st_ino for p, s in after.items()} == {p: s.st_ino for p, s in before.items()}
    run(two, root, "--rollback")
    assert current(root) == one.digest


@pytest.mark.parametrize("which", [0, 1])
def test_a_damaged_version_is_repaired(versions: list[Version], root: Path, which: int) -> None:
    """The current one (1), and the one that a downgrade goes to (0)."""
    one, two, _ = versions
    run(one, root)
    run(two, root)
    damaged = versions[which]
    (root / "opt" / "oejail" / damaged.digest / "FreeRTOS.bin").write_bytes(b"bit rot")
    run(damaged, root)
    assert current(root) == damaged.digest
    assert is_whole(root, damaged)
    run(damaged, root, "--rollback")
    assert current(root) == versions[1 - which].digest


@pytest.fixture
def own(versions: list[Version], tmp_path: Path) -> Version:
    """A version to be damaged before it is installed."""
    shutil.copytree(versions[1].directory, tmp_path / "own")
    return Version(tmp_path / "own", versions[1].digest)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: (d / "payload/jailhouse.ko").write_bytes(b"x"), "payload/jailhouse.ko: FAILED"),
        (lambda d: (d / "boot/zImage").unlink(), "boot/zImage"),
        (lambda d: (d / "SHA256SUMS").unlink(), "SHA256SUMS: missing; unpack the whole bundle"),
        (lambda d: (d / "manifest.json").unlink(), "manifest.json: missing"),
        (lambda d: shutil.rmtree(d / "payload"), "payload/oejail.set: missing"),
        (lambda d: (d / "payload/more").write_bytes(b"x"), "16 files, 15 in SHA256SUMS"),
        (
            lambda d: (d / "SHA256SUMS").write_text(
                "".join((d / "SHA256SUMS").read_text().splitlines(keepends=True)[:5])
            ),
            "15 files, 1 in SHA256SUMS",
        ),
    ],
    ids=["changed", "gone", "no sums", "no manifest", "no payload", "one more", "sums cut"],
)
def test_a_bundle_that_is_not_whole_is_not_installed(
    versions: list[Version],
    own: Version,
    root: Path,
    damage: Callable[[Path], object],
    words: str,
) -> None:
    run(versions[0], root)
    damage(own.directory)
    done = install(own.directory / "install.sh", "--root", root)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.splitlines()[-1].startswith("install.sh: error: ")
    assert installed(root) == sorted([versions[0].digest, "current"])
    assert is_whole(root, versions[0])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--root"], 2, "usage: "),
        (["--root", "/dev/null/none"], 1, "/dev/null/none: no such directory"),
        (["--frobnicate"], 2, "usage: "),
        (["more"], 2, "usage: "),
    ],
)
def test_usage(versions: list[Version], arguments: list[str], status: int, words: str) -> None:
    done = install(versions[0].directory / "install.sh", *arguments)
    assert done.returncode == status
    assert words in done.stderr


def test_rollback_without_anything_before(versions: list[Version], root: Path) -> None:
    script = versions[0].directory / "install.sh"
    done = install(script, "--rollback", "--root", root)
    assert (done.returncode, "nothing is installed" in done.stderr) == (1, True)
    run(versions[0], root)
    done = install(script, "--rollback", "--root", root)
    assert (done.returncode, "no version before it" in done.stderr) == (1, True)
    assert current(root) == versions[0].digest


def test_from_another_directory_and_with_a_relative_root(
    versions: list[Version], root: Path
) -> None:
    done = install(versions[0].directory / "install.sh", "--root", root.name, cwd=root.parent)
    assert done.returncode == 0
    assert is_whole(root, versions[0])


def on_tmpfs(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace of its own, where `root` is a tmpfs of 200 KiB."""
    argv = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs -o size=200k tmpfs '{root}' && cd '{root}' && {script}"
    return subprocess.run([*argv, mount], capture_output=True, text=True)


def ash(version: Version, root: Path) -> str:
    return f"'{BUSYBOX}' ash '{version.directory}/install.sh' --root '{root}'"


STATE = "ls -A opt/oejail; readlink opt/oejail/current; sha256sum opt/oejail/current/FreeRTOS.bin"


def test_a_full_disk(versions: list[Version], root: Path) -> None:
    one, two, _ = versions
    done = on_tmpfs(root, f"{ash(one, root)} && ! {ash(two, root)} && {STATE}")
    assert done.returncode == 0, done.stderr
    assert "copying failed; is there space on the device?" in done.stderr
    said = done.stdout.splitlines()
    assert said[:4] == [f"current: {one.digest} (was nothing)", one.digest, "current", one.digest]
    assert said[4].startswith(sha256_bytes(one.files["FreeRTOS.bin"]))


def test_a_read_only_disk(versions: list[Version], root: Path) -> None:
    one, two, _ = versions
    read_only = f"cd / && mount -o remount,bind,ro '{root}' && cd '{root}'"
    done = on_tmpfs(root, f"{ash(one, root)} && {read_only} && ! {ash(two, root)} && {STATE}")
    assert done.returncode == 0, done.stderr
    assert "cannot be made; is the file system full or read-only?" in done.stderr
    assert done.stdout.splitlines()[1:4] == [one.digest, "current", one.digest]


def test_a_file_in_the_way(versions: list[Version], root: Path) -> None:
    (root / "opt").write_bytes(b"")
    done = install(versions[0].directory / "install.sh", "--root", root)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("/opt/oejail: cannot be made")


def test_other_tools_than_busybox(versions: list[Version], root: Path) -> None:
    """The system's own sh and coreutils, as on an image with them."""
    for version in versions[:2]:
        argv = ["sh", str(version.directory / "install.sh"), "--root", str(root)]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert current(root) == versions[1].digest
    assert is_whole(root, versions[0]) and is_whole(root, versions[1])


def kill_at(script: Path, arguments: list[str | Path], step: int, delay: float) -> bool:
    """Run a script, and kill it and its children when it begins its command number `step`.

    Returns false when it ended before: there is no such command. The shell names each command on
    stderr before it runs it (`set -x`).
    """
    process = subprocess.Popen(
        [BUSYBOX, "ash", "-x", str(script), *map(str, arguments)],
        env={"PATH": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines = 0
    for line in process.stderr:
        lines += line.startswith(b"+")
        if lines > step:
            time.sleep(delay)
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.stderr.close()
    process.wait()
    return lines > step


@pytest.mark.parametrize("delay", [0, 0.002])
@pytest.mark.parametrize("verb", ["install", "upgrade", "rollback"])
def test_killed_at_every_command(
    versions: list[Version], tmp_path: Path, verb: str, delay: float
) -> None:
    one, two, three = versions
    before = tmp_path / "before"
    before.mkdir()
    if verb != "install":
        run(one, before)
        run(two, before)
    goal = {"install": one, "upgrade": three, "rollback": one}[verb]
    allowed = {"install": [one], "upgrade": [two, three], "rollback": [one, two]}[verb]
    step, seen = 0, set()
    while True:
        root = tmp_path / str(step)
        shutil.copytree(before, root, symlinks=True)
        arguments: list[str | Path] = ["--root", root]
        if verb == "rollback":
            arguments.append("--rollback")
        if not kill_at(goal.directory / "install.sh", arguments, step, delay):
            break
        link = root / "opt" / "oejail" / "current"
        if verb != "install" or link.is_symlink():
            now = next(version for version in allowed if version.digest == os.readlink(link))
            assert is_whole(root, now), f"killed at command {step}"
            seen.add(now.digest)
        # Whatever has a version's name is whole, and the same command ends what was begun.
        for version in versions:
            if (root / "opt" / "oejail" / version.digest).is_dir():
                assert is_whole(root, version), f"killed at command {step}"
        if verb != "rollback":
            run(goal, root)
            assert current(root) == goal.digest
            assert is_whole(root, goal)
            kept = {"install": [one], "upgrade": [two, three]}[verb]
            assert installed(root) == sorted([*(v.digest for v in kept), "current"])
        shutil.rmtree(root)
        step += 1
    assert step > (20 if verb == "rollback" else 40)
    assert goal.digest in seen


def test_stopped_by_a_signal_it_cleans_up(versions: list[Version], root: Path) -> None:
    run(versions[0], root)
    script = versions[1].directory / "install.sh"
    process = subprocess.Popen(
        [BUSYBOX, "ash", "-x", str(script), "--root", str(root)],
        env={"PATH": "/nonexistent"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"+ cp "):
            os.killpg(process.pid, signal.SIGTERM)
            break
    process.stderr.read()
    process.stderr.close()
    assert process.wait() != 0
    assert current(root) == versions[0].digest
    assert installed(root) == sorted([versions[0].digest, "current"])


# oejail-start, in a root directory of its own


JAILHOUSE = """#!/bin/sh
printf '%s' "jailhouse" >>/log
for word; do printf ' [%s]' "$word" >>/log; done
echo >>/log
grep -qxF "$*" /fails 2>/dev/null && exit 22
exit 0
"""

# In BusyBox's shell a function counts before its own insmod.
START = """
insmod() { echo "insmod [$1]" >>/log; grep -qx insmod /fails 2>/dev/null && return 8; return 0; }
rmmod() {
    echo "rmmod [$1]" >>/log
    grep -qx rmmod /fails 2>/dev/null || busybox rmdir "/sys/module/$1"
}
set -- $OEJAIL_ARGUMENTS
. /oejail/oejail-start
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A root directory with BusyBox, a /sys of files, and a payload with two inmates."""
    root = tmp_path / "scratch"
    for directory in ("bin", "dev", "sys/module/firmware_class/parameters", "oejail/bin"):
        (root / directory).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    for name in ("sh", "grep", "cat"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "dev/null").write_bytes(b"")
    (root / "sys/module/firmware_class/parameters/path").write_text("")
    shutil.copy(TARGET_FILES / "oejail-start", root / "oejail")
    foreign_build.write(root / "oejail/bin/jailhouse", JAILHOUSE.encode(), 0o755)
    (root / "oejail/oejail.set").write_text(
        "root\tcells/root.cell\n"
        "inmate\tfreertos\tcells/f.cell\tFreeRTOS.bin\t-\n"
        "inmate\ta name\tcells/g.cell\tinmates/uart-demo.bin\t0x1000\n"
    )
    return root


def start(scratch: Path, arguments: str = "") -> tuple[int, str, list[str]]:
    """Run oejail-start there: its status, what it said, and the commands that it ran."""
    argv = ["/bin/busybox", "ash", "-c", START, "/oejail/oejail-start"]
    if os.geteuid() != 0:
        argv = ["unshare", "--user", "--map-root-user", f"--root={scratch}", *argv]
    done = subprocess.run(
        argv,
        env={"PATH": "/usr/bin:/bin", "OEJAIL_ARGUMENTS": arguments},
        preexec_fn=(lambda: os.chroot(scratch)) if os.geteuid() == 0 else None,
        cwd="/",
        capture_output=True,
        text=True,
    )
    log = scratch / "log"
    return done.returncode, done.stderr, log.read_text().splitlines() if log.exists() else []


SEQUENCE = [
    "insmod [/oejail/jailhouse.ko]",
    "jailhouse [enable] [/oejail/cells/root.cell]",
    "jailhouse [cell] [create] [/oejail/cells/f.cell]",
    "jailhouse [cell] [load] [freertos] [/oejail/FreeRTOS.bin]",
    "jailhouse [cell] [start] [freertos]",
    "jailhouse [cell] [create] [/oejail/cells/g.cell]",
    "jailhouse [cell] [load] [a name] [/oejail/inmates/uart-demo.bin] [-a] [0x1000]",
    "jailhouse [cell] [start] [a name]",
]


def test_start(scratch: Path) -> None:
    assert start(scratch) == (0, "", SEQUENCE)
    path = scratch / "sys/module/firmware_class/parameters/path"
    assert path.read_text() == "/oejail"


def test_start_with_a_module_loaded_that_nothing_uses(scratch: Path) -> None:
    """Of the version before, where the hypervisor was disabled since: ours takes its place."""
    (scratch / "sys/module/jailhouse").mkdir()
    assert start(scratch) == (0, "", ["rmmod [jailhouse]", *SEQUENCE])


@pytest.mark.parametrize("why", ["enabled", "in use"])
def test_start_with_the_module_loaded(scratch: Path, why: str) -> None:
    (scratch / "sys/module/jailhouse").mkdir()
    (scratch / "sys/devices/jailhouse").mkdir(parents=True)
    (scratch / "sys/devices/jailhouse/enabled").write_text(f"{int(why == 'enabled')}\n")
    (scratch / "fails").write_text("rmmod\n")
    status, said, log = start(scratch)
    tried = [] if why == "enabled" else ["rmmod [jailhouse]"]
    assert (status, log) == (0, [*tried, *SEQUENCE[1:]])
    assert "a jailhouse module is loaded already, and kept" in said
    assert (scratch / "sys/module/firmware_class/parameters/path").read_text() == "/oejail"


@pytest.mark.parametrize(
    ("fails", "ran", "words"),
    [
        ("insmod", 1, "insmod /oejail/jailhouse.ko ended with status 8"),
        (
            "enable /oejail/cells/root.cell",
            2,
            "enable /oejail/cells/root.cell ended with status 22",
        ),
        ("cell load freertos /oejail/FreeRTOS.bin", 4, "ended with status 22"),
        ("cell start a name", 8, "cell start a name ended with status 22"),
    ],
)
def test_start_ends_with_the_step_that_fails(
    scratch: Path, fails: str, ran: int, words: str
) -> None:
    (scratch / "fails").write_text(fails + "\n")
    status, said, log = start(scratch)
    assert (status, log) == (1, SEQUENCE[:ran])
    assert said.startswith("oejail-start: error: ") and words in said


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda root: (root / "oejail/oejail.set").unlink(), "oejail.set: no such file"),
        (lambda root: (root / "oejail/oejail.set").write_text("cell\tx\n"), "unknown line 'cell'"),
        (
            lambda root: shutil.rmtree(root / "sys/module/firmware_class"),
            "parameters/path: cannot be written",
        ),
    ],
)
def test_start_without_what_it_needs(
    scratch: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(scratch)
    status, said, _ = start(scratch)
    assert (status, words in said) == (1, True)


def test_start_takes_no_arguments(scratch: Path) -> None:
    assert start(scratch, "now") == (2, "usage: oejail-start\n", [])


# Started at boot


def links(root: Path) -> dict[str, str]:
    """Every link below /etc, with what it points to."""
    found = [path for path in (root / "etc").rglob("*") if path.is_symlink()]
    return {str(path.relative_to(root)): os.readlink(path) for path in found}


UNIT = "/opt/oejail/current/oejail.service"
SYSTEMD = {
    "etc/systemd/system/oejail.service": UNIT,
    "etc/systemd/system/multi-user.target.wants/oejail.service": UNIT,
}
INIT = "/opt/oejail/current/oejail.init"


@pytest.mark.parametrize(
    ("directories", "expected"),
    [
        (["run/systemd/system", "etc/init.d"], SYSTEMD),
        (["etc/rc5.d", "etc/init.d"], {"etc/rc5.d/S90oejail": INIT}),
        (["etc/init.d"], {"etc/init.d/S90oejail": INIT}),
    ],
    ids=["systemd", "openEuler's BusyBox", "init.d"],
)
def test_enable_and_disable(
    versions: list[Version], root: Path, directories: list[str], expected: dict[str, str]
) -> None:
    for directory in directories:
        (root / directory).mkdir(parents=True)
    (root / "etc" / "theirs").symlink_to("elsewhere")
    theirs = {"etc/theirs": "elsewhere"}
    script = versions[0].directory / "install.sh"
    said = run(versions[0], root, "--enable")
    assert sorted(said.splitlines()[1:]) == sorted(f"enabled: /{path}" for path in expected)
    assert links(root) == expected | theirs
    assert run(versions[0], root, "--keep", "--enable").splitlines()[1:] == said.splitlines()[1:]
    # What it starts is there, seen from the board's own root.
    for target in expected.values():
        assert (root / target.removeprefix("/")).is_file()
    run(versions[1], root)
    assert links(root) == expected | theirs
    done = install(script, "--keep", "--disable", "--root", root)
    assert (done.returncode, links(root)) == (0, theirs)
    assert current(root) == versions[1].digest


def test_enable_leaves_what_is_not_ours(versions: list[Version], root: Path) -> None:
    (root / "etc/init.d").mkdir(parents=True)
    (root / "etc/init.d/S90oejail").write_text("theirs")
    done = install(versions[0].directory / "install.sh", "--enable", "--root", root)
    assert (done.returncode, "is in the way, and not ours" in done.stderr) == (1, True)
    run(versions[0], root, "--disable")
    assert (root / "etc/init.d/S90oejail").read_text() == "theirs"


def test_enable_without_an_init(versions: list[Version], root: Path) -> None:
    done = install(versions[0].directory / "install.sh", "--enable", "--root", root)
    assert (done.returncode, "nothing starts at boot" in done.stderr) == (1, True)
    assert current(root) == versions[0].digest


# What comes over ssh


def stream(version: Version, *, damage: str = "") -> bytes:
    """What `oejail deploy` sends of a version, made by BusyBox's own tools."""
    script = (
        'cp -R payload SHA256SUMS "$1" && cd "$1" && '
        f"find payload -type f -exec md5sum {{}} + >MD5SUMS; {damage or ':'}; "
        "tar -cf - SHA256SUMS MD5SUMS payload"
    )
    place = version.directory.parent / f"sent-{time.monotonic_ns()}"
    place.mkdir()
    argv = [BUSYBOX, "ash", "-c", script, "sh", str(place)]
    done = subprocess.run(argv, cwd=version.directory, stdout=subprocess.PIPE, check=True)
    shutil.rmtree(place)
    return done.stdout


def receive(
    version: Version, root: Path, data: bytes, prefix: str = ""
) -> subprocess.CompletedProcess[bytes]:
    """install.sh --receive, read by the shell as `oejail deploy` has it read."""
    script = prefix + (TARGET_FILES / "install.sh").read_text()
    argv = [BUSYBOX, "ash", "-c", script, "install.sh", "--receive", version.digest]
    return subprocess.run(
        [*argv, "--root", str(root)], env={"PATH": "/nonexistent"}, input=data, capture_output=True
    )


NO_SHA256SUM = 'command() { [ "$2" != sha256sum ]; }\nsha256sum() { return 127; }\n'


@pytest.mark.parametrize("prefix", ["", NO_SHA256SUM], ids=["sha256sum", "md5sum alone"])
def test_receive(versions: list[Version], root: Path, prefix: str) -> None:
    """openEuler's BusyBox is configured without sha256sum."""
    one, two, _ = versions
    for version in (one, two, two):
        done = receive(version, root, stream(version), prefix)
        assert (done.returncode, done.stderr) == (0, b"")
    assert is_whole(root, one) and is_whole(root, two)
    assert installed(root) == sorted([one.digest, two.digest, "current"])
    done = receive(one, root, stream(one, damage="echo x >>payload/jailhouse.bin"), prefix)
    assert done.returncode == 0, "the one that lies there is whole, and is taken"
    assert current(root) == one.digest and is_whole(root, one)


@pytest.mark.parametrize("prefix", ["", NO_SHA256SUM], ids=["sha256sum", "md5sum alone"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("echo x >>payload/jailhouse.bin", b"the copy differs"),
        ("rm payload/jailhouse.bin", b"14 files, 15 in "),
        ("echo x >payload/more", b"16 files, 15 in "),
        ("rm payload/oejail.set", b"oejail.set: missing"),
    ],
)
def test_what_arrives_damaged_is_not_installed(
    versions: list[Version], root: Path, damage: str, words: bytes, prefix: str
) -> None:
    one, two, _ = versions
    run(one, root)
    done = receive(two, root, stream(two, damage=damage), prefix)
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr
    assert installed(root) == sorted([one.digest, "current"])


def test_what_arrives_in_part_is_not_installed(versions: list[Version], root: Path) -> None:
    one, two, _ = versions
    run(one, root)
    data = stream(two)
    for size in range(0, len(data) - 10_240, 3 * 512 + 100):
        done = receive(two, root, data[:size])
        assert done.returncode == 1, size
        assert installed(root) == sorted([one.digest, "current"]), size
    assert is_whole(root, one)


# One at a time


def holding(root: Path, text: str) -> None:
    (root / "opt" / "oejail").mkdir(parents=True, exist_ok=True)
    (root / "opt" / "oejail" / ".busy").symlink_to(text)


def test_a_second_one_is_refused(versions: list[Version], root: Path) -> None:
    """The first one waits for its files; the second one is refused, the first one ends well."""
    one, two, _ = versions
    script = (TARGET_FILES / "install.sh").read_text()
    argv = [BUSYBOX, "ash", "-c", script, "install.sh", "--receive", one.digest]
    argv += ["--root", str(root)]
    first = subprocess.Popen(argv, env={"PATH": "/nonexistent"}, stdin=subprocess.PIPE)
    assert first.stdin is not None
    deadline = time.monotonic() + 20
    while not (root / "opt" / "oejail" / ".busy").is_symlink():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for arguments in ([], ["--receive", two.digest]):
        done = install(two.directory / "install.sh", *arguments, "--root", root)
        assert done.returncode == 3
        assert f"process {first.pid} is installing" in done.stderr
    first.stdin.write(stream(one))
    first.stdin.close()
    assert first.wait() == 0
    assert installed(root) == sorted([one.digest, "current"])


@pytest.mark.parametrize("text", ["999999999:1:x", "1:1:another boot", "x", ":", "-1::"])
def test_the_lock_of_a_process_that_is_gone(versions: list[Version], root: Path, text: str) -> None:
    holding(root, text)
    run(versions[0], root)
    assert installed(root) == sorted([versions[0].digest, "current"])
