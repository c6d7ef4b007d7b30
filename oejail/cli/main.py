# SPDX-License-Identifier: MIT
"""The command line: finds the verb, loads its module alone, turns errors into exit statuses."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from oejail import __version__
from oejail.cli import light
from oejail.cli.context import context
from oejail.cli.lazy import LazyGroup
from oejail.errors import Exit, Interrupted, OejailError, UsageFault

VERBS = {
    "up": "From nothing to a checked bundle: every stage that is not up to date.",
    "init": "Write a commented oejail.yaml, or adopt an oebuild workspace.",
    "doctor": "What this machine has and lacks, each with its fix.",
    "status": "Where the project stands: workspace, stages, last build, bundle.",
    "generate": "Make the oebuild workspace and its build directory.",
    "layers": "Show, add or remove BitBake layers.",
    "build": "Build the targets with BitBake, and say what really happened.",
    "lock": "Write the commits, image and versions of a build to oejail.lock, or check them.",
    "shell": "An interactive shell in BitBake's environment.",
    "bitbake": "Run bitbake with arguments of your own.",
    "collect": "Gather what a build left, identified by content.",
    "bundle": "Pack the collected files into one reproducible archive.",
    "verify": "Prove that a bundle is whole and that its parts fit.",
    "inspect": "Show what a bundle contains.",
    "boot": "Boot a bundle in QEMU and see the RTOS run.",
    "deploy": "Put a bundle on a board, over ssh; start it; go back.",
    "new": "Start an RTOS inmate of your own from a template.",
    "cell": "Read, build, compare, draw and check Jailhouse cell configurations.",
    "logs": "Show the log of the last run, or of a failed task.",
    "clean": "Remove what oejail made.",
    "explain": "What a rule means and how to mend a finding.",
    "schema": "The JSON Schema of oejail.yaml.",
}


class Verbs(LazyGroup):
    """oejail's verbs."""

    verbs = VERBS
    prefix = "oejail.cli."


app = typer.Typer(
    cls=Verbs, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"oejail {__version__}")
        raise typer.Exit


@app.callback()
def options(
    directory: Annotated[
        Path | None, typer.Option("-C", metavar="DIR", help="Work as if started in DIR.")
    ] = None,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, help="Say what is run, and why.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say errors only.")] = False,
    log_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write everything said to FILE too.")
    ] = None,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """One command from an empty directory to an RTOS in a Jailhouse cell beside openEuler Embedded.

    Exit status: 0 done, 1 a defect in oejail, 2 usage or configuration, 3 findings of severity
    error, 4 a build or child command failed, 5 the target failed or stayed silent, 6 a
    prerequisite is missing, 7 another oejail holds the project, 130 interrupted.
    """
    from oejail import log

    context.verbosity = -1 if quiet else verbose
    context.color = not no_color and "NO_COLOR" not in os.environ
    context.log_file = log_file
    log.setup(context.verbosity)
    if log_file is not None:
        log.add_log_file(log_file)
    if directory is not None:
        try:
            os.chdir(directory)
        except OSError as error:
            raise UsageFault(f"-C {directory}: {error.strerror}") from None


def _terminated(number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _complain(error: OejailError) -> None:
    from oejail import log
    from oejail.text import printable

    first, *rest = error.lines()
    for line in (f"oejail: error: {first}", *(f"  {line}" for line in rest)):
        log.write_stderr(printable(log.redact(line), 16_000))
    log.logger.debug("error: %s", "\n".join(error.lines()))


# What the operating system refuses is no defect of ours: say it in one line, with its own status.
_SYSTEM = {
    errno.ENOSPC: (Exit.PREREQUISITE, "free some space and run the same command again"),
    errno.EDQUOT: (Exit.PREREQUISITE, "free some space and run the same command again"),
    errno.EFBIG: (Exit.PREREQUISITE, "raise the limit on file sizes (ulimit -f)"),
    errno.EROFS: (Exit.PREREQUISITE, "work on a writable file system"),
    errno.EMFILE: (Exit.PREREQUISITE, "raise the limit on open files (ulimit -n)"),
    errno.ENOMEM: (Exit.PREREQUISITE, "free some memory and run the same command again"),
    errno.EACCES: (Exit.USAGE, "check who owns it"),
    errno.EPERM: (Exit.USAGE, "check who owns it"),
    errno.ENOENT: (Exit.USAGE, "check the path"),
    errno.ENOTDIR: (Exit.USAGE, "check the path"),
    errno.EISDIR: (Exit.USAGE, "check the path"),
    errno.ENAMETOOLONG: (Exit.USAGE, "use a shorter path"),
    errno.ELOOP: (Exit.USAGE, "check the symbolic links"),
}
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def _run(arguments: list[str]) -> int:
    light.enable()
    try:
        typer.main.get_command(app).main(arguments, prog_name="oejail")
    except SystemExit as stop:
        if stop.code == Exit.INTERRUPTED:  # how Typer ends on a KeyboardInterrupt
            _complain(Interrupted("interrupted", hint="run the same command again to continue"))
        return stop.code if isinstance(stop.code, int) else int(Exit.DEFECT)
    except OejailError as error:
        _complain(error)
        return int(error.exit_code)
    except OSError as error:
        return int(Exit.OK) if error.errno == errno.EPIPE else _refused(error)
    except Exception as error:  # the one place where a defect is caught, to be said in one line
        what = f"defect in oejail {__version__}: {type(error).__name__}: {error}"
        _complain(OejailError(what, hint="oejail -v VERB shows where"))
        _trace()
        return int(Exit.DEFECT)
    return int(Exit.OK)


def _refused(error: OSError) -> int:
    """Say what the operating system refused; the exit status."""
    status, hint = _SYSTEM.get(error.errno or 0, (Exit.DEFECT, "oejail -v says more"))
    # Of two names, as of a copy, the second is the one that is written.
    name = error.filename2 if error.errno in _WRITING and error.filename2 else error.filename
    place = f"{name}: " if name else ""
    _complain(OejailError(f"{place}{error.strerror or error}", hint=hint))
    _trace()
    return int(status)


def _trace() -> None:
    from oejail import log

    log.logger.debug("traceback", exc_info=True)


def main() -> NoReturn:
    """The command line, from its arguments to the exit status (`start.main` comes first)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # A signal that was ignored at the start (nohup) stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _terminated)
    status = _run(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the work is done: what it came to stands
    if "oejail.log" in sys.modules:
        sys.modules["oejail.log"].close()
    # What is left need not be looked through for garbage once more: that would take a quick verb
    # as long as its own work.
    gc.freeze()
    sys.exit(_flush(status))


def _flush(status: int) -> int:
    """Write out what stdout and stderr still hold; the exit status with that taken into account."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError) as error:
            # The interpreter would try again at its end, and complain.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            # That the reader (head, less) has gone is no error.
            if stream is sys.stdout and isinstance(error, OSError) and error.errno != errno.EPIPE:
                status = status or _refused(OSError(error.errno, error.strerror, "standard output"))
    return status


if __name__ == "__main__":
    main()
