# SPDX-License-Identifier: MIT
"""Pictures of what oejail really prints (`make picture`).

docs/demo.svg: `oejail up --sample`. With OEJAIL_REAL_STACK (tests/upstream says what that is) also
docs/boot.svg: `oejail boot` with upstream's Jailhouse and FreeRTOS.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.support.real_stack import collected

OEJAIL = Path(sys.executable).with_name("oejail")
SCENES = (
    "oejail up --sample",
    "oejail up",
    "oejail verify dist/oejail-qemu-aarch64-0.tar.zst",
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        picture("demo.svg", Path(name), SCENES)
    if stack := os.environ.get("OEJAIL_REAL_STACK"):
        with tempfile.TemporaryDirectory(prefix="demo-") as name:
            out = collected(Path(name), Path(stack))
            subprocess.run([OEJAIL, "-q", "bundle", out, "-o", "b.tar.zst"], cwd=name, check=True)
            picture("boot.svg", Path(name), ["oejail boot b.tar.zst"])


def picture(file: str, directory: Path, scenes: Sequence[str]) -> None:
    """Run `scenes` in `directory`, one after the other, and draw what they print."""
    console = Console(record=True, width=112, file=io.StringIO(), force_terminal=True)
    for scene in scenes:
        done = subprocess.run(
            [OEJAIL, *scene.split()[1:]],
            cwd=directory,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        console.print(Text.assemble(("$ ", "green"), (scene, "bold")))
        console.print(Text(done.stdout.replace(str(directory), "/home/you/board").rstrip()))
        console.print()
    svg = console.export_svg(title="oejail", theme=MONOKAI)
    # No font from elsewhere: the reader's monospace will do.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    Path(__file__).with_name(file).write_text(svg.replace("Fira Code", "monospace"))


if __name__ == "__main__":
    main()
