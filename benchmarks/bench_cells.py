# SPDX-License-Identifier: MIT
"""Cells: decoding one, and `oejail cell check` of a root and eight cells, as a whole process.

The peer of the process is a bare Typer application with two commands that shows its help. Decoding
is measured against the limit of a millisecond a cell. Times are medians; those of the processes
are of interleaved runs, so that a busy machine hits both alike.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.bench_cli import LEAN, OEJAIL, report, seconds
from oejail.artifacts.identify import identify
from oejail.cells import (
    Cell,
    Irqchip,
    MemoryRegion,
    RootCell,
    cpu_bitmap,
    decode,
    encode,
    pin_bitmap,
    shipped,
    shipped_names,
)
from oejail.checks import FileInput, InmateInput, SetInput, check_set

RUNS = 31
CELLS = 8
PROCESS_LIMIT = 1.5
DECODE_LIMIT_MS = 1.0


def sound_set(directory: Path) -> list[Path]:
    """A root and eight cells that go together: nothing is found, so nothing but work is timed."""
    root, cell = shipped("qemu-arm64-openeuler-demo"), shipped("qemu-arm64-freertos-demo")
    assert isinstance(root, RootCell) and isinstance(cell, Cell)
    root = replace(root, cell=replace(root.cell, cpu_set=cpu_bitmap(range(CELLS + 1))))
    files = [directory / "root.cell"]
    files[0].write_bytes(encode(root))
    for number in range(CELLS):
        ram = replace(cell.memory[4], phys_start=0x8500_0000 + (number << 26))
        chip = Irqchip(cell.irqchips[0].address, 0, 32, pin_bitmap([40 + number], 32))
        one = replace(
            cell,
            name=f"cell-{number}",
            cpu_set=cpu_bitmap([number + 1]),
            memory=(*cell.memory[:4], ram, *cell.memory[5:]),
            irqchips=(chip,),
            pci_devices=cell.pci_devices if number == 0 else (),
        )
        if number:
            one = replace(one, memory=(ram, *one.memory[5:], MemoryRegion()))
        files.append(directory / f"cell-{number}.cell")
        files[-1].write_bytes(encode(one))
    return files


def main() -> int:
    # As an installed program has them: some environments keep Python from writing them.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    every = [encode(shipped(name)) for name in shipped_names()]
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        for data in every:
            decode(data)
        times.append((time.perf_counter() - began) / len(every))
    decoding = statistics.median(times) * 1000
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        files = sound_set(directory)
        inmates = tuple(InmateInput(FileInput(str(f), identify(f))) for f in files[1:])
        began = time.perf_counter()
        findings = check_set(SetInput(root=FileInput("root", identify(files[0])), inmates=inmates))
        rules = (time.perf_counter() - began) * 1000
        if findings:
            print(f"cell check: the set of the benchmark is not sound: {findings[0].line()} FAIL")
            return 1
        (directory / "lean.py").write_text(LEAN)
        lean = [sys.executable, str(directory / "lean.py"), "--help"]
        check = [str(OEJAIL), "cell", "check", *map(str, files)]
        pairs = [(seconds(check, directory), seconds(lean, directory)) for _ in range(RUNS)]
    ours, theirs = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    print(f"# cell check {ours:.1f} ms, of it rules {rules:.1f} ms; lean Typer {theirs:.1f} ms")
    fine = report("decode a cell, against 1 ms", decoding / DECODE_LIMIT_MS, 1.0)
    fine &= report(f"cell check, a root and {CELLS} cells", ours / theirs, PROCESS_LIMIT)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
