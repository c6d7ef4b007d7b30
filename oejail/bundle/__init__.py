# SPDX-License-Identifier: MIT
"""Bundles: packed the same everywhere, verified whatever they are.

`pack` makes one of what `collect` left, `verify` says what is wrong with one, `read` what it says
it is. `check_out` runs the rules on what `collect` left.
"""

from oejail.bundle.inspect import BundleView, read
from oejail.bundle.pack import PackResult, pack, sidecar, signature
from oejail.bundle.setcheck import check_out
from oejail.bundle.verify import Verification, examine, verify

__all__ = [
    "BundleView",
    "PackResult",
    "Verification",
    "check_out",
    "examine",
    "pack",
    "read",
    "sidecar",
    "signature",
    "verify",
]
