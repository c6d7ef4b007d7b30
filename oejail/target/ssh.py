# SPDX-License-Identifier: MIT
"""A board that is reached by OpenSSH's own client, with the user's configuration, agent and keys.

Host keys are always checked. What runs there is a script of oejail's own, sent on standard input:
no word of a bundle or of a board ever becomes part of a command.
"""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oejail import process
from oejail.errors import Interrupted, PrerequisiteMissing, TargetFailed, UsageFault
from oejail.files import naming
from oejail.text import printable

CUT = 97
"""Exit status of a board that did not get the whole script."""
_LOST = 255  # what ssh itself ends with
_MAX_LINES = 5_000
_WHOLE = "the board has the old version or the new one, whole: run the same command again"
_USER = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\$?"
_HOST = r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[?[0-9A-Fa-f:]{2,45}(?:%[A-Za-z0-9]{1,16})?\]?"
_WORD = re.compile(r"[A-Za-z0-9._-]+")
# The shell of the user there may be any: it sees one quoted word and plain ones. dd reads exactly
# the script, and leaves what follows it on standard input to the script.
_RECEIVE = (
    'script=$(dd bs=1 count=%d 2>/dev/null); [ "${#script}" -eq %d ] || exit %d; '
    'exec sh -c "$script" "$0" "$@"'
)


@dataclass(frozen=True)
class Destination:
    """`[USER@]HOST`, and what the command line says besides."""

    host: str
    user: str | None = None
    port: int | None = None
    identity: Path | None = None
    config: Path | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host


def parse(
    text: str,
    *,
    port: int | None = None,
    identity: Path | None = None,
    config: Path | None = None,
) -> Destination:
    """The destination that `text` names; UsageFault for anything that ssh could take otherwise."""
    match = re.fullmatch(rf"(?:({_USER})@)?({_HOST})", text)
    if match is None:
        raise UsageFault(f"{text!r}: not USER@HOST", hint="oejail deploy BUNDLE root@192.168.0.10")
    if port is not None and not 1 <= port <= 65535:
        raise UsageFault(f"--port {port}: not from 1 to 65535")
    for option, path in (("--identity", identity), ("--ssh-config", config)):
        if path is not None and not path.is_file():
            raise UsageFault(f"{option} {path}: no such file")
    host = match[2].strip("[]")
    return Destination(host, match[1], port, identity, config)


@dataclass(frozen=True)
class Answer:
    """How a script ended there: what it printed, and said on stderr, fit to be shown."""

    status: int
    lines: tuple[str, ...]
    said: tuple[str, ...]

    @property
    def error(self) -> str:
        """Its own last word."""
        return next((line for line in reversed(self.said) if line.strip()), "no word of it")


class Remote:
    """Runs scripts on a board, one connection each."""

    def __init__(self, destination: Destination) -> None:
        if shutil.which("ssh") is None:
            raise PrerequisiteMissing("ssh: no such program", hint="apt-get install openssh-client")
        self.destination = destination
        self.name = str(destination)

    def argv(self, command: str) -> list[str]:
        """ssh, its options and what it is to run."""
        to = self.destination
        options = [
            *("BatchMode=yes", "StrictHostKeyChecking=yes", "ConnectTimeout=20"),
            *("ServerAliveInterval=10", "ServerAliveCountMax=3", "ControlMaster=no"),
            *("PermitLocalCommand=no", "ClearAllForwardings=yes", "RequestTTY=no"),
            *("LogLevel=ERROR", "SendEnv=-*"),
        ]
        words = ["ssh", "-T", "-a", "-x"]
        words += [word for option in options for word in ("-o", option)]
        words += ["-F", str(to.config)] if to.config is not None else []
        words += ["-i", str(to.identity)] if to.identity is not None else []
        words += ["-p", str(to.port)] if to.port is not None else []
        words += ["-l", to.user] if to.user is not None else []
        return [*words, "--", to.host, command]

    def run(
        self,
        script: str,
        arguments: Sequence[str] = (),
        *,
        name: str,
        doing: str,
        timeout: float,
        data: Path | None = None,
        reader: Callable[[str], None] | None = None,
        tick: Callable[[], None] | None = None,
    ) -> Answer:
        """Run `script` there, with plain words as `arguments` and `data` on standard input.

        `name` is its `$0`, `doing` what it is for, in an error; `timeout` in seconds; `reader` gets
        each line of its output as it comes; `tick` is called some ten times a second.

        Raises TargetFailed when the board cannot be reached, or is lost before it answered;
        Interrupted after Ctrl-C.
        """
        code = script.rstrip("\n").encode("ascii")
        assert all(_WORD.fullmatch(word) for word in (name, *arguments))
        receive = _RECEIVE % (len(code), len(code), CUT)
        command = shlex.join(["exec", "sh", "-c", receive, name, *arguments])
        with tempfile.TemporaryDirectory(prefix="oejail-") as place, naming(Path(place)):
            sent = Path(place, "sent")
            with sent.open("xb") as stream:
                stream.write(code)
                if data is not None:
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, stream)
            try:
                done = process.run(
                    process.reading(sent, self.argv(command)),
                    timeout=timeout,
                    tail=_MAX_LINES,
                    linger=1.0,
                    check=False,
                    reader=_only_output(reader),
                    tick=tick,
                )
            except Interrupted:
                raise Interrupted(f"interrupted {doing}: {self.name}", hint=_WHOLE) from None
        said = tuple(printable(line, 500) for line in done.stderr[-40:])
        if done.timed_out or done.returncode in (_LOST, CUT) or done.returncode < 0:
            how = done.describe() if done.timed_out or done.returncode < 0 else ""
            raise self.lost(doing, how, said)
        return Answer(done.returncode, done.stdout, said)

    def lost(self, doing: str, how: str, said: Sequence[str]) -> TargetFailed:
        """Why there was no answer, by what ssh said."""
        text = "\n".join(said)
        last = next((line for line in reversed(said) if line.strip()), "")
        for words, message, hint in _CAUSES:
            if words in text:
                return TargetFailed(
                    f"{self.name}: {message}", hint=hint.format(host=self._key()), details=said[-8:]
                )
        return TargetFailed(
            f"{self.name}: the connection was lost {doing}: {how or last or 'it was closed'}",
            hint=_WHOLE,
            details=said[-8:-1],
        )

    def _key(self) -> str:
        to = self.destination
        return to.host if to.port in (None, 22) else f"'[{to.host}]:{to.port}'"


def _only_output(reader: Callable[[str], None] | None) -> process.Reader | None:
    if reader is None:
        return None
    return lambda stream, line: reader(line) if stream == "stdout" else None


_CAUSES = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that is known: another board, or somebody in between",
        "find out which; if it was installed anew, ssh-keygen -R {host}, then ssh to it once",
    ),
    (
        "Host key verification failed",
        "its host key is not known",
        "connect once with ssh and compare the key that it shows with the board's",
    ),
    (
        "key is known for",
        "its host key is not known",
        "connect once with ssh and compare the key that it shows with the board's",
    ),
    (
        "Permission denied",
        "it takes none of the keys",
        "ssh-copy-id puts one there; --identity FILE names another; oejail asks for no password",
    ),
    (
        "Too many authentication failures",
        "it takes none of the keys",
        "the agent has too many: --identity FILE with IdentitiesOnly yes in the ssh configuration",
    ),
    (
        "Could not resolve hostname",
        "no such host",
        "check the name; ssh -v shows how it is looked up",
    ),
    ("Connection refused", "nobody listens there", "does sshd run on the board? --port PORT"),
    ("Connection timed out", "no answer", "is the board up, and the address right?"),
    ("No route to host", "no answer", "is the board up, and the address right?"),
    ("Network is unreachable", "no answer", "is the network up?"),
    (
        "Bad configuration option",
        "ssh does not take its configuration",
        "ssh -V must be 8.5 or later; see the details",
    ),
    ("Bad owner or permissions", "ssh does not take its configuration", "see the details"),
    ("terminating, ", "ssh does not take its configuration", "see the details"),
)
"""What ssh says, what that means, and the next command."""
