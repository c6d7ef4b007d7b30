# SPDX-License-Identifier: MIT
"""A registry on loopback for a daemon that pulls from it (OCI's HTTP API).

It has one small image under every repository's name, and what a test publishes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _small() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("etc/passwd")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"root"))
    return out.getvalue()


@dataclass(frozen=True)
class Registry:
    """A registry that is being served."""

    address: str
    """`127.0.0.1:PORT`."""
    files: dict[str, tuple[str, bytes]]
    """Last part of the path → media type and bytes; what is taken out is not there any more."""

    def publish(self, tag: str, tree: bytes, env: Sequence[str] = ()) -> str:
        """Have `tag` stand for an image of the files of a tar archive; the image's digest."""
        layer = gzip.compress(tree, 1, mtime=0)
        root = {"type": "layers", "diff_ids": [_digest(tree)]}
        made = {"Env": list(env)}
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": made, "rootfs": root}
        )
        parts = [(CONFIG, config.encode()), (f"{LAYER}.gzip", layer)]
        listed = [{"mediaType": t, "size": len(d), "digest": _digest(d)} for t, d in parts]
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": listed[0], "layers": listed[1:]}
        ).encode()
        self.files.update({_digest(data): (kind, data) for kind, data in parts})
        self.files.update({name: (MANIFEST, manifest) for name in (tag, _digest(manifest))})
        return _digest(manifest)


@contextmanager
def serve() -> Iterator[Registry]:
    """A registry with the small image as `latest` and `1.0`."""
    files: dict[str, tuple[str, bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, data = files.get(self.path.rpartition("/")[2], ("application/json", b"{}"))
            known = data != b"{}" or self.path == "/v2/"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", _digest(data))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing: the daemon's requests are no output of a test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    made = Registry(f"127.0.0.1:{server.server_address[1]}", files)
    for tag in ("latest", "1.0"):
        made.publish(tag, _small())
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def registry() -> Iterator[str]:
    """`127.0.0.1:PORT` of a registry that has the small image under every repository's name."""
    with serve() as made:
        yield made.address
