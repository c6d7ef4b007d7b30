# SPDX-License-Identifier: MIT
"""Whose signature is it, and does it hold: OpenSSH decides, by the file of allowed signers.

The signature's own fields are read here only to say what is wrong when OpenSSH says no. Formats:
PROTOCOL.sshsig of OpenSSH; "ALLOWED SIGNERS" in ssh-keygen(1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oejail import process
from oejail.bundle.pack import signature
from oejail.bundle.rules import finding
from oejail.bundle.sign import MAX_SIGNATURE, NAMESPACE, require_keygen
from oejail.checks.finding import Finding
from oejail.errors import ConfigError, UsageFault
from oejail.files import MIB, naming, read_limited

MAX_SIGNERS = MIB
"""Bytes of a file of allowed signers."""
_MAX_PRINCIPALS = 16
_SECONDS = 60
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"


@dataclass(frozen=True)
class Signed:
    """What became of a signature: `signer` is empty unless it holds."""

    signer: str
    findings: tuple[Finding, ...] = ()


def read_signers(path: Path) -> bytes:
    """The file of allowed signers; UsageFault where it cannot be read."""
    try:
        return read_limited(path, MAX_SIGNERS)
    except OSError as error:
        raise UsageFault(
            f"--signers {path}: {error.strerror}",
            hint='a line a signer: NAME namespaces="oejail-bundle" KEYTYPE KEY',
        ) from None
    except ConfigError as error:
        raise UsageFault(f"--signers {error.message}") from None


def check_signature(bundle: Path, sums: bytes, signers: Path) -> Signed:
    """Whether `bundle`, whose SHA256SUMS is `sums`, is signed by one of `signers`.

    Raises UsageFault when `signers` cannot be read, PrerequisiteMissing without ssh-keygen.
    """
    allowed = read_signers(signers)
    require_keygen()
    beside = signature(bundle)

    def refused(rule: str, message: str) -> Signed:
        return Signed("", (finding(rule, beside.name, message),))

    try:
        data = read_limited(beside, MAX_SIGNATURE)
        key, namespace = parse(data)
    except FileNotFoundError:
        return refused("bundle-signature-missing", "is not there")
    except OSError as error:
        return refused("bundle-signature", f"cannot be read: {error.strerror}")
    except ConfigError as error:
        return refused("bundle-signature", error.message)
    except ValueError as error:
        return refused("bundle-signature", f"is no OpenSSH signature: {error}")
    if namespace != NAMESPACE:
        words = f"is made for {namespace[:80]!r}, not for {NAMESPACE!r}"
        return refused("bundle-signature-namespace", words)
    with tempfile.TemporaryDirectory(prefix="oejail-") as name, naming(Path(name)):
        sig, file, message = (Path(name, word) for word in ("sig", "signers", "sums"))
        for path, content in ((sig, data), (file, allowed), (message, sums)):
            path.write_bytes(content)
        return _ask(sig, file, message, _why_unknown(key, allowed, signers), refused)


def _ask(
    sig: Path,
    signers: Path,
    message: Path,
    unknown: tuple[str, str],
    refused: Callable[[str, str], Signed],
) -> Signed:
    """What ssh-keygen says: whose key it is, then whether the signature is right."""
    start = ["ssh-keygen", "-q", "-Y"]
    asked = process.run(
        [*start, "find-principals", "-s", sig, "-f", signers], timeout=_SECONDS, check=False
    )
    names = [line for line in asked.stdout if line.strip()][:_MAX_PRINCIPALS] if asked.ok else []
    for name in names:
        words = ["-n", NAMESPACE, "-I", name, "-s", str(sig), "-f", str(signers)]
        argv = process.reading(message, [*start, "verify", *words])
        if process.run(argv, timeout=_SECONDS, check=False).ok:
            return Signed(name)
    # Either the signature is wrong, or the signer's line does not allow it: ask without signers.
    argv = [*start, "check-novalidate", "-n", NAMESPACE, "-s", str(sig)]
    argv = process.reading(message, argv)
    done = process.run(argv, timeout=_SECONDS, check=False)
    if not done.ok:
        said = [line.strip() for line in (*done.stderr, *done.stdout) if line.strip()]
        words_said = said[-1] if said else done.describe()
        return refused("bundle-signature", f"does not fit the bundle's SHA256SUMS: {words_said}")
    if names:
        words_said = f"the line of {names[0]} in the signers does not allow {NAMESPACE!r}"
        return refused("bundle-signature-signer", words_said)
    return refused(*unknown)


def parse(data: bytes) -> tuple[bytes, str]:
    """Public key (as OpenSSH encodes it) and namespace of a signature file; ValueError: no such."""
    lines = [line.strip() for line in data.decode("ascii", "replace").strip().splitlines()]
    if len(lines) < 3 or lines[0] != _BEGIN or lines[-1] != _END:
        raise ValueError(f"does not begin and end with the lines of one ({_BEGIN})")
    try:
        blob = base64.b64decode("".join(lines[1:-1]), validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from None
    if blob[:10] != b"SSHSIG\0\0\0\1":
        raise ValueError("no SSHSIG of version 1")
    key, at = _string(blob, 10)
    namespace, _ = _string(blob, at)
    return key, namespace.decode("utf-8", "replace")


def _string(blob: bytes, at: int) -> tuple[bytes, int]:
    """The string of the SSH protocol at `at`, and where it ends."""
    size = int.from_bytes(blob[at : at + 4], "big")
    end = at + 4 + size
    if at + 4 > len(blob) or end > len(blob):
        raise ValueError("is cut short")
    return blob[at + 4 : end], end


def _why_unknown(key: bytes, allowed: bytes, path: Path) -> tuple[str, str]:
    """Rule and words for a key that OpenSSH finds no valid line of."""
    text = base64.b64encode(key).decode()
    for number, line in enumerate(allowed.decode("utf-8", "replace").splitlines(), 1):
        if text in line.split() and not line.lstrip().startswith("#"):
            limits = [word for word in line.split()[1].split(",") if word.startswith("valid-")]
            if limits:
                words = f"its key's line does not hold now ({', '.join(limits)})"
                return "bundle-signature-expired", f"{path}:{number}: {words}"
            return "bundle-signature-signer", f"{path}:{number}: its key's line does not allow it"
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return "bundle-signature-signer", f"its key SHA256:{digest} is none of those in {path}"
