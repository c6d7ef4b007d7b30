# SPDX-License-Identifier: MIT
"""Running a command: what it gets, what of it is kept, and that nothing of it is left."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from oejail import process
from oejail.errors import ChildFailed, Interrupted, PrerequisiteMissing, UsageFault
from oejail.log import logger
from oejail.process import Identity, run
from tests.support.processes import alive, patience, wait_until

ROOT = os.geteuid() == 0


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-I", "-c", textwrap.dedent(code), *arguments]


@contextlib.contextmanager
def interrupt_when(
    condition: object, number: int = signal.SIGINT, times: int = 1
) -> Iterator[None]:
    """Send this process `number` once `condition` holds, as a user at the keyboard would."""

    def press() -> None:
        assert wait_until(condition, 20)
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        thread.join()


# --- what comes back ---------------------------------------------------------------------------


def test_the_streams_are_kept_apart_and_read_as_they_come() -> None:
    seen: list[tuple[str, str]] = []
    result = run(
        ["sh", "-c", "echo one; echo two >&2; printf three"],
        reader=lambda stream, line: seen.append((stream, line)),
    )
    assert result.ok
    assert result.stdout == ("one", "three")
    assert result.stderr == ("two",)
    assert result.text == "one\nthree"
    assert sorted(seen) == [("stderr", "two"), ("stdout", "one"), ("stdout", "three")]


def test_a_line_is_there_before_the_command_ends() -> None:
    began = time.monotonic()
    times: list[float] = []
    run(
        ["sh", "-c", "echo first; sleep 1; echo second"],
        reader=lambda *_: times.append(time.monotonic() - began),
    )
    assert len(times) == 2
    assert times[1] - times[0] > 0.8


def test_a_failure_names_the_command_its_status_and_its_last_words() -> None:
    with pytest.raises(ChildFailed, match=r"^sh -c .*: exit status 3: it was the dog$"):
        run(["sh", "-c", "echo it was the dog >&2; echo >&2; exit 3"])


def test_a_failure_stays_one_line_of_bearable_length() -> None:
    with pytest.raises(ChildFailed) as caught:
        run(["sh", "-c", "exit 3", "x" * 100_000])
    assert len(caught.value.message) < 400
    with pytest.raises(ChildFailed) as caught:
        run(python("import sys; sys.exit('y' * 100_000)"))
    assert len(caught.value.message) < 800


def test_a_full_disk_is_said_wherever_a_command_says_it() -> None:
    code = (
        "import sys; sys.stderr.write('fatal: x: No space left on device\\nmore\\n'); sys.exit(128)"
    )
    with pytest.raises(PrerequisiteMissing, match="x: No space left on device") as caught:
        run(python(code))
    assert caught.value.hint == "free some space and run the same command again"


def test_a_signal_is_named() -> None:
    result = run(["sh", "-c", "kill -SEGV $$"], check=False)
    assert result.returncode == -signal.SIGSEGV
    assert result.describe() == "died of SIGSEGV"
    assert not result.ok


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteMissing, match="oejail-no-such-program: no such program"):
        run(["oejail-no-such-program"])
    with pytest.raises(PrerequisiteMissing, match="nothing: no such program"):
        run([tmp_path / "nothing"])
    (tmp_path / "git").mkdir()  # a directory is no program, though it has the x bits
    with pytest.raises(PrerequisiteMissing, match="no such program"):
        run([tmp_path / "git"])


def test_a_program_that_cannot_be_executed(tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_bytes(b"\x7fELF rubbish")
    program.chmod(0o755)
    result = run([program], check=False)
    assert result.returncode == 127
    assert "Exec format error" in result.stderr[-1]


def test_a_relative_program_is_looked_up_where_it_will_run(tmp_path: Path) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\npwd\n")
    program.chmod(0o755)
    assert run(["./tool"], cwd=tmp_path).text == str(tmp_path)


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="no such directory, true cannot run there"):
        run(["true"], cwd=tmp_path / "gone")


def test_stdin_is_empty() -> None:
    assert run(["cat"], timeout=10).text == ""


def test_arguments_reach_the_command_unchanged() -> None:
    words = ["", " ", "*", "$HOME", "`id`", "a\nb", "ü", os.fsdecode(b"\xff\xfe"), "-x", "--"]
    code = "import sys, json; print(json.dumps(sys.argv[1:]))"
    assert json.loads(run(python(code, *words)).text) == words


def test_a_nul_in_an_argument_is_refused() -> None:
    with pytest.raises(ValueError, match="null byte"):
        run(["echo", "a\0b"])


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    result = run(python(r"import sys; sys.stdout.buffer.write(b'\xff\xfe\x00ok\r\n\x80')"))
    assert result.stdout == ("��\0ok", "�")


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 200_000])
def test_a_long_line_comes_in_pieces_and_nothing_is_lost(size: int) -> None:
    code = "import sys; n = int(sys.argv[1]); sys.stdout.write('x' * n + '\\n' + 'y' * n)"
    lines = run(python(code, str(size))).stdout
    assert max(map(len, lines)) <= 65_536
    assert "".join(lines) == "x" * size + "y" * size


def test_only_the_last_lines_are_kept() -> None:
    seen: list[str] = []
    result = run(["seq", "100000"], tail=3, reader=lambda _, line: seen.append(line))
    assert result.stdout == ("99998", "99999", "100000")
    assert len(seen) == 100_000


@pytest.mark.parametrize(
    ("line", "megabytes"), [("'z' * 80 + chr(10)", 100), ("'z' * 65536", 100), ("chr(10)", 1)]
)
def test_a_hundred_megabytes_pass_in_bounded_memory(line: str, megabytes: int) -> None:
    code = f"""
        import sys
        line = {line}
        block = line * ((1 << 20) // len(line))
        for _ in range({megabytes}):
            sys.stdout.write(block)
    """
    # In a process of its own, whose peak is only this.
    watcher = f"""
        import resource, sys
        from oejail.process import run
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = run({python(code)!r}, check=False)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(result.returncode, after - before)
    """
    status, kilobytes = run(_like_oejail(watcher), env=_importable(), timeout=60).text.split()
    assert int(status) == 0
    assert int(kilobytes) < 48 * 1024


def test_tick_is_called_about_ten_times_a_second() -> None:
    calls: list[float] = []
    run(["sh", "-c", "sleep 0.5; seq 100000"], tick=lambda: calls.append(time.monotonic()))
    assert 3 <= len(calls) <= 12


def test_a_command_that_closes_its_streams_is_waited_for() -> None:
    began = time.monotonic()
    assert run(["sh", "-c", "exec >&- 2>&- <&-; sleep 0.5"]).ok
    assert time.monotonic() - began > 0.4


def test_an_exception_of_the_reader_ends_the_command() -> None:
    token = uuid.uuid4().hex

    def reader(stream: str, line: str) -> None:
        raise LookupError(line)

    with pytest.raises(LookupError, match="go"):
        run(python("print('go', flush=True); import time; time.sleep(60)", token), reader=reader)
    assert alive(token) == []


# --- what the command gets ---------------------------------------------------------------------


def test_the_environment_is_an_allow_list(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = ("GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH", "LD_PRELOAD", "BASH_ENV")
    for name in secrets:
        monkeypatch.setenv(name, "/nowhere/secret")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("LANG", "de_DE.ISO-8859-1")
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    environment = json.loads(run(python(code), env={"EXTRA": "1"}).text)
    assert not set(secrets) & set(environment)
    assert environment["https_proxy"] == "http://proxy:3128"
    assert environment["LC_ALL"] == environment["LANG"] == "C.UTF-8"
    assert environment["EXTRA"] == "1"


def test_no_descriptor_leaks_into_the_command_or_stays_here(tmp_path: Path) -> None:
    code = "import os, json; print(json.dumps(os.listdir('/proc/self/fd')))"
    with (tmp_path / "secret").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        before = os.listdir("/proc/self/fd")
        seen = json.loads(run(python(code)).text)
        assert os.listdir("/proc/self/fd") == before
    assert len(seen) == 4  # three streams and the directory that was being listed


def test_many_open_files_do_no_harm() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2000), hard))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]  # beyond select's 1024
    try:
        assert run(["echo", "fine"]).text == "fine"
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_signals_are_at_their_defaults_in_the_command() -> None:
    code = """
        import signal
        names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP", "SIGCHLD")
        print([n for n in names if signal.getsignal(getattr(signal, n)) == signal.SIG_IGN])
        print([line for line in open("/proc/self/status") if line.startswith("SigBlk")])
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell's `&` leaves it
    try:
        lines = run(python(code)).stdout
    finally:
        signal.signal(signal.SIGINT, before)
    assert lines[0] == "[]"
    assert "0000000000000000" in lines[1]


def test_it_works_with_its_own_streams_closed() -> None:
    code = """
        import os
        from oejail.process import run
        result = run(["sh", "-c", "echo fine; echo bad >&2"], check=False)
        good = result.stdout == ("fine",) and result.stderr == ("bad",)
        os._exit(0 if good else 9)
    """
    words = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *_like_oejail(code)]
    assert run(words, env=_importable(), check=False).returncode == 0


# --- whose rights it has -----------------------------------------------------------------------

NOBODY = Identity("user", 65534, 65534, (65534,), "nobody", "/nonexistent")


def test_root_drops_to_another_user_and_a_user_cannot() -> None:
    code = """
        import ctypes, os
        death = ctypes.c_int(-1)
        ctypes.CDLL(None).prctl(2, ctypes.byref(death), 0, 0, 0)
        print(os.getresuid(), os.getresgid(), os.getgroups(), death.value)
        print(os.environ["HOME"], os.environ["USER"], os.environ["LOGNAME"])
        print(sorted(n for n in os.environ if n.startswith(("XDG_", "SSH_"))))
        try:
            os.setuid(0)
        except PermissionError:
            print("no way back")
    """
    words = ["/usr/bin/env", "python3", "-I", "-c", textwrap.dedent(code)]
    result = run(words, env={"PATH": "/usr/bin:/bin"}, cwd=Path("/"), identity=NOBODY, check=False)
    if ROOT:
        three = (65534, 65534, 65534)
        assert result.stdout == (
            f"{three} {three} [65534] {int(signal.SIGKILL)}",
            "/nonexistent nobody nobody",
            "[]",
            "no way back",
        )
    else:
        assert result.returncode == 127
        assert "Operation not permitted" in result.stderr[-1]
        assert result.stdout == ()


def test_a_user_namespace_makes_root_look_like_someone_else() -> None:
    identity = Identity("userns", 65534, 65534)
    allowed = subprocess.run(["unshare", "--user", "true"], capture_output=True).returncode == 0
    result = run(["id", "-u"], identity=identity, check=False)
    if allowed:
        assert result.text == "65534"
    else:
        assert result.returncode != 0
        assert "unshare" in result.stderr[-1]


def test_the_program_within_a_user_namespace_is_looked_for_too() -> None:
    with pytest.raises(PrerequisiteMissing, match="oejail-no-such-program"):
        run(["oejail-no-such-program"], identity=Identity("userns", 65534, 65534))


# --- that nothing is left ----------------------------------------------------------------------

# A command like BitBake: a front, and a server that daemonises by fork, setsid, fork.
DAEMONISING = """
    import os, signal, sys, time
    ready = sys.argv[1]
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if os.fork():
            os._exit(0)
        os.execv("/bin/sleep", ["sleep", "600", "0." + sys.argv[2]])
    open(ready, "w").close()
    if sys.argv[3] == "stay":
        time.sleep(600)
"""


def digits() -> str:
    """A token that is a number too, so that sleep(1) takes it."""
    return str(uuid.uuid4().int)


def daemonising(ready: Path, token: str, front: str = "stay") -> list[str]:
    return python(DAEMONISING, str(ready), token, front)


def _like_oejail(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def _importable() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(process.__file__).parent.parent)}


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that any user can write to; pytest's own are shut to others."""
    with tempfile.TemporaryDirectory(prefix="oejail-test-", dir="/tmp") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.mark.parametrize("dropped", [False, True])
def test_kill_9_of_oejail_ends_the_whole_tree(open_directory: Path, dropped: bool) -> None:
    token, ready = digits(), open_directory / "ready"
    command = daemonising(ready, token)
    identity = "process.SELF"
    if dropped and ROOT:
        command = ["/usr/bin/python3", *command[1:]]
        identity = "process.Identity('user', 65534, 65534, (65534,), 'nobody', '/')"
    code = f"""
        from pathlib import Path
        from oejail import process
        process.run({command!r}, identity={identity}, cwd=Path("/"))
    """
    with subprocess.Popen(
        _like_oejail(code), env={**os.environ, **_importable()}, start_new_session=True
    ) as oejail:
        assert wait_until(lambda: ready.exists() and len(alive(token)) >= 3, 20)
        oejail.kill()
    assert wait_until(lambda: not alive(token), 3), alive(token)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGSEGV])
def test_no_way_of_dying_leaves_anything(tmp_path: Path, number: int) -> None:
    token, ready = digits(), tmp_path / "ready"
    code = f"""
        import resource
        from oejail.process import run
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        run({daemonising(ready, token)!r})
    """
    with subprocess.Popen(_like_oejail(code), env={**os.environ, **_importable()}) as oejail:
        assert wait_until(lambda: ready.exists() and alive(token), 20)
        oejail.send_signal(number)
    assert wait_until(lambda: not alive(token), 3), alive(token)


def test_ctrl_c_ends_the_tree_within_the_grace(tmp_path: Path) -> None:
    token, ready = digits(), tmp_path / "ready"
    with (
        interrupt_when(lambda: ready.exists() and alive(token)),
        pytest.raises(Interrupted, match="interrupted: python was stopped") as caught,
    ):
        began = time.monotonic()
        run(daemonising(ready, token))
    assert caught.value.exit_code == 130
    assert caught.value.hint == "run the same command again to continue"
    assert alive(token) == []
    assert time.monotonic() - began < patience(6)


def test_ctrl_c_is_two_gentle_ones_first(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = """
        import signal, sys, time
        count = 0
        def heard(*_):
            global count
            count += 1
            print("SIGINT", count, round(time.monotonic() - began, 1), flush=True)
            if count == 2:
                sys.exit(0)
        signal.signal(signal.SIGINT, heard)
        began = time.monotonic()
        open(sys.argv[1], "w").close()
        while True:
            time.sleep(60)
    """
    seen: list[str] = []
    with interrupt_when(ready.exists), pytest.raises(Interrupted):
        run(python(code, str(ready)), reader=lambda _, line: seen.append(line))
    assert [line.split()[1] for line in seen] == ["1", "2"]
    first, second = (float(line.split()[2]) for line in seen)
    assert 0.2 <= second - first < 1.0


def test_a_wrapper_is_not_interrupted_before_what_it_wraps(tmp_path: Path) -> None:
    """oebuild must go on reading while BitBake's front end, a child, stops in good order."""
    ready = tmp_path / "ready"
    front = """
        import signal, sys, time
        def heard(*_):
            print("front: stopping", flush=True)
            time.sleep(0.6)
            print("front: stopped", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGINT, heard)
        open(sys.argv[1], "w").close()
        time.sleep(60)
    """
    wrapper = """
        import subprocess, sys
        with subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True) as child:
            for line in child.stdout:
                print(line, end="", flush=True)
        print("wrapper: done", flush=True)
    """
    seen: list[str] = []
    with interrupt_when(ready.exists), pytest.raises(Interrupted):
        run(
            python(wrapper, *python(front, str(ready))),
            reader=lambda stream, line: seen.append(line),
        )
    assert "front: stopped" in seen
    assert seen[-1] == "wrapper: done"


def test_a_second_ctrl_c_kills_at_once(tmp_path: Path) -> None:
    token, ready = digits(), tmp_path / "ready"
    pressed: list[float] = []

    def condition() -> bool:
        if ready.exists() and alive(token):
            pressed.append(time.monotonic())
            return True
        return False

    with interrupt_when(condition, times=2), pytest.raises(Interrupted):
        run(daemonising(ready, token), grace=30)
    assert time.monotonic() - pressed[0] < patience(2)
    assert alive(token) == []


def test_a_deadline_ends_the_tree(tmp_path: Path) -> None:
    token, ready = digits(), tmp_path / "ready"
    result = run(daemonising(ready, token), timeout=1, grace=0.3, check=False)
    assert result.timed_out
    assert not result.ok
    assert "no end within its deadline" in result.describe()
    assert result.seconds < 4
    assert alive(token) == []
    with pytest.raises(ChildFailed, match="no end within its deadline"):
        run(["sleep", "60"], timeout=0.2, grace=0.1)


def test_what_a_command_leaves_running_is_ended_after_its_linger(tmp_path: Path) -> None:
    token, ready = digits(), tmp_path / "ready"
    result = run(daemonising(ready, token, "go"), linger=0.5)
    assert result.ok
    assert 0.4 < result.seconds < 3
    assert alive(token) == []


def test_what_ends_by_itself_is_not_waited_for_longer() -> None:
    result = run(["sh", "-c", "setsid sleep 0.3 & exit 4"], check=False, linger=30)
    assert result.returncode == 4
    assert 0.2 < result.seconds < 3


def test_a_command_that_always_forks_and_exits_is_caught() -> None:
    token = digits()
    code = """
        import os
        while os.getppid() != 1:
            if os.fork():
                os._exit(0)
            os.setsid()
    """
    result = run(python(code, token), timeout=0.4, grace=0.2, check=False)
    assert result.timed_out
    assert result.seconds < 3
    assert alive(token) == []


def test_what_cannot_be_killed_is_given_up_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process of another user (sudo within a build) must not hold oejail for ever."""
    source = Path(process.__file__).with_name("_supervisor.py").read_text()
    code = source.replace("KILL_SECONDS = 5.0", "KILL_SECONDS = 0.3").replace(
        "os.kill(pid, signal.SIGKILL)", "raise PermissionError"
    )
    assert code.count("raise PermissionError") == 1
    token = digits()
    warnings: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda text, *args: warnings.append(text % args))
    began = time.monotonic()
    with _supervisor(code, monkeypatch):
        result = run(
            ["sh", "-c", f"sleep 5 0.{token} & echo said; exit 3"], check=False, linger=0.1
        )
    assert result.returncode == 3
    assert result.stdout == ("said",)
    assert time.monotonic() - began < patience(3)
    left = [line.split(":")[0] for line in alive(token)]
    assert left
    assert warnings == [f"these processes could not be ended: {' '.join(left)}"]
    for pid in left:
        os.kill(int(pid), signal.SIGKILL)


@contextlib.contextmanager
def _supervisor(code: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".py") as stream:
        stream.write(code)
        stream.flush()
        monkeypatch.setattr(process, "_SUPERVISOR", Path(stream.name))
        yield


def test_a_killed_supervisor_is_no_success(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def kill_it() -> None:
        assert wait_until(lambda: pid_file.exists() and pid_file.read_text().strip(), 20)
        parent = Path(f"/proc/{pid_file.read_text().strip()}/stat").read_text()
        os.kill(int(parent.rpartition(")")[2].split()[1]), signal.SIGKILL)

    thread = threading.Thread(target=kill_it)
    thread.start()
    result = run(["sh", "-c", f"echo $$ > '{pid_file}'; exec sleep 60"], check=False)
    thread.join()
    assert result.returncode == -signal.SIGKILL
    pid = int(pid_file.read_text())
    assert wait_until(lambda: not Path(f"/proc/{pid}").exists(), 3)


def test_a_kernel_without_lists_of_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Path(process.__file__).with_name("_supervisor.py").read_text()
    code = source.replace("/children", "/no-such-file")
    assert code != source
    token, ready = digits(), tmp_path / "ready"
    with _supervisor(code, monkeypatch):
        result = run(daemonising(ready, token), timeout=1, grace=0.1, check=False)
    assert result.timed_out
    assert ready.exists()
    assert alive(token) == []
