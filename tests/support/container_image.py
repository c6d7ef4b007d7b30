# SPDX-License-Identifier: MIT
"""An image in which oebuild builds, made of this machine's own files and brought in by import.

What oebuild expects of it: bash, coreutils, sed, which, git, python3 with `yaml` and `git`, usermod
and groupmod, a user `openeuler` with a .bashrc that is silent. Nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import subprocess
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAME = "swr.cn-north-4.myhuaweicloud.com/openeuler-embedded/openeuler-container:latest"
"""As the sample tree's env.yaml, and openEuler's, name it."""

_PROGRAMS = """
    bash sh cat chmod chown cp cut date dirname basename echo env expr false find git grep groupmod
    head hostname id install kill ldd ln ls mkdir mktemp mv nice od pwd python3 readlink realpath rm
    rmdir sed setsid sha256sum sleep sort stat tail tar tee test timeout touch tr true uname uniq
    usermod wc which xargs awk mawk zstd
"""
_CROSS = ("gcc", "ld", "as", "objcopy", "strip")
TAKEN = 61234
ENVIRONMENT = ("PYTHONPATH=/opt/python", "PATH=/usr/bin:/bin")
_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n"
    "openeuler:x:1000:1000::/home/openeuler:/bin/bash\n"
    f"taken:x:{TAKEN}:{TAKEN}::/:/bin/false\n",
    "etc/group": "root:x:0:\nmail:x:8:\nopeneuler:x:1000:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nopeneuler:*:19000:0:99999:7:::\n",
    "etc/gshadow": "root:*::\nmail:*::\nopeneuler:!::\n",
    "etc/login.defs": "UID_MIN 1000\nGID_MIN 1000\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
}


def ensure(client: Any, *, name: str = NAME, cross: bool = False, taken: int = TAKEN) -> str:
    """See to it that the daemon has the image; `cross` adds the machine's aarch64 gcc. Its id.

    `taken` is a user id that the image gives to somebody else.
    """
    data = build(cross, taken)
    # Podman takes one variable a line.
    changes = [f"ENV {setting}" for setting in ENVIRONMENT]
    digest = hashlib.sha256(data + repr(changes).encode()).hexdigest()
    for image in client.images.list(filters={"label": f"org.oejail.test={digest}"}):
        image.tag(*name.rsplit(":", 1))
        return str(image.id)
    changes.append(f"LABEL org.oejail.test={digest}")
    client.api.import_image_from_data(data, *name.rsplit(":", 1), changes=changes)
    return str(client.images.get(name).id)


def build(cross: bool, taken: int) -> bytes:
    """The image's files as a tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("bin", "sbin", "lib", "lib64"):
            _link(tar, name, f"usr/{name}")
        _link(tar, "usr/sbin", "bin")
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("opt", 0o755), ("var/tmp", 0o1777)):
            _directory(tar, name, mode)
        for name, text in _ACCOUNTS.items():
            text = text.replace(str(TAKEN), str(taken))
            _bytes(tar, name, text.encode(), 0o600 if "shadow" in name else 0o644)
        _directory(tar, "home/openeuler", 0o755, 1000)
        _bytes(tar, "home/openeuler/.bashrc", b"# the image's own\n", 0o644, 1000)
        links = {_place(path): os.path.realpath(path) for path in _files(cross)}
        for real in sorted(set(links.values())):
            _file(tar, Path(real), _place(real))
        for name in sorted(set(links) - set(map(_place, links.values()))):
            _link(tar, name, _place(links[name]))
        for module in ("yaml", "git", "gitdb", "smmap"):
            spec = importlib.util.find_spec(module)
            assert spec is not None and spec.origin is not None
            folder = Path(spec.origin).parent
            for source in sorted(folder.rglob("*.py")):
                _file(tar, source, f"opt/python/{module}/{source.relative_to(folder)}")
    return out.getvalue()


def _place(path: str) -> str:
    """Where a file goes: /bin is a link to /usr/bin, and all of sbin lies in bin."""
    for old, new in (("/bin/", "/usr/bin/"), ("/sbin/", "/usr/bin/"), ("/lib", "/usr/lib")):
        if path.startswith(old):
            return new + path.removeprefix(old)
    return path.replace("/usr/sbin/", "/usr/bin/")


def _files(cross: bool) -> Iterator[str]:
    """Paths of programs, of the libraries that they need, and of Python's standard library."""
    programs = [found for name in _PROGRAMS.split() if (found := _which(name))]
    programs += [
        f"/usr/lib/git-core/{name}" for name in ("git", "git-remote-http", "git-submodule")
    ]
    if cross:
        programs += [f"/usr/bin/aarch64-linux-gnu-{name}" for name in _CROSS]
        versions = sorted(Path("/usr/lib/gcc-cross/aarch64-linux-gnu").iterdir())
        programs += [str(path / "cc1") for path in versions if (path / "cc1").exists()]
        yield from (
            str(path)
            for folder in versions
            for path in folder.rglob("*")
            if path.is_file() and path.suffix in (".h", ".a", ".o")
        )
    python = subprocess.run(
        ["/usr/bin/python3", "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    modules = []
    for folder, names, files in os.walk(python):
        skipped = ("__pycache__", "test", "idlelib", "tkinter", "lib2to3", "dist-packages")
        names[:] = [name for name in names if name not in skipped]
        modules += [os.path.join(folder, name) for name in files]
    yield from modules
    yield from programs
    yield from _libraries([*programs, *(name for name in modules if name.endswith(".so"))])
    for library in ("libnss_files.so.2", "libgcc_s.so.1"):
        yield f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}/{library}"


def _which(name: str) -> str:
    for folder in ("/usr/bin", "/bin", "/usr/sbin", "/sbin"):
        if os.path.exists(path := f"{folder}/{name}"):
            return path
    return ""


def _libraries(programs: list[str]) -> set[str]:
    found = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    return set(re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x", found, re.MULTILINE))


def _add(tar: tarfile.TarFile, info: tarfile.TarInfo, data: bytes = b"") -> None:
    info.size = len(data)
    info.mtime = 0
    tar.addfile(info, io.BytesIO(data))


def _directory(tar: tarfile.TarFile, name: str, mode: int, owner: int = 0) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.uid, info.gid = tarfile.DIRTYPE, mode, owner, owner
    _add(tar, info)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.type, info.linkname = tarfile.SYMTYPE, target
    _add(tar, info)


def _bytes(tar: tarfile.TarFile, name: str, data: bytes, mode: int, owner: int = 0) -> None:
    info = tarfile.TarInfo(name.lstrip("/"))
    info.mode, info.uid, info.gid = mode, owner, owner
    _add(tar, info, data)


def _file(tar: tarfile.TarFile, source: Path, name: str) -> None:
    mode = 0o755 if os.access(source, os.X_OK) else 0o644
    _bytes(tar, name, source.read_bytes(), mode)
