# SPDX-License-Identifier: MIT
"""The container engine where something is in its way: daemon, image, user, what runs left."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import container_image
from tests.support.cli import OEJAIL
from tests.support.engines import USER, Builder, builder, client, left
from tests.support.processes import alive
from tests.support.typing_in import read, until

UP = ("up", "--sample", "--engine", "container")


@pytest.fixture(scope="module")
def shared(image: str) -> Iterator[Builder]:
    """A project that is generated and was built once; each test leaves it fit to build."""
    assert image
    with builder() as made:
        made.oejail("init", "--sample")
        yaml = made.directory / "oejail.yaml"
        yaml.write_text(re.sub("(?m)^engine: host", "engine: container", yaml.read_text()))
        made.oejail("up")
        yield made


def test_no_daemon(build: Builder) -> None:
    """Told with status 6 and the next command, before anything is made."""
    dead = build.directory / "dead.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(dead))
        dead.chmod(0o777)
    for path, words in (
        (build.directory / "none.sock", "no such socket; start it (systemctl start docker)"),
        (dead, "Connection refused: no daemon answers; start it"),
    ):
        said = build.oejail(*UP, status=6, DOCKER_HOST=f"unix://{path}")
        assert f"container daemon: {path}: {words}" in said.err
    assert not (build.directory / "workspace").exists()


def test_a_socket_that_the_user_may_not_use(build: Builder) -> None:
    path = build.directory / "shut.sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0)
        said = build.oejail(*UP, status=6, DOCKER_HOST=f"unix://{path}")
    assert "may not use it; " in said.err
    assert "group" in said.err


if os.geteuid() == 0:

    def test_root_builds_as_the_build_user(image: str) -> None:
        """Root alone cannot: it is told why; with --build-user the container has that one's ids."""
        assert image
        with builder() as made:
            os.chown(made.directory, 0, 0)
            made.directory.chmod(0o755)
            root = Builder(made.directory, made.python, None)
            said = root.oejail(*UP, status=6)
            assert "no container can be built in from a user namespace; " in said.err
            chosen = ("--engine", "container", "--build-user", USER)
            root.oejail("up", *chosen, "--until", "layers")
            assert "BitBake Build" in root.oejail("bitbake", *chosen, "--", "--version").out
            # Written in the container, and by oejail.
            owner = pwd.getpwnam(USER).pw_uid
            assert (root.build_dir / "conf/local.conf").stat().st_uid == owner
            assert (root.directory / ".oejail").stat().st_uid == 0


def start(build: Builder) -> None:
    """Have oebuild make or start the container, and BitBake in it say its version."""
    assert "BitBake Build Tool" in build.oejail("bitbake", "--", "--version").out


def with_image(build: Builder, name: str) -> None:
    """Have compile.yaml name another image, as a user would."""
    path = build.build_dir / "compile.yaml"
    text, count = re.subn(r"(?m)^  image: .*$", f"  image: {name}", path.read_text())
    assert count == 1
    path.write_text(text)
    build.oejail("generate")


def test_an_image_that_is_not_to_be_had(shared: Builder) -> None:
    before = (shared.build_dir / "compile.yaml").read_text()
    with_image(shared, "127.0.0.1:1/none/none:1")
    said = shared.oejail("build", status=6)
    assert "image 127.0.0.1:1/none/none:1: not there, and not to be had: " in said.err
    assert "docker load -i image.tar" in said.err
    (shared.build_dir / "compile.yaml").write_text(before)


def test_what_was_removed_or_stopped_is_no_hindrance(shared: Builder) -> None:
    (first,) = left(shared.directory)
    start(shared)
    assert left(shared.directory) == [first]  # started again
    with client() as daemon:
        daemon.api.remove_container(first, force=True)
    start(shared)
    (second,) = left(shared.directory)
    # Without oebuild's note of it a container is nobody's: it goes.
    (shared.build_dir / ".env").unlink()
    start(shared)
    (third,) = left(shared.directory)
    assert len({first, second, third}) == 3


def bashrc(container: str) -> bytes:
    """The .bashrc of a container, which need not run."""
    with client() as daemon:
        chunks, _ = daemon.api.get_archive(container, "/home/openeuler/.bashrc")
        return b"".join(chunks)


def test_a_failed_build_is_told_in_paths_of_the_host_and_leaves_nothing(shared: Builder) -> None:
    recipe = "yocto-meta-openeuler/rtos/meta-freertos/recipes-rtos/jailhouse-freertos"
    source = shared.directory / "workspace/src" / recipe / "files/inmate.c"
    text = source.read_text()
    source.write_text(text + "\nthis is no C;\n")
    said = shared.oejail("build", status=4)
    assert "jailhouse-freertos: do_compile failed" in said.err
    (log,) = re.findall(r"log: (\S+/log\.do_compile\S*)", said.err)
    assert Path(log).is_relative_to(shared.build_dir) and Path(log).is_file()
    assert "/usr1/openeuler" not in said.err and "/home/openeuler" not in said.err
    assert "this is no C" in shared.oejail("logs", "jailhouse-freertos", "do_compile").out
    (container,) = left(shared.directory)
    assert b"###!!!###" not in bashrc(container) and b"the image's own" in bashrc(container)
    source.write_text(text)


def test_bitbake_says_its_own_status(shared: Builder) -> None:
    said = shared.oejail("bitbake", "--", "-e", "jailhouse")
    assert 'TOPDIR="/home/openeuler' not in said.out and f'TOPDIR="{shared.build_dir}"' in said.out
    assert "exit status 1" in shared.oejail("bitbake", "--", "nonsense", status=4).err


def test_a_user_id_that_the_image_has_given_away(shared: Builder) -> None:
    """oebuild's usermod fails, which it does not look at; nothing could be written then."""
    uid = (shared.directory / "oejail.yaml").stat().st_uid
    name = "oejail-test/taken:1"
    before = (shared.build_dir / "compile.yaml").read_text()
    with client() as daemon:
        container_image.ensure(daemon, name=name, taken=uid)
        with_image(shared, name)
        said = shared.oejail("build", status=6)
        assert f"image {name}: its user openeuler cannot have the id {uid}" in said.err
        (shared.build_dir / "compile.yaml").write_text(before)
        daemon.images.remove(name, force=True)


def test_what_the_user_mounts_is_seen(shared: Builder) -> None:
    """Another docker_param means another container, which the next build makes."""
    start(shared)
    (first,) = left(shared.directory)
    path = shared.build_dir / "compile.yaml"
    before = path.read_text()
    path.write_text(before.replace("  volumns:\n", "  volumns:\n  - /usr/share:/mnt/there:ro\n"))
    shared.oejail("generate")
    start(shared)
    (second,) = left(shared.directory)
    with client() as daemon:
        mounts = daemon.api.inspect_container(second)["HostConfig"]["Binds"]
    assert first != second and "/usr/share:/mnt/there:ro" in mounts
    path.write_text(before)


def test_a_daemon_that_loses_what_an_exec_said(shared: Builder) -> None:
    """Podman does now and then; oebuild takes it for an empty .bashrc, and BitBake is not found."""
    path = shared.build_dir / "compile.yaml"
    before = path.read_text()
    script = shared.directory / "cat"
    script.write_text(
        "#!/bin/sh\n"  # bash would read BASH_ENV
        "case $* in */.bashrc)\n"
        "  echo asked >>/tmp/asked\n"
        "  [ $(grep -c . /tmp/asked) != 2 ] || exit 0;;\n"
        "esac\n"
        'exec /bin/the-real-cat "$@"\n'
    )
    script.chmod(0o755)
    mounts = f"  - {script}:/usr/bin/cat:ro\n  - {shutil.which('cat')}:/bin/the-real-cat:ro\n"
    path.write_text(before.replace("  volumns:\n", f"  volumns:\n{mounts}"))
    shared.oejail("generate")
    said = shared.oejail("build", "jailhouse-freertos")
    assert "the container is not as oebuild sets one up; once more" in said.err
    path.write_text(before)


def test_clean_takes_the_container_with_it(build: Builder) -> None:
    build.oejail(*UP, "--until", "layers")
    build.oejail("bitbake", "--engine", "container", "--", "--version")
    (container,) = left(build.directory)
    assert f"would remove container {container}" in build.oejail("clean", "--dry-run").out
    assert f"would remove container {container}" in build.oejail("clean", "--all", "--dry-run").out
    assert left(build.directory)
    assert f"removed container {container}" in build.oejail("clean", "--all").out
    assert not left(build.directory)


def test_the_shell_is_the_containers_and_ends_with_all_in_it(shared: Builder) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [shared.python, *OEJAIL[1:], "shell"],
        cwd=shared.directory,
        env=os.environ | {"HOME": str(shared.directory)},
        user=shared.user,
        group=shared.user,
        extra_groups=[] if shared.user else None,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as child:
        os.close(theirs)
        shown = until(ours, "oejail:qemu-aarch64")
        os.write(ours, b"bitbake --version; id -un; pwd; sleep 4000 & echo do''ne\n")
        shown += until(ours, "done")
        os.write(ours, b"exit 3\n")
        while read(ours):
            pass
    os.close(ours)
    assert child.returncode == 0
    assert "BitBake Build Tool" in shown and "openeuler" in shown
    assert f"/home/openeuler/build/{shared.build_dir.name}" in shown
    assert not alive("sleep 4000")
