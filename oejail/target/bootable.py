# SPDX-License-Identifier: MIT
"""Whether a kernel and an initrd are what QEMU and Linux take, by their first bytes.

With anything else the machine runs whatever the bytes mean, and says nothing. A kernel is an arm64
`Image` (Linux, Documentation/arm64/booting.rst: "ARM\\x64" at byte 56), plain or in gzip, which
QEMU unpacks. An initrd is a cpio in the newc format, plain or in what Linux's lib/decompress.c
knows; what is packed in a form that Python unpacks is looked into.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

from oejail.artifacts import kernel
from oejail.errors import ConfigError, UsageFault

_HEAD = 1 << 20  # bytes that are looked at: a block of bzip2 is that large
_FIRST = 64  # bytes unpacked that tell what it is

_KINDS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x7fELF", "an ELF file"),
    (4, b"zimg", "an EFI zboot image"),
    (0x202, b"HdrS", "an x86 bzImage"),
    (kernel.ARM64_MAGIC_AT, kernel.ARM64_MAGIC, "an arm64 Image"),
    (kernel.ARM_ZIMAGE_MAGIC_AT, kernel.ARM_ZIMAGE_MAGIC, "an arm zImage"),
    (0, b"\x27\x05\x19\x56", "an image for U-Boot"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree, or an image tree for U-Boot"),
    (0, b"hsqs", "a squashfs"),
    (0x438, b"\x53\xef", "an ext4 file system"),
    (0, b"QFI\xfb", "a qcow2 disk"),
    (0, b"070701", "a cpio archive"),
    (0, b"070702", "a cpio archive"),
    (0, b"070707", "a cpio archive in the old format"),
    (257, b"ustar", "a tar archive"),
)
_PACKED: tuple[tuple[bytes, str, Callable[[bytes], bytes] | None], ...] = (
    (b"\x1f\x8b", "gzip", lambda data: zlib.decompressobj(wbits=31).decompress(data, _FIRST)),
    (b"BZh", "bzip2", lambda data: bz2.BZ2Decompressor().decompress(data, _FIRST)),
    (b"\xfd7zXZ\0", "xz", lambda data: lzma.LZMADecompressor().decompress(data, _FIRST)),
    (b"\x5d\0\0", "lzma", lambda data: lzma.LZMADecompressor().decompress(data, _FIRST)),
    (b"\x28\xb5\x2f\xfd", "zstd", None),
    (b"\x02\x21\x4c\x18", "lz4", None),
    (b"\x89LZO", "lzo", None),
)


def require_kernel(path: Path, what: str) -> None:
    """UsageFault unless `path` is an arm64 Image; `what` says whose it is, for the message."""
    head = _read(path, what)
    packing, inner = "", head
    if head.startswith(kernel.GZIP_MAGIC):
        packing = ", in gzip"
        with path.open("rb") as stream:
            try:
                inner = next(kernel.gzip_chunks(stream), b"")
            except ConfigError as error:
                raise UsageFault(f"{what}: {error}") from None
    if kernel.kernel_arch(inner) == "arm64":
        return
    at = kernel.ARM64_MAGIC_AT
    raise UsageFault(
        f"{what}: {_kind(inner)}{packing}, no arm64 Image: {_shown(inner[at : at + 4])} at byte "
        f"{at}, not {_shown(kernel.ARM64_MAGIC)}",
        hint="what a build has as arch/arm64/boot/Image or Image.gz (openEuler: zImage) boots here",
    )


def require_initrd(path: Path, what: str) -> None:
    """UsageFault unless `path` is a cpio archive, or packed as one may be."""
    inner = _read(path, what).lstrip(b"\0")  # which Linux passes over as well
    packing = ""
    for magic, name, unpack in _PACKED:
        if inner.startswith(magic):
            packing = f", in {name}"
            if unpack is None:
                return
            try:
                inner = unpack(inner)
            except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
                raise UsageFault(f"{what}: damaged {name} data: {error}") from None
            if not inner:
                return  # too little to tell
            break
    if inner.startswith(kernel.CPIO_MAGICS):
        return
    begins = _shown(inner[:6]) if inner else "nothing"
    raise UsageFault(
        f"{what}: {_kind(_read(path, what) if not packing else inner)}{packing}, no initrd: it "
        f"begins with {begins}, not {_shown(kernel.CPIO_MAGICS[0])} (cpio)",
        hint='a root file system as cpio is wanted: IMAGE_FSTYPES += "cpio.gz"',
    )


def _read(path: Path, what: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UsageFault(f"{what}: no regular file")
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise UsageFault(f"{what}: {error.strerror}") from None


def _kind(head: bytes) -> str:
    """What begins with `head`, in a few words."""
    for at, magic, name in _KINDS:
        if head[at : at + len(magic)] == magic:
            return name
    if not head.strip(b"\0"):
        return "nothing but zeros" if head else "empty"
    text = head[:512]
    if all(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in text):
        return "a text"
    return "unknown bytes"


def _shown(data: bytes) -> str:
    return repr(data)[1:]
