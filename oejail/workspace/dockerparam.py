# SPDX-License-Identifier: MIT
"""docker_param of compile.yaml: what oejail adds to it, so that it finds its containers again.

oebuild joins image, `parameters` and `volumns` unquoted into `docker run …` for a shell. Pure:
text in, text out. What the user wrote stays; oejail's own words are known by what they say.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oejail.errors import ConfigError
from oejail.workspace import compileyaml
from oejail.workspace.model import Workspace

BUILD_LABEL = "org.oejail.build-dir"
"""Label of a container: the build directory, on the host, that it is for."""
CONFIG_LABEL = "org.oejail.config"
"""Label of a container: digest of the docker_param that it was made from."""

RUN_DIR = ".oejail"
"""In the build directory, which the container sees: what oejail and the container share."""
HOOK = f"{RUN_DIR}/container.bash"
"""Read by each bash that oebuild starts in the container (BASH_ENV)."""

TOOLS = "/opt/oejail/"
"""Where programs of the host are mounted in the container."""

# Only names: docker takes the values, and any password in them, from the environment of oebuild,
# which itself hands on no more than http_proxy and https_proxy.
_UPPER = ("NO_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY")
PROXIES = (*_UPPER, "no_proxy", "ftp_proxy", "all_proxy")

_OWN = re.compile(
    r"\s+(?:--label org\.oejail\.\S+|-e BASH_ENV=/home/openeuler/build/\S+/"
    + re.escape(HOOK)
    + rf"|-e (?:{'|'.join(PROXIES)})(?=\s|$))"
)


@dataclass(frozen=True)
class DockerParam:
    """docker_param as oebuild reads it, `volumns` in oebuild's spelling."""

    image: str
    parameters: str
    volumns: tuple[str, ...]
    command: str


def read(text: str, path: str = "compile.yaml") -> DockerParam | None:
    """docker_param of a compile.yaml; None where it has none.

    Raises ConfigError when it is not what oebuild reads.
    """
    raw = compileyaml.plain(text, path).get("docker_param")
    if raw is None:
        return None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: docker_param: not a mapping, but {type(raw).__name__}")
    for key in ("image", "parameters", "command"):
        if not isinstance(raw.get(key), str):
            raise ConfigError(f"{path}: docker_param.{key}: not text, but {raw.get(key)!r}")
    volumns = raw.get("volumns")
    if not isinstance(volumns, list) or not all(isinstance(item, str) for item in volumns):
        raise ConfigError(f"{path}: docker_param.volumns: not a list of HOST:CONTAINER")
    return DockerParam(raw["image"], raw["parameters"], tuple(volumns), raw["command"])


def users(param: DockerParam) -> DockerParam:
    """`param` without what oejail added."""
    return DockerParam(
        param.image,
        _OWN.sub("", " " + param.parameters).strip(),
        tuple(item for item in param.volumns if not _is_own_volume(item)),
        param.command,
    )


def _is_own_volume(volume: str) -> bool:
    """True for HOST:/opt/oejail/…[:ro], which no one else mounts."""
    return f":{TOOLS}" in volume


def complete(text: str, ws: Workspace, tools: Sequence[tuple[str, str]] = ()) -> str:
    """A compile.yaml with oejail's labels, hook and mounts in docker_param; idempotent.

    `tools`: directories of the host, and their names below /opt/oejail, read-only. Text without
    docker_param is returned as it is.
    """
    param = read(text)
    if param is None:
        return text
    mine = users(param)
    volumes = [*mine.volumns, *(_volume(host, TOOLS + name) for host, name in tools)]
    digest = _digest(mine, volumes)
    words = [
        f"--label {BUILD_LABEL}={ws.build_dir}",
        f"--label {CONFIG_LABEL}={digest}",
        f"-e BASH_ENV={ws.build_dir_as_built}/{HOOK}",
        *(f"-e {name}" for name in PROXIES),
    ]
    wanted = DockerParam(
        mine.image, " ".join([mine.parameters, *words]).strip(), tuple(volumes), mine.command
    )
    return text if wanted == param else _changed(text, wanted)


def carry_over(old: str, fresh: str, known: DockerParam | None) -> str:
    """`fresh` with what the user changed in the docker_param of `old`.

    `known` is what oebuild generated before; None: it is not known, and what was there stays.
    """
    before, now = (read(text) if text else None for text in (old, fresh))
    if before is None or now is None:
        return fresh
    before = users(before)
    more = [v for v in before.volumns if v not in now.volumns]
    if known is not None:
        more = [v for v in more if v not in known.volumns]
    keep = {
        key: getattr(before, key)
        for key in ("image", "parameters", "command")
        if known is not None and getattr(before, key) != getattr(known, key)
    }
    wanted = DockerParam(
        **{
            "image": now.image,
            "parameters": now.parameters,
            "command": now.command,
            **keep,
            "volumns": (*now.volumns, *more),
        }
    )
    return fresh if wanted == now else _changed(fresh, wanted)


def _volume(host: str, place: str) -> str:
    """A read-only mount, for a shell. Raises ConfigError where docker cannot bear `host`."""
    if ":" in host or "\n" in host:
        raise ConfigError(
            f"{host!r}: docker cannot mount a path with a colon or a line end",
            hint="install oejail into a directory without them",
        )
    return f"{shlex.quote(host)}:{place}:ro"


def _digest(param: DockerParam, volumes: Sequence[str]) -> str:
    text = "\0".join([HOOK, param.image, param.parameters, param.command, *volumes])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _changed(text: str, wanted: DockerParam) -> str:
    data: Any = compileyaml.load(text)
    data["docker_param"].update(
        {
            "image": wanted.image,
            "parameters": wanted.parameters,
            "volumns": list(wanted.volumns),
            "command": wanted.command,
        }
    )
    return compileyaml.dumped(data)
