# SPDX-License-Identifier: MIT
"""What BitBake needs of this machine, looked at before it runs (host engine).

HOSTTOOLS is read from the tree's own bitbake.conf and from compile.yaml's lines. What a distro
file, a layer or inline Python adds to it is not known here: BitBake then says so itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oejail import files, process
from oejail.errors import ConfigError, PrerequisiteMissing
from oejail.workspace import compileyaml, nativesdk
from oejail.workspace.conf import Variable, statements, without_inline
from oejail.workspace.model import Workspace

LOCALE = "en_US.UTF-8"
"""What OE-core's sanity check wants: BitBake switches to it."""
_LOCALE_FIX = (
    f"localedef -i en_US -f UTF-8 {LOCALE} (Debian: after apt-get install locales), "
    "or dnf install glibc-all-langpacks"
)
_MARK = "oejail-path:"
# What the build's shell sees: PATH behind the nativesdk's script, and its python3's word on locale.
_ASK = f"""
[ -z "$1" ] || . "$1" >/dev/null 2>&1
printf '%s%s\\n' '{_MARK}' "$PATH"
python3 -c 'import locale; locale.setlocale(locale.LC_ALL, "{LOCALE}")' || exit 3
"""

_DEBIAN = {
    "binutils": "ar as ld nm objcopy objdump ranlib readelf strings strip",
    "coreutils": "[ basename cat chgrp chmod chown comm cp cut date dd dirname du echo env expr "
    "false head id install ln ls md5sum mkdir mkfifo mknod mktemp mv od pr printf pwd readlink "
    "realpath rm rmdir sha1sum sha224sum sha256sum sha384sum sha512sum sleep sort split stat tail "
    "tee test touch tr true uname uniq wc",
    "bash": "bash sh",
    "bzip2": "bzip2",
    "chrpath": "chrpath",
    "cpio": "cpio",
    "cpp": "cpp",
    "debianutils": "which",
    "diffstat": "diffstat",
    "diffutils": "cmp diff",
    "file": "file",
    "findutils": "find xargs",
    "g++": "g++",
    "gawk": "awk gawk",
    "gcc": "gcc",
    "git": "git",
    "grep": "egrep fgrep grep",
    "gzip": "gunzip gzip",
    "hostname": "hostname",
    "libc-bin": "getconf iconv ldd",
    "lz4": "lz4c",
    "make": "make",
    "patch": "patch",
    "perl": "perl",
    "python3": "python3",
    "rpcsvc-proto": "rpcgen",
    "sed": "sed",
    "tar": "tar",
    "util-linux": "flock getopt",
    "wget": "wget",
    "zstd": "pzstd zstd",
}
"""Debian's packages of OE-core's HOSTTOOLS. dnf, openEuler's, finds a package by a file's path."""


@dataclass(frozen=True)
class Host:
    """What was found. `conf` is where HOSTTOOLS was read, None without a tree."""

    conf: Path | None
    tools: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    locale_missing: bool = False

    @property
    def fix(self) -> str:
        """What to type."""
        return _LOCALE_FIX if self.locale_missing and not self.missing else packages(self.missing)

    @property
    def what(self) -> str:
        """What is missing, in words; empty for nothing."""
        words = [f"HOSTTOOLS not on PATH: {', '.join(self.missing)}"] if self.missing else []
        return "; ".join(words + [f"locale {LOCALE}: not there"] * self.locale_missing)


def check(ws: Workspace) -> None:
    """Raise PrerequisiteMissing for the tools and the locale that BitBake would miss here."""
    found = look(ws)
    if found.what:
        raise PrerequisiteMissing(f"{found.conf}: {found.what}", hint=found.fix)


def look(ws: Workspace) -> Host:
    """Look for what the tree of `ws` needs; nothing where BitBake runs in a container."""
    conf = ws.src / "yocto-poky" / "meta" / "conf" / "bitbake.conf"
    if ws.engine != "host" or not conf.is_file():
        return Host(None)
    tools = wanted(conf, _local_conf(ws))
    sdk = nativesdk.in_use(ws)
    oe_core = _wants_locale(conf.parent.parent)
    path = process.scrubbed_environment()["PATH"]
    no_locale = False
    if sdk is not None or oe_core:
        script = str(sdk.environment) if sdk is not None else ""
        done = process.run(
            ["bash", "-c", _ASK, "bash", script], identity=ws.identity, timeout=60, check=False
        )
        marked = [line for line in done.stdout if line.startswith(_MARK)]
        path = marked[-1].removeprefix(_MARK) if marked else path
        no_locale = oe_core and done.returncode == 3
    lacking = missing(tools, path)
    return Host(conf, tools, lacking, no_locale and "python3" not in lacking)


def wanted(conf: Path, more: Iterable[str] = ()) -> tuple[str, ...]:
    """HOSTTOOLS as bitbake.conf and the lines `more` make it, without inline Python, sorted."""
    text = files.read_limited(conf, files.MIB).decode("utf-8", "replace")
    lines = "\n".join(more)
    found = [
        statement
        for source, name in ((text, str(conf)), (lines, "compile.yaml"))
        for statement in statements(source, name, lenient=True)
        if statement.name == "HOSTTOOLS"
    ]
    words = without_inline(Variable("HOSTTOOLS", found).text).split()
    return tuple(sorted({word for word in words if "/" not in word and "$" not in word}))


def missing(tools: Iterable[str], path: str) -> tuple[str, ...]:
    """Those of `tools` that are no executable file in a directory of `path`."""
    directories = [d for d in path.split(":") if d]
    return tuple(
        tool
        for tool in tools
        if not any(
            os.access(os.path.join(d, tool), os.X_OK) and os.path.isfile(os.path.join(d, tool))
            for d in directories
        )
    )


def packages(tools: Iterable[str]) -> str:
    """What to type to have `tools`: Debian's packages as far as known, dnf by the files' paths."""
    tools = list(tools)
    known = {tool: name for name, words in _DEBIAN.items() for tool in words.split()}
    names = dict.fromkeys(known.get(tool, tool) for tool in tools)
    paths = " ".join(f"/usr/bin/{tool}" for tool in tools)
    return f"apt-get install {' '.join(names)}, or dnf install {paths}"


def _local_conf(ws: Workspace) -> tuple[str, ...]:
    try:
        return compileyaml.parts(files.read_limited(ws.compile_yaml, files.MIB).decode())[1]
    except (FileNotFoundError, UnicodeDecodeError, ConfigError):
        return ()


def _wants_locale(meta: Path) -> bool:
    """True for a tree whose sanity check wants the locale: OE-core's, not the sample's."""
    for path in sorted(meta.glob("classes*/sanity.bbclass")):
        if LOCALE.encode() in files.read_limited(path, files.MIB):
            return True
    return False
