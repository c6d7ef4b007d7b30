# SPDX-License-Identifier: MIT
"""pack: the same bytes everywhere, the old bundle or the new one, never less."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import zstandard

from oejail import __version__, bundle
from oejail.artifacts import Artifact, CollectedSet, Collection, layout
from oejail.bundle import limits
from oejail.checks import Finding
from oejail.errors import BuildFailed, UsageFault, WorkspaceBusy
from oejail.files import sha256_bytes, sha256_file
from tests.conftest import repository
from tests.support import bundles

GOLDEN = repository() / "tests" / "data" / "bundle" / "manifest.json"

PACK = """
import os, sys
os.umask(int(sys.argv[3], 8))
from pathlib import Path
from oejail.bundle import pack
pack(Path(sys.argv[1]), Path(sys.argv[2]), name="test", release="1")
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("collected")
    bundles.collected(directory)
    return directory / "out"


@pytest.fixture
def own(out: Path, tmp_path: Path) -> Path:
    """A copy of OUT, to be changed."""
    return Path(shutil.copytree(out, tmp_path / "own"))


def command(source: Path, destination: Path, umask: str = "022") -> list[str]:
    return [sys.executable, "-c", PACK, str(source), str(destination), umask]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(repository()), **more}


def large(out: Path, size: int = 40_000_000) -> Path:
    """OUT with one large file that does not shrink."""
    out.mkdir()
    (out / "boot").mkdir()
    data = random.Random(7).randbytes(size)
    (out / "boot" / "initrd.cpio.gz").write_bytes(data)
    chosen = CollectedSet("root", "oejail.set")
    files = layout.write_own(out, chosen)
    files.append(Artifact("initrd", "boot/initrd.cpio.gz", "x", sha256_bytes(data), size, 0o644))
    layout.write_index(out, Collection(1, "0", "p", "m", "", False, "", chosen, tuple(files), ()))
    return out


def leftovers(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name.startswith("."))


def test_the_result_describes_the_bundle(out: Path, tmp_path: Path) -> None:
    result = bundles.packed(out, tmp_path / "new" / "b.tar.zst")
    assert result.path == tmp_path / "new" / "b.tar.zst"
    assert result.sha256 == sha256_file(result.path)
    assert result.size == result.path.stat().st_size
    assert result.digest == bundle.read(result.path).digest
    assert bundle.sidecar(result.path).read_text() == f"{result.sha256}  b.tar.zst\n"
    assert [p.name for p in result.path.parent.iterdir()].count("b.tar.zst") == 1
    assert leftovers(result.path.parent) == []
    assert result.path.stat().st_mode & 0o777 == 0o644


def test_the_manifest(out: Path, tmp_path: Path) -> None:
    finding = Finding("RULE", "warning", "an example", "payload/x")
    result = bundle.pack(out, tmp_path / "b.tar.zst", name="test", release="1", findings=[finding])
    head = json.loads(bundles.entries(result.path)[0].data)
    assert head["tools"] == {
        "oejail": __version__,
        "zstandard": zstandard.__version__,
        "zstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        "compilers": ["GCC: (GNU) 10.3.1"],
    }
    # What oejail itself puts in changes with its scripts; the golden file is about the form.
    scripts = {e.name: e.data for e in bundles.entries(result.path)}
    for entry in head["files"]:
        if entry["role"] == "script":
            assert entry["sha256"] == sha256_bytes(scripts[entry["path"]])
            assert entry["size"] == len(scripts[entry["path"]])
            entry["sha256"], entry["size"] = "0" * 64, 0
    head["tools"].update(oejail="VERSION", zstandard="VERSION", zstd="VERSION")
    assert head == json.loads(GOLDEN.read_text())


def test_the_same_bytes_everywhere(out: Path, tmp_path: Path) -> None:
    """Other directory, order on disk, modes, times, umask, time zone, locale and working place."""
    other = tmp_path / "another place" / "out"
    files = sorted((p for p in out.rglob("*") if p.is_file()), reverse=True)
    for file in files:
        target = other / file.relative_to(out)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
        target.chmod(0o700)
        os.utime(target, (0, 1_000_000_000))
    one, two = tmp_path / "1.tar.zst", tmp_path / "2.tar.zst"
    subprocess.run(
        command(out, one), check=True, env=environment(TZ="UTC", LC_ALL="C.UTF-8"), cwd="/"
    )
    subprocess.run(
        command(Path("out"), two, "077"),
        check=True,
        env=environment(
            TZ="Asia/Shanghai",
            LC_ALL="tr_TR.ISO-8859-9",
            USER="x",
            SOURCE_DATE_EPOCH="1",
            PYTHONHASHSEED="7",
        ),
        cwd=other.parent,
    )
    assert one.read_bytes() == two.read_bytes()
    again = bundles.packed(out, tmp_path / "3.tar.zst")
    assert again.path.read_bytes() == one.read_bytes()


def test_a_name_of_the_tree_marks_a_sample(out: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.tar.zst"
    bundle.pack(out, path, name="n", release="r", sample=True)
    assert bundle.examine(path).sample
    assert bundle.verify(path) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda own: (own / "payload/FreeRTOS.bin").write_bytes(b"x" * 8240), "is .*, was "),
        (
            lambda own: (own / "payload/FreeRTOS.bin").write_bytes(b""),
            "FreeRTOS.bin: is of 0 bytes, was",
        ),
        (lambda own: (own / "payload/FreeRTOS.bin").unlink(), "FreeRTOS.bin: No such file"),
        (lambda own: (own / "payload/more").write_bytes(b""), "payload/more: not listed"),
        (lambda own: (own / "boot/link").symlink_to("/etc/passwd"), "boot/link: not listed"),
        (
            lambda own: (
                (own / "payload/oejail.set").unlink(),
                (own / "payload/oejail.set").symlink_to("/etc/passwd"),
            ),
            "oejail.set: is no regular file",
        ),
    ],
    ids=["other bytes", "emptied", "gone", "more", "a link more", "a link instead"],
)
def test_out_must_be_what_was_collected(
    own: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    damage(own)
    with pytest.raises(UsageFault, match=f"not as it was collected: .*{words}"):
        bundles.packed(own, tmp_path / "b.tar.zst")
    assert not (tmp_path / "b.tar.zst").exists()


def test_an_index_that_names_other_places(own: Path, tmp_path: Path) -> None:
    index = own / layout.INDEX
    text = index.read_text()
    (tmp_path / "secret").write_bytes(b"x")
    index.write_text(text.replace('"payload/FreeRTOS.bin"', '"payload/../../secret"'))
    with pytest.raises(UsageFault, match="not as it was collected"):
        bundles.packed(own, tmp_path / "b.tar.zst")


def test_no_collection_here(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="nothing collected here"):
        bundles.packed(tmp_path, tmp_path / "b.tar.zst")
    with pytest.raises(UsageFault, match="nothing collected here"):
        bundles.packed(tmp_path / "none", tmp_path / "b.tar.zst")


def test_a_file_that_changes_while_it_is_packed(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = import_module("oejail.bundle.pack")
    check = module._check

    def then_change(where: Path, collection: Collection) -> list[Artifact]:
        result: list[Artifact] = check(where, collection)
        (own / "payload/FreeRTOS.bin").write_bytes(b"y" * 8240)
        return result

    monkeypatch.setattr(module, "_check", then_change)
    with pytest.raises(BuildFailed, match=r"FreeRTOS\.bin: changed while it was packed"):
        bundles.packed(own, tmp_path / "b.tar.zst")
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "b.tar.zst").exists()


def test_limits_are_the_readers(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_MEMBERS", 3)
    with pytest.raises(UsageFault, match="too much for a bundle"):
        bundles.packed(out, tmp_path / "b.tar.zst")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "RATIO_FREE", 0)
    monkeypatch.setattr(limits, "MAX_RATIO", 1)
    with pytest.raises(UsageFault, match="bomb"):
        bundles.packed(out, tmp_path / "b.tar.zst")
    assert sorted(p.name for p in tmp_path.iterdir()) == []


def test_no_room_left(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for a full disk: write() fails in the middle of the archive."""
    source, target = large(tmp_path / "out"), tmp_path / "dist" / "b.tar.zst"
    target.parent.mkdir()
    target.write_bytes(b"the bundle before")
    bundle.sidecar(target).write_bytes(b"its digest")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, 5_000_000))

    code = f"try:\n exec({PACK!r})\nexcept OSError as error:\n print(error.errno, error.filename)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(target), "022"],
        env=environment(),
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{errno.EFBIG} {target}\n"
    assert target.read_bytes() == b"the bundle before"
    assert bundle.sidecar(target).read_bytes() == b"its digest"
    assert leftovers(target.parent) == []


def test_a_directory_that_cannot_be_written(out: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"file"):
        bundles.packed(out, tmp_path / "file" / "b.tar.zst")
    (tmp_path / "b.tar.zst").mkdir()
    with pytest.raises(IsADirectoryError):
        bundles.packed(out, tmp_path / "b.tar.zst")
    assert leftovers(tmp_path) == []


def test_killed_at_any_moment(tmp_path: Path) -> None:
    source, target = large(tmp_path / "out", 25_000_000), tmp_path / "dist" / "b.tar.zst"
    target.parent.mkdir()
    before = bundles.write_bundle(target, b"the bundle before").read_bytes()
    began = time.monotonic()
    whole = tmp_path / "whole.tar.zst"
    subprocess.run(command(source, whole), check=True, env=environment())
    length = time.monotonic() - began
    seen = set()
    for step in range(8):
        process = subprocess.Popen(command(source, target), env=environment())
        time.sleep(length * (step + 1) / 8)
        process.send_signal(signal.SIGKILL)
        process.wait()
        now = target.read_bytes()
        assert now in (before, whole.read_bytes())
        seen.add(now)
        if bundle.sidecar(target).exists():
            assert bundle.sidecar(target).read_text().startswith(sha256_file(target))
    assert before in seen
    subprocess.run(command(source, target), check=True, env=environment())
    assert target.read_bytes() == whole.read_bytes()
    rules = {finding.rule for finding in bundle.verify(target)}
    assert not rules & {"bundle-archive", "bundle-sha256", "bundle-no-sha256", "bundle-digest"}
    assert leftovers(target.parent) == []


def test_two_at_once(tmp_path: Path) -> None:
    source, target = large(tmp_path / "out"), tmp_path / "b.tar.zst"
    running = [
        subprocess.Popen(command(source, target), env=environment(), stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in running]
    assert 0 in [status for _, status in ends]
    for said, status in ends:
        assert status == 0 or b"another oejail is writing b.tar.zst" in said
    rules = {finding.rule for finding in bundle.verify(target)}
    assert not rules & {"bundle-archive", "bundle-sha256", "bundle-no-sha256", "bundle-digest"}
    assert leftovers(tmp_path) == []


def test_somebody_else_is_writing(out: Path, tmp_path: Path) -> None:
    partial = tmp_path / ".b.tar.zst.partial"
    with partial.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(WorkspaceBusy, match=r"another oejail is writing b\.tar\.zst"):
            bundles.packed(out, tmp_path / "b.tar.zst")
    assert partial.exists()


def test_what_a_killed_run_left_is_taken_over(out: Path, tmp_path: Path) -> None:
    partial = tmp_path / ".b.tar.zst.partial"
    partial.write_bytes(b"x" * 1_000_000)
    result = bundles.packed(out, tmp_path / "b.tar.zst")
    assert result.size == result.path.stat().st_size < 100_000
    assert not partial.exists()


def test_a_link_in_the_place_of_the_partial_file_is_not_followed(out: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".b.tar.zst.partial").symlink_to(victim)
    with pytest.raises(OSError, match=r"b\.tar\.zst"):
        bundles.packed(out, tmp_path / "b.tar.zst")
    (tmp_path / ".b.tar.zst.partial").unlink()
    (tmp_path / ".b.tar.zst.sha256.partial").symlink_to(victim)
    assert bundle.verify(bundles.packed(out, tmp_path / "b.tar.zst").path) == []
    assert victim.read_bytes() == b"precious"
