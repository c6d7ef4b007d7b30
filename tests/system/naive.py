# SPDX-License-Identifier: MIT
"""A driver as people write one: it trusts oebuild's exit status and what the guides say.

Each of its verdicts that test_twelve_lies.py asks for is wrong. Nothing here is used elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OEBUILD = [sys.executable, "-P", "-m", "oebuild"]
# oebuild refuses root, so root looks like nobody to it.
if os.geteuid() == 0:
    OEBUILD = ["unshare", "--user", "--map-user=65534", "--map-group=65534", "--", *OEBUILD]


def start(directory: Path, *words: str, argv: list[str] = OEBUILD) -> subprocess.Popen[bytes]:
    """`oebuild WORDS` in the background."""
    return subprocess.Popen(
        [*argv, *words],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def oebuild(
    directory: Path, *words: str, argv: list[str] = OEBUILD, timeout: float | None = None
) -> bool:
    """The verdict: did `oebuild WORDS` do it? Raises TimeoutExpired when it does not end."""
    process = start(directory, *words, argv=argv)
    try:
        return process.wait(timeout) == 0
    finally:
        process.kill()
        process.wait()


def build(build_dir: Path, *targets: str, timeout: float | None = None) -> bool:
    """Build; the verdict."""
    return oebuild(build_dir, "bitbake", *targets, timeout=timeout)


def find_freertos(build_dir: Path) -> list[Path]:
    """`find . -name FreeRTOS.bin` where it was built, as openEuler's guide says."""
    return list((build_dir / "tmp/work").rglob("FreeRTOS.bin"))


def enable_layer(build_dir: Path, layer: Path) -> None:
    """Edit conf/bblayers.conf, as openEuler's guide says."""
    with (build_dir / "conf/bblayers.conf").open("r+") as stream:
        text = stream.read()
        stream.write("" if str(layer) in text else f'BBLAYERS += "{layer}"\n')


def busy(build_dir: Path) -> bool:
    """Is a BitBake at work here?"""
    return (build_dir / "bitbake.lock").exists()
