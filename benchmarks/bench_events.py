# SPDX-License-Identifier: MIT
"""Reading BitBake's events: speed, and the memory of the process that reads.

The lines are those of a build of many recipes, as oejail-events.bbclass writes them. The reader
runs in a process of its own, follows the file to its end and keeps the state of the build, as
`oejail build` does. Its time is the processor's, its memory all that the process ever held,
interpreter included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = 100_000_000
SPEED_LIMIT = 20  # MB/s, at least
MEMORY_LIMIT = 50  # MB, at most
RUNS = 3

READ = """
import resource, sys, time
from pathlib import Path
from oejail.engine.events import Tail
from oejail.engine.track import Track
track = Track()
began = time.process_time()
with Tail(Path(sys.argv[1])) as tail:
    for event in tail.events(1 << 40):
        track.feed(event)
seconds = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, peak * 1024, track.seen, tail.ignored)
"""


def write(path: Path) -> int:
    """A file of SIZE bytes of events; returns how many."""
    count, written = 0, 0
    with path.open("wb") as stream:
        while written < SIZE:
            recipe = f"recipe-{count // 60 % 3000}"
            file = f"/home/build/ws/src/yocto-poky/../yocto-meta-openeuler/{recipe}/{recipe}_1.0.bb"
            log = f"/home/build/ws/build/q/tmp/work/a57-linux/{recipe}/1.0-r0/temp/log.do_compile.9"
            head = {"v": 1, "t": 1795527977.006 + count, "pid": 27668, "task": "do_compile"}
            stats = dict.fromkeys(("active", "completed", "failed", "skipped", "total"), 12345)
            queue = {**head, "recipe": recipe, "file": file, "stats": stats, "setscene": False}
            task = {**head, "recipe": f"{recipe}-1.0-r0", "pn": recipe, "file": file}
            for event in (
                {**queue, "event": "RunQueueTaskStarted", "noexec": False},
                {**task, "event": "TaskStarted", "logfile": log},
                {**task, "event": "TaskSucceeded", "logfile": log},
                {**queue, "event": "RunQueueTaskCompleted"},
            ):
                written += stream.write(json.dumps(event).encode() + b"\n")
                count += 1
    return count


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="oejail-bench-") as directory:
        path = Path(directory) / "oejail-events.jsonl"
        count = write(path)
        size = path.stat().st_size
        best, peak = float("inf"), 0
        for _ in range(RUNS):
            words = [sys.executable, "-c", READ, str(path)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            seconds, memory, seen, ignored = map(float, done.stdout.split())
            assert (seen, ignored) == (count, 0)
            best, peak = min(best, seconds), max(peak, int(memory))
    speed, megabytes = size / best / 1e6, peak / 1e6
    fast, small = speed >= SPEED_LIMIT, megabytes <= MEMORY_LIMIT
    print(f"event lines, MB/s: {speed:.0f} (limit {SPEED_LIMIT}) {'ok' if fast else 'FAIL'}")
    print(f"event lines, MB: {megabytes:.0f} (limit {MEMORY_LIMIT}) {'ok' if small else 'FAIL'}")
    return 0 if fast and small else 1


if __name__ == "__main__":
    sys.exit(main())
