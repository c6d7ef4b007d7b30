# SPDX-License-Identifier: MIT
"""oejail.lock as a file: what is written reads back, what is hostile is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from oejail.errors import ConfigError, Exit
from oejail.workspace import lockfile
from oejail.workspace.lockfile import Image, Lock, Pin

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOCK = Lock(
    schema_version=1,
    oejail="0.1.0",
    oebuild="0.2.1.3",
    tree="openeuler",
    platform="qemu-aarch64",
    feature_schema="v2",
    image=Image("registry.invalid/x/container:latest", "sha256:" + "a" * 64),
    manifest="b" * 64,
    repositories={
        "yocto-poky": Pin("1" * 40, "https://openeuler.invalid/yocto-poky.git"),
        "yocto-meta-openeuler": Pin(COMMIT, "git@openeuler.invalid:x/y.git"),
        "on": Pin("12345678" * 5),
        "1e3": Pin("c" * 64),
    },
)


def test_what_is_written_reads_back_and_is_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "oejail.lock"
    lockfile.write(path, LOCK)
    assert lockfile.read(path) == LOCK
    text = path.read_text()
    assert lockfile.render(lockfile.parse(text.encode())) == text
    # One line a repository, by name; and any YAML reader sees texts, not numbers or booleans.
    assert [line.split(":")[0] for line in text.splitlines() if line.startswith("  ")] == [
        '  "1e3"',
        '  "on"',
        "  yocto-meta-openeuler",
        "  yocto-poky",
    ]
    data = yaml.safe_load(text)
    assert data["repositories"]["on"] == {"commit": "12345678" * 5}
    assert data["oebuild"] == "0.2.1.3"


names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,20}", fullmatch=True)
pins = st.builds(
    Pin,
    st.from_regex(r"[0-9a-f]{40}", fullmatch=True),
    st.none() | st.from_regex(r"https://[a-z0-9./~+%=-]{1,30}", fullmatch=True),
)


@given(st.dictionaries(names, pins, max_size=5), st.from_regex(r"[0-9][0-9.]{0,8}", fullmatch=True))
def test_any_name_and_version_reads_back(repositories: dict[str, Pin], version: str) -> None:
    mine = Lock(1, version, "0.2.1.3", "path", "x", "v1", None, None,
                {"yocto-meta-openeuler": Pin("0" * 40), **repositories})  # fmt: skip
    assert lockfile.parse(lockfile.render(mine).encode()) == mine


def test_none_there(tmp_path: Path) -> None:
    assert lockfile.read(tmp_path / "oejail.lock") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("schema_version: 1", "schema_version: 2", "oejail.lock:3:1: schema version 2, this"),
        ("schema_version: 1", "schema_version: 0", "schema version 0, this oejail reads 1"),
        ("schema_version: 1\n", "", "schema version None, this oejail reads 1"),
        ("schema_version: 1", "schema_version: true", "schema version True"),
        ("tree: openeuler", "tree: elsewhere", "oejail.lock:6:1: tree: 'elsewhere' is not"),
        (COMMIT, "master", "oejail.lock:14:26: repositories.yocto-meta-openeuler.commit: 'master'"),
        (COMMIT, COMMIT[:-1], "is not a commit"),
        (COMMIT, "--upload-pack=touch /tmp/x", "is not a commit"),
        ("git@openeuler.invalid:x/y.git", "ext::sh -c id", "is no http, https, ssh, git or file"),
        ("git@openeuler.invalid:x/y.git", "--upload-pack=x", "is no http, https, ssh, git or file"),
        ("yocto-poky:", "../poky:", "'../poky' is not a file name"),
        ("yocto-poky:", ".git:", "'.git' is not a file name"),
        ("yocto-poky:", "yocto-meta-openeuler:", "again; it stands in line 14 already"),
        ("  yocto-meta-openeuler:", "  other:", "repositories: no yocto-meta-openeuler"),
        ("platform:", "platfrom:", "platfrom: unknown key; did you mean platform?"),
        ('id: "sha256:', 'id: "sha257:', "is not an image's id"),
        ("name: registry.invalid/x/container:latest", 'name: "-v /:/x"', "is no image's name"),
        ('"0.2.1.3"', "0.2", "a whole number|where text is wanted: put it in quotes"),
        ("repositories:", "repositories: [", "YAML syntax"),
        ("tree: openeuler", "tree: &a openeuler", "anchors are not supported"),
    ],
)
def test_what_is_no_lock_is_refused_with_its_line(old: str, new: str, said: str) -> None:
    text = lockfile.render(LOCK)
    text = text.replace(
        '"registry.invalid/x/container:latest"', "registry.invalid/x/container:latest"
    )
    assert old in text
    with pytest.raises(ConfigError) as caught:
        lockfile.parse(text.replace(old, new, 1).encode())
    lines = caught.value.lines()
    assert any(word in line for line in lines for word in said.split("|")), lines
    assert all("oejail.lock" in line for line in lines)
    assert caught.value.exit_code == Exit.USAGE


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"a: \0", b"schema_version: 1\n"])
def test_what_is_no_file_of_ours(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"oejail\.lock"):
        lockfile.parse(data)


def test_too_large_or_no_file(tmp_path: Path) -> None:
    path = tmp_path / "oejail.lock"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="more than the limit"):
        lockfile.read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(ConfigError, match="not a regular file"):
        lockfile.read(path)


def test_what_would_not_read_back_is_not_written(tmp_path: Path) -> None:
    wrong = Lock(1, "0.1.0", "x y", "sample", "p", "v1", None, None, LOCK.repositories)
    with pytest.raises(ConfigError, match="oebuild"):
        lockfile.write(tmp_path / "oejail.lock", wrong)
    assert list(tmp_path.iterdir()) == []
