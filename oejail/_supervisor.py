# SPDX-License-Identifier: MIT
"""Runs one command and sees to it that nothing of it outlives oejail.

Started by `oejail.process.run` as `python -I -S _supervisor.py FD SPEC`; standard library only. A
process group is not enough: BitBake's server daemonises with setsid. This process is a child
subreaper instead (prctl(2)), so every orphan of the command becomes its child, and `waitpid`
answering ECHILD is the proof that nothing is left.

FD is a socket to oejail. Its end (oejail died, by whatever signal) stops the command; so does an
`I` (interrupt: SIGINT twice to the command's process group, as BitBake's front end wants it, then
SIGKILL to all) or a `K` (SIGKILL at once). At the end one line goes back: `exit N` or `signal N`.

SPEC is JSON: argv, user ({uid, gid, groups} or null), grace (seconds between interrupt and kill),
linger (seconds that descendants may outlive the command itself).
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def descendants(root: int) -> list[int]:
    """Process ids of all descendants of `root`, from /proc."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", "rb") as stream:
                # The command's name is in parentheses and may contain any byte.
                parent = int(stream.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


class Supervisor:
    def __init__(self, control: socket.socket, spec: dict[str, Any]) -> None:
        self.control = control
        self.spec = spec
        self.child = 0
        self.status: int | None = None
        # Written to by the kernel's SIGCHLD, so that the end of a child wakes the select at once.
        self.wake, write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def order(self, seconds: float) -> bytes | None:
        """The next order within `seconds`, None without one; a child's end returns early."""
        ready, _, _ = select.select([self.control, self.wake], [], [], seconds)
        if self.wake in ready:
            try:
                os.read(self.wake, 4096)
            except BlockingIOError:
                pass
        return self.control.recv(1) if self.control in ready else None

    def start(self) -> None:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        own = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            self.become_command(own)

    def become_command(self, supervisor: int) -> NoReturn:
        try:
            self.control.close()
            os.setsid()
            user = self.spec["user"]
            if user is not None:
                os.setgroups(user["groups"])
                os.setgid(user["gid"])
                os.setuid(user["uid"])
            # After the drop of rights: a change of uid clears it.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:
                os._exit(125)
            for name in ("INT", "TERM", "HUP", "QUIT", "PIPE", "CHLD"):
                signal.signal(getattr(signal, "SIG" + name), signal.SIG_DFL)
            os.execvp(self.spec["argv"][0], self.spec["argv"])
        except OSError as error:
            os.write(2, f"{self.spec['argv'][0]}: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def reap(self) -> bool:
        """Collect what has ended; false when no descendant is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.child:
                self.status = status

    def run(self) -> None:
        self.start()
        deadline = None
        while self.reap():
            if self.status is not None:
                deadline = deadline or time.monotonic() + self.spec["linger"]
                if time.monotonic() >= deadline:
                    break
            order = self.order(0.25)
            if order is not None:
                if order != b"K":
                    self.interrupt()
                break
        self.kill_all()

    def interrupt(self) -> None:
        end = time.monotonic() + self.spec["grace"]
        signals = [0.0, time.monotonic() + 0.5]
        while self.reap() and time.monotonic() < end:
            if signals and time.monotonic() >= signals[0]:
                signals.pop(0)
                self.signal_group(signal.SIGINT)
            order = self.order(0.05)
            if order == b"K":
                return
            if order == b"":  # oejail has died; this end stays readable, so do not spin on it
                time.sleep(0.05)

    def signal_group(self, number: int) -> None:
        for pid in descendants(os.getpid()):
            try:
                if os.getpgid(pid) == self.child:
                    os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                pass

    def kill_all(self) -> None:
        own = os.getpid()
        while self.reap():
            for pid in descendants(own):
                try:
                    os.kill(pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
            time.sleep(0.01)


def main() -> None:
    # The terminal's Ctrl-C is oejail's to handle; it says here what it decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    supervisor = Supervisor(control, json.loads(sys.argv[2]))
    supervisor.run()
    status = supervisor.status or 0
    if os.WIFSIGNALED(status):
        answer = f"signal {os.WTERMSIG(status)}"
    else:
        answer = f"exit {os.WEXITSTATUS(status)}"
    try:
        control.sendall(answer.encode())
    except OSError:
        pass


if __name__ == "__main__":
    main()
