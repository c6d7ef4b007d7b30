# SPDX-License-Identifier: MIT
"""A board in QEMU: a real AArch64 Linux with BusyBox and dropbear, on a forwarded loopback port.

Its parts are Debian's, brought by `.ci/guest DIR` (OEJAIL_TEST_GUEST=DIR). Its root is the initrd,
as openEuler's multi-OS image has it; Linux has 512 MiB, so the cells' memory is nobody's.

With a real Jailhouse's directory (tests/upstream) the kernel is that one's, the machine as its root
configuration wants it, and the network card a PCI device, of which modules/ there has the driver.
"""

from __future__ import annotations

import gzip
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import guest
from tests.support.board import keygen, ssh_configuration
from tests.support.ports import free_port

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /opt /run /etc/init.d
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
for name in virtio_ring virtio virtio_mmio failover net_failover virtio_net; do
  insmod /modules/$name.ko
done
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 up
exec /bin/dropbear -F -E -R -s -p 22
"""


class SshGuest:
    """Runs from `start` to `stop`; `config` is for `--ssh-config`, it is called board and cut."""

    def __init__(self, top: Path, stack: Path | None = None) -> None:
        self.top = top
        self.stack = stack
        self.port = free_port()
        self.config = top / "ssh_config"
        self.limit = top / "limit"
        self.log = top / "console"
        self.process: subprocess.Popen[bytes] | None = None
        self.expected: dict[str, dict[str, str]] = {}
        """For tests: what a version there holds, by its digest."""
        top.mkdir()
        keygen(top / "key")
        ssh_configuration(top, self.port, self.config, self.limit)

    def initrd(self) -> Path:
        image, busybox = guest.parts()
        ssh = image.parent / "ssh"
        if not ssh.is_dir():
            pytest.fail(f"{ssh}: not there; `.ci/guest {image.parent}` downloads it", False)
        files = {
            "init": (INIT.encode(), 0o755),
            "bin/busybox": (busybox.read_bytes(), 0o755),
            "bin/dropbear": ((ssh / "dropbear").read_bytes(), 0o755),
            "etc/passwd": (b"root:x:0:0:root:/root:/bin/sh\n", 0o644),
            "etc/shadow": (b"root:*:19000:0:99999:7:::\n", 0o600),
            "etc/dropbear/.keep": (b"", 0o600),
            "root/.ssh/authorized_keys": ((self.top / "key.pub").read_bytes(), 0o600),
        }
        for path in (ssh / "lib").iterdir():
            place = "lib" if path.name.startswith("ld-") else "lib/aarch64-linux-gnu"
            files[f"{place}/{path.name}"] = (path.read_bytes(), 0o755)
        for path in ((self.stack or ssh) / "modules").iterdir():
            files[f"modules/{path.name}"] = (path.read_bytes(), 0o644)
        target = self.top / "initrd.gz"
        target.write_bytes(gzip.compress(guest.newc(files), 1, mtime=0))
        return target

    def start(self) -> None:
        """Boot, and learn the host key; the first connection makes it."""
        kernel, machine, memory = guest.parts()[0], "virt,gic-version=3", "512M"
        words, device = "console=ttyAMA0 quiet panic=-1", "virtio-net-device,netdev=n"
        if self.stack is not None:
            kernel, memory = self.stack / "Image", "2G"
            machine += ",virtualization=on,its=off"
            words += " mem=1G"
            device = "virtio-net-pci,netdev=n,romfile=,disable-legacy=on"
        argv = ["qemu-system-aarch64", "-machine", machine, "-cpu", "cortex-a57", "-m", memory]
        argv += ["-smp", "4", "-accel", "tcg", "-nographic", "-no-reboot", "-monitor", "none"]
        argv += ["-kernel", str(kernel), "-initrd", str(self.initrd())]
        argv += ["-append", words, "-device", device]
        argv += ["-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        scan = ["ssh-keyscan", "-T", "20", "-t", "ed25519", "-p", str(self.port), "127.0.0.1"]
        deadline = time.monotonic() + 60
        while True:
            key = subprocess.run(scan, capture_output=True).stdout
            if key:
                break
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")
            time.sleep(0.1)
        (self.top / "known").write_bytes(key)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def run(self, command: str) -> str:
        """What a command there prints; asserts that it ends well."""
        argv = ["ssh", "-F", str(self.config), "board", command]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
