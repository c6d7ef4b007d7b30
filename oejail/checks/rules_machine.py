# SPDX-License-Identifier: MIT
"""Rules about the root configuration and the machine, or the QEMU command line, that it meets."""

from __future__ import annotations

from collections.abc import Iterator

from oejail.cells import ArmPlatform
from oejail.checks.finding import ERROR
from oejail.checks.model import SetInput
from oejail.checks.table import rule

Found = Iterator[tuple[str, str]]


@rule(
    "smp-few",
    ERROR,
    title="fewer CPUs than the root's set",
    means="The machine has fewer CPUs than the root's set.",
    happens="`JAILHOUSE_ENABLE: Invalid argument`.",
    mend="give the machine as many CPUs as the root's set has (`-smp`).",
)
def smp_few(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if given.root is None or root is None or machine is None or machine.cpus is None:
        return
    wanted = max(root.cell.cpus, default=-1) + 1
    if machine.cpus < wanted:
        yield (
            given.root.path,
            f"the set goes up to CPU {wanted - 1}, {machine.name} has {machine.cpus} CPUs",
        )


@rule(
    "smp-many",
    ERROR,
    title="more CPUs than the root's set",
    means="The machine has more CPUs than the root's set.",
    happens="`jailhouse enable` hangs silently: the hypervisor waits for CPUs that it does not "
    "manage.",
    mend="give the machine exactly the CPUs of the root's set (`-smp`).",
)
def smp_many(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if given.root is None or root is None or machine is None or machine.cpus is None:
        return
    have = set(root.cell.cpus)
    if have and (missing := set(range(machine.cpus)) - have):
        yield (
            given.root.path,
            f"{len(have)} CPUs, {machine.name} has {machine.cpus}: CPU {min(missing)} is not in "
            "the root's set",
        )


@rule(
    "gic-version",
    ERROR,
    title="the root is for another version of the GIC",
    means="The root's configuration is for another version of the interrupt controller (GIC).",
    happens="`CPU 1... FAILED` and `JAILHOUSE_ENABLE: No such device`, or `FATAL: Unhandled HYP "
    "exception` and a hang.",
    mend="boot with the GIC that the root names (`-machine virt,gic-version=3`), or take the "
    "root configuration of this machine.",
)
def gic_version(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if given.root is None or root is None or machine is None or machine.gic_version is None:
        return
    arm = root.platform
    if isinstance(arm, ArmPlatform) and arm.gic_version != machine.gic_version:
        yield (
            given.root.path,
            f"GIC version {arm.gic_version}, {machine.name} has version {machine.gic_version}",
        )


@rule(
    "gic-address",
    ERROR,
    title="the GIC is not where the root says",
    means="The interrupt controller is not where the root's configuration says.",
    happens="`FATAL: Unhandled HYP exception` at `jailhouse enable`, and a hang.",
    mend="take the root configuration of this machine, or correct gicd_base and the others.",
)
def gic_address(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if given.root is None or root is None or machine is None:
        return
    arm = root.platform
    if not isinstance(arm, ArmPlatform):
        return
    names = ("gicd", "gicr") if arm.gic_version >= 3 else ("gicd", "gicc", "gich", "gicv")
    for name in names:
        address, expected = getattr(arm, f"{name}_base"), machine.gic.get(name, 0)
        if expected and address != expected:
            yield (
                f"{given.root.path}: {name}_base",
                f"{address:#x}, {machine.name} has {expected:#x}",
            )


@rule(
    "no-virtualization",
    ERROR,
    title="virtualization is off",
    means="The machine does not let Linux start at the hypervisor's privilege level (EL2).",
    happens="`CPU: All CPU(s) started at EL1` at boot, and a silent hang at `jailhouse enable` "
    "after `direct-loading firmware`.",
    mend="boot QEMU with `-machine virt,virtualization=on`.",
)
def no_virtualization(given: SetInput) -> Found:
    machine = given.machine
    if given.root_config and machine and machine.virtualization is False:
        yield machine.name, "virtualization is off: the hypervisor needs EL2"


_VHE = frozenset(
    [
        "max",
        "a64fx",
        "cortex-a55",
        "cortex-a76",
        "cortex-a710",
        "neoverse-n1",
        "neoverse-n2",
        "neoverse-v1",
    ]
)
"""QEMU's models of Armv8.1 and later, which all have the virtualization host extensions."""
_ONLY_32_BITS = frozenset(["cortex-a7", "cortex-a8", "cortex-a9", "cortex-a15"])


@rule(
    "cpu-model",
    ERROR,
    title="the CPU model is none for Jailhouse",
    means="The CPU model has the virtualization host extensions (VHE), with which Linux stays at "
    "EL2, as QEMU's `max` has: Jailhouse does not expect that. Or it has no 64-bit mode, as what "
    "QEMU's `virt` takes without `-cpu`, and the set is for arm64.",
    happens="kernel panic at `jailhouse enable`, with `HVC (AArch64)`; without 64-bit mode no "
    "kernel starts at all.",
    mend="boot QEMU with `-cpu cortex-a57` or `-cpu cortex-a53`.",
)
def cpu_model(given: SetInput) -> Found:
    machine, root = given.machine, given.root_config
    if root and machine and machine.cpu_model:
        model = machine.cpu_model.split(",", 1)[0]
        if model in _VHE:
            yield machine.name, f"CPU model {model}: Jailhouse needs one without VHE"
        elif model in _ONLY_32_BITS and (given.arch or root.arch) == "arm64":
            yield machine.name, f"CPU model {model} has no 64-bit mode, the set is for arm64"
