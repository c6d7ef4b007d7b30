# SPDX-License-Identifier: MIT
"""`engine: container`: the real oebuild and BitBake in a real container, as an ordinary user."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oejail import bundle
from oejail.pipeline import STAGES
from oejail.workspace import sample
from tests.support.cli import Said
from tests.support.engines import Builder, builder, left


def payload(path: Path) -> dict[str, str]:
    """Path → SHA-256 of the payload's files."""
    files = bundle.read(path).manifest.files
    return {entry.path: entry.sha256 for entry in files if entry.path.startswith("payload/")}


def toolchain(build: Builder) -> str:
    """Kind and version of the compiler that BitBake is told of: the last assignment."""
    text = (build.build_dir / "conf/local.conf").read_text()
    said: list[str] = re.findall(r'^SAMPLE_TOOLCHAIN = "(.*)"$', text, re.MULTILINE)
    return said[-1]


@dataclass(frozen=True)
class Built:
    """A sample project that was built from nothing, and what `up` said."""

    build: Builder
    said: Said


@pytest.fixture(scope="module")
def built(image: str) -> Iterator[Built]:
    """`oejail up --sample --engine container` in an empty directory. Shared: look, do not touch."""
    assert image
    with builder() as build:
        yield Built(build, build.oejail("up", "--sample", "--engine", "container"))


def test_the_payload_is_the_host_engines(built: Built) -> None:
    """Acceptance: the same compiler, the same bytes; BitBake's own word that it built them."""
    assert built.said.ran == list(STAGES)
    assert re.search(r"[1-9]\d* of \d+ tasks run", built.said.err)
    events = (built.build.build_dir / "oejail-events.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["event"] == "CommandCompleted"
    with builder() as host:
        host.oejail("init", "--sample")
        compiler = sample.find_zig()
        assert compiler is not None
        yaml = host.directory / "oejail.yaml"
        lines = f"local_conf: {json.dumps(sample.local_conf_lines(compiler))}"
        text, count = re.subn(r"(?m)^local_conf: \[\]", lines, yaml.read_text())
        assert count == 1
        yaml.write_text(text)
        said = host.oejail("up", "--sample", "--engine", "host")
        theirs, ours = payload(said.bundle), payload(built.said.bundle)
        with_what = [toolchain(one) for one in (host, built.build)]
    assert len(ours) > 8 and ours == theirs
    assert with_what == [f"zig-{compiler.version}"] * 2


def test_nothing_changed_starts_nothing(built: Built) -> None:
    """Not even a daemon is needed; what the builds left in the engine is one stopped container."""
    said = built.build.oejail(
        "up", "--engine", "container", DOCKER_HOST="unix:///nonexistent/docker.sock"
    )
    assert not said.ran
    (identity,) = left(built.build.directory)
    shown = built.build.oejail("status").out
    assert re.search(rf"container +{identity} \(stopped\) of {built.build.build_dir}$", shown, re.M)
