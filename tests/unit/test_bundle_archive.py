# SPDX-License-Identifier: MIT
"""The archive: what is written is read, and whatever else is reported, never followed."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from oejail.bundle import limits, tarformat, zstdframe
from oejail.bundle.archive import (
    MANIFEST,
    SUMS,
    ArchiveError,
    ArchiveReader,
    Member,
    archive_size,
    order,
    write_archive,
)

Contents = dict[str, tuple[bytes, int]]

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,12}(/[a-z0-9]{1,8}){0,2}", fullmatch=True)
CONTENTS = st.dictionaries(
    NAMES.filter(tarformat.valid_name),
    st.tuples(st.binary(max_size=3000), st.sampled_from(tarformat.MODES)),
    max_size=6,
)
SOME: Contents = {
    MANIFEST: (b"{}\n", 0o644),
    SUMS: (b"sums\n", 0o644),
    "install.sh": (b"#!/bin/sh\n", 0o755),
    "payload/a.bin": (bytes(range(256)) * 5, 0o644),
    "payload/b": (b"", 0o644),
}


def packed(contents: Contents) -> bytes:
    """The archive of `contents`, as it is written."""
    members = [Member(n, len(d), m) for n, (d, m) in contents.items()]
    members.sort(key=lambda member: order(member.name))
    stream = io.BytesIO()
    pairs = ((member, [contents[member.name][0]]) for member in members)
    write_archive(stream, pairs, archive_size(member.size for member in members))
    return stream.getvalue()


def unpacked(archive: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(archive)


def repacked(tar: bytes, checksum: bool = True) -> bytes:
    """Other tar bytes, in a frame that is as it should be."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, source_size=len(tar), write_checksum=checksum
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(tar)


class Read:
    """What reading gave: the contents, the reports, and whether it came to the end."""

    def __init__(self, archive: bytes) -> None:
        self.reports: list[tuple[str, str, str]] = []
        self.contents: Contents = {}
        reader = ArchiveReader(
            io.BytesIO(archive), len(archive), lambda *report: self.reports.append(report)
        )
        try:
            for member in reader.members():
                data = b"".join(reader.data())
                assert len(data) == member.size
                self.contents[member.name] = (data, member.mode)
            self.whole = True
        except ArchiveError:
            self.whole = False

    @property
    def rules(self) -> set[str]:
        return {rule for rule, _, _ in self.reports}


@given(CONTENTS)
def test_what_is_written_is_read(contents: Contents) -> None:
    read = Read(packed(contents))
    assert (read.reports, read.whole) == ([], True)
    assert read.contents == contents
    assert list(read.contents) == sorted(contents, key=order)


def test_other_tools_read_it_too() -> None:
    with tarfile.open(fileobj=io.BytesIO(unpacked(packed(SOME)))) as archive:
        infos = archive.getmembers()
        assert [(i.name, i.mode, i.uid, i.gid, i.uname, i.mtime) for i in infos] == [
            (name, SOME[name][1], 0, 0, "", tarformat.MTIME) for name in sorted(SOME, key=order)
        ]
        stream = archive.extractfile("payload/a.bin")
        assert stream is not None and stream.read() == SOME["payload/a.bin"][0]


def test_tarfile_writes_the_same_bytes() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(SOME, key=order):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(SOME[name][0]), SOME[name][1], tarformat.MTIME
            archive.addfile(info, io.BytesIO(SOME[name][0]))
    ours = unpacked(packed(SOME))
    # Python fills the device fields of a regular file with zeros or octal zeros, by version.
    theirs = stream.getvalue()
    assert len(ours) == len(theirs)
    assert Read(repacked(theirs)).reports == []


@given(st.integers(0), st.integers(1, 255))
def test_one_changed_byte_of_the_tar_is_found(where: int, change: int) -> None:
    tar = bytearray(unpacked(packed(SOME)))
    tar[where % len(tar)] ^= change
    read = Read(repacked(bytes(tar)))
    # Either the archive's form is hurt, or a member's bytes, which the digests tell.
    assert read.reports or read.contents != SOME


@given(st.integers(0), st.integers(1, 255))
def test_one_changed_byte_of_the_frame_changes_no_content(where: int, change: int) -> None:
    archive = bytearray(packed(SOME))
    archive[where % len(archive)] ^= change
    read = Read(bytes(archive))
    # Found, or one that means nothing, such as the window's size: the .sha256 tells those.
    assert read.reports or read.contents == SOME


@given(st.integers(0))
def test_a_cut_archive_is_found(where: int) -> None:
    archive = packed(SOME)
    read = Read(archive[: where % len(archive)])
    assert (read.rules, read.whole) == ({"bundle-archive"}, False)


@given(st.binary(max_size=2000))
def test_garbage_is_reported(data: bytes) -> None:
    assert Read(data).rules == {"bundle-archive"}


@given(st.lists(st.tuples(st.integers(0, 20_000), st.binary(max_size=600)), max_size=4))
def test_garbage_in_the_tar_raises_nothing(patches: list[tuple[int, bytes]]) -> None:
    tar = bytearray(unpacked(packed(SOME)))
    for where, data in patches:
        where %= len(tar)
        tar[where : where + len(data)] = data
    Read(repacked(bytes(tar)))


def tar_of(*infos: tarfile.TarInfo, format: int = tarfile.USTAR_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for info in infos:
            if info.mtime == 0:
                info.mtime = tarformat.MTIME
            archive.addfile(info, io.BytesIO(b"x" * info.size) if info.isreg() else None)
    return stream.getvalue()


def info(name: str = "payload/x", **values: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size = 3
    for key, value in values.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    ("member", "rule"),
    [
        (info(type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0), "bundle-type"),
        (info(type=tarfile.LNKTYPE, linkname="payload/a", size=0), "bundle-type"),
        (info(type=tarfile.CHRTYPE, devmajor=1, devminor=3, size=0), "bundle-type"),
        (info(type=tarfile.BLKTYPE, devmajor=8, size=0), "bundle-type"),
        (info(type=tarfile.FIFOTYPE, size=0), "bundle-type"),
        (info("payload", type=tarfile.DIRTYPE, size=0), "bundle-type"),
        (info("../outside"), "bundle-path"),
        (info("payload/../../outside"), "bundle-path"),
        (info("/etc/passwd"), "bundle-path"),
        (info("payload//x"), "bundle-path"),
        (info("./payload/x"), "bundle-path"),
        (info("payload/.hidden"), "bundle-path"),
        (info("payload/a\nb"), "bundle-path"),
        (info("payload/-rf "), "bundle-path"),
        (info("payload/" + "d" * 60 + "/" + "n" * 60), "bundle-path"),
        (info(mode=0o4755), "bundle-mode"),
        (info(mode=0o600), "bundle-mode"),
        (info(mtime=1), "bundle-header"),
        (info(uid=1000), "bundle-header"),
        (info(gid=5), "bundle-header"),
        (info(uname="root"), "bundle-header"),
        (info(gname="root"), "bundle-header"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.name!r:.20} {value.type!r}",
)
def test_a_member_that_no_bundle_has(member: tarfile.TarInfo, rule: str) -> None:
    read = Read(repacked(tar_of(member)))
    assert read.rules == {rule}
    assert read.whole


@pytest.mark.parametrize(
    "headers",
    [
        {"path": "../../outside"},
        {"size": "99999999999"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "1000000000000"},
        {"linkpath": "/etc"},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_pax_headers_change_nothing(headers: dict[str, str]) -> None:
    member = info(pax_headers=headers)
    if "size" in headers:
        tar = tar_of(member, format=tarfile.PAX_FORMAT).replace(b"size=3", b"size=9")
    else:
        tar = tar_of(member, format=tarfile.PAX_FORMAT)
    read = Read(repacked(tar))
    assert "bundle-type" in read.rules
    assert read.contents.get("payload/x", (b"xxx", 0))[0] == b"xxx"


def test_gnu_long_names_are_no_way_out() -> None:
    read = Read(repacked(tar_of(info("../" * 60 + "outside"), format=tarfile.GNU_FORMAT)))
    assert "bundle-type" in read.rules


def test_duplicates_and_order() -> None:
    assert Read(repacked(tar_of(info(), info()))).rules == {"bundle-duplicate"}
    assert Read(repacked(tar_of(info("b"), info("a")))).rules == {"bundle-order"}
    assert Read(repacked(tar_of(info("a"), info(MANIFEST)))).rules == {"bundle-order"}
    assert Read(repacked(tar_of(info(MANIFEST), info("a"), info("b")))).rules == set()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda tar: tar + bytes(10240), "bundle-trailing"),
        (lambda tar: tar[:-512], "bundle-trailing"),
        (lambda tar: tar[:-1] + b"x", "bundle-trailing"),
        (lambda tar: tar + b"more", "bundle-trailing"),
        (lambda tar: tar[:512] + b"x" * 3 + b"y" + tar[516:], "bundle-header"),
    ],
    ids=["more zeros", "fewer zeros", "data in the end", "data after it", "data in padding"],
)
def test_nothing_hides_in_the_gaps(change: Callable[[bytes], bytes], rule: str) -> None:
    assert Read(repacked(change(tar_of(info())))).rules == {rule}


def streamed(tar: bytes) -> bytes:
    engine = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return engine.compress(tar) + engine.flush()


TAR = tar_of(info())


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (repacked(TAR) + b"\0", "1 bytes follow the end"),
        (repacked(TAR) + repacked(TAR), "follow the end"),
        (repacked(TAR) + b"\x50\x2a\x4d\x18\x04\0\0\0abcd", "12 bytes follow the end"),
        (b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + repacked(TAR), "no zstd archive"),
        (repacked(TAR, checksum=False), "has no checksum"),
        (streamed(TAR), "does not say its size"),
        (repacked(bytes(200 << 20)), "bytes unpack to 209715200, more than 1000 times"),
        (b"\x28\xb5\x2f\xfd\xc4\x70" + b"\xff" * 8, "wants a window"),
        (b"\x28\xb5\x2f\xfd\xe4" + b"\xff" * 8, "wants a window"),
        (b"\x28\xb5\x2f\xfd\xc4\x40" + b"\xff" * 8, "more than the limit"),
        (b"\x28\xb5\x2f\xfd\x65\x01" + bytes(20), "dictionary"),
        (b"\x1f\x8b" + bytes(100), "no zstd archive"),
        (b"", "ends too early, at byte 0"),
    ],
)
def test_frames_that_oejail_does_not_write(archive: bytes, words: str) -> None:
    read = Read(archive)
    assert [(rule, words in text) for rule, _, text in read.reports] == [("bundle-archive", True)]


def test_what_another_packer_made_is_read_all_the_same() -> None:
    """So that a change of a member is named, not only how it was packed."""
    for archive in (streamed(TAR), repacked(TAR, checksum=False)):
        read = Read(archive)
        assert (read.whole, list(read.contents)) == (True, ["payload/x"])


def test_a_frame_without_size_is_bounded_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Read(streamed(tar_of(info(size=100 << 20))))
    assert ("more than 1000 times" in read.reports[-1][2], read.whole) == (True, False)
    monkeypatch.setattr(zstdframe, "MAX_TOTAL", 5000)
    read = Read(streamed(TAR))
    assert ("more than the limit of 5000" in read.reports[-1][2], read.whole) == (True, False)


def test_a_frame_that_understates_its_size() -> None:
    archive = bytearray(repacked(TAR))
    assert archive[4] >> 6 == 1  # two bytes of size follow, less 256
    archive[5:7] = (600).to_bytes(2, "little")
    read = Read(bytes(archive))
    assert read.rules == {"bundle-archive"}


def test_limits_on_count_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MEMBERS", 2)
    assert Read(packed(SOME)).rules == {"bundle-limit"}
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_MEMBER", 1279)
    assert Read(packed(SOME)).rules == {"bundle-limit"}
    monkeypatch.undo()
    monkeypatch.setattr(limits, "MAX_TOTAL", 1290)
    assert "bundle-limit" in Read(packed(SOME)).rules


def test_a_member_may_not_be_shorter_than_it_says() -> None:
    with pytest.raises(ValueError, match="2 bytes instead of 3"):
        write_archive(io.BytesIO(), [(Member("a", 3, 0o644), [b"xy"])], archive_size([3]))


def test_the_bytes_do_not_depend_on_how_they_come() -> None:
    data = bytes(range(256)) * 40_000
    ways = [[data], [data[i : i + 70_000] for i in range(0, len(data), 70_000)]]
    results = set()
    for chunks in ways:
        stream = io.BytesIO()
        write_archive(stream, [(Member("a", len(data), 0o644), chunks)], archive_size([len(data)]))
        results.add(stream.getvalue())
    assert len(results) == 1
