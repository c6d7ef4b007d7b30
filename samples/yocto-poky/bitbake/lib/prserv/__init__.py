# SPDX-License-Identifier: GPL-2.0-only
"""An inert stand-in: the wheel of BitBake's library lacks the PR service."""
