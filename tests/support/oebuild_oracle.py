# SPDX-License-Identifier: GPL-2.0-only
"""oebuild's real editor of bblayers.conf: a process of its own, one JSON line a case.

It imports `oebuild.bb.utils`, whose licence it therefore has; the tests talk to it through pipes.

In: {"text": …, "layers": […]}. Out: {"text": what the file holds afterwards}, or {"error": …}.
"""

import json
import os
import sys
import tempfile

from oebuild.bb.utils import edit_bblayers_conf


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="oebuild-oracle-") as directory:
        path = os.path.join(directory, "bblayers.conf")
        for line in sys.stdin:
            case = json.loads(line)
            with open(path, "w", encoding="utf-8", newline="") as stream:
                stream.write(case["text"])
            try:
                edit_bblayers_conf(path, add=case["layers"], remove=None)
                with open(path, encoding="utf-8", newline="") as stream:
                    answer = {"text": stream.read()}
            except Exception as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


main()
