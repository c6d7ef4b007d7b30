# SPDX-License-Identifier: MIT
"""Packages made by hand, for what no rpmbuild and no dpkg-deb would make."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping


def tar(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def control(recipe: str, version: str, package: str | None = None) -> bytes:
    """A control file as OE-core's package_ipk writes it."""
    lines = [f"Package: {package or recipe}", f"Version: {version}", "Architecture: arm64"]
    return "\n".join([*lines, f"OE: {recipe}", f"Source: {recipe}_1.0.bb"]).encode() + b"\n"


def ar(members: Mapping[str, bytes]) -> bytes:
    """An ar archive, as deb(5) describes it."""
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def deb(about: bytes, files: Mapping[str, bytes]) -> bytes:
    """A deb or ipk: control.tar.gz and data.tar.gz in an ar archive."""
    return ar(
        {
            "debian-binary": b"2.0\n",
            "control.tar.gz": gzip.compress(tar({"./control": about}), mtime=0),
            "data.tar.gz": gzip.compress(tar(files), mtime=0),
        }
    )


def old_ipk(about: bytes, files: Mapping[str, bytes]) -> bytes:
    """An ipk of older opkg-build: the same three members in a compressed tar archive."""
    inner = {
        "./debian-binary": b"2.0\n",
        "./data.tar.gz": gzip.compress(tar(files), mtime=0),
        "./control.tar.gz": gzip.compress(tar({"./control": about}), mtime=0),
    }
    return gzip.compress(tar(inner), mtime=0)
