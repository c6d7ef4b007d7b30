# SPDX-License-Identifier: MIT
"""A real AArch64 Linux guest for QEMU, with stand-ins for what it cannot run.

Kernel and BusyBox are Debian's (`.ci/guest DIR`, OEJAIL_TEST_GUEST=DIR). The kernel lacks the
exports that Jailhouse's driver wants, so `insmod` and the tool `jailhouse` are shell scripts that
answer as the recorded consoles do, by scenario: what is the kernel's goes through its log, what is
the hypervisor's and the cell's straight to the UART.
"""

from __future__ import annotations

import gzip
import io
import os
import re
from pathlib import Path

import pytest

from oejail import platforms
from oejail.artifacts import SetSpec, collect
from oejail.target import cpio
from tests.support import bundles, elf_files, foreign_build

INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
[ -d /sys/module ] || mount -t sysfs sysfs /sys
export PATH=/sbin:/bin ENV=/etc/profile
exec {login}
"""
SHELL = "setsid -c sh -c 'exec sh -i </dev/ttyAMA0 >/dev/ttyAMA0 2>&1'"
GETTY = "setsid getty -L 115200 ttyAMA0"

_COMMON = r"""#!/bin/sh
scenario=$(cat /tmp/scenario 2>/dev/null) ||
  scenario=$(sed -n 's/.*scenario=\([a-z0-9-]*\).*/\1/p' /proc/cmdline)
k() { echo "<4>$*" >/dev/kmsg; }
h() { printf '%s\r\n' "$*" >/dev/ttyAMA0; }
t() { echo "$1" >&2; exit "${2-1}"; }
hang() { sleep 1000; }
storm() { while :; do h; h 'FATAL: Unhandled HYP exception: synchronous abort from EL2'
  h ' pc: 0000ffffc02089fc   lr: 0000ffffc02089f4 spsr: 800003c9     EL2'; sleep 0.1; done; }
"""

INSMOD = (
    _COMMON
    + r"""
case $scenario in
vermagic) k "jailhouse: version magic '5.10.0 SMP mod_unload aarch64' should be '6.1'"
  t "insmod: can't insert '$1': invalid module format" 8;;
symbol) k 'jailhouse: Unknown symbol __hyp_stub_vectors (err -2)'
  t "insmod: can't insert '$1': unknown symbol in module, or unknown parameter" 2;;
format) k 'Invalid ELF header type: 3 != 1'
  t "insmod: can't insert '$1': invalid module format" 8;;
loaded) t "insmod: can't insert '$1': File exists" 17;;
key) k 'Loading of unsigned module is rejected'
  t "insmod: can't insert '$1': Required key not available" 1;;
esac
[ -r "$1" ] || t "insmod: can't insert '$1': No such file or directory" 254
rm -rf /tmp/cell; mkdir /tmp/cell
"""
)

JAILHOUSE = (
    _COMMON
    + r"""
einval() { t "JAILHOUSE_$1: Invalid argument"; }
what=$1; [ "$1" = cell ] && { what=$2; shift; }
case $what.$scenario in
enable.no-driver) t 'opening /dev/jailhouse: No such file or directory';;
enable.revision) k 'jailhouse: Configuration revision mismatch'; einval ENABLE;;
enable.no-root) k 'jailhouse: Not a system configuration'; einval ENABLE;;
enable.architecture) k 'jailhouse: Configuration architecture mismatch'; einval ENABLE;;
enable.region) k 'jailhouse: request_mem_region failed for hypervisor memory.'
  k 'jailhouse: Did you reserve the memory with "memmap=" or "mem="?'; einval ENABLE;;
enable.refused) einval ENABLE;;
enable.no-firmware) k 'jailhouse: Missing hypervisor image jailhouse.bin'
  t 'JAILHOUSE_ENABLE: No such file or directory';;
enable.no-file) t "opening $2: No such file or directory";;
enable.hang) hang;;
enable.vhe) k 'Unhandled 64-bit el1h sync exception on CPU2, ESR 0x5a000000 -- HVC (AArch64)'
  hang;;
enable.cpus-few) h 'Initializing Jailhouse hypervisor v0.12 (324-ge57d1eff) on CPU 0'
  einval ENABLE;;
enable.beyond-ram) k 'Internal error: synchronous external abort: 0000000096000050 [#1] SMP'
  t 'Segmentation fault' 139;;
enable.gic) h 'Initializing processors:'; storm;;
enable.gic-version) h ' CPU 1... FAILED'; t 'JAILHOUSE_ENABLE: No such device';;
enable.busy) t 'JAILHOUSE_ENABLE: Device or resource busy';;
create.cell-revision) k 'jailhouse: Configuration revision mismatch'; einval CELL_CREATE;;
create.no-cell) k 'jailhouse: Not a cell configuration'; einval CELL_CREATE;;
create.cell-architecture) k 'jailhouse: Configuration architecture mismatch'; exit 0;;
create.cell-cut) h 'Adding PCI device 62:12.0 to cell "freertos"'; hang;;
create.exists) t 'JAILHOUSE_CELL_CREATE: File exists';;
create.cell-busy) t 'JAILHOUSE_CELL_CREATE: Device or resource busy';;
create.create-refused) einval CELL_CREATE;;
load.unknown) t 'JAILHOUSE_CELL_LOAD: No such file or directory';;
load.too-large) h 'Cell "freertos" can be loaded'; einval CELL_LOAD;;
load.no-image) t "opening $3: No such file or directory";;
load.storm) storm;;
load.stall) sleep 0.3; k 'rcu: INFO: rcu_sched self-detected stall on CPU'; hang;;
load.panic) k 'Kernel panic - not syncing: Attempted to kill init!'; hang;;
start.unknown-start) t 'JAILHOUSE_CELL_START: No such file or directory';;
destroy.lost) t 'JAILHOUSE_CELL_DESTROY: No such file or directory';;
list.failed) state=failed;;
list.stopped) state='shut down';;
list.absent) state=;;
*) state=running;;
esac
case $what in
enable) h; h 'Initializing Jailhouse hypervisor v0.12 (324-ge57d1eff) on CPU 1'
  h 'Activating hypervisor'; k 'The Jailhouse is opening.';;
create) h 'Created cell "freertos"'; k 'Created Jailhouse cell "freertos"';;
load) h 'Cell "freertos" can be loaded'; cp "$3" /tmp/cell/image;;
start) h 'Started cell "freertos"'; (
  tr -cd ' -~\n' </tmp/cell/image | head -c 4096 | while read -r line; do
    case $line in [A-Zao]*)
      case $scenario in
      torn) printf %s "${line%community*}" >/dev/ttyAMA0; sleep 1
        printf '%s\r\n' "community${line#*community}" >/dev/ttyAMA0;;
      *) h "$line";;
      esac;;
    esac
  done
  case $scenario in
  fault) h 'Unhandled data read at 0x60000000(4)'; h
    h 'FATAL: unhandled trap (exception class 0x24)'
    h 'Parking CPU 1 (Cell: "freertos")';;
  flood) yes 'Hello from cell!' | head -c 400000 >/dev/ttyAMA0;;
  esac
  # What Linux's driver may have kept, as its console spoke meanwhile, goes with the next byte.
  sleep 2; h ) </dev/null >/dev/null 2>&1 &
  ;;
list) echo 'ID      Name                    State             Assigned CPUs           Failed CPUs'
  echo '0       qemu                    running           0,2-3'
  [ -z "$state" ] || printf '%-8s%-24s%-18s1\n' 1 freertos "$state";;
shutdown) h 'Cell "freertos" can be loaded';;
destroy) h 'Closing cell "freertos"'; k 'Destroyed Jailhouse cell "freertos"';;
disable) h 'Shutting down hypervisor'; k 'The Jailhouse was closed.';;
*) t "usage: jailhouse $what";;
esac
"""
)


def parts() -> tuple[Path, Path]:
    """Kernel image and BusyBox."""
    directory = os.environ.get("OEJAIL_TEST_GUEST", "")
    image, busybox = Path(directory, "Image"), Path(directory, "busybox")
    if not directory or not image.is_file() or not busybox.is_file():
        pytest.fail(
            "no guest to boot: `.ci/guest DIR` downloads one, then OEJAIL_TEST_GUEST=DIR", False
        )
    return image, busybox


def release() -> str:
    """The kernel's own `uname -r`."""
    found = re.search(rb"Linux version (\S+)", parts()[0].read_bytes())
    assert found is not None
    return found[1].decode()


def rootfs(path: Path, login: str = SHELL, shadow: str | None = None) -> Path:
    """An initrd with BusyBox and the stand-in `insmod`, gzip-packed."""
    files = {
        "bin/busybox": (parts()[1].read_bytes(), 0o755),
        "init": (INIT.format(login=login).encode(), 0o755),
        "sbin/insmod": (INSMOD.encode(), 0o755),
        # This BusyBox's shell takes its own insmod before any other.
        "etc/profile": (b"alias insmod=/sbin/insmod\n", 0o644),
        "etc/passwd": (b"root:x:0:0:root:/:/bin/sh\nguest:x:1000:1000::/:/bin/sh\n", 0o644),
        "etc/shadow": ((shadow or "root::19000:0:99999:7:::\n").encode(), 0o600),
    }
    path.write_bytes(gzip.compress(newc(files), 1, mtime=0))
    return path


def newc(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A cpio archive of these files (bytes and mode) and their directories."""
    out = io.BytesIO()
    folders = {str(p) for name in files for p in Path(name).parents} - {"."}
    for number, name in enumerate(sorted({*folders, *files}), 1):
        data, mode = files.get(name, (b"", 0))
        kind = 0o100000 | mode if name in files else 0o040755
        cpio._entry(out, name, number, kind, len(data))
        out.write(data + bytes(-len(data) % 4))
    cpio._entry(out, "TRAILER!!!", 0, 0, 0)
    return out.getvalue()


def collected(directory: Path, *, bootable: bool = False) -> Path:
    """OUT of a foreign build whose module is for this guest's kernel, its tool the stand-in.

    With `bootable` kernel and root file system are the guest's own.
    """
    with pytest.MonkeyPatch.context() as patch:
        name = release()
        patch.setattr(foreign_build, "RELEASE", name)
        patch.setattr(foreign_build, "MODULE", elf_files.module(name, foreign_build.VERSION))
        debug = b"debug information " * 400
        unstripped = elf_files.module(name, foreign_build.VERSION, debug=debug)
        patch.setattr(foreign_build, "UNSTRIPPED", unstripped)
        patch.setattr(foreign_build, "TOOL", JAILHOUSE.encode())
        kernel = foreign_build.KERNEL.replace(b"5.10.0-openeuler", name.encode())
        patch.setattr(foreign_build, "KERNEL", kernel)
        build = foreign_build.make(directory / "build", decoys=False)
        if bootable:
            (build.deployed / f"zImage-{name}").write_bytes(parts()[0].read_bytes())
            for image in build.deployed.glob("*.cpio.gz"):
                rootfs(image)
    platform = platforms.load("qemu-aarch64")
    collect(build.directory, platform, SetSpec.from_platform(platform), directory / "out")
    return directory / "out"


def bundle(directory: Path) -> Path:
    """The bundle of `collected`."""
    path: Path = bundles.packed(collected(directory), directory / "b.tar.zst").path
    return path
