# SPDX-License-Identifier: MIT
"""A real git server on loopback (git daemon), and a line to it that can be cut."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def daemon(root: Path) -> Iterator[int]:
    """Serve the repositories below `root` as git://127.0.0.1:PORT/NAME."""
    port = _free_port()
    words = ["--reuseaddr", "--export-all", f"--base-path={root}", "--listen=127.0.0.1"]
    server = subprocess.Popen(
        ["git", "-c", "safe.directory=*", "daemon", *words, f"--port={port}", str(root)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert server.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait(10)


class Line:
    """Forwards connections to a port; `cut` is how many bytes of each answer come through."""

    def __init__(self, to: int) -> None:
        self.to = to
        self.cut: int | None = None
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """No more connections; those that there are end."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(here, self.cut))
                self._threads.append(thread)
                thread.start()

    def _serve(self, here: socket.socket, cut: int | None) -> None:
        with here, socket.create_connection(("127.0.0.1", self.to)) as there:
            asking = threading.Thread(target=self._pass, args=(here, there, None))
            asking.start()
            self._pass(there, here, cut)
            asking.join()

    def _pass(self, source: socket.socket, target: socket.socket, left: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if left is not None:
                    data = data[:left]
                    left -= len(data)
                target.sendall(data)
                if left == 0:
                    self.cuts += 1
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
