# SPDX-License-Identifier: MIT
"""Causes of a session's failure, by name: what happened, and what to do about it.

A name once published keeps its meaning: it is `outcome` in results.json.
"""

from __future__ import annotations

CAUSES: dict[str, tuple[str, str]] = {
    # the guest
    "qemu-died": ("QEMU ended", "its own words are below"),
    "qemu-romfile": (
        "QEMU found no ROM for its network card",
        "apt-get install ipxe-qemu, or leave the card out (-nic none)",
    ),
    "qemu-timeout": ("QEMU did not answer", "is the host overloaded, or a --qemu-arg in the way?"),
    "guest-silent": (
        "Linux printed nothing",
        "is this an arm64 kernel with the PL011 driver, and console=ttyAMA0 on its command line?",
    ),
    "guest-no-init": (
        "Linux found no init to start",
        "the initrd needs an executable /init; give another with --initrd",
    ),
    "guest-initrd": (
        "Linux cannot unpack the initrd",
        "its kernel needs that compression (CONFIG_RD_GZIP and the like); xz: --check=crc32",
    ),
    "guest-no-shell": (
        "neither a shell nor a login prompt came on the console",
        "the transcript shows how far it got; --timeout waits longer",
    ),
    "login-wanted": (
        "the guest asks for a password",
        "name the user with --login, and a file with the word (--password-file)",
    ),
    "login-refused": (
        "the guest refused the login",
        "are --login and the word in the file (--password-file) right?",
    ),
    "not-root": ("the guest's user may not do that", "log in as root: --login root"),
    "guest-panic": ("Linux panicked", "the transcript has the trace"),
    "guest-oops": ("Linux crashed in the midst of the step", "the transcript has the trace"),
    "guest-stall": ("a CPU of Linux's is stuck", "the transcript has the trace"),
    "guest-ended": ("the guest switched itself off or restarted", "the transcript says why"),
    "not-prepared": (
        "the payload is not at /oejail in the guest, or its kernel takes no path for firmware",
        "the root file system must be the initrd: a root= of another has no payload",
    ),
    # the module
    "module-vermagic": (
        "the module was built for another kernel",
        "boot the kernel that it was built with, or build it for this one",
    ),
    "module-symbol": (
        "the kernel lacks a symbol that the module needs",
        "the kernel must export what Jailhouse's driver wants: boot the one it was built with",
    ),
    "module-key": (
        "the kernel wants a signed module",
        "sign the module, or boot with module.sig_enforce=0",
    ),
    "module-format": (
        "the module is damaged, or for another architecture",
        "collect it again: oejail verify says whether the bundle is whole",
    ),
    "module-missing": ("there is no such module", "is it in the bundle? oejail inspect"),
    "module-loaded": (
        "a module jailhouse is loaded already",
        "rmmod it: the guest's own may be another than the bundle's",
    ),
    "module-busy": (
        "a module jailhouse is in use and cannot be removed",
        "jailhouse disable first: the hypervisor runs already",
    ),
    "module-not-loaded": (
        "there is no /dev/jailhouse: the driver is not loaded",
        "insmod jailhouse.ko must come first",
    ),
    "tool-missing": (
        "the guest cannot run the program",
        "the tool jailhouse wants the guest's own libc; is the initrd of the same build?",
    ),
    # enable
    "config-revision": (
        "the configuration is of another revision than the driver's",
        "take cells, module and jailhouse.bin of one Jailhouse; oejail verify names the revisions",
    ),
    "config-architecture": (
        "the configuration is for another architecture",
        "take the cell of this board; the tool may end with 0 all the same",
    ),
    "not-a-root-cell": (
        "this is no root configuration for this driver",
        "an inmate's cell stands for the root, or it is of another revision or of a fork",
    ),
    "not-a-cell": (
        "this is no inmate's configuration for this driver",
        "the root's stands for it, it is cut short, or of another revision or fork",
    ),
    "cell-file-missing": (
        "the configuration's file is not in the guest",
        "was the payload unpacked? an initrd with an /oejail of its own may be in the way",
    ),
    "memory-not-reserved": (
        "the hypervisor's memory is Linux's",
        "Linux must leave it alone: mem= below it; oejail cell qemu says how much",
    ),
    "enable-refused": (
        "the driver refused the root configuration without a word",
        "the hypervisor's memory is too small for jailhouse.bin, jailhouse.bin is damaged, or the "
        "configuration is cut short",
    ),
    "firmware-missing": (
        "the kernel found no jailhouse.bin",
        "it is looked for in /sys/module/firmware_class/parameters/path, then in /lib/firmware",
    ),
    "el1": (
        "enable hangs: Linux was started at EL1, the hypervisor needs EL2",
        "boot QEMU with -machine virt,virtualization=on",
    ),
    "cpus-many": (
        "enable hangs: the machine has more CPUs than the root's set",
        "give it as many as the root has: -smp",
    ),
    "enable-hangs": (
        "enable hangs without a word",
        "was Linux started at EL1, or has the machine more CPUs than the root's set?",
    ),
    "cpus-few": (
        "the machine has fewer CPUs than the root's set",
        "give it as many as the root has: -smp",
    ),
    "cpu-vhe": (
        "Linux keeps EL2 to itself (VHE), and panicked at the hypervisor's call",
        "take a CPU without VHE: -cpu cortex-a57; not -cpu max",
    ),
    "hypervisor-beyond-ram": (
        "the hypervisor's memory lies beyond the machine's RAM",
        "give the machine more: -m; oejail cell qemu says how much",
    ),
    "gic-mismatch": (
        "the hypervisor crashed at its interrupt controller",
        "GIC version and addresses of the root must be the machine's: -machine virt,gic-version=3",
    ),
    "gic-version": (
        "the root is for another version of the interrupt controller",
        "take the root of this board, or -machine virt,gic-version=…",
    ),
    "enabled-already": ("the hypervisor is enabled already", "jailhouse disable first"),
    "hypervisor-fault": ("the hypervisor crashed", "the transcript has its registers"),
    # cells
    "not-enabled": ("the hypervisor is not enabled", "jailhouse enable must come first"),
    "cell-exists": ("a cell of this name exists already", "jailhouse cell destroy it first"),
    "cell-busy": (
        "a CPU or memory of the cell is taken, or not the root's to give",
        "oejail cell check names it",
    ),
    "create-refused": (
        "the driver refused the cell without a word",
        "is the hypervisor enabled, and the configuration whole? oejail cell check",
    ),
    "cell-file-cut": (
        "create hangs: the configuration is cut short, what follows it was taken for devices",
        "collect it again: oejail cell show says what is missing",
    ),
    "create-hangs": ("create hangs", "oejail cell check the configuration"),
    "cell-absent": ("no such cell exists, though the tool ended with 0", "see the step `create`"),
    "cell-unknown": (
        "no cell has this name",
        "was it created? its internal name counts, not its file's: oejail cell show",
    ),
    "cell-refused": (
        "the driver refused without a word",
        "is this the root cell, or the hypervisor not enabled?",
    ),
    "image-missing": ("the image's file is not in the guest", "was the payload unpacked?"),
    "image-does-not-fit": (
        "the image does not fit",
        "it is larger than the cell's region, its address outside of it, or no region LOADABLE",
    ),
    "cell-over-hypervisor": (
        "the cell's memory lies over the hypervisor's, which crashed",
        "give the cell other memory: oejail cell map",
    ),
    "cell-in-linux-ram": (
        "Linux hangs: the cell's memory is Linux's own",
        "Linux must leave it alone: mem= below it; oejail cell qemu says how much",
    ),
    "load-hangs": (
        "load hangs",
        "does the cell's memory lie in Linux's, or over the hypervisor's? oejail cell map",
    ),
    "stopped-by-load": ("the cell was running, and was stopped to be loaded", ""),
    # what the cell does
    "cell-not-loaded": (
        "the cell is silent: it was started without an image",
        "jailhouse cell load must come before start",
    ),
    "image-elf": (
        "the image is an ELF file: the tool copies it as it is, and the cell runs its header",
        "make a flat binary: objcopy -O binary",
    ),
    "image-blank": (
        "the cell is silent: its image has nothing but zeros",
        "the build left no program in it",
    ),
    "cell-silent": (
        "the cell is silent",
        "is the image linked for the cell's load address, does it write to a UART that the cell "
        "has, and is its memory nobody else's (shared memory)?",
    ),
    "expectation-not-met": (
        "the cell speaks, but the expected text did not come",
        "its last lines are below; --expect and --timeout change what is waited for",
    ),
    "cell-fault": (
        "the cell touched what is not its own, and was stopped",
        "the transcript has address and pc; oejail cell map shows what the cell has",
    ),
    "cell-failed": ("the cell has failed", "the transcript says why"),
    "cell-stopped": ("the cell is shut down", "somebody else stopped it"),
    # any step
    "no-answer": ("the guest did not answer", "the transcript shows what it did last"),
    "refused": ("the command failed", "its own words are in the transcript"),
}
"""Name to message and hint."""
