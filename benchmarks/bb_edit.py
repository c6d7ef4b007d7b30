# SPDX-License-Identifier: GPL-2.0-only
"""BitBake's own editor, timed: prints the seconds for importing it and adding sys.argv[2] to the
bblayers.conf sys.argv[1]. Run by bench_bblayers.py, as a process of its own."""

import sys
import time

began = time.perf_counter()

import bb.utils  # noqa: E402

bb.utils.edit_bblayers_conf(sys.argv[1], sys.argv[2], None)
print(time.perf_counter() - began)
