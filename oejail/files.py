# SPDX-License-Identifier: MIT
"""Files: written whole or not at all, read within limits, locked with the holder's name.

Every verb imports this module; what only some of its functions need is imported there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from oejail.errors import ConfigError, UsageFault, WorkspaceBusy

MIB = 1 << 20


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError from the block that names no file the name `path` (write() gives none)."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of `data` as 64 hex digits."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as 64 hex digits; the file is streamed."""
    import hashlib

    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys, two-space indent and a final newline: the same bytes everywhere.

    JSON is UTF-8, a path need not be: what has no place there becomes `?`.
    """
    import json

    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "replace")


def open_regular(path: Path, limit: int, flags: int = 0) -> BinaryIO:
    """A regular file of at most `limit` bytes, opened to read; `flags` are more of os.open's.

    Raises ConfigError for a file that is larger, or is no regular file (a FIFO would block), and
    OSError as `open` does.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | flags)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise ConfigError(f"{path}: not a regular file")
        if info.st_size > limit:
            raise ConfigError(f"{path}: {info.st_size} bytes, more than the limit of {limit}")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; errors as those of `open_regular`."""
    with open_regular(path, limit) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:  # it grew meanwhile, or is one of those in /proc, whose size is 0
        raise ConfigError(f"{path}: more than the limit of {limit} bytes")
    return data


def sync_directory(path: Path) -> None:
    """Make renames in a directory last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some file systems cannot fsync a directory; the rename stands
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def atomic_write(path: Path, data: bytes | str, mode: int | None = None) -> None:
    """Write a file under a temporary name and rename it: whole or not at all.

    A symbolic link keeps pointing where it did: its target is replaced. An existing file keeps
    its mode unless `mode` is given; a new one gets `mode`, else 0644 less the umask. Root leaves
    the file to its owner, a new one to the owner of its directory.
    """
    import tempfile

    path = Path(os.path.realpath(path))
    raw = data.encode() if isinstance(data, str) else data
    owner = owner_to_keep(path)
    if mode is None:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except FileNotFoundError:
            mode = 0o644 & ~_umask()
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    except OSError as error:
        error.filename = str(path)  # the temporary name says nothing to the reader
        raise
    try:
        with naming(path), os.fdopen(descriptor, "wb") as stream:
            stream.write(raw)
            stream.flush()
            if owner is not None:
                os.fchown(stream.fileno(), *owner)
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def owner_to_keep(path: Path) -> tuple[int, int] | None:
    """As root: uid and gid of `path`, or of the directory it is to stand in; else None."""
    if os.geteuid() != 0:
        return None
    try:
        info = path.lstat()
    except FileNotFoundError:
        info = path.parent.stat()
    return info.st_uid, info.st_gid


def make_directory(path: Path) -> None:
    """Make a directory and what is missing above it; root leaves each to the owner around it."""
    if path.is_dir():
        return
    make_directory(path.parent)
    owner = owner_to_keep(path)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        if owner is not None:
            os.chown(path, *owner, follow_symlinks=False)


def give(path: Path, uid: int, gid: int) -> None:
    """As root: make `uid` and `gid` the owner of a tree; links are given, not followed."""
    if path.is_dir() and not path.is_symlink():
        # By descriptors, from the bottom: the new owner cannot put a link in the way meanwhile.
        for _, directories, names, folder in os.fwalk(path, topdown=False):
            for name in (*directories, *names):
                os.chown(name, uid, gid, dir_fd=folder, follow_symlinks=False)
    os.chown(path, uid, gid, follow_symlinks=False)


def _umask() -> int:
    """The process's umask, read without changing it (os.umask would, for every thread)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Umask:"):
            return int(line.split()[1], 8)
    return 0o022


@contextlib.contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """A temporary directory beside `path`, which replaces `path` when the block ends well.

    What stood at `path` is moved aside first and removed last, so a reader sees the old or the
    new directory; after a kill between the two renames the old one lies beside as `.NAME.old`
    and is put back by the next call. Root leaves the directory to the owner around it.
    """
    import shutil
    import tempfile

    make_directory(path.parent)
    owner = owner_to_keep(path)
    old = path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)
    remove_tree(old)
    for leftover in path.parent.glob(f".{path.name}.new-*"):
        remove_tree(leftover)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}.new-", dir=path.parent))
    fresh.chmod(0o755 & ~_umask())
    try:
        yield fresh
        if owner is not None:
            give(fresh, *owner)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    remove_tree(old)


def remove_tree(path: Path) -> None:
    """Remove a directory tree or file; nothing there is fine, a link is removed, not followed."""
    import shutil

    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path)


def relative_inside(root: Path, name: str) -> Path:
    """`root/name` for a relative `name` that stays inside; `..` and absolute are refused."""
    parts = Path(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise UsageFault(f"path {name!r} leaves its directory {root}")
    return root / name


def mark_cache(directory: Path) -> None:
    """Make `directory` with a CACHEDIR.TAG, so that backup tools pass it over."""
    make_directory(directory)
    tag = directory / "CACHEDIR.TAG"
    if not tag.exists():
        atomic_write(tag, "Signature: 8a477f597d28d172789f06886806bc55\n# made by oejail\n")


class Lock:
    """An exclusive flock on a file that names its holder; freed by the kernel when that dies.

    Use as a context manager. A second holder gets WorkspaceBusy, which names the first one's
    process and command. The file stays: flock, not existence, is the lock.
    """

    def __init__(self, path: Path, purpose: str) -> None:
        self.path = path
        self.purpose = purpose
        self._descriptor: int | None = None

    def holder(self) -> str | None:
        """Who holds the lock, as far as can be told without taking it; None for nobody."""
        try:
            text = self.path.read_text(errors="replace")[:400].strip()
            pid = int(text.removeprefix("pid ").partition(":")[0])
        except (OSError, ValueError):
            return None
        # A killed holder leaves its line: only a process that is there holds anything.
        return text if Path(f"/proc/{pid}").exists() else None

    def __enter__(self) -> Lock:
        make_directory(self.path.parent)
        owner = None if self.path.exists() else owner_to_keep(self.path)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if owner is not None:
            os.fchown(descriptor, *owner)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 400, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise WorkspaceBusy(
                f"{self.path.parent.parent}: held by another oejail ({holder or 'unnamed'})",
                hint="wait for it, or end it and run the same command again",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()}: oejail {self.purpose}\n".encode(), 0)
        self._descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None
