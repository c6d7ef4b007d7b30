# SPDX-License-Identifier: MIT
"""Signatures with OpenSSH's own ssh-keygen and ssh-agent (Debian: openssh-client)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import bundles
from tests.support.cli import oejail


def keygen(*arguments: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with OUT, two keys, and a signed bundle."""
    top = tmp_path_factory.mktemp("sign")
    bundles.collected(top)
    for name in ("alice", "mallory"):
        keygen("-t", "ed25519", "-N", "", "-C", name, "-f", top / name)
    oejail(top, "bundle", "out", "-o", "b.tar.zst", "--sign", "alice")
    return top


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "p", ignore=shutil.ignore_patterns("build", "out"))
    return tmp_path / "p"


def allow(place: Path, key: str = "alice", options: str = 'namespaces="oejail-bundle"') -> str:
    public = (place / f"{key}.pub").read_text()
    (place / "signers").write_text(f"# who signs\n{key}@example.org {options} {public}")
    return "signers"


def rules(place: Path, *arguments: str) -> list[str]:
    """The rules of the findings that verify ends with status 3 for."""
    report = json.loads(oejail(place, "verify", "b.tar.zst", *arguments, "--json", status=3).out)
    assert (report["ok"], report["signer"]) == (False, None)
    return [finding["rule"] for finding in report["findings"]]


def test_signed_by_an_allowed_signer(place: Path) -> None:
    said = oejail(place, "verify", "b.tar.zst", "--signers", allow(place))
    assert said.out.splitlines()[-1] == "signed by alice@example.org"
    report = json.loads(oejail(place, "verify", "b.tar.zst", "--signers", "signers", "--json").out)
    assert report["signer"] == "alice@example.org"
    # Nobody asked: the signature is not looked at.
    assert json.loads(oejail(place, "verify", "b.tar.zst", "--json").out)["signer"] is None


def test_the_signature_is_that_of_openssh(place: Path, made: Path) -> None:
    """Anybody can check it without oejail, over SHA256SUMS."""
    sums = next(e.data for e in bundles.entries(place / "b.tar.zst") if e.name == "SHA256SUMS")
    argv = ["ssh-keygen", "-Y", "verify", "-n", "oejail-bundle", "-I", "alice@example.org"]
    argv += ["-s", str(place / "b.tar.zst.sig"), "-f", str(place / allow(place))]
    assert subprocess.run(argv, input=sums, capture_output=True).returncode == 0
    assert (place / "b.tar.zst.sig").stat().st_mode & 0o777 == 0o644


def damage_bundle(place: Path) -> None:
    changed = bundles.replace_member(
        place / "b.tar.zst", "payload/FreeRTOS.bin", b"\0" * 512, place / "c.tar.zst"
    )
    changed.rename(place / "b.tar.zst")
    (place / "c.tar.zst.sha256").unlink()
    (place / "b.tar.zst.sha256").unlink()


def sign_for_files(place: Path) -> None:
    sums = next(e.data for e in bundles.entries(place / "b.tar.zst") if e.name == "SHA256SUMS")
    (place / "sums").write_bytes(sums)
    keygen("-Y", "sign", "-n", "file", "-f", place / "alice", place / "sums")
    (place / "sums.sig").replace(place / "b.tar.zst.sig")


def cut(place: Path) -> None:
    text = (place / "b.tar.zst.sig").read_text()
    (place / "b.tar.zst.sig").write_text(text[:100])


def edit(place: Path) -> None:
    """A valid armour whose signature's last bytes differ."""
    text = (place / "b.tar.zst.sig").read_text().splitlines()
    text[-2] = text[-2].translate(str.maketrans("abcdefABCDEF", "bcdefaBCDEFA"))
    (place / "b.tar.zst.sig").write_text("\n".join(text) + "\n")


def huge(place: Path) -> None:
    with (place / "b.tar.zst.sig").open("wb") as stream:
        stream.truncate(1 << 40)


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda p: (p / "b.tar.zst.sig").unlink(), "bundle-signature-missing"),
        (damage_bundle, "bundle-signature"),
        (cut, "bundle-signature"),
        (edit, "bundle-signature"),
        (huge, "bundle-signature"),
        (lambda p: (p / "b.tar.zst.sig").write_bytes(b"\xff\0" * 99), "bundle-signature"),
        (sign_for_files, "bundle-signature-namespace"),
    ],
    ids=["missing", "other files", "cut", "edited", "huge", "garbage", "namespace"],
)
def test_a_signature_that_does_not_hold(
    place: Path, damage: Callable[[Path], object], rule: str
) -> None:
    signers = allow(place)
    damage(place)
    assert [r for r in rules(place, "--signers", signers) if r != "bundle-no-sha256"] == [rule]


@pytest.mark.parametrize(
    ("key", "options", "rule", "words"),
    [
        ("mallory", "", "bundle-signature-signer", "is none of those in signers"),
        (
            "alice",
            'namespaces="git"',
            "bundle-signature-signer",
            "does not allow",
        ),
        ("alice", 'valid-before="20200101"', "bundle-signature-expired", 'valid-before="20200101"'),
        ("alice", 'valid-after="20990101"', "bundle-signature-expired", "signers:2: "),
    ],
)
def test_a_signer_who_is_not_allowed(
    place: Path, key: str, options: str, rule: str, words: str
) -> None:
    said = oejail(place, "verify", "b.tar.zst", "--signers", allow(place, key, options), status=3)
    assert f"[{rule}]" in said.out and words in said.out
    assert rule in rules(place, "--signers", "signers")


def test_nothing_of_a_strangers_files_is_judged(place: Path) -> None:
    """The rules on cells and images are not run before the signature holds."""
    damage_bundle(place)
    assert "bundle-signature" in rules(place, "--signers", allow(place))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda p: None, "none: No such file"),
        (lambda p: (p / "none").mkdir(), "none: not a regular file"),
    ],
)
def test_signers_that_cannot_be_read(
    place: Path, prepare: Callable[[Path], object], words: str
) -> None:
    prepare(place)
    said = oejail(place, "verify", "b.tar.zst", "--signers", "none", status=2)
    assert f"--signers {words}" in said.err


def test_the_projects_signers_are_the_default(place: Path) -> None:
    oejail(place, "init")
    text = (place / "oejail.yaml").read_text()
    changed = re.sub(r"^#? *signers:.*$", f"signers: {allow(place, 'mallory')}", text, flags=re.M)
    assert changed != text
    (place / "oejail.yaml").write_text(changed)
    assert rules(place) == ["bundle-signature-signer"]
    allow(place)
    assert "signed by alice" in oejail(place, "verify", "b.tar.zst").out


@pytest.fixture
def agent(place: Path) -> Iterator[str]:
    """The socket of an agent that has a key with a passphrase, locked.pub beside us."""
    keygen("-t", "ed25519", "-N", "secret", "-C", "locked", "-f", place / "locked")
    socket = place / "s"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert process.poll() is None
        askpass = place / "askpass"
        askpass.write_text("#!/bin/sh\necho secret\n")
        askpass.chmod(0o700)
        env = os.environ | {"SSH_AUTH_SOCK": str(socket), "SSH_ASKPASS": str(askpass)}
        env["SSH_ASKPASS_REQUIRE"] = "force"
        subprocess.run(["ssh-add", "-q", place / "locked"], env=env, check=True)
        yield str(socket)
    finally:
        process.terminate()
        process.wait()


def test_a_key_of_the_agent(place: Path, made: Path, agent: str) -> None:
    (place / "locked").unlink()  # the agent alone has it
    argv = ("bundle", str(made / "out"), "-o", "b.tar.zst", "--sign")
    oejail(place, *argv, "locked.pub", SSH_AUTH_SOCK=agent)
    assert (
        "signed by locked@"
        in oejail(place, "verify", "b.tar.zst", "--signers", allow(place, "locked")).out
    )


def test_packing_the_same_keeps_the_signature(place: Path, made: Path) -> None:
    argv = ("bundle", str(made / "out"), "-o", "b.tar.zst")
    oejail(place, *argv)
    assert (place / "b.tar.zst.sig").exists()
    (place / "b.tar.zst.sha256").write_text("0" * 64 + "  b.tar.zst\n")
    oejail(place, *argv)
    assert not (place / "b.tar.zst.sig").exists()
    report = json.loads(oejail(place, *argv, "--sign", "alice", "--json").out)
    assert report["signature"] == "b.tar.zst.sig"


@pytest.mark.parametrize(
    ("prepare", "key", "status", "words"),
    [
        (lambda p: (p / "alice").chmod(0o640), "alice", 2, "mode 0640"),
        (lambda p: (p / "alice").chmod(0o644), "alice.pub", 2, "mode 0644"),
        (lambda p: None, "none", 2, "none: No such file"),
        (lambda p: (p / "none").mkdir(), "none", 2, "not a regular file"),
        (lambda p: (p / "alice").write_text("no key\n"), "alice", 4, "ssh-keygen: "),
        (
            lambda p: keygen("-p", "-P", "", "-N", "secret", "-f", p / "alice"),
            "alice",
            4,
            "ssh-add alice",
        ),
    ],
    ids=["mode", "mode behind .pub", "missing", "directory", "no key", "passphrase"],
)
def test_keys_that_are_refused(
    place: Path, made: Path, prepare: Callable[[Path], object], key: str, status: int, words: str
) -> None:
    prepare(place)
    argv = ("bundle", str(made / "out"), "-o", "new.tar.zst", "--sign", key)
    said = oejail(place, *argv, status=status)
    assert words in said.err
    assert len([line for line in said.err.splitlines() if "error: " in line]) == 1
    assert not (place / "new.tar.zst.sig").exists()
    assert (place / "new.tar.zst").exists() == (status == 4)


def test_a_key_of_somebody_else(place: Path, made: Path) -> None:
    if os.geteuid() != 0:
        (place / "alice").unlink()
        (place / "alice").symlink_to("/etc/passwd")
    else:
        os.chown(place / "alice", 12345, -1)
    said = oejail(place, "bundle", str(made / "out"), "-o", "n", "--sign", "alice", status=2)
    assert "belongs to uid" in said.err


def test_without_ssh_keygen(place: Path, made: Path) -> None:
    (place / "bin").mkdir()
    argv = ("bundle", str(made / "out"), "-o", "n", "--sign", "alice")
    said = oejail(place, *argv, status=6, PATH=str(place / "bin"))
    assert "apt-get install openssh-client" in said.err
