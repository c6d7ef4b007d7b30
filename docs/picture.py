# SPDX-License-Identifier: MIT
"""Makes docs/demo.svg: what `oejail up --sample` really prints, as a picture (`make picture`)."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

OEJAIL = Path(sys.executable).with_name("oejail")
SCENES = (
    "oejail up --sample",
    "oejail up",
    "oejail verify dist/oejail-qemu-aarch64-0.tar.zst",
)


def main() -> None:
    console = Console(record=True, width=112, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        for scene in SCENES:
            done = subprocess.run(
                [OEJAIL, *scene.split()[1:]],
                cwd=name,
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            console.print(Text.assemble(("$ ", "green"), (scene, "bold")))
            console.print(Text(done.stdout.replace(name, "/home/you/board").rstrip()))
            console.print()
    svg = console.export_svg(title="oejail", theme=MONOKAI)
    # No font from elsewhere: the reader's monospace will do.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    Path(__file__).with_name("demo.svg").write_text(svg.replace("Fira Code", "monospace"))


if __name__ == "__main__":
    main()
