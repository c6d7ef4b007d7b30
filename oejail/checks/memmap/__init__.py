# SPDX-License-Identifier: MIT
"""The machine's memory as a picture: who has what, what lies between, and what clashes."""

from oejail.checks.memmap.model import Band, Claim, Conflict, MemoryMap, memory_map

__all__ = ["Band", "Claim", "Conflict", "MemoryMap", "memory_map"]
