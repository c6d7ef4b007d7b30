# SPDX-License-Identifier: MIT
"""Taking one file out of a bundle that has been verified."""

from __future__ import annotations

import hashlib
from pathlib import Path

from oejail.bundle.archive import ArchiveError, ArchiveReader
from oejail.bundle.manifest import FileEntry
from oejail.bundle.verify import open_bundle
from oejail.errors import FindingsError
from oejail.files import naming


def extract(path: Path, entry: FileEntry, destination: Path) -> None:
    """Write the member `entry` of the bundle at `path` to the new file `destination`.

    The bytes must be those of `entry`, which comes from a verified manifest: an archive that was
    replaced meanwhile raises FindingsError, and leaves no file.
    """
    digest = hashlib.sha256()
    with open_bundle(path) as stream, naming(destination), destination.open("xb") as target:
        try:
            # The size comes from the archive's header before any data: no more than that is read.
            reader = ArchiveReader(stream, path.stat().st_size, lambda *_: None)
            for member in reader.members():
                if member.name == entry.path and member.size == entry.size:
                    for chunk in reader.data():
                        digest.update(chunk)
                        target.write(chunk)
                    break
        except ArchiveError:
            pass  # what is there of the file is not whole, as its digest shows
        except BaseException:
            destination.unlink(missing_ok=True)
            raise
    if digest.hexdigest() != entry.sha256:
        destination.unlink(missing_ok=True)
        raise FindingsError(
            f"{path}: {entry.path} is no more what was verified: {digest.hexdigest()[:16]}, "
            f"not {entry.sha256[:16]}",
            hint=f"oejail verify {path}",
        )
