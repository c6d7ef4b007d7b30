# SPDX-License-Identifier: MIT
"""Kernels and initrds by their first bytes: what boots is taken, anything else is named."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from oejail.errors import UsageFault
from oejail.target.bootable import require_initrd, require_kernel

CPIO = b"070701" + b"0" * 5000
IMAGE = bytes(56) + b"ARM\x64" + bytes(5000)


@pytest.mark.parametrize("data", [IMAGE, gzip.compress(IMAGE, mtime=0)], ids=["plain", "gzip"])
def test_kernels(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "Image").write_bytes(data)
    require_kernel(tmp_path / "Image", "--kernel Image")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty, no arm64 Image: '' at byte 56, not 'ARMd'"),
        (bytes(4096), r"nothing but zeros, no arm64 Image: '\x00\x00\x00\x00' at byte 56"),
        (b"a text\n" * 20, "a text, no arm64 Image: 'a te' at byte 56, not 'ARMd'"),
        (b"\x7fELF" + bytes(100), "an ELF file, no arm64 Image"),
        (b"MZ" + bytes(0x200) + b"HdrS" + bytes(100), "an x86 bzImage, no arm64 Image"),
        (b"MZ\0\0zimg" + bytes(100), "an EFI zboot image, no arm64 Image"),
        (bytes(0x24) + bytes.fromhex("18286f01") + bytes(100), "an arm zImage, no arm64 Image"),
        (gzip.compress(CPIO, mtime=0), "a cpio archive, in gzip, no arm64 Image: '0000'"),
        (gzip.compress(IMAGE, mtime=0)[:3] + b"x" * 60, "damaged gzip data"),
        (b"\xff" * 100, "unknown bytes, no arm64 Image"),
    ],
)
def test_no_kernels(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(UsageFault) as caught:
        require_kernel(tmp_path / "f", "--kernel f")
    assert caught.value.message.startswith(f"--kernel f: {words}")


@pytest.mark.parametrize(
    "data",
    [
        CPIO,
        b"070702" + CPIO,
        bytes(512) + CPIO,
        gzip.compress(CPIO, mtime=0),
        bz2.compress(CPIO),
        lzma.compress(CPIO),
        lzma.compress(CPIO, lzma.FORMAT_ALONE),
        zstandard.compress(CPIO),
        b"\x02\x21\x4c\x18 lz4",
        b"\x89LZO\0 lzo",
        lzma.compress(CPIO)[:20],  # cut: Linux says so
    ],
)
def test_initrds(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    require_initrd(tmp_path / "f", "--initrd f")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty, no initrd: it begins with nothing, not '070701' (cpio)"),
        (bytes(8192), "nothing but zeros, no initrd: it begins with nothing"),
        (b"a text\n", "a text, no initrd: it begins with 'a text', not '070701' (cpio)"),
        (bytes(0x438) + b"\x53\xef", "an ext4 file system, no initrd"),
        (b"hsqs" + bytes(100), "a squashfs, no initrd"),
        (b"070707" + bytes(100), "a cpio archive in the old format, no initrd"),
        (IMAGE, "an arm64 Image, no initrd"),
        (gzip.compress(IMAGE, mtime=0), "an arm64 Image, in gzip, no initrd"),
        (lzma.compress(b"a text\n"), "a text, in xz, no initrd"),
        (b"\x1f\x8b\x08" + b"x" * 100, "damaged gzip data"),
        (b"\x5d\0\0" + b"\xff" * 100, "damaged lzma data"),
        (b"BZh9" + b"\xff" * 100, "damaged bzip2 data"),
    ],
)
def test_no_initrds(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(UsageFault) as caught:
        require_initrd(tmp_path / "f", "--initrd f")
    assert caught.value.message.startswith(f"--initrd f: {words}")


@pytest.mark.parametrize("require", [require_kernel, require_initrd])
def test_no_files(tmp_path: Path, require: type) -> None:
    with pytest.raises(UsageFault, match="x: No such file or directory"):
        require(tmp_path / "none", "x")
    with pytest.raises(UsageFault, match="x: no regular file"):
        require(tmp_path, "x")


@given(
    st.binary(max_size=2000), st.sampled_from([b"", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"]\0\0"])
)
def test_hostile_bytes_are_an_error_or_none(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile"
    path.write_bytes(magic + data)
    for require in (require_kernel, require_initrd):
        try:
            require(path, "x")
        except UsageFault as fault:
            assert fault.message.isprintable()
