# SPDX-License-Identifier: MIT
"""The one way to run a program: argument list, scrubbed environment, deadline, whole tree ended.

Every command runs below a supervisor (`_supervisor.py`), which ends all that the command started,
daemons included, when oejail is interrupted, times out or dies, also by SIGKILL.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oejail.errors import ChildFailed, Interrupted, PrerequisiteMissing, UsageFault
from oejail.log import logger

_SUPERVISOR = Path(__file__).with_name("_supervisor.py")
_MAX_LINE = 64 * 1024  # bytes; a longer line comes in pieces
_MAX_KEPT = 8 << 20  # bytes of each stream that a Result holds at most

# What a child may inherit. Everything else stays out: BitBake writes its whole environment to a
# log, and a build must not depend on who runs it.
_INHERITED_NAMES = """
    PATH HOME USER LOGNAME TERM TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR
    http_proxy https_proxy ftp_proxy all_proxy no_proxy
    HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
    SSL_CERT_FILE SSL_CERT_DIR SSH_AUTH_SOCK GIT_SSL_CAINFO GIT_SSH GIT_SSH_COMMAND
    GIT_PROXY_COMMAND GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM
    DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH"""
_INHERITED = frozenset(_INHERITED_NAMES.split())

Reader = Callable[[str, str], None]
"""Called with the stream ("stdout" or "stderr") and each of its lines, without the newline."""


@dataclass(frozen=True)
class Identity:
    """As whom a command runs.

    `self`: unchanged. `user`: root drops to `uid`, `gid`, `groups`. `userns`: a user namespace
    maps root to an unprivileged id (unshare(1)): a way round the refusal of root, no protection.
    """

    kind: Literal["self", "user", "userns"] = "self"
    uid: int = -1
    gid: int = -1
    groups: tuple[int, ...] = ()
    name: str = ""
    home: str = ""


SELF = Identity()


@dataclass(frozen=True)
class Result:
    """How a command ended. `stdout` and `stderr` hold the last lines (all, up to `tail`)."""

    argv: tuple[str, ...]
    returncode: int
    stdout: tuple[str, ...] = ()
    stderr: tuple[str, ...] = ()
    seconds: float = 0.0
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """True for exit status 0 within the deadline."""
        return self.returncode == 0 and not self.timed_out

    @property
    def text(self) -> str:
        """The kept standard output, lines joined."""
        return "\n".join(self.stdout)

    def describe(self) -> str:
        """`exit status 3`, `died of SIGKILL` or `no end within its deadline`."""
        if self.timed_out:
            return f"no end within its deadline ({self.seconds:.0f} s)"
        if self.returncode < 0:
            try:
                return f"died of {signal.Signals(-self.returncode).name}"
            except ValueError:
                return f"died of signal {-self.returncode}"
        return f"exit status {self.returncode}"


def scrubbed_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: the allow-list, a UTF-8 locale, no pager, no prompt, `extra`."""
    environment = {name: value for name, value in os.environ.items() if name in _INHERITED}
    environment.setdefault("PATH", os.defpath)
    environment.update(
        LANG="C.UTF-8",
        LC_ALL="C.UTF-8",
        GIT_TERMINAL_PROMPT="0",
        GIT_PAGER="cat",
        PAGER="cat",
        PYTHONUNBUFFERED="1",
    )
    environment.update(extra or {})
    return environment


class _Stream:
    """Cuts a stream of bytes into lines and keeps the last of them, within limits."""

    def __init__(self, name: str, tail: int) -> None:
        self.name = name
        self.tail = tail
        self.keep: deque[str] = deque()
        self.kept = 0
        self.rest = b""

    def feed(self, data: bytes, reader: Reader | None) -> None:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self.rest + lines[0]
            self.rest = rest
        else:
            self.rest += rest
        for line in lines:
            self.line(line, reader)
        while len(self.rest) > _MAX_LINE:
            piece, self.rest = self.rest[:_MAX_LINE], self.rest[_MAX_LINE:]
            self.line(piece, reader)

    def end(self, reader: Reader | None) -> None:
        if self.rest:
            rest, self.rest = self.rest, b""
            self.line(rest, reader)

    def line(self, raw: bytes, reader: Reader | None) -> None:
        for start in range(0, max(len(raw), 1), _MAX_LINE):
            text = raw[start : start + _MAX_LINE].decode("utf-8", "replace").rstrip("\r")
            self.keep.append(text)
            self.kept += len(text)
            while len(self.keep) > self.tail or self.kept > _MAX_KEPT:
                self.kept -= len(self.keep.popleft())
            if reader is not None:
                reader(self.name, text)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    identity: Identity = SELF,
    timeout: float | None = None,
    reader: Reader | None = None,
    tick: Callable[[], None] | None = None,
    tail: int = 10_000,
    grace: float = 2.4,
    linger: float = 10.0,
    heart: int = -1,
    check: bool = True,
) -> Result:
    """Run a command to its end and return how it ended.

    `env` is added to the scrubbed environment. `timeout` in seconds. `reader` gets every line as
    it comes (one of more than 64 KiB in pieces), `tick` is called some ten times a second
    meanwhile. `tail` is how many last lines of each stream are kept, 8 MiB of them at most. On
    Ctrl-C or SIGTERM the command is interrupted, after `grace` seconds killed, a second Ctrl-C
    kills at once; then Interrupted is raised. Descendants that the command left running are given
    `linger` seconds. `heart` as for `supervise`.

    Raises PrerequisiteMissing when the program is not there, UsageFault when `cwd` is no
    directory, ChildFailed (with `check`) when the command does not end with status 0.
    """
    began = time.monotonic()
    process, control = supervise(
        argv, cwd=cwd, env=env, identity=identity, grace=grace, linger=linger, heart=heart
    )
    streams = (_Stream("stdout", tail), _Stream("stderr", tail))
    with control:
        attend = _Attendant(process, control, streams, reader, tick)
        try:
            timed_out = attend.until_end(timeout)
        except KeyboardInterrupt:
            attend.interrupt()
            raise Interrupted(
                f"interrupted: {Path(argv[0]).name} was stopped",
                hint="run the same command again to continue",
            ) from None
        except BaseException:
            attend.kill()
            raise
        finally:
            attend.close()
    words = tuple(str(word) for word in argv)
    result = Result(
        words,
        attend.returncode,
        tuple(streams[0].keep),
        tuple(streams[1].keep),
        time.monotonic() - began,
        timed_out,
    )
    logger.debug("run: %s after %.2f s: %s", result.describe(), result.seconds, words[0])
    if check and not result.ok:
        said = result.stderr or result.stdout
        full = next((s.strip() for s in said if os.strerror(errno.ENOSPC) in s), None)
        if full is not None:
            raise PrerequisiteMissing(
                f"{words[0]}: {full[:500]}", hint="free some space and run the same command again"
            )
        last = next((s for s in reversed(said) if s.strip()), "no output")
        line = shlex.join(words)
        line = line if len(line) <= 200 else f"{line[:200]}…"
        raise ChildFailed(f"{line}: {result.describe()}: {last.strip()[:500]}")
    return result


def supervise(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    identity: Identity = SELF,
    grace: float = 2.4,
    linger: float = 10.0,
    terminal: int | None = None,
    pass_fds: Sequence[int] = (),
    heart: int = -1,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a command below its supervisor; return the supervisor and the socket that controls it.

    Closing the socket, by dying too, stops the command. `terminal` is a file descriptor of a
    terminal that becomes the command's controlling one and its three streams; without it stdin is
    empty, stdout and stderr are pipes. The command also gets the descriptors `pass_fds`, by their
    numbers; the supervisor holds them too, until nothing of the command is left. `heart` is the
    descriptor of a heartbeat file (`_supervisor.py`), locked; it becomes the supervisor's alone.
    """
    try:
        return _supervise(argv, cwd, env, identity, grace, linger, terminal, pass_fds, heart)
    finally:
        if heart >= 0:
            os.close(heart)


def _supervise(
    argv: Sequence[str | Path],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    identity: Identity,
    grace: float,
    linger: float,
    terminal: int | None,
    pass_fds: Sequence[int],
    heart: int,
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    words = [str(word) for word in argv]
    environment = scrubbed_environment(env)
    user = "-"
    command = words
    if identity.kind == "user":
        user = f"{identity.uid}:{identity.gid}:{','.join(map(str, identity.groups))}"
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"):
            environment.pop(name, None)  # the caller's own, which that user cannot enter
        environment.update(HOME=identity.home, USER=identity.name, LOGNAME=identity.name)
    elif identity.kind == "userns":
        uid, gid = str(identity.uid), str(identity.gid)
        command = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--", *words]
    if cwd is not None and not cwd.is_dir():
        raise UsageFault(f"{cwd}: no such directory, {words[0]} cannot run there")
    for program in {command[0], words[0]}:
        where = os.path.join(cwd or ".", program) if "/" in program else program
        if shutil.which(where, path=environment["PATH"]) is None:
            raise PrerequisiteMissing(
                f"{program}: no such program", hint="oejail doctor says what to install"
            )
    # A name that is no UTF-8 must not make the line unfit for a log.
    shown = shlex.join(words).encode("utf-8", "backslashreplace").decode()
    logger.debug("run: %s", shown)
    ours, theirs = socket.socketpair()
    # 0 to 2 would be covered by the child's streams; they are free when oejail's own are closed.
    passed = fcntl.fcntl(theirs, fcntl.F_DUPFD_CLOEXEC, 3)
    theirs.close()
    mode = "pipe" if terminal is None else "terminal"
    supervisor = [sys.executable, "-I", "-S", str(_SUPERVISOR), str(passed)]
    settings = [user, str(grace), str(linger), mode, str(heart) if heart >= 0 else "-"]
    hearts = [heart] if heart >= 0 else []
    try:
        process = subprocess.Popen(
            [*supervisor, *settings, *command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE if terminal is None else terminal,
            pass_fds=[passed, *pass_fds, *hearts],
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        os.close(passed)
    return process, ours


def answer(process: subprocess.Popen[bytes], control: socket.socket) -> int:
    """How a supervised command ended, as Popen.returncode says it, once `control` is readable."""
    try:
        words = control.recv(4096).decode("ascii", "replace").split()
    except OSError:
        words = []
    process.wait()
    if len(words) < 2:  # the supervisor itself was killed
        return process.returncode or -signal.SIGKILL
    if words[2:]:
        logger.warning("these processes could not be ended: %s", " ".join(words[2:]))
    return -int(words[1]) if words[0] == "signal" else int(words[1])


class _Attendant:
    """Reads what a supervised command says until it has ended."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        streams: tuple[_Stream, _Stream],
        reader: Reader | None,
        tick: Callable[[], None] | None,
    ) -> None:
        self.process = process
        self.control = control
        self.streams = streams
        self.reader = reader
        self.tick = tick
        self.returncode = 0
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)
        self.pipes: dict[int, _Stream] = {}
        for pipe, stream in zip((process.stdout, process.stderr), streams, strict=True):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self.pipes[pipe.fileno()] = stream
            self.selector.register(pipe.fileno(), selectors.EVENT_READ)

    def until_end(self, timeout: float | None) -> bool:
        """Read until the command has ended; true when the deadline passed first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        timed_out = ended = False
        next_tick = 0.0
        while not ended:
            for key, _ in self.selector.select(0.1):
                if key.fd in self.pipes:
                    self.read(key.fd)
                else:
                    ended = True
            now = time.monotonic()
            if self.tick is not None and now >= next_tick:
                self.tick()
                next_tick = now + 0.1
            if deadline is not None and now > deadline and not timed_out:
                timed_out = True
                self.order(b"I")
        # Nothing of the command is left; what it wrote lies in the pipes. (Their end is not waited
        # for: a process that could not be killed may hold them.)
        self.returncode = answer(self.process, self.control)
        for descriptor in list(self.pipes):
            while self.read(descriptor):
                pass
        for stream in self.streams:
            stream.end(self.reader)
        return timed_out

    def read(self, descriptor: int) -> bool:
        """Read once; false at the end, or when there is nothing now."""
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        if data:
            self.pipes[descriptor].feed(data, self.reader)
            return True
        del self.pipes[descriptor]
        self.selector.unregister(descriptor)
        return False

    def order(self, letter: bytes) -> None:
        with contextlib.suppress(OSError):
            self.control.send(letter)

    def interrupt(self) -> None:
        self.order(b"I")
        while True:
            try:
                self.until_end(None)
                return
            except KeyboardInterrupt:
                self.order(b"K")

    def kill(self) -> None:
        self.reader = self.tick = None
        self.order(b"K")
        self.until_end(None)

    def close(self) -> None:
        self.selector.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def reading(path: Path, argv: Sequence[str | Path]) -> list[str]:
    """The command `argv` with the file `path` as its standard input."""
    return ["sh", "-c", 'exec "$@" <"$0"', str(path), *map(str, argv)]
