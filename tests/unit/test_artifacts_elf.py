# SPDX-License-Identifier: MIT
from __future__ import annotations

import contextlib
import random
import sys
import time
import tracemalloc
from io import BytesIO
from pathlib import Path
from struct import pack, pack_into

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

from oejail.artifacts.elf import Module, Program, Segment, modinfo, parse_elf, read_elf
from oejail.errors import ConfigError
from tests.support.elf_files import elf, module, tool

MUTATIONS = 3000


def test_module() -> None:
    found = read_elf(module("5.10.0-openeuler", "v0.12"))
    assert isinstance(found, Module)
    assert (found.arch, found.name, found.version) == ("arm64", "jailhouse", "v0.12")
    assert found.vermagic == "5.10.0-openeuler SMP preempt mod_unload aarch64"
    assert found.release == "5.10.0-openeuler"
    assert found.firmware == ("jailhouse.bin",)
    assert found.signatures == ("JHCELL", "JHSYST")


def test_signatures_of_upstreams_revision_14() -> None:
    data = elf({".modinfo": b"name=jailhouse\0", ".rodata": b"JHSYS\0JHCLL\0"})
    found = read_elf(data)
    assert isinstance(found, Module)
    assert found.signatures == ("JHCLL", "JHSYS")
    assert (found.release, found.version, found.firmware) == ("", "", ())


def test_modinfo() -> None:
    section = b"a=1\0\0b=x=y\0a=2\0nonsense\0c=\xff\0"
    assert modinfo(section) == {"a": ["1", "2"], "b": ["x=y"], "c": ["�"]}


def test_tool() -> None:
    found = read_elf(tool())
    assert isinstance(found, Program)
    assert (found.jailhouse_tool, found.loads_elf) == (True, False)
    assert (found.elf.type, found.elf.static, found.elf.bits) == ("executable", True, 64)
    patched = read_elf(tool(b"load elf data failed\n"))
    assert isinstance(patched, Program)
    assert patched.loads_elf


def test_an_object_file_without_modinfo_is_no_module() -> None:
    found = read_elf(elf({".text": b"\0" * 8}))
    assert isinstance(found, Program)
    assert (found.elf.type, found.elf.static, found.jailhouse_tool) == ("relocatable", False, False)


def test_segments() -> None:
    found = parse_elf(elf({".text": b"\0" * 8}, kind=2, entry=0x7A000078))
    assert found.entry == 0x7A000078
    size = len(elf({".text": b"\0" * 8}, kind=2, entry=0x7A000078))
    assert found.segments == (Segment(0x7A000000, 0x7A000000, size, size),)


@pytest.mark.parametrize(("machine", "arch"), [(183, "arm64"), (40, "arm"), (62, "x86")])
def test_architectures(machine: int, arch: str) -> None:
    assert parse_elf(elf({".a": b"1"}, machine=machine)).arch == arch


def test_another_machine_keeps_its_name() -> None:
    assert parse_elf(elf({".a": b"1"}, machine=243)).arch == "EM_RISCV"


def test_this_interpreter_is_read_as_the_library_reads_it() -> None:
    path = Path(sys.executable).resolve()
    data = path.read_bytes()
    if not data.startswith(b"\x7fELF"):  # a frozen or scripted interpreter: take a library
        import _hashlib

        data = Path(_hashlib.__file__).read_bytes()
    ours, theirs = parse_elf(data), ELFFile(BytesIO(data))
    sections = {
        s.name: (s["sh_offset"], 0 if s["sh_type"] == "SHT_NOBITS" else s["sh_size"])
        for s in theirs.iter_sections()
        if s.name
    }
    assert ours.sections == sections
    loaded = [s for s in theirs.iter_segments() if s["p_type"] == "PT_LOAD"]
    assert [s.address for s in ours.segments] == [s["p_vaddr"] for s in loaded]
    interpreter = any(s["p_type"] == "PT_INTERP" for s in theirs.iter_segments())
    assert ours.interpreter is interpreter


@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20).map(
            lambda name: "." + name
        ),
        st.binary(max_size=40),
        max_size=5,
    ).filter(lambda sections: ".shstrtab" not in sections)
)
def test_sections_are_the_librarys(sections: dict[str, bytes]) -> None:
    data = elf(sections)
    ours = parse_elf(data).sections
    theirs = {
        s.name: (s["sh_offset"], s["sh_size"]) for s in ELFFile(BytesIO(data)).iter_sections()
    }
    theirs.pop("", None)
    assert ours == theirs
    for name, content in sections.items():
        offset, size = ours[name]
        assert data[offset : offset + size] == content


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x7fELF", "malformed ELF file"),
        (b"\x7fELF\x02\x01\x01" + bytes(50), "malformed ELF file"),
        (module()[:200], "malformed ELF file"),
        (module()[:-1], "malformed ELF file"),
    ],
)
def test_cut_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_elf(data, "x.ko")


def with_header(data: bytes, offset: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    pack_into(form, changed, offset, value)
    return bytes(changed)


def test_limits() -> None:
    many = with_header(module(), 60, "<H", 5000)
    with pytest.raises(ConfigError, match="5000 sections and 0 segments, more than the limits"):
        parse_elf(many)
    many = with_header(tool(), 56, "<H", 300)
    with pytest.raises(ConfigError, match="300 segments"):
        parse_elf(many)
    with pytest.raises(ConfigError, match=r"\.modinfo of 70000 bytes, more than 65536"):
        read_elf(elf({".modinfo": bytes(70_000)}))


def test_a_section_beyond_the_file_is_refused() -> None:
    data = module()
    table = int.from_bytes(data[40:48], "little")
    with pytest.raises(ConfigError, match=r"x: section 1 ends at 0x.*, the file at"):
        parse_elf(with_header(data, table + 64 + 32, "<Q", 1 << 40), "x")


def hostile_counts() -> bytes:
    """e_shnum 0 with a first section that claims 2^64 - 1 of them, as the ELF standard allows."""
    data = bytearray(module())
    table = int.from_bytes(data[40:48], "little")
    pack_into("<H", data, 60, 0)
    pack_into("<Q", data, table + 32, (1 << 64) - 1)
    return bytes(data)


def hash_bombs() -> bytes:
    """A section of each kind that the library would expand: GNU hash with 2^32 buckets, a
    compressed one, symbol tables that link to themselves."""
    data = bytearray(elf({f".s{i}": pack("<4I", 0xFFFFFFFF, 1, 1, 1) for i in range(64)}))
    table = int.from_bytes(data[40:48], "little")
    for index in range(1, 65):
        kind, flags = [(0x6FFFFFF6, 0), (1, 0x800), (2, 0), (5, 0)][index % 4]
        pack_into("<I", data, table + 64 * index + 4, kind)
        pack_into("<Q", data, table + 64 * index + 8, flags)
        pack_into("<I", data, table + 64 * index + 40, index)
    return bytes(data)


@pytest.mark.parametrize("make", [hostile_counts, hash_bombs])
def test_hostile_files_cost_little(make: object) -> None:
    assert callable(make)
    data = make()
    read_elf(module())  # the library's own import is not what is measured
    tracemalloc.start()
    begun = time.process_time()
    with contextlib.suppress(ConfigError):
        read_elf(data)
    seconds = time.process_time() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 2
    assert peak < 4 << 20


def test_mutated_files_end_in_a_value_or_a_config_error() -> None:
    rng = random.Random(7)
    genuine = [module(), tool(), elf({".a": b"1"}, kind=3)]
    refused = 0
    for number in range(MUTATIONS):
        data = bytearray(genuine[number % 3])
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(64)
            data[at] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        try:
            assert isinstance(read_elf(bytes(data)), Module | Program)
        except ConfigError as error:
            refused += 1
            assert "\n" not in error.message
    assert MUTATIONS // 10 < refused < MUTATIONS
