# SPDX-License-Identifier: MIT
"""Causes of failed builds that need a mount, a program of the system or a container engine.

The mounts are in a namespace of the run's own, for root as for an ordinary user.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.support import cli
from tests.support.cli import OEJAIL, Said
from tests.support.engine import RECIPE, changed
from tests.support.engines import Builder, builder, client
from tests.support.interruption import background, slow, wait_until_compiling


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample project, generated."""
    root = tmp_path_factory.mktemp("causes")
    with pytest.MonkeyPatch.context() as patch:
        # A module's fixtures come before the isolation of a test.
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        cli.oejail(root, "init", "--sample")
        cli.oejail(root, "generate")
        cli.oejail(root, "bitbake", "--", "--version")  # makes conf/
    return root


@pytest.fixture
def build_dir(place: Path) -> Path:
    (found,) = (place / "workspace/build").iterdir()
    return found


@pytest.fixture
def recipe(place: Path) -> Path:
    (found,) = (place / "workspace/src").glob(f"**/{RECIPE}_*.bb")
    return found


def assert_cause(said: Said, cause: str) -> str:
    """The lines of a build that failed for `cause`."""
    print(said.err)
    assert f"  oejail explain {cause} says more" in said.err.splitlines()
    return said.err


def fails(place: Path, cause: str, prepare: str = "") -> str:
    """Build with what the shell does before in a mount namespace, and see that it fails."""
    if not prepare:
        return assert_cause(cli.oejail(place, "build", RECIPE, status=4), cause)
    import subprocess

    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-euc",
         f'{prepare}; exec "$@"', "sh", *OEJAIL, "build", RECIPE],
        cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    return assert_cause(Said(done.returncode, done.stdout, done.stderr), cause)


def test_a_directory_without_execution(place: Path, build_dir: Path) -> None:
    said = fails(
        place,
        "noexec",
        f"mkdir -p '{build_dir}/tmp'; mount -t tmpfs -o noexec none '{build_dir}/tmp'",
    )
    assert f"{RECIPE}: do_compile failed: a script that BitBake wrote may not be executed" in said


def test_a_full_disk_below_the_tasks(place: Path, build_dir: Path) -> None:
    mount = f"mkdir -p '{build_dir}/tmp'; mount -t tmpfs -o size=60k none '{build_dir}/tmp'"
    said = fails(place, "disk-full", mount)
    assert "failed: the disk is full; free some space" in said


def test_a_full_disk_below_bitbake_itself(place: Path, build_dir: Path, tmp_path: Path) -> None:
    """Where BitBake cannot even write its cache, or its events."""
    mount = (
        f"cp '{build_dir}/compile.yaml' '{tmp_path}'; "
        f"mount -t tmpfs -o size=60k none '{build_dir}'; "
        f"cp '{tmp_path}/compile.yaml' '{build_dir}'"
    )
    assert "build failed: the disk is full; free some space" in fails(place, "disk-full", mount)


class _Server(http.server.BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []
    files: ClassVar[dict[str, bytes]] = {"/there.txt": b"another text than the recipe expects\n"}

    def do_GET(self) -> None:
        self.asked.append(self.path)
        data = self.files.get(self.path)
        self.send_response(404 if data is None else 200)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    """URL of a web server with one file."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Server) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()


def source(url: str, checksum: str) -> str:
    return f'SRC_URI += "{url};sha256sum={checksum}"\n'


def test_a_download_with_another_checksum(
    place: Path, recipe: Path, build_dir: Path, server: str
) -> None:
    wanted, got = "ab" * 32, hashlib.sha256(_Server.files["/there.txt"]).hexdigest()
    conf = build_dir / "conf/local.conf"
    # The tests' own proxy, a closed port, is not to be asked.
    with changed(recipe, source(f"{server}/there.txt", wanted)), changed(
        conf, 'export no_proxy = "127.0.0.1"\n'
    ):  # fmt: skip
        said = fails(place, "checksum")
    assert "/downloads/there.txt" in said
    assert f" has the sha256 checksum {got}, the recipe expects {wanted}; " in said


@pytest.mark.parametrize("there", [True, False])
def test_a_download_that_is_not_there(
    place: Path, recipe: Path, build_dir: Path, server: str, there: bool
) -> None:
    """404 of a server, and a port where nobody listens."""
    url = f"{server if there else 'http://127.0.0.1:9'}/absent.txt"
    conf = build_dir / "conf/local.conf"
    with changed(recipe, source(url, "ab" * 32)), changed(conf, 'export no_proxy = "127.0.0.1"\n'):
        said = fails(place, "fetch")
    assert f"{RECIPE}: do_fetch failed: the source could not be fetched: {url}" in said
    assert ("/absent.txt" in _Server.asked) or not there


def test_a_compiler_proper_that_is_killed(place: Path, recipe: Path) -> None:
    """SIGKILL to cc1 below gcc, as the kernel does it when memory ran out."""
    kill = (
        "do_compile:prepend() {\n"
        "    rm -f never; mkfifo never; ${CC} -c -x c never -o never.o & compiler=$!\n"
        "    exec 3>never\n"  # returns when cc1 has it open
        "    kill -9 $(cat /proc/$compiler/task/$compiler/children)\n"
        "    wait $compiler\n}\n"
    )
    with changed(recipe, kill):
        said = fails(place, "killed")
    assert "Killed signal terminated program cc1" in said
    assert "most likely because memory ran out" in said


def test_no_daemon() -> None:
    with builder() as made:
        socket = made.directory / "no.sock"
        words = ("up", "--sample", "--engine", "container")
        said = made.oejail(*words, status=6, DOCKER_HOST=f"unix://{socket}")
    assert_cause(said, "no-daemon")
    assert f"container daemon: {socket}: no such socket; start it" in said.err


def test_an_image_that_is_not_there(build: Builder) -> None:
    build.oejail("up", "--sample", "--engine", "container", "--until", "layers")
    name = "127.0.0.1:9/absent/image:1"
    file = build.build_dir / "compile.yaml"
    text = file.read_text()
    (line,) = [line for line in text.splitlines() if line.strip().startswith("image: ")]
    file.write_text(text.replace(line, f"{line.partition('image: ')[0]}image: {name}"))
    said = build.oejail("build", RECIPE, "--engine", "container", status=6)
    assert_cause(said, "image-missing")
    assert f"image {name}: not there, and not to be had: " in said.err


def test_a_container_that_is_removed_during_the_build(build: Builder) -> None:
    build.oejail("up", "--sample", "--engine", "container", "--until", "build")
    with slow(build), background(build, "build", RECIPE, "--engine", "container") as process:
        wait_until_compiling(build, process)
        with client() as daemon:
            chosen = {"label": f"org.oejail.build-dir={build.build_dir}"}
            (one,) = daemon.api.containers(filters=chosen)
            daemon.api.remove_container(one["Id"], force=True)
        assert process.wait(60) == 4
    said = (build.directory / "background.log").read_text()
    assert "oejail explain container-gone says more" in said
    record = json.loads((build.directory / ".oejail/last-build.json").read_text())
    assert record["failures"][0]["id"] == "container-gone"
    build.oejail("build", RECIPE, "--engine", "container")
