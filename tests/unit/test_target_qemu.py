# SPDX-License-Identifier: MIT
"""The console's bytes between QEMU and whoever reads them."""

from __future__ import annotations

import asyncio
import socket

from oejail.target.qemu import Machine


def test_a_reader_that_is_cancelled_when_bytes_come_loses_none() -> None:
    async def go() -> bytes:
        machine = Machine.__new__(Machine)  # without a QEMU
        machine.console, guest = socket.socketpair()
        machine.console.setblocking(False)
        with machine.console, guest:
            reader = asyncio.ensure_future(machine.read())
            await asyncio.sleep(0)
            guest.sendall(b"bytes")
            # One turn of the loop sees both the bytes and the deadline, and both are carried out.
            asyncio.get_running_loop().call_later(0, reader.cancel)
            await asyncio.wait([reader])
            assert reader.cancelled()
            return await machine.read()

    assert asyncio.run(go()) == b"bytes"


def test_the_end_of_the_console_is_an_end() -> None:
    async def go() -> bytes:
        machine = Machine.__new__(Machine)
        machine.console, guest = socket.socketpair()
        machine.console.setblocking(False)
        with machine.console:
            guest.close()
            return await machine.read()

    assert asyncio.run(go()) == b""
