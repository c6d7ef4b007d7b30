# SPDX-License-Identifier: GPL-2.0-only
"""Real BitBake as a judge of configuration files: a process of its own, one JSON line a case.

It imports `bb`, whose licence it therefore has; the tests talk to it through pipes
(`tests/support/oracles.py`) and import nothing from here. Runs with BitBake 2.19 from the
bitbake-setup wheel, or with `sys.argv[1]` as the library directory of another BitBake.

In: {"text": …, "variables": {NAME: value}, "want": NAME}. Out: {"value": str or null}, or
{"error": …} when BitBake refuses the file.
"""

import json
import logging
import os
import sys
import tempfile
import types
from typing import Any

if len(sys.argv) > 1:
    sys.path.insert(0, sys.argv[1])
else:
    # The wheel lacks these; bb.siggen imports them, and uses them only with BB_HASHSERVE.
    hashserv, client = types.ModuleType("hashserv"), types.ModuleType("hashserv.client")
    sys.modules.update({"hashserv": hashserv, "hashserv.client": client})
    vars(hashserv)["client"] = client

import bb
import bb.data
import bb.data_smart
import bb.parse
import bb.parse.parse_py.ConfHandler  # registers itself with bb.parse
import bb.utils

logging.disable(logging.CRITICAL)


def evaluate(case: dict[str, Any], path: str) -> dict[str, Any]:
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write(case["text"])
    data = bb.data.init()
    for name, value in case.get("variables", {}).items():
        data.setVar(name, value)
    try:
        bb.parse.handle(path, data, True)
        return {"value": data.getVar(case.get("want", "BBLAYERS"))}
    # bb.fatal raises BBHandledException, which is no Exception; SystemExit is never ours either.
    except (Exception, bb.BBHandledException) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bb-oracle-") as directory:
        path = os.path.join(directory, "bblayers.conf")
        for line in sys.stdin:
            print(json.dumps(evaluate(json.loads(line), path)), flush=True)


main()
