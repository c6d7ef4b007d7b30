# SPDX-License-Identifier: MIT
"""How large a bundle may be. The writer keeps to these limits, so that every reader may insist.

Sizes in bytes.
"""

from __future__ import annotations

from oejail.files import MIB

MAX_MEMBERS = 10_000
MAX_MEMBER = 4096 * MIB
MAX_TOTAL = 8192 * MIB
MAX_ARCHIVE = 8192 * MIB
MAX_MANIFEST = 16 * MIB
"""Of manifest.json and of SHA256SUMS."""
MAX_WINDOW = 8 * MIB
"""Of zstd's window: what a reader has to keep in memory."""
MAX_RATIO = 1000
"""Unpacked to packed bytes, of an archive that unpacks to more than RATIO_FREE bytes."""
RATIO_FREE = 64 * MIB
