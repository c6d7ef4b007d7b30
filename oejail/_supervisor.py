# SPDX-License-Identifier: MIT
"""Runs one command and sees to it that nothing of it outlives oejail.

Started by `oejail.process` as `python -I -S _supervisor.py CONTROL USER GRACE LINGER MODE HEART
COMMAND…`; standard library only, as of Python 3.8. A process group is not enough: BitBake's server
daemonises with setsid. This process is a child subreaper instead (prctl(2)), so every orphan of the
command becomes its child, and `waitpid` answering ECHILD is the proof that nothing is left.

CONTROL is the descriptor of a socket to oejail. Its end (oejail died, by whatever signal) stops the
command; so does an `I` (interrupt: SIGINT twice to the command's process group, as BitBake's front
end wants it, then SIGKILL to all) or a `K` (SIGKILL at once). At the end one line goes back:
`exit N` or `signal N`, followed by the process ids that could not be ended, if any.

USER is `UID:GID:GROUP,…`, or `-` to stay who we are. GRACE is the number of seconds between
interrupt and kill, LINGER of those that descendants may outlive the command itself. MODE is
`pipe`, or `terminal` where stdin is a terminal of the command's own.

A command in a container is out of reach, and a supervisor itself can be killed. So BitBake has a
second one around it, the guard (`engine/build.bash`), and between the two is a file, the heartbeat.
HEART is its descriptor (`-` for none): a supervisor that has one does not signal the command, but
writes `stop` or `kill` there, and the guard does the rest. The guard's CONTROL is `@FILE`. It takes
its supervisor for dead when that holds the file's flock no more, or, where locks do not come
through (a container in a virtual machine), when the counter in the file stands still for 25 of its
own looks: no clock is compared, so neither a machine that slept nor a clock that was set ends a
build. What the guard writes into the file, at ANSWER, is who it is and which BitBake server it
saw, or `gone` when nothing of the command is left.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import signal
import sys
import termios
import time
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

# After oejail's death nobody waits for a clean end, and 3 s later nothing may be left.
ORPHAN_GRACE = 1.8
# BitBake's front end takes the first SIGINT as "finish the running tasks", the second as "stop
# them". Its server looks once a second: soon after each other they cost one round, not two.
SECOND_SIGINT = 0.3
# How long to go on killing what does not die: a process of another user, or one in the kernel.
KILL_SECONDS = 5.0
# The heartbeat: how often its guard looks, its supervisor writes; looks without a change until the
# supervisor is dead; the guard's place in it, and how long each entry is.
LOOK = 0.2
BEAT = 1.0
STALE = 25
ANSWER = 64
ENTRY = 48


def prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def children() -> list[int]:
    """Process ids of our own children, zombies too.

    The kernel's list where it keeps one (CONFIG_PROC_CHILDREN): much faster than a look at every
    process, which a command that forks and exits all the time would outrun.
    """
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as stream:
            return [int(pid) for pid in stream.read().split()]
    except FileNotFoundError:
        return descendants(own)


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


class Heart:
    """The supervisor's side of the heartbeat: it holds the lock that oejail took."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.beats = 0
        self.next = 0.0
        os.set_inheritable(descriptor, False)

    def say(self, word: str) -> None:
        """`run`, `stop` or `kill`."""
        self.beats += 1
        write_entry(self.descriptor, 0, f"{word} {self.beats}")

    def beat(self) -> None:
        if time.monotonic() >= self.next:
            self.next = time.monotonic() + BEAT
            self.say("run")


class Pulse:
    """The guard's side of the heartbeat."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.locked = False  # whether the supervisor was seen to hold the lock
        self.stopping = False
        self.last = b""
        self.still = 0
        self.beats = 0  # changes of the counter that were seen
        self.next = 0.0
        self.server = b""

    def order(self) -> bytes | None:
        """As Supervisor.order."""
        entry = os.pread(self.descriptor, ENTRY, 0)
        if entry.startswith(b"kill"):
            return b"K"
        if entry.startswith(b"stop") and not self.stopping:
            self.stopping = True
            return b"I"
        if time.monotonic() < self.next:
            return None
        self.next = time.monotonic() + LOOK
        self.note_server()
        if self.held():
            self.locked = True
        elif self.locked:
            return b""
        elif entry != self.last:
            self.beats += bool(self.last)
            self.last, self.still = entry, 0
        else:
            self.still += 1
            return b"" if self.still >= STALE else None
        return None

    def held(self) -> bool:
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno == errno.EWOULDBLOCK
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        return False

    def note_server(self) -> None:
        """Which BitBake server works here, by the number in its lock: an orphan is known by it."""
        try:
            with open("bitbake.lock", "rb") as stream:
                server = stream.read(16).strip()
        except OSError:
            return
        if server.isdigit() and server != self.server:
            self.server = server
            self.answer(f"guard {os.getpid()} server {server.decode()}")

    def answer(self, text: str) -> None:
        write_entry(self.descriptor, ANSWER, text)


def write_entry(descriptor: int, place: int, text: str) -> None:
    """Each entry keeps its place and length, so that a full disk has room for it."""
    with contextlib.suppress(OSError):
        os.pwrite(descriptor, text.ljust(ENTRY - 1).encode() + b"\n", place)


class Supervisor:
    def __init__(
        self,
        control: int | Pulse,
        user: str,
        grace: float,
        linger: float,
        mode: str,
        heart: Heart | None,
        argv: list[str],
    ) -> None:
        self.control = control
        self.heart = heart
        self.user = user
        self.grace = grace
        self.linger = linger
        self.terminal = mode == "terminal"
        self.argv = argv
        self.child = 0
        self.status: int | None = None
        self.left: list[int] = []
        # Written to by the kernel's SIGCHLD, so that the end of a child wakes the poll at once.
        self.wake, write = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll = select.poll()
        if isinstance(control, int):
            self.poll.register(control, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def order(self, seconds: float) -> bytes | None:
        """The next order within `seconds`, None without one; a child's end returns early.

        `b""` says that oejail has died.
        """
        if isinstance(self.control, Pulse):
            seconds = min(seconds, LOOK)
        elif self.heart is not None:
            seconds = min(seconds, BEAT)
        ready = {descriptor for descriptor, _ in self.poll.poll(seconds * 1000)}
        if self.wake in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self.wake, 4096)
        if isinstance(self.control, Pulse):
            return self.control.order()
        if self.control not in ready:
            return None
        try:
            return os.read(self.control, 1)
        except OSError:
            return b""

    def start(self) -> None:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        own = os.getpid()
        self.child = os.fork()
        if self.child == 0:
            self.become_command(own)

    def become_command(self, supervisor: int) -> NoReturn:
        try:
            os.close(self.control.descriptor if isinstance(self.control, Pulse) else self.control)
            if self.heart is not None:
                os.close(self.heart.descriptor)
            os.setsid()
            if self.terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if self.user != "-":
                uid, gid, groups = self.user.split(":")
                os.setgroups([int(group) for group in groups.split(",") if group])
                os.setgid(int(gid))
                os.setuid(int(uid))
            # After the drop of rights: a change of uid clears it.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != supervisor:
                os._exit(125)
            # Ignored signals would stay ignored across the exec.
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
                if signal.getsignal(number) in (signal.SIG_IGN, None):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execvp(self.argv[0], self.argv)
        except Exception as error:
            reason = getattr(error, "strerror", None) or error
            os.write(2, f"{self.argv[0]}: {reason}\n".encode(errors="backslashreplace"))
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
        deadline: float | None = None
        while self.reap():
            if self.heart is not None:
                self.heart.beat()
            seconds = 60.0
            if self.status is not None:
                deadline = deadline or time.monotonic() + self.linger
                seconds = deadline - time.monotonic()
                if seconds <= 0:
                    break
            order = self.order(seconds)
            if order is not None:
                if order != b"K":
                    self.interrupt(min(self.grace, ORPHAN_GRACE) if order == b"" else self.grace)
                break
        if self.heart is not None:
            self.heart.say("kill")
        self.kill_all()

    def interrupt(self, grace: float) -> None:
        end = time.monotonic() + grace
        signals = [0.0, time.monotonic() + SECOND_SIGINT]
        if self.heart is not None:
            self.heart.say("stop")
            signals = []  # the guard does it
            end += LOOK
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
        """Send a signal to the command's process group, as a terminal does, but for one process.

        The first process is left alone as long as others of its group live: oebuild would die at
        once and with it the pipe that BitBake's front end writes to, which then cannot stop its
        server in good order.
        """
        group = []
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if os.getpgid(pid) == self.child:
                    group.append(pid)
        if len(group) > 1 and self.child in group:
            group.remove(self.child)
        for pid in group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def kill_all(self) -> None:
        """SIGKILL to our children, whose own children thereby become ours, until none is left."""
        end = time.monotonic() + KILL_SECONDS
        while self.reap():
            refused = not self.kill(children())
            if refused:  # by a process of another user; those below it may still be ours to end
                self.kill(descendants(os.getpid()))
            if time.monotonic() >= end:
                self.left = descendants(os.getpid())
                return
            time.sleep(0.01 if refused else 0.001)

    def kill(self, pids: list[int]) -> bool:
        """SIGKILL each; false when one may not be killed."""
        allowed = True
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:
                allowed = False
        return allowed


def await_life(pulse: Pulse) -> bool:
    """Wait until the supervisor behind `pulse` is seen to live; false when it does not."""
    for _ in range(STALE):
        if pulse.order() is not None:
            return False
        if pulse.locked or pulse.beats:
            return True
        time.sleep(LOOK)
    return False


def main() -> int:
    # The terminal's Ctrl-C is oejail's to handle; it says here what it decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    where, user, grace, linger, mode, heart, *argv = sys.argv[1:]
    control: int | Pulse
    if where.startswith("@"):
        control = Pulse(where[1:])
        control.answer(f"guard {os.getpid()}")
        if not await_life(control):
            control.answer("gone")
            return 128 + signal.SIGINT
    else:
        control = int(where)
        os.set_inheritable(control, False)
    supervisor = Supervisor(
        control,
        user,
        float(grace),
        float(linger),
        mode,
        None if heart == "-" else Heart(int(heart)),
        argv,
    )
    supervisor.run()
    status = supervisor.status or 0
    if isinstance(control, Pulse):
        left = " ".join(map(str, supervisor.left[:4]))
        control.answer(f"left {left}" if left else "gone")
    elif os.WIFSIGNALED(status):
        tell(control, f"signal {os.WTERMSIG(status)}", supervisor.left)
    else:
        tell(control, f"exit {os.WEXITSTATUS(status)}", supervisor.left)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def tell(control: int, how: str, left: list[int]) -> None:
    with contextlib.suppress(OSError):
        os.write(control, " ".join([how, *map(str, left)]).encode())


if __name__ == "__main__":
    sys.exit(main())
