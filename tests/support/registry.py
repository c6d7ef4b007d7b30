# SPDX-License-Identifier: MIT
"""A registry on loopback with one small image, for a daemon that pulls from it (OCI's HTTP API)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _files() -> dict[str, tuple[str, bytes]]:
    """Last part of the path → media type and bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("etc/passwd")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"root"))
    layer = gzip.compress(out.getvalue(), mtime=0)
    root = {"type": "layers", "diff_ids": [_digest(out.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": root})
    parts = [(CONFIG, config.encode()), (LAYER, layer)]
    listed = [{"mediaType": t, "size": len(d), "digest": _digest(d)} for t, d in parts]
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": listed[0], "layers": listed[1:]}
    ).encode()
    files = {_digest(data): (kind, data) for kind, data in parts}
    return files | {name: (MANIFEST, manifest) for name in ("latest", "1.0", _digest(manifest))}


@contextmanager
def registry() -> Iterator[str]:
    """`127.0.0.1:PORT` of a registry that has the image under every repository's name."""
    files = _files()

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
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
