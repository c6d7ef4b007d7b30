# SPDX-License-Identifier: MIT
"""A stand-in for QEMU where none is installed (`make test`): its arguments, its QMP, its console.

tests/system/test_boot_bare.py has the real one.
"""

from __future__ import annotations

import sys
from pathlib import Path

# A shebang cannot hold a path with a space: a shell starts Python, for which its line is a string.
_TEXT = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import json, os, re, sys, time

console, qmp = (int(n) for n in re.findall(r"socket,id=oejail-\\w+,fd=(\\d+)", " ".join(sys.argv)))


def say(data):
    while data:
        data = data[os.write(console, data):]


def greet(cont=lambda: time.sleep(60), before=lambda: None):
    version = {{"qemu": {{"major": 9, "minor": 8, "micro": 7}}, "package": "(fake)"}}
    hello = {{"QMP": {{"version": version, "capabilities": []}}}}
    os.write(qmp, json.dumps(hello).encode() + b"\\r\\n")
    rest = ""
    while data := os.read(qmp, 65536).decode():
        rest += data  # one object after the other, with no newline between
        while rest:
            try:
                asked, end = json.JSONDecoder().raw_decode(rest)
            except ValueError:
                break
            rest = rest[end:]
            if asked["execute"] == "cont":
                before()
            value = version if asked["execute"] == "query-version" else {{}}
            answer = {{"return": value}} | {{k: asked[k] for k in asked if k == "id"}}
            os.write(qmp, json.dumps(answer).encode() + b"\\r\\n")
            if asked["execute"] == "cont":
                cont()


{code}
"""


def install(directory: Path, code: str) -> Path:
    """qemu-system-aarch64 in `directory`: runs `code`, which has `greet`, `say` and `qmp`."""
    directory.mkdir()
    path = directory / "qemu-system-aarch64"
    path.write_text(_TEXT.format(python=sys.executable, code=code))
    path.chmod(0o755)
    return directory
