# SPDX-License-Identifier: MIT
from __future__ import annotations

import gzip
import io
import json
import os
import random
from pathlib import Path
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.artifacts.elf import SAMPLE_MARK
from oejail.artifacts.identify import Identity, identify, identify_stream
from oejail.cells import CellTruncated, RootCell, encode, shipped
from oejail.errors import ConfigError
from tests.support.elf_files import elf, module, tool
from tests.unit.test_artifacts_firmware import firmware
from tests.unit.test_artifacts_kernel import image

ROOT = encode(shipped("qemu-arm64-openeuler-demo"))
CELL = encode(shipped("qemu-arm64-freertos-demo"))
CPIO = b"070701" + b"0" * 104


def of(data: bytes) -> Identity:
    return identify_stream(io.BytesIO(data), len(data), "f")


@pytest.mark.parametrize(
    ("data", "kind", "arch"),
    [
        (b"", "empty", None),
        (module(), "module", "arm64"),
        (tool(), "tool", "arm64"),
        (elf({".text": b"1"}), "elf", "arm64"),
        (elf({".rodata": b"/dev/jailhouse\0"}), "elf", "arm64"),
        (firmware(), "firmware", None),
        (ROOT, "root-cell", "arm64"),
        (CELL, "cell", None),
        (image(), "kernel", "arm64"),
        (gzip.compress(image(), mtime=0), "kernel", "arm64"),
        (CPIO, "cpio", None),
        (gzip.compress(CPIO, mtime=0), "cpio", None),
        (gzip.compress(b"something else", mtime=0), "gzip", None),
        (pack(">2I", 0xD00DFEED, 40) + bytes(32), "dtb", None),
        (b"#!/bin/sh\n", "script", None),
        (b"\x28\xb5\x2f\xfd" + bytes(9), "zstd", None),
        (b"\xfd7zXZ\0" + bytes(9), "xz", None),
        (b"\xed\xab\xee\xdb" + bytes(90), "rpm", None),
        (bytes.fromhex("1f2003d5") * 10, "flat", None),
        (b"x", "flat", None),
    ],
)
def test_kinds(data: bytes, kind: str, arch: str | None) -> None:
    found = of(data)
    assert (found.kind, found.arch, found.size) == (kind, arch, len(data))
    assert not found.sample
    assert found.fault is None
    json.dumps(dict(found.info))


def test_details() -> None:
    assert of(module("6.6.0")).info["vermagic"].startswith("6.6.0 ")
    assert of(firmware(core=0x1234)).info["core_size"] == 0x1234
    assert of(gzip.compress(image(), mtime=0)).info == {
        "arch": "arm64",
        "release": "5.10.0-openeuler",
        "compression": "gzip",
    }
    assert of(gzip.compress(CPIO, mtime=0)).info == {"compression": "gzip"}
    root = of(ROOT)
    assert root.info == {"name": "qemu", "revision": 13, "layout": "upstream", "cpus": [0, 1, 2, 3]}
    assert isinstance(root.detail, RootCell)
    assert of(CELL).info["layout"] == "any"
    static = of(tool()).info
    assert (static["static"], static["loads_elf"], static["type"]) == (True, False, "executable")


def test_the_sample_mark() -> None:
    assert of(module(extra=SAMPLE_MARK)).sample
    assert of(firmware(text=SAMPLE_MARK)).sample
    assert of(tool(extra=SAMPLE_MARK)).sample


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x7fELF nonsense", "f: malformed ELF file"),
        (b"JAILHOUS", "f: offset 8: header"),
        (b"JHCELL\x09\x00" + bytes(200), "f: offset 6: revision: found 9"),
        (CELL[:-4], "f: offset 396: pci_devices"),
        (pack(">2I", 0xD00DFEED, 4000) + bytes(32), "f: device tree of 4000 bytes in a file of 40"),
        (b"\x1f\x8b\x08" + b"\xff" * 50, "damaged gzip data"),
    ],
)
def test_a_claim_that_does_not_hold_is_broken(data: bytes, message: str) -> None:
    found = of(data)
    assert found.kind == "broken"
    assert message in found.error


def test_the_fault_is_kept() -> None:
    assert isinstance(of(CELL[:-4]).fault, CellTruncated)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a name with spaces"
    path.write_bytes(module())
    assert identify(path).kind == "module"
    with pytest.raises(FileNotFoundError):
        identify(tmp_path / "none")
    with pytest.raises(ConfigError, match="not a regular file"):
        identify(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="not a regular file"):
        identify(tmp_path / "fifo")


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    for magic, message in [(b"\x7fELF", "67108864"), (b"JAILHOUS", "67108864"), (CELL, "1048576")]:
        path = tmp_path / "huge"
        with path.open("wb") as stream:
            stream.write(magic)
            stream.truncate(1 << 40)
        found = identify(path)
        assert found.kind == "broken"
        assert f"1099511627776 bytes, more than the limit of {message}" in found.error
    with path.open("wb") as stream:
        stream.truncate(1 << 40)
    assert identify(path).kind == "flat"


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert of(data).size == len(data)


def test_mutated_files() -> None:
    rng = random.Random(3)
    genuine = [
        ROOT,
        CELL,
        image(),
        gzip.compress(image(), mtime=0),
        gzip.compress(CPIO),
        firmware(),
    ]
    kinds = set()
    for number in range(2000):
        data = bytearray(genuine[number % len(genuine)])
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        kinds.add(of(bytes(data)).kind)
    assert {"broken", "cell", "root-cell", "kernel", "flat"} <= kinds
