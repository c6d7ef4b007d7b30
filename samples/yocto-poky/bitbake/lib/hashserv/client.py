# SPDX-License-Identifier: GPL-2.0-only
"""An inert stand-in, see the package."""
