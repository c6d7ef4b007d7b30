# SPDX-License-Identifier: MIT
"""The one place that connects to a container daemon: Docker, or Podman by the same API.

DOCKER_HOST is respected, by oebuild and the `docker` program that it calls as well (`docker
context` is not: docker-py, which oebuild uses, does not know it). docker-py comes with oebuild.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oejail import process
from oejail.errors import OejailError, PrerequisiteMissing
from oejail.log import redact
from oejail.process import SELF, Identity

DEFAULT_SOCKET = "/var/run/docker.sock"
TIMEOUT = 60
"""Seconds that the daemon has for an answer."""

_PROBE = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
_HOST_ENGINE = "or use --engine host"

_MORE = ("oejail explain no-daemon says more",)


def address() -> str:
    """Where the daemon is expected: DOCKER_HOST, else Docker's own socket."""
    return os.environ.get("DOCKER_HOST") or f"unix://{DEFAULT_SOCKET}"


def socket_path() -> Path | None:
    """The daemon's socket, when it is one of this machine's."""
    scheme, _, path = address().partition("://")
    return Path("/" + path.lstrip("/")) if scheme in ("unix", "http+unix") else None


@contextlib.contextmanager
def connect(identity: Identity = SELF, timeout: float = TIMEOUT) -> Iterator[Any]:
    """A docker-py client of the daemon, for as long as the block lasts.

    Also `identity`, as whom oebuild runs, has to get at the socket. Raises PrerequisiteMissing: no
    daemon, no permission, no `docker` program, no answer within `timeout` seconds; what the daemon
    says in the block as well.
    """
    import docker
    import docker.errors
    import requests.exceptions

    _require_socket(identity)
    if shutil.which("docker") is None:
        raise PrerequisiteMissing(
            "docker: no such program, and oebuild starts containers with it",
            hint=f"apt-get install docker.io (for Podman: podman-docker), {_HOST_ENGINE}",
        )
    client = None
    try:
        client = docker.DockerClient.from_env(timeout=timeout)
        yield client
    except OejailError:
        raise
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise _refused(error) from None
    finally:
        if client is not None:
            client.close()


def _refused(error: Exception) -> PrerequisiteMissing:
    words = redact(" ".join(str(error).split()))[:300]
    return PrerequisiteMissing(
        f"container daemon at {redact(address())}: {words}",
        hint=f"oejail doctor says how it stands, {_HOST_ENGINE}",
    )


def _require_socket(identity: Identity) -> None:
    """Raise PrerequisiteMissing unless somebody listens on the socket and `identity` may talk."""
    path = socket_path()
    if path is None:
        return
    where = f"container daemon: {path}"
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(5)
            probe.connect(str(path))
    except FileNotFoundError:
        raise PrerequisiteMissing(
            f"{where}: no such socket", hint=_start(), details=_MORE
        ) from None
    except PermissionError:
        raise PrerequisiteMissing(
            f"{where}: {process_user()} may not use it", hint=_permit(path, process_user())
        ) from None
    except OSError as error:
        words = error.strerror or str(error)
        raise PrerequisiteMissing(
            f"{where}: {words}: no daemon answers", hint=_start(), details=_MORE
        ) from None
    if identity.kind == "user":
        command = [sys.executable, "-I", "-S", "-c", _PROBE, str(path)]
        if not process.run(command, identity=identity, timeout=30, check=False).ok:
            raise PrerequisiteMissing(
                f"{where}: the build user {identity.name} may not use it",
                hint=_permit(path, identity.name),
            )


def process_user() -> str:
    """The name of whom oejail runs as."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user id {os.geteuid()}"


def _start() -> str:
    if not os.environ.get("DOCKER_HOST"):
        runtime = os.environ.get("XDG_RUNTIME_DIR", "/nonexistent")
        for path in (f"{runtime}/podman/podman.sock", "/run/podman/podman.sock"):
            if os.path.exists(path):
                return f"export DOCKER_HOST=unix://{path} (Podman's)"
    return f"start it (systemctl start docker), or point DOCKER_HOST at one, {_HOST_ENGINE}"


def _permit(path: Path, name: str) -> str:
    """How `name` comes to be allowed to use the socket."""
    import grp

    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        group = "docker"
    if group == "root":
        return f"give its socket to a group and {name} that group, {_HOST_ENGINE}"
    return f"usermod -aG {group} {name}, and log in anew, {_HOST_ENGINE}"
