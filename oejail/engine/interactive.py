# SPDX-License-Identifier: MIT
"""BitBake in the user's own hands: a shell in its environment, and any of its commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from oejail import oebuild, terminal
from oejail.engine import container
from oejail.engine.build import BITBAKE_STARTS, require_build_dir, run_bitbake
from oejail.engine.text import printable
from oejail.errors import ChildFailed, PrerequisiteMissing, UsageFault
from oejail.log import logger
from oejail.workspace.model import Workspace

_RCFILE = Path(__file__).with_name("shell.bash")
_INIT_FAILED = 97  # as shell.bash says it


def bitbake(ws: Workspace, args: Sequence[str], say: Callable[[str], None]) -> None:
    """Run `bitbake ARGS` in the build directory; `say` gets each line of its output.

    Raises UsageFault without arguments, ChildFailed when BitBake does not start, or not end with
    status 0.
    """
    if not args:
        raise UsageFault("no arguments for bitbake", hint="oejail bitbake -- --help shows them")
    before: list[str] = []  # what oebuild and the tree's scripts say is no answer of BitBake's
    started = False

    def reader(_stream: str, line: str) -> None:
        nonlocal started
        _, text = oebuild.said(line)
        if started:
            say(text)
        elif text == BITBAKE_STARTS:
            started = True
        else:
            logger.debug("| %s", printable(text))
            before.append(printable(text, 300))

    result = run_bitbake(ws, args, reader=reader)
    what = f"bitbake {shlex.join(args)[:200]}"
    if not started:
        raise ChildFailed(f"{what}: did not start ({result.describe()})", details=before[-10:])
    if not result.ok:
        raise ChildFailed(f"{what}: {result.describe()}")


def shell(ws: Workspace) -> None:
    """An interactive bash in BitBake's environment, until the user leaves it.

    oebuild is not asked: it would write into ~/.bashrc. All that the shell started is ended with
    it, BitBake's server included. Raises UsageFault without a terminal, PrerequisiteMissing when
    the tree has no oe-init-build-env, ChildFailed when that fails.
    """
    require_build_dir(ws)
    init = ws.src / "yocto-poky" / "oe-init-build-env"
    if not init.is_file():
        raise PrerequisiteMissing(f"{init}: not there", hint="oejail generate")
    environment = {
        "TEMPLATECONF": f"{ws.src_as_built}/{ws.meta_openeuler.name}/.oebuild",
        "OEJAIL_INIT": f"{ws.src_as_built}/yocto-poky/oe-init-build-env",
        "OEJAIL_BUILD_DIR": ws.build_dir_as_built,
    }
    if ws.engine == "container":
        terminal.require()
        status = container.shell(ws, _RCFILE, environment)
    else:
        words = ["bash", "--rcfile", str(_RCFILE), "-i"]
        status = terminal.run(words, cwd=ws.build_dir, env=environment, identity=ws.identity)
    if status == _INIT_FAILED:
        raise ChildFailed(f"{init}: failed", hint="oejail generate, or look at what it said")
