# SPDX-License-Identifier: MIT
"""verify and inspect: a good bundle is good, and no change of it goes unnoticed."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from oejail import bundle
from oejail.bundle import limits, manifest
from oejail.bundle.archive import MANIFEST, SUMS, order
from oejail.bundle.rules import RULES
from oejail.checks import any_fails
from oejail.errors import FindingsError, UsageFault
from oejail.files import canonical_json, sha256_bytes
from tests.support import bundles, elf_files
from tests.support.bundles import Entry


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made")
    bundles.collected(directory)
    return bundles.packed(directory / "out", directory / "good.tar.zst").path


def found(path: Path) -> list[tuple[str, str]]:
    return [(finding.rule, finding.where) for finding in bundle.verify(path)]


def test_a_good_bundle_has_no_finding(made: Path) -> None:
    result = bundle.examine(made)
    assert result.findings == ()
    assert result.manifest is not None and not result.sample
    assert result.digest == bundle.read(made).digest


def test_the_same_members_packed_by_another_tool_are_the_bundle(made: Path, tmp_path: Path) -> None:
    assert found(bundles.change(made, lambda members: None, tmp_path / "b.tar.zst")) == []


NAME = "payload/FreeRTOS.bin"


def test_a_change_is_named_however_it_was_packed(made: Path, tmp_path: Path) -> None:
    members = bundles.entries(made)
    flip(members, NAME)
    plain = zstandard.ZstdCompressor().compress(bundles.tar(members))  # no checksum
    path = bundles.write_bundle(tmp_path / "b.tar.zst", plain)
    assert set(found(path)) == {("bundle-archive", "archive"), ("bundle-digest", NAME)}


def entry(members: list[Entry], name: str = NAME) -> Entry:
    return next(e for e in members if e.name == name)


def replace(members: list[Entry], name: str, data: bytes) -> None:
    entry(members, name).data = data


def flip(members: list[Entry], name: str) -> None:
    data = bytearray(entry(members, name).data)
    data[len(data) // 2] ^= 1
    replace(members, name, bytes(data))


@pytest.mark.parametrize("name", [MANIFEST, SUMS, NAME, "payload/oejail.set", "install.sh"])
def test_one_byte(made: Path, tmp_path: Path, name: str) -> None:
    path = bundles.change(made, lambda members: flip(members, name), tmp_path / "b.tar.zst")
    seen = found(path)
    assert any_fails(bundle.verify(path))
    if name == NAME:
        assert seen == [("bundle-digest", NAME)]
    elif name == SUMS:
        assert {"bundle-sums", "bundle-digest"} & {rule for rule, _ in seen}
    else:
        assert ("bundle-digest", name) in seen


@pytest.mark.parametrize(
    ("edit", "findings"),
    [
        (
            lambda m: setattr(entry(m), "name", "payload/Free.bin"),
            {("bundle-missing", NAME), ("bundle-extra", "payload/Free.bin"), ("bundle-set", None)},
        ),
        (lambda m: setattr(entry(m), "mode", 0o755), {("bundle-mode", NAME)}),
        (
            lambda m: setattr(entry(m, "payload/bin/jailhouse"), "mode", 0o644),
            {("bundle-mode", "payload/bin/jailhouse")},
        ),
        (lambda m: setattr(entry(m, MANIFEST), "mode", 0o755), {("bundle-mode", MANIFEST)}),
        (lambda m: setattr(entry(m), "mode", 0o4755), {("bundle-mode", NAME)}),
        (lambda m: m.append(m.pop(5)), {("bundle-order", None)}),
        (lambda m: m.insert(0, m.pop(1)), {("bundle-order", MANIFEST)}),
        (lambda m: m.remove(entry(m)), {("bundle-missing", NAME), ("bundle-set", None)}),
        (
            lambda m: m.append(Entry("payload/zz", b"more", 0o644)),
            {("bundle-extra", "payload/zz")},
        ),
        (lambda m: m.insert(6, m[5]), {("bundle-duplicate", None)}),
        (lambda m: m.remove(entry(m, MANIFEST)), {("bundle-manifest", MANIFEST)}),
        (lambda m: m.remove(entry(m, SUMS)), {("bundle-sums", SUMS)}),
        (lambda m: m.clear(), {("bundle-manifest", MANIFEST), ("bundle-sums", SUMS)}),
        (lambda m: replace(m, NAME, b""), {("bundle-digest", NAME), ("bundle-size", NAME)}),
        (
            lambda m: replace(m, SUMS, b"\n".join(sorted(entry(m, SUMS).data.split(b"\n")))),
            {("bundle-sums", SUMS), ("bundle-sums", "SHA256SUMS:1")},
        ),
    ],
    ids=[
        "name",
        "mode added",
        "mode lost",
        "mode of the manifest",
        "set-user-id",
        "order",
        "sums first",
        "one less",
        "one more",
        "twice",
        "no manifest",
        "no sums",
        "nothing",
        "emptied",
        "sums in another order",
    ],
)
def test_a_change_is_named(
    made: Path,
    tmp_path: Path,
    edit: Callable[[list[Entry]], object],
    findings: set[tuple[str, str | None]],
) -> None:
    path = bundles.change(made, edit, tmp_path / "b.tar.zst")
    wanted = {(rule, where) for rule, where in findings if where is not None}
    rules = {rule for rule, _ in findings}
    seen = found(path)
    assert wanted <= set(seen)
    assert rules == {rule for rule, _ in seen if rule != "bundle-missing" or rule in rules}
    assert any_fails(bundle.verify(path))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_single_mutation_is_found(
    made: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A byte of a member, of a header, of the end; with the .sha256 forged to fit."""
    tar = bytearray(bundles.tar(bundles.entries(made)))
    where = data.draw(st.integers(0, len(tar) - 1))
    tar[where] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("m") / "b.tar.zst"
    bundles.write_bundle(path, bundles.frame(bytes(tar)))
    assert any_fails(bundle.verify(path))


@given(where=st.integers(0), value=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_any_byte_of_the_archive_is_found_by_its_digest(
    made: Path, tmp_path_factory: pytest.TempPathFactory, where: int, value: int
) -> None:
    archive = bytearray(made.read_bytes())
    archive[where % len(archive)] ^= value
    path = tmp_path_factory.mktemp("m") / made.name
    path.write_bytes(archive)
    bundle.sidecar(path).write_bytes(bundle.sidecar(made).read_bytes())
    assert "bundle-sha256" in dict(found(path))


def test_without_digest_that_is_said_and_no_error(made: Path, tmp_path: Path) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.zst", made.read_bytes(), digest=False)
    assert found(path) == [("bundle-no-sha256", "b.tar.zst")]
    assert not any_fails(bundle.verify(path))


@pytest.mark.parametrize("text", ["", "0" * 64, "x" * 64 + "  b\n", "0" * 64 + "  b.tar.zst\n"])
def test_a_digest_that_does_not_fit(made: Path, tmp_path: Path, text: str) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.zst", made.read_bytes())
    bundle.sidecar(path).write_text(text)
    assert found(path) == [("bundle-sha256", "b.tar.zst")]


def test_a_digest_file_that_is_none(made: Path, tmp_path: Path) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.zst", made.read_bytes(), digest=False)
    os.mkfifo(bundle.sidecar(path))
    assert found(path) == [("bundle-sha256", "b.tar.zst")]


def forge(edit: Callable[[dict[str, object]], object]) -> Callable[[list[Entry]], None]:
    """Edit manifest.json, and make SHA256SUMS fit: only what the manifest says can tell."""

    def apply(members: list[Entry]) -> None:
        head = json.loads(entry(members, MANIFEST).data)
        edit(head)
        replace(members, MANIFEST, canonical_json(head))
        listed = sorted((e for e in members if e.name != SUMS), key=lambda e: order(e.name))
        replace(members, SUMS, manifest.sums((e.name, sha256_bytes(e.data)) for e in listed))

    return apply


@pytest.mark.parametrize(
    ("edit", "rule", "words"),
    [
        (lambda head: head.pop("files"), "bundle-manifest", "files: "),
        (lambda head: head.update(extra=1), "bundle-manifest", "extra: "),
        (lambda head: head.update(sample="no"), "bundle-manifest", "sample: "),
        (lambda head: head.update(schema_version=99), "bundle-manifest", "schema version 99"),
        (lambda head: head["files"].append(head["files"][0]), "bundle-manifest", "again"),
        (lambda head: head["files"].pop(), "bundle-extra", "not in manifest.json"),
        (lambda head: head["files"][0].update(size=1), "bundle-size", "has 1"),
        (lambda head: head["files"][0].update(mode="0755"), "bundle-mode", "has 0755"),
        (lambda head: head["files"][0].update(mode="rw-r--r--"), "bundle-mode", "rw-r--r--"),
        (lambda head: head["set"].update(root="cells/none.cell"), "bundle-set", "cells/none.cell"),
        (lambda head: head["set"].update(inmates=[]), "bundle-set", "not the set"),
        (
            lambda head: head["files"][0].update(path="../../etc/passwd"),
            "bundle-missing",
            "not in the archive, but in manifest.json",
        ),
    ],
)
def test_a_forged_manifest(
    made: Path, tmp_path: Path, edit: Callable[[dict[str, object]], object], rule: str, words: str
) -> None:
    path = bundles.change(made, forge(edit), tmp_path / "b.tar.zst")
    texts = [finding.message for finding in bundle.verify(path) if finding.rule == rule]
    assert any(words in text for text in texts)
    assert any_fails(bundle.verify(path))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"schema_version": 1e999}']
)
def test_a_manifest_that_is_none(made: Path, tmp_path: Path, data: bytes) -> None:
    path = bundles.change(made, lambda m: replace(m, MANIFEST, data), tmp_path / "b.tar.zst")
    assert ("bundle-manifest", MANIFEST) in found(path)
    with pytest.raises(FindingsError, match="no bundle: archive: manifest"):
        bundle.read(path)


def test_a_manifest_beyond_the_limit(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_MANIFEST", 100)
    assert {("bundle-manifest", MANIFEST), ("bundle-sums", SUMS)} <= set(found(made))


def consistent(members: list[Entry], name: str, data: bytes) -> None:
    """Replace a file, and forge manifest.json and SHA256SUMS to fit."""
    replace(members, name, data)

    def edit(head: dict[str, object]) -> None:
        files = head["files"]
        assert isinstance(files, list)
        for listed in files:
            if listed["path"] == name:
                listed.update(sha256=sha256_bytes(data), size=len(data))

    forge(edit)(members)


def test_a_set_that_does_not_fit_is_found(made: Path, tmp_path: Path) -> None:
    """The rules look at the files themselves: here a module for another kernel."""
    other = elf_files.module("6.6.0-other")
    path = bundles.change(
        made, lambda m: consistent(m, "payload/jailhouse.ko", other), tmp_path / "b.tar.zst"
    )
    findings = bundle.verify(path)
    assert any_fails(findings)
    assert not any(finding.rule in RULES for finding in findings)


def test_a_sample_file_in_a_bundle_that_denies_it(made: Path, tmp_path: Path) -> None:
    marked = elf_files.module(extra=b"OEJAIL SAMPLE, NOT JAILHOUSE\0")
    path = bundles.change(
        made, lambda m: consistent(m, "payload/jailhouse.ko", marked), tmp_path / "b.tar.zst"
    )
    assert found(path) == [("bundle-sample", "payload/jailhouse.ko")]


def test_links_are_findings_and_nothing_is_written(made: Path, tmp_path: Path) -> None:
    members = bundles.tar(bundles.entries(made))
    link = tarfile.TarInfo("payload/zz")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    body = members.rstrip(b"\0")
    tar = body + bytes(-len(body) % 512) + link.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    tar += bytes(-len(tar) % 10240)
    path = bundles.write_bundle(tmp_path / "b.tar.zst", bundles.frame(tar))
    assert ("bundle-type", "payload/zz") in found(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar.zst", "b.tar.zst.sha256"]


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo"])
def test_what_is_no_file_is_a_usage_fault(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "b.tar.zst"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(UsageFault, match=r"b\.tar\.zst"):
        bundle.verify(path)
    with pytest.raises(UsageFault, match=r"b\.tar\.zst"):
        bundle.read(path)


@pytest.mark.parametrize("data", [b"", b"no archive", b"\x28\xb5\x2f\xfd"])
def test_what_is_no_bundle(tmp_path: Path, data: bytes) -> None:
    path = bundles.write_bundle(tmp_path / "b.tar.zst", data)
    assert found(path) == [("bundle-archive", "archive")]
    with pytest.raises(FindingsError, match="no bundle"):
        bundle.read(path)


def test_temporary_files_are_gone(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert found(made) == []
    assert list(tmp_path.iterdir()) == []
