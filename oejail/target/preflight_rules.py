# SPDX-License-Identifier: MIT
"""What `deploy` may find on a board, before it touches anything. Ids once published stay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from oejail.checks.finding import ERROR, WARNING, Finding
from oejail.checks.table import RULES as SET_RULES
from oejail.checks.table import Rule, waivers


def _row(
    id: str, severity: str, title: str, means: str, happens: str, mend: str
) -> tuple[str, Rule]:
    # These look at a board, not at a set: there is nothing for `check_set` to run.
    return id, Rule(id, severity, lambda _: iter(()), title, means, happens, mend)


RULES: dict[str, Rule] = dict(
    [
        _row(
            "deploy-sample",
            ERROR,
            "bundle is a sample",
            "The bundle was made from the sample tree: its module, firmware and tool are stand-ins "
            "that only look like Jailhouse.",
            "Nothing: a sample is never sent to a board.",
            "Deploy a bundle of a real build; oejail boot --bare shows the sample's inmate.",
        ),
        _row(
            "deploy-architecture",
            ERROR,
            "board has another architecture",
            "The board's processor is not the one that the bundle's files are for.",
            "`insmod` refuses the module: `Invalid module format`.",
            "Deploy to a board of the bundle's platform, or build for this one.",
        ),
        _row(
            "deploy-board",
            ERROR,
            "bundle is for another board",
            "The board names itself, in its device tree, as one of another platform than the "
            "bundle's: interrupt controller, UART and memory are elsewhere.",
            "The hypervisor takes the board down at `enable`.",
            "Build for that platform: oejail init --platform NAME.",
        ),
        _row(
            "deploy-rtos",
            ERROR,
            "nothing runs beside Linux",
            "The bundle's set has no inmate, and openEuler does not support the RTOS on its "
            "platform, so there is nothing to deploy it for.",
            "The hypervisor is enabled, and no cell is created.",
            "Name an inmate with an image for that board under cells.inmates in oejail.yaml.",
        ),
        _row(
            "deploy-kernel",
            ERROR,
            "module is for another kernel",
            "The kernel that runs on the board has another release than the module was built for.",
            "`version magic 'A' should be 'B'`, and insmod ends with status 8.",
            "Boot the kernel of the same build (boot/ in the bundle), or build for this one.",
        ),
        _row(
            "deploy-root",
            ERROR,
            "user is not root",
            "The user on the board is not root: /opt cannot be written, no module inserted, and "
            "/proc/iomem does not show the memory.",
            "`Permission denied`.",
            "Deploy as root@HOST.",
        ),
        _row(
            "deploy-tools",
            ERROR,
            "programs are missing",
            "The board lacks programs that installing needs.",
            "Installing would fail halfway.",
            "Have BusyBox built with those programs.",
        ),
        _row(
            "deploy-space",
            ERROR,
            "too little space",
            "The file system of /opt/oejail has less space than the payload needs.",
            "`No space left on device`.",
            "Free some space on the board.",
        ),
        _row(
            "deploy-read-only",
            ERROR,
            "file system is read-only",
            "The file system of /opt/oejail is mounted read-only.",
            "`Read-only file system`.",
            "mount -o remount,rw on the board, or build an image with a writable root.",
        ),
        _row(
            "deploy-ram-disk",
            WARNING,
            "what is deployed does not survive a restart",
            "The file system of /opt/oejail lies in memory: openEuler's multi-OS image runs from "
            "an initrd.",
            "After the next boot neither /opt/oejail nor the links of --enable are there.",
            "Deploy again after each boot, put the payload into the image (oejail up "
            "--rtos-in-image), or run from a disk.",
        ),
        _row(
            "deploy-hypervisor",
            WARNING,
            "a hypervisor runs already",
            "Jailhouse is enabled on the board.",
            "What runs goes on; `JAILHOUSE_ENABLE: Device or resource busy` for whoever starts it "
            "again (with --start this is an error).",
            "/opt/oejail/current/bin/jailhouse disable on the board, then start the new version.",
        ),
        _row(
            "deploy-memory",
            WARNING,
            "memory could not be compared",
            "The board does not show its memory: what Linux owns is not known.",
            "`request_mem_region failed for hypervisor memory.` when nothing is reserved.",
            "Look for mem= in /proc/cmdline on the board.",
        ),
        _row(
            "deploy-init",
            ERROR,
            "nothing starts at boot",
            "--enable was given, and the board has neither systemd nor /etc/rc5.d nor /etc/init.d, "
            "or something that is not ours lies where the link would be.",
            "There is no place for a link.",
            "Call /opt/oejail/current/oejail-start from the board's own init, or move away what "
            "lies there.",
        ),
    ]
)
"""By id."""


def finding(rule: str, where: str, message: str, severity: str | None = None) -> Finding:
    """A finding of one of these rules; `severity` where it is another than the rule's."""
    return Finding(rule, severity or RULES[rule].severity, message, where)


def split(waive: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Waivers of rules about the board, and of those about the set.

    UsageFault for a rule that does not exist, or without a reason; a sample stays one.
    """
    waivers(
        waive, {name: row for name, row in (SET_RULES | RULES).items() if name != "deploy-sample"}
    )
    board = {name: reason for name, reason in waive.items() if name in RULES}
    return board, {name: reason for name, reason in waive.items() if name not in RULES}


def waived(findings: Iterable[Finding], reasons: Mapping[str, str]) -> list[Finding]:
    """The findings, marked where there is a reason to accept them."""
    return [replace(found, waived=reasons.get(found.rule, "")) for found in findings]
