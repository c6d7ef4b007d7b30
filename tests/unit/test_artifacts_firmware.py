# SPDX-License-Identifier: MIT
from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oejail.artifacts.firmware import Firmware, parse_firmware
from oejail.errors import ConfigError


def firmware(core: int = 0x40000, percpu: int = 0x3000, text: bytes = b"") -> bytes:
    return b"JAILHOUS" + pack("<4Q", core, percpu, 0x1000, 0x2000) + bytes(64) + text


def test_header_and_version() -> None:
    found = parse_firmware(firmware(text=b"Initializing\0v0.12 (324-ge57d1eff)\0more"))
    assert found == Firmware(0x40000, 0x3000, 0x1000, 0x2000, "v0.12 (324-ge57d1eff)")


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (b"", ""),
        (b"\0v0.12\0", "v0.12"),
        (b"\0v0.9.1\n", "v0.9.1"),
        (b"\0v0.12 (\0", ""),
        (b"v" + b"1" * 5000, ""),
    ],
)
def test_version(text: bytes, version: str) -> None:
    assert parse_firmware(firmware(text=text)).version == version


def test_capacity() -> None:
    found = parse_firmware(firmware(0x40000, 0x3000))
    assert found.required(4, 1096) == 0x40000 + 4 * 0x3000 + 1096


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: offset 0: signature: found b''"),
        (b"jailhous" * 20, "found b'jailhous', expected b'JAILHOUS'"),
        (firmware()[:75], "x: offset 8: header: found 75 bytes, expected at least 76"),
    ],
)
def test_errors(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_firmware(data, "x")
    assert message in caught.value.message


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, signed: bool) -> None:
    try:
        assert isinstance(parse_firmware((b"JAILHOUS" if signed else b"") + data), Firmware)
    except ConfigError:
        assert not signed or len(data) < 68
