# SPDX-License-Identifier: MIT
"""Whatever the bytes, `decode` ends in a value or a CellFormatError, soon and in little memory."""

from __future__ import annotations

import os
import random
import time
import tracemalloc

from hypothesis import example, given
from hypothesis import strategies as st

from oejail.cells import CellFormatError, decode, encode, shipped, shipped_names
from tests.support.cell_values import LAYOUTS

MUTATIONS = int(os.environ.get("OEJAIL_TEST_MUTATIONS", "10000"))
"""`make soak` sets a million."""

GENUINE = [
    encode(shipped(name), layout=family, revision=revision, arch="arm64")
    for name in shipped_names()
    for family, revision in LAYOUTS
]


def outcome(raw: bytes) -> str:
    """`value`, with the round trip checked, or the field that was found wrong."""
    try:
        config = decode(raw)
    except CellFormatError as error:
        assert 0 <= error.offset <= len(raw) or error.field == "root cell descriptor"
        return error.field
    assert encode(config) == raw
    return "value"


@given(st.binary(max_size=600))
@example(b"JHCELL\x0d\x00" + b"\xff" * 592)
def test_any_bytes(raw: bytes) -> None:
    outcome(raw)


@given(st.sampled_from([b"JHCELL", b"JHSYST", b"JHCLL\x02", b"JHSYS\x00"]), st.data())
def test_any_bytes_with_a_signature(signature: bytes, data: st.DataObject) -> None:
    revision = data.draw(st.sampled_from([12, 13, 14]))
    head = signature + revision.to_bytes(2, "little")
    outcome(head + data.draw(st.binary(min_size=124, max_size=900)))


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """One to four of: a byte or word changed, a part cut, doubled or put in."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        match rng.randrange(6):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                at -= at % 4
                word = rng.choice([0, 1, 7, 0xFF, 0x1000, 0x7FFFFFFF, 0xFFFFFFFF])
                data[at : at + 4] = word.to_bytes(4, "little")
            case 2:
                del data[at:]
            case 3:
                data[at:at] = data[at : at + 40]
            case 4:
                data[at:at] = rng.randbytes(rng.randint(1, 16))
            case 5:
                data += bytes(rng.randint(1, 64))
    return bytes(data)


def test_mutated_configurations() -> None:
    rng = random.Random(20)
    outcomes: dict[str, int] = {}
    for number in range(MUTATIONS):
        result = outcome(mutated(rng, GENUINE[number % len(GENUINE)]))
        outcomes[result.partition(" ")[0]] = outcomes.get(result.partition(" ")[0], 0) + 1
    # The mutations reach both ends: many are still readable, and each check refused some.
    assert outcomes["value"] > MUTATIONS // 5
    refused = {"signature", "revision", "size", "root", "memory", "cpu_set_size"}
    assert refused <= set(outcomes), outcomes


def test_counts_are_checked_before_anything_is_allocated() -> None:
    raw = bytearray(GENUINE[0])
    raw[356 + 52 : 356 + 80] = b"\xff" * 28
    for data in (bytes(raw), b"JHCELL\x0d\x00" + b"\xff" * 400):
        tracemalloc.start()
        outcome(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000


def test_the_largest_file_is_read_in_bounded_time() -> None:
    count = ((1 << 20) - 132) // 32
    raw = bytearray(1 << 20)
    raw[:8] = b"JHCELL\x0d\x00"
    raw[52:56] = count.to_bytes(4, "little")
    begun = time.process_time()
    assert outcome(bytes(raw)) == "value"
    assert time.process_time() - begun < 5


def test_decoding_is_fast() -> None:
    """At most 1 ms a cell."""
    begun = time.process_time()
    for raw in GENUINE:
        decode(raw)
    assert (time.process_time() - begun) / len(GENUINE) < 0.001
