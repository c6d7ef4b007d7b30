# SPDX-License-Identifier: MIT
"""What oejail adds to docker_param, and what it leaves alone."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from oejail.errors import ConfigError
from oejail.project import Project
from oejail.workspace import compileyaml, dockerparam, image
from oejail.workspace.model import Workspace

TEXT = """\
build_in: docker
machine: qemu-aarch64
# a remark
local_conf: |
  A = "1"
layers: []
docker_param:
  image: registry.example/openeuler:latest
  parameters: -itd --network host
  volumns:
  - /dev/net/tun:/dev/net/tun
  - /w/src:/usr1/openeuler/src
  command: bash
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """A workspace in a container; the project plays no part."""
    nobody: Project = None  # type: ignore[assignment]
    return Workspace(tmp_path / "ws", nobody, "qemu", "container", "openeuler", ("oebuild",))


def param(text: str) -> dockerparam.DockerParam:
    """docker_param of a text that has one."""
    found = dockerparam.read(text)
    assert found is not None
    return found


def test_labels_hook_and_mounts_come_once(ws: Workspace) -> None:
    tools = [("/opt/a path/zig", "zig")]
    text = dockerparam.complete(TEXT, ws, tools)
    assert dockerparam.complete(text, ws, tools) == text and "# a remark" in text
    found = param(text)
    assert found.parameters.startswith("-itd --network host --label org.oejail.build-dir=")
    words = shlex.split(found.parameters)
    assert f"org.oejail.build-dir={ws.build_dir}" in words
    assert "BASH_ENV=/home/openeuler/build/qemu/.oejail/container.bash" in words
    assert words[words.index("no_proxy") - 1] == "-e" and "http_proxy" not in words
    # As oebuild hands it to a shell.
    assert shlex.split(f"-v {found.volumns[-1]}") == ["-v", "/opt/a path/zig:/opt/oejail/zig:ro"]
    assert dockerparam.users(found) == param(TEXT)
    assert compileyaml.parts(text) == compileyaml.parts(TEXT)


def test_the_digest_follows_what_the_container_is_made_of(ws: Workspace) -> None:
    def config(text: str, *tools: tuple[str, str]) -> str:
        words = shlex.split(param(dockerparam.complete(text, ws, tools)).parameters)
        (found,) = [word for word in words if word.startswith("org.oejail.config=")]
        return found

    same = config(TEXT)
    assert config(dockerparam.complete(TEXT, ws)) == same
    assert config(dockerparam.complete(TEXT, ws, [("/z", "zig")])) == same
    others = [TEXT.replace("host", "none"), TEXT.replace("/w/src", "/v/src")]
    others.append(TEXT.replace("example/", "example/x/"))
    found = [*map(config, others), config(TEXT, ("/z", "zig"))]
    assert len({same, *found}) == 5


def test_what_the_user_wrote_survives_a_new_compile_yaml(ws: Workspace) -> None:
    known = param(TEXT)
    old = dockerparam.complete(
        TEXT.replace("-itd --network host", "-itd --network host --cpus 4").replace(
            "  command:", "  - /data:/data\n  command:"
        ),
        ws,
    )
    fresh = TEXT.replace(":latest", ":2.0").replace("/w/src", "/w/sources")
    kept = param(dockerparam.carry_over(old, fresh, known))
    assert kept.image.endswith(":2.0")
    assert kept.parameters == "-itd --network host --cpus 4"
    assert kept.volumns == (
        *("/dev/net/tun:/dev/net/tun", "/w/sources:/usr1/openeuler/src"),
        "/data:/data",
    )
    # An image of the user's own stays; one that oebuild named goes.
    mine = old.replace("example/openeuler:latest", "example/mine:1")
    assert param(dockerparam.carry_over(mine, fresh, known)).image.endswith("mine:1")


def test_a_text_without_docker_param_is_left_alone(ws: Workspace) -> None:
    text = TEXT[: TEXT.index("docker_param")]
    assert dockerparam.complete(text, ws) == text
    assert dockerparam.carry_over(TEXT, text, None) == text


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  image: registry.example/openeuler:latest\n", "", "docker_param.image: not text"),
        ("-itd --network host", "[a]", "docker_param.parameters: not text, but"),
        ("  - /dev/net/tun:/dev/net/tun\n", "  - {a: b}\n", "docker_param.volumns: not a list"),
        (TEXT[TEXT.index("  image") :], "  [a]\n", "docker_param: not a mapping, but list"),
    ],
)
def test_a_docker_param_that_oebuild_cannot_read(old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        dockerparam.read(TEXT.replace(old, new))


def test_a_path_that_docker_cannot_mount(ws: Workspace) -> None:
    with pytest.raises(ConfigError, match="cannot mount a path with a colon"):
        dockerparam.complete(TEXT, ws, [("/a:b", "zig")])


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("/home/openeuler/build/qemu/tmp/log", "WS/build/qemu/tmp/log"),
        ('File "/usr1/openeuler/src/a.py", line 1', 'File "WS/src/a.py", line 1'),
        ("/home/openeuler/build/qemu", "WS/build/qemu"),
        ("see /home/openeuler/build/qemu.", "see WS/build/qemu."),
        ("/home/openeuler/build/qemu2/tmp", None),
        ("/home/openeuler/build/qemu.old/tmp", None),
        ("/home/openeuler/build/qemu-b", None),
        ("/x/usr1/openeuler/src/a", None),
        ("virtual:native:/usr1/openeuler/src/a.bb", "virtual:native:WS/src/a.bb"),
        ("/usr1/openeuler/srcs", None),
    ],
)
def test_paths_of_the_container_become_the_hosts(
    text: str, host: str | None, ws: Workspace
) -> None:
    assert ws.on_host(text) == (text if host is None else host.replace("WS", str(ws.root)))


@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("a/b:latest", True),
        ("a/b", True),
        ("host:5000/a/b", True),
        ("host:5000/a/b:22.03", False),
        ("a/b:master", True),
        ("a/b@sha256:" + "0" * 64, False),
        ("a/b:latest@sha256:" + "0" * 64, False),
    ],
)
def test_names_that_move(name: str, moves: bool) -> None:
    assert image.moves(name) is moves
