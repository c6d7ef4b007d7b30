# SPDX-License-Identifier: MIT
"""Handing the guest's console to the person at the terminal, and taking it back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import termios
import tty
from collections.abc import Iterator
from typing import TYPE_CHECKING

from oejail.errors import UsageFault
from oejail.target import qemu

if TYPE_CHECKING:
    from oejail.target.driver import Driver

LEAVE = b"\x1d"
"""Ctrl-]"""


def require_terminal() -> None:
    """UsageFault unless standard input and output are a terminal."""
    for stream in (sys.stdin, sys.stdout):
        if stream is None or not stream.isatty():
            raise UsageFault("--interactive: there is no terminal to hand the console to")


async def over(driver: Driver) -> None:
    """Until Ctrl-]: what is typed goes to the guest, what it says is shown as it is."""
    loop = asyncio.get_running_loop()
    left = asyncio.Event()
    typed: asyncio.Queue[bytes] = asyncio.Queue()
    source, target = sys.stdin.fileno(), sys.stdout.fileno()

    def read() -> None:
        try:
            data = os.read(source, 4096)
        except OSError:  # the terminal was closed
            data = b""
        if not data or LEAVE in data:
            left.set()
        if data:
            typed.put_nowait(data.partition(LEAVE)[0])

    os.write(target, b"--- oejail: the console is yours; Ctrl-] gives it back\r\n")
    driver.note("the console is handed over")
    with _raw(source):
        loop.add_reader(source, read)
        try:
            await loop.sock_sendall(driver.machine.console, b"PS1='# '\n")
            while not left.is_set():
                while not typed.empty():
                    await loop.sock_sendall(driver.machine.console, typed.get_nowait())
                try:
                    async with asyncio.timeout(0.05):
                        data = await driver.machine.read()
                except TimeoutError:
                    continue
                if not data:
                    raise qemu.Gone
                text = driver.take(data)
                while text:
                    text = text[os.write(target, text) :]
        finally:
            loop.remove_reader(source)
    os.write(target, b"\r\n--- oejail: taken back\n")
    driver.note("the console is taken back")
    await loop.sock_sendall(driver.machine.console, b"\x03\nPS1=\n")


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Each key at once, Ctrl-C included, for the guest."""
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # it is gone; what ends the run is told, not this
            termios.tcsetattr(descriptor, termios.TCSAFLUSH, before)
