# SPDX-License-Identifier: MIT
"""Signing: `<bundle>.sig` is OpenSSH's signature over the bundle's SHA256SUMS.

SHA256SUMS lists every other member, so whoever trusts it trusts the bundle's content; the archive
itself stays the same bytes, signed or not. Keys and their passphrases are OpenSSH's business.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

from oejail import process
from oejail.bundle import limits
from oejail.bundle.archive import MANIFEST, SUMS, ArchiveError, ArchiveReader
from oejail.bundle.pack import signature
from oejail.bundle.verify import open_bundle
from oejail.errors import ChildFailed, FindingsError, PrerequisiteMissing, UsageFault
from oejail.files import MIB, atomic_write, naming, read_limited

NAMESPACE = "oejail-bundle"
"""What the signature is for: one made for something else is none."""
MAX_SIGNATURE = MIB
"""Bytes of a .sig file."""
SECONDS = 120
"""That a key may take to sign: a token waits for a finger."""


def require_keygen() -> None:
    """PrerequisiteMissing unless OpenSSH's ssh-keygen is on PATH."""
    if shutil.which("ssh-keygen") is None:
        raise PrerequisiteMissing(
            "ssh-keygen: no such program", hint="apt-get install openssh-client"
        )


def check_key(key: Path) -> None:
    """Raise UsageFault unless `key` is a private key of the caller's alone, or a public one.

    A public key (`.pub`) stands for the private one that the agent, or the file beside it, holds.
    """
    private = key.with_suffix("") if key.suffix == ".pub" else key
    for path in dict.fromkeys([key, private]):
        try:
            info = path.stat()
        except OSError as error:
            if path != key and isinstance(error, FileNotFoundError):
                return  # the agent has it
            raise UsageFault(
                f"--sign {path}: {error.strerror}", hint="ssh-keygen -t ed25519 makes a key"
            ) from None
        if not stat.S_ISREG(info.st_mode):
            raise UsageFault(f"--sign {path}: not a regular file")
        if path != private:
            continue
        if info.st_uid != os.geteuid():
            raise UsageFault(
                f"--sign {path}: belongs to uid {info.st_uid}, not to {os.geteuid()}",
                hint="sign with a key of your own",
            )
        mode = stat.S_IMODE(info.st_mode)
        if mode & 0o177:
            raise UsageFault(
                f"--sign {path}: mode {mode:04o}: others than its owner may use this key, "
                "0600 is wanted",
                hint=f"chmod 600 {path}",
            )


def sign(bundle: Path, key: Path) -> Path:
    """Write the signature of `bundle` beside it; its path.

    The key file must be the caller's own and mode 0600. Whatever happens, the .sig is the old one
    or the new one.

    Raises UsageFault for a key that is refused, PrerequisiteMissing without ssh-keygen,
    ChildFailed when OpenSSH cannot sign with it.
    """
    check_key(key)
    require_keygen()
    with tempfile.TemporaryDirectory(prefix="oejail-") as name, naming(Path(name)):
        message = Path(name, SUMS)
        message.write_bytes(read_sums(bundle))
        words = ["-n", NAMESPACE, "-f", str(key.absolute()), str(message)]
        done = process.run(["ssh-keygen", "-q", "-Y", "sign", *words], timeout=SECONDS, check=False)
        if not done.ok:
            said = [line for line in (*done.stderr, *done.stdout) if line.strip()]
            raise ChildFailed(
                f"--sign {key}: ssh-keygen: {done.describe()}: {said[-1] if said else 'no word'}",
                hint=f"is it a private key? with a passphrase: ssh-add {key}",
                details=said[-6:-1],
            )
        data = read_limited(Path(f"{message}.sig"), MAX_SIGNATURE)
    target = signature(bundle)
    atomic_write(target, data, 0o644)
    return target


def read_sums(bundle: Path) -> bytes:
    """The bytes of SHA256SUMS in the bundle at `bundle`, which was just made or verified.

    Raises UsageFault where there is no such file, FindingsError when it is no bundle.
    """
    said: list[str] = []
    with open_bundle(bundle) as stream:
        reader = ArchiveReader(
            stream, os.fstat(stream.fileno()).st_size, lambda rule, _, words: said.append(words)
        )
        try:
            for member in reader.members():
                if member.name == SUMS and member.size <= limits.MAX_MANIFEST:
                    return b"".join(reader.data())
                if member.name != MANIFEST:
                    break
        except ArchiveError:
            pass  # it has been reported
    why = said[0] if said else f"no {SUMS} where it must be"
    raise FindingsError(f"{bundle}: no bundle: {why}", hint=f"oejail verify {bundle}")
