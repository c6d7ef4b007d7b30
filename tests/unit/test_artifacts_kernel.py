# SPDX-License-Identifier: MIT
from __future__ import annotations

import gzip
import io
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.artifacts.kernel import file_chunks, find_release, gzip_chunks, kernel_arch
from oejail.errors import ConfigError

BANNER = b"Linux version 5.10.0-openeuler (builder@host) #1 SMP\n\0"


def image(text: bytes = BANNER, padding: int = 100) -> bytes:
    head = bytearray(64)
    head[:2] = b"MZ"
    head[0x38:0x3C] = b"ARMd"
    return bytes(head) + bytes(padding) + b"%s version %s\0Linux version %s (%s)\0" + text


def test_architecture() -> None:
    assert kernel_arch(image()) == "arm64"
    arm = bytearray(64)
    arm[0x24:0x28] = bytes.fromhex("18286f01")
    assert kernel_arch(bytes(arm)) == "arm"
    assert kernel_arch(b"MZ") is None
    assert kernel_arch(b"") is None


@given(st.integers(1, 200), st.integers(0, 3000))
def test_the_banner_is_found_across_pieces(piece: int, padding: int) -> None:
    data = image(padding=padding)
    pieces = (data[at : at + piece] for at in range(0, len(data), piece))
    assert find_release(pieces) == "5.10.0-openeuler"


def test_a_format_string_is_no_banner() -> None:
    assert find_release([image(text=b"")]) == ""
    assert find_release([b"Linux version 6.1 without a builder" * 1000]) == ""


def test_gzip_is_unpacked_in_pieces() -> None:
    data = image(padding=3 << 20)
    pieces = list(gzip_chunks(io.BytesIO(gzip.compress(data))))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 1 << 20
    assert find_release(iter(pieces)) == "5.10.0-openeuler"


def test_a_bomb_ends_at_the_limit() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    assert len(bomb) < 1 << 20
    tracemalloc.start()
    total = sum(len(piece) for piece in gzip_chunks(io.BytesIO(bomb), limit=64 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 64 << 20
    assert peak < 8 << 20


def test_damaged_and_cut_gzip() -> None:
    packed = gzip.compress(image(padding=5000))
    with pytest.raises(ConfigError, match="damaged gzip data"):
        list(gzip_chunks(io.BytesIO(packed[:20] + b"\xff" * 20 + packed[40:])))
    assert image(padding=5000).startswith(b"".join(gzip_chunks(io.BytesIO(packed[:-10]))))
    assert list(gzip_chunks(io.BytesIO(b""))) == []


@given(st.binary(max_size=200))
def test_any_bytes_as_gzip(data: bytes) -> None:
    try:
        assert sum(map(len, gzip_chunks(io.BytesIO(b"\x1f\x8b\x08\0" + data)))) < 1 << 20
    except ConfigError as error:
        assert error.message.startswith("damaged gzip data")


def test_reading_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oejail.artifacts.kernel.MAX_UNPACKED", 3_000_000)
    assert sum(map(len, file_chunks(io.BytesIO(bytes(5_000_000))))) == 3_000_000


def test_searching_is_linear() -> None:
    begun = time.process_time()
    assert find_release([b"Linux version 1.1" * 60_000] * 8) == ""
    assert time.process_time() - begun < 5
