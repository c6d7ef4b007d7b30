# SPDX-License-Identifier: MIT
"""What a bundle says it is: its first member is read, nothing else unpacked, nothing checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from oejail.bundle import limits, manifest
from oejail.bundle.archive import MANIFEST, ArchiveError, ArchiveReader
from oejail.bundle.manifest import Manifest
from oejail.bundle.verify import open_bundle
from oejail.errors import ConfigError, FindingsError


@dataclass(frozen=True)
class BundleView:
    """A bundle as its manifest describes it; `size` is the archive's, in bytes."""

    path: Path
    size: int
    digest: str
    manifest: Manifest


def read(path: Path) -> BundleView:
    """The manifest of the bundle at `path`.

    Raises UsageFault where there is no such file, FindingsError when it is no bundle.
    """
    first: list[str] = []

    def report(rule: str, where: str, message: str) -> None:
        first.append(f"{where or 'archive'}: {message} [{rule}]")

    with open_bundle(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        reader = ArchiveReader(stream, size, report)
        try:
            member = next(reader.members(), None)
            if member is None or member.name != MANIFEST or member.size > limits.MAX_MANIFEST:
                report("bundle-manifest", MANIFEST, "is not the first member")
            else:
                data = b"".join(reader.data())
                return BundleView(path, size, manifest.digest(data), manifest.parse(data, MANIFEST))
        except ConfigError as error:
            report("bundle-manifest", "", error.message)
        except ArchiveError:
            pass  # it has been reported
    raise FindingsError(f"{path}: no bundle: {first[0]}", hint="oejail verify says more")
