# SPDX-License-Identifier: MIT
"""A board on loopback: a real sshd, whose every session is shut into a root directory of its own.

There is BusyBox's every program, a `uname` that tells what the test wants, and plain files for
/proc and /sys. Needs root, openssh-server, busybox-static and util-linux (Debian).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from oejail.bundle import read
from tests.support import foreign_build
from tests.support.foreign_build import write
from tests.support.ports import free_port

IOMEM = """40000000-7fffffff : System RAM
  40080000-4158ffff : Kernel code
  7fe00000-7fffffff : reserved
"""
PROXY = """import os, select, socket, sys
port, limit = int(sys.argv[1]), int(open(sys.argv[2]).read())
board = socket.create_connection(("127.0.0.1", port))
while True:
    ready, _, _ = select.select([0, board], [], [])
    if board in ready:
        data = board.recv(65536)
        if not data:
            break
        os.write(1, data)
    if 0 in ready:
        data = os.read(0, 65536)
        if not data:
            break
        board.sendall(data[:limit])
        limit -= len(data)
        if limit <= 0:
            break
"""


@dataclass(frozen=True)
class Made:
    """A bundle, its digest and its payload: path below payload/ to SHA-256."""

    path: Path
    digest: str
    files: dict[str, str]

    @classmethod
    def of(cls, path: Path) -> Made:
        """The bundle at `path`."""
        view = read(path)
        names = {e.path: e.sha256 for e in view.manifest.files if e.path.startswith("payload/")}
        return cls(path, view.digest, {p.removeprefix("payload/"): s for p, s in names.items()})


def keygen(path: Path) -> None:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def ssh_configuration(top: Path, port: int, config: Path, limit: Path) -> None:
    """Write `config`, in which the port is called board, with `top`/key and `top`/known.

    It is called cut as well: that connection is lost after as many bytes to the board as `limit`,
    a file, says.
    """
    proxy = top / "proxy.py"
    proxy.write_text(PROXY)
    config.write_text(
        f"Host board cut\n  HostName 127.0.0.1\n  Port {port}\n  User root\n"
        f"Host *\n  IdentityFile {top}/key\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {top}/known\n  GlobalKnownHostsFile /dev/null\n"
        f"  HostKeyAlias [127.0.0.1]:{port}\n"
        f"Host cut\n  ProxyCommand {sys.executable} {proxy} {port} {limit}\n"
    )
    config.chmod(0o600)


class Board:
    """What lies below `root` is the board's. `config` is for `--ssh-config`; it is called board."""

    def __init__(self, top: Path) -> None:
        if os.geteuid() != 0:
            pytest.fail("a board on loopback needs root, for chroot", False)
        self.top = top
        self.root = top / "root"
        self.config = top / "ssh_config"
        self.limit = top / "limit"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._system()
        self._keys()

    @property
    def base(self) -> Path:
        return self.root / "opt" / "oejail"

    def _system(self) -> None:
        busybox = shutil.which("busybox")
        assert busybox, "apt-get install busybox-static"
        for directory in ("bin", "sbin", "proc/sys/kernel", "tmp", "etc/init.d", "opt"):
            (self.root / directory).mkdir(parents=True)
        shutil.copy(busybox, self.root / "bin" / "busybox")
        applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
        for name in applets.stdout.split():
            if name not in ("busybox", "uname", "insmod", "dmesg", "sh"):
                (self.root / "bin" / name).symlink_to("busybox")
        self._dash()
        self.says("bin/uname", "#!/bin/sh\ncase $1 in -m) cat /machine;; -r) cat /release;; esac\n")
        self.says("bin/dmesg", "#!/bin/sh\ncat /log 2>/dev/null\n")
        self.says("sbin/insmod", '#!/bin/sh\necho "insmod $*" >>/ran\n')
        self.says("machine", "aarch64\n")
        self.says("release", f"{foreign_build.RELEASE}\n")
        self.says("proc/iomem", IOMEM)
        self.says("proc/cmdline", "console=ttyAMA0 mem=1G\n")
        self.says("proc/mounts", "/dev/root / ext4 rw,relatime 0 0\n")
        self.says("proc/device-tree/compatible", "linux,dummy-virt\0")
        self.says("sys/devices/system/cpu/present", "0-3\n")
        self.says("sys/module/firmware_class/parameters/path", "")
        subprocess.run(["mknod", "-m", "666", str(self.root / "dev-null"), "c", "1", "3"])
        (self.root / "dev").mkdir()
        (self.root / "dev-null").rename(self.root / "dev" / "null")

    def _dash(self) -> None:
        """BusyBox's own shell would take its own uname, whatever lies in /bin."""
        dash = os.path.realpath("/bin/sh")
        shutil.copy(dash, self.root / "bin" / "sh")
        needs = subprocess.run(["ldd", dash], capture_output=True, text=True, check=True).stdout
        for word in needs.split():
            if word.startswith("/"):
                target = self.root / word[1:]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(word, target)

    def says(self, path: str, text: str) -> None:
        """What a file of the board holds; a program of BusyBox's is replaced."""
        if (self.root / path).is_symlink():
            (self.root / path).unlink()
        write(self.root / path, text.encode(), 0o755)

    def _keys(self) -> None:
        for name in ("host", "key"):
            keygen(self.top / name)
        public = (self.top / "host.pub").read_text()
        (self.top / "known").write_text(f"[127.0.0.1]:{self.port} {public}")
        ssh_configuration(self.top, self.port, self.config, self.limit)

    def start(self, prepare: str = ":") -> None:
        """Start sshd, in a mount namespace of its own in which `prepare`, a command, ran first."""
        shut = self.top / "shut"
        shut.write_text(
            f"#!/bin/sh\nexec env -i PATH=/sbin:/bin chroot {self.root} /bin/sh -c "
            '"$SSH_ORIGINAL_COMMAND"\n'
        )
        shut.chmod(0o755)
        Path("/run/sshd").mkdir(exist_ok=True)
        (self.top / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self.top}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.top}/key.pub\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
            f"ForceCommand {shut}\nLogLevel ERROR\nUseDNS no\nPermitUserRC no\n"
        )
        sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert sshd, "apt-get install openssh-server"
        command = f"{prepare} && exec {sshd} -D -e -f {self.top}/sshd_config"
        with (self.top / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--", "sh", "-c", command],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self.process.poll() is None, (self.top / "sshd.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def current(self) -> str | None:
        """What the link names."""
        link = self.base / "current"
        return os.readlink(link) if link.is_symlink() else None

    def holds(self) -> list[str]:
        """What lies in /opt/oejail, hidden names as well."""
        return sorted(os.listdir(self.base)) if self.base.is_dir() else []
