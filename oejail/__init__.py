# SPDX-License-Identifier: MIT
"""oejail: an RTOS in a Jailhouse cell beside openEuler Embedded, by one command."""

__version__ = "0.1.0"
