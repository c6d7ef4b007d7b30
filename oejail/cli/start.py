# SPDX-License-Identifier: MIT
"""Where the console script begins: Ctrl-C is answered while the command line is being loaded."""

from __future__ import annotations

import gc
import os
import signal
from types import FrameType
from typing import NoReturn


def _too_soon(_number: int, _frame: FrameType | None) -> NoReturn:
    os.write(2, b"oejail: error: interrupted; run the same command again to continue\n")
    os._exit(130)


def main() -> NoReturn:
    """Load the command line and run it."""
    # Loading makes objects that stay: looking through them for garbage again and again costs a
    # quick verb a tenth of its time.
    gc.set_threshold(50_000)
    # A Ctrl-C that was ignored at the start (a shell's `&`) stays ignored.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, _too_soon)
    from oejail.cli.main import main as command_line

    if heeded:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()
