# SPDX-License-Identifier: MIT
"""The one way to run a program: argument list, scrubbed environment, deadline, whole tree ended.

Every command runs below a supervisor (`_supervisor.py`), which ends all that the command started,
daemons included, when oejail is interrupted, times out or dies, also by SIGKILL.
"""

from __future__ import annotations

import json
import os
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oejail.errors import ChildFailed, Interrupted, PrerequisiteMissing
from oejail.log import logger

_SUPERVISOR = Path(__file__).with_name("_supervisor.py")
_MAX_LINE = 64 * 1024

# What a child may inherit. Everything else stays out: BitBake writes its whole environment to a
# log, and a build must not depend on who runs it.
_INHERITED = frozenset(
    """PATH HOME USER LOGNAME TERM TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME XDG_RUNTIME_DIR
    http_proxy https_proxy ftp_proxy all_proxy no_proxy
    HTTP_PROXY HTTPS_PROXY FTP_PROXY ALL_PROXY NO_PROXY
    SSL_CERT_FILE SSL_CERT_DIR GIT_SSL_CAINFO SSH_AUTH_SOCK GIT_SSH GIT_SSH_COMMAND GIT_PROXY_COMMAND
    GIT_CONFIG_GLOBAL GIT_CONFIG_SYSTEM GIT_CONFIG_NOSYSTEM
    DOCKER_HOST DOCKER_TLS_VERIFY DOCKER_CERT_PATH""".split()
)

Reader = Callable[[str, str], None]
"""Called with the stream ("stdout" or "stderr") and each of its lines, without the newline."""


@dataclass(frozen=True)
class Identity:
    """As whom a command runs.

    `self`: unchanged. `user`: root drops to `uid`, `gid`, `groups`. `userns`: a user namespace
    maps root to an unprivileged id (unshare(1)): a way round the refusal of root, no protection.
    """

    kind: str = "self"
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


@dataclass
class _Stream:
    name: str
    keep: deque[str]
    rest: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes, reader: Reader | None) -> None:
        self.rest += data
        *lines, rest = bytes(self.rest).split(b"\n")
        self.rest = bytearray(rest)
        if len(self.rest) > _MAX_LINE:
            lines.append(bytes(self.rest))
            self.rest.clear()
        for line in lines:
            self.line(line, reader)

    def end(self, reader: Reader | None) -> None:
        if self.rest:
            self.line(bytes(self.rest), reader)
            self.rest.clear()

    def line(self, raw: bytes, reader: Reader | None) -> None:
        text = raw[:_MAX_LINE].decode("utf-8", "replace").rstrip("\r")
        self.keep.append(text)
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
    grace: float = 2.0,
    linger: float = 10.0,
    check: bool = True,
) -> Result:
    """Run a command to its end and return how it ended.

    `env` is added to the scrubbed environment. `timeout` in seconds. `reader` gets every line as
    it comes, `tick` is called some ten times a second meanwhile. `tail` is how many last lines of
    each stream are kept. On Ctrl-C or SIGTERM the command is interrupted, after `grace` seconds
    killed, a second Ctrl-C kills at once; then Interrupted is raised. Descendants that the command
    left running are given `linger` seconds.

    Raises PrerequisiteMissing when the program is not there, ChildFailed (with `check`) when it
    does not end with status 0.
    """
    words = [str(word) for word in argv]
    environment = scrubbed_environment(env)
    user: dict[str, object] | None = None
    if identity.kind == "user":
        user = {"uid": identity.uid, "gid": identity.gid, "groups": list(identity.groups)}
        environment.update(HOME=identity.home, USER=identity.name, LOGNAME=identity.name)
    command = words
    if identity.kind == "userns":
        uid, gid = str(identity.uid), str(identity.gid)
        command = ["unshare", "--user", f"--map-user={uid}", f"--map-group={gid}", "--", *words]
    _require(command[0], environment["PATH"], cwd)
    logger.debug("run: %s", shlex.join(words))
    began = time.monotonic()
    ours, theirs = socket.socketpair()
    spec = {"argv": command, "user": user, "grace": grace, "linger": linger}
    with ours:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SUPERVISOR), str(theirs.fileno()), json.dumps(spec)],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        streams = {"stdout": _Stream("stdout", deque(maxlen=tail))}
        streams["stderr"] = _Stream("stderr", deque(maxlen=tail))
        attend = _Attendant(process, ours, streams, reader, tick)
        try:
            timed_out = attend.until_end(timeout)
        except KeyboardInterrupt:
            attend.interrupt()
            raise Interrupted(
                f"interrupted: {Path(words[0]).name} was stopped",
                hint="run the same command again to continue",
            ) from None
        except BaseException:
            attend.kill()
            raise
        returncode = attend.status()
    result = Result(
        tuple(words),
        returncode,
        tuple(streams["stdout"].keep),
        tuple(streams["stderr"].keep),
        time.monotonic() - began,
        timed_out,
    )
    logger.debug("run: %s after %.2f s: %s", result.describe(), result.seconds, words[0])
    if check and not result.ok:
        last = next((s for s in reversed(result.stderr or result.stdout) if s.strip()), "no output")
        raise ChildFailed(f"{shlex.join(words)}: {result.describe()}: {last.strip()}")
    return result


def _require(program: str, path: str, cwd: Path | None) -> None:
    """Raise PrerequisiteMissing unless `program` can be found the way execvp finds it."""
    if "/" in program:
        if os.access(os.path.join(cwd or ".", program), os.X_OK):
            return
    elif any(os.access(os.path.join(d, program), os.X_OK) for d in path.split(":") if d):
        return
    raise PrerequisiteMissing(
        f"{program}: no such program", hint="oejail doctor says what to install"
    )


class _Attendant:
    """Reads what a supervised command says until it has ended."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        streams: dict[str, _Stream],
        reader: Reader | None,
        tick: Callable[[], None] | None,
    ) -> None:
        self.process = process
        self.control = control
        self.streams = streams
        self.reader = reader
        self.tick = tick
        self.selector = selectors.DefaultSelector()
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert pipe is not None
            self.selector.register(pipe, selectors.EVENT_READ, streams[name])

    def until_end(self, timeout: float | None) -> bool:
        """Read to the end of both streams; true when the deadline passed first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        timed_out = False
        while self.selector.get_map():
            for key, _ in self.selector.select(0.1):
                stream: _Stream = key.data
                data = os.read(key.fd, 65536)
                if data:
                    stream.feed(data, self.reader)
                else:
                    stream.end(self.reader)
                    self.selector.unregister(key.fileobj)
            if self.tick is not None:
                self.tick()
            if deadline is not None and time.monotonic() > deadline and not timed_out:
                timed_out = True
                self.order(b"I")
        self.process.wait()
        return timed_out

    def order(self, letter: bytes) -> None:
        try:
            self.control.send(letter)
        except OSError:
            pass

    def interrupt(self) -> None:
        self.order(b"I")
        while True:
            try:
                self.until_end(None)
                self.close()
                return
            except KeyboardInterrupt:
                self.order(b"K")

    def kill(self) -> None:
        self.reader = self.tick = None
        self.order(b"K")
        self.until_end(None)
        self.close()

    def status(self) -> int:
        self.close()
        kind, _, number = self.control.recv(64).decode().partition(" ")
        if not number:  # the supervisor itself was killed
            return self.process.returncode or -signal.SIGKILL
        return -int(number) if kind == "signal" else int(number)

    def close(self) -> None:
        self.selector.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
