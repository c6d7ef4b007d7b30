# SPDX-License-Identifier: MIT
"""Taking one file out of a bundle that has been verified."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterator, Mapping
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
    extract_all(path, {entry: destination})


def extract_all(path: Path, wanted: Mapping[FileEntry, Path]) -> None:
    """As `extract`, of several members, the archive being read once."""
    missing = {entry.path: (entry, destination) for entry, destination in wanted.items()}
    digests: dict[str, str] = {}
    with open_bundle(path) as stream, _cleared(wanted.values()):
        try:
            # The size comes from the archive's header before any data: no more than that is read.
            reader = ArchiveReader(stream, path.stat().st_size, lambda *_: None)
            for member in reader.members():
                entry, destination = missing.get(member.name, (None, None))
                if entry is None or destination is None or member.size != entry.size:
                    continue
                digest = hashlib.sha256()
                with naming(destination), destination.open("xb") as target:
                    for chunk in reader.data():
                        digest.update(chunk)
                        target.write(chunk)
                digests[entry.path] = digest.hexdigest()
                del missing[member.name]
                if not missing:
                    break
        except ArchiveError:
            pass  # what is there of the file is not whole, as its digest shows
        for entry in wanted:
            found = digests.get(entry.path, "not there")
            if found != entry.sha256:
                raise FindingsError(
                    f"{path}: {entry.path} is no more what was verified: {found[:16]}, "
                    f"not {entry.sha256[:16]}",
                    hint=f"oejail verify {path}",
                )


@contextlib.contextmanager
def _cleared(files: Collection[Path]) -> Iterator[None]:
    """On any error none of `files` is left."""
    there = {file for file in files if file.exists()}
    try:
        yield
    except BaseException:
        for file in set(files) - there:
            file.unlink(missing_ok=True)
        raise
