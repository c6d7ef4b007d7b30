# SPDX-License-Identifier: MIT
"""A configuration as text for people: every field that says something, with its name."""

from __future__ import annotations

from collections.abc import Sequence

from oejail.cells import names
from oejail.cells.model import (
    ArmPlatform,
    Cell,
    CellBody,
    Console,
    Irqchip,
    MemoryRegion,
    PciDevice,
    RootCell,
    X86Platform,
)
from oejail.cells.regions import ivshmem_devices
from oejail.cells.sizes import format_size


def show(config: Cell | RootCell) -> list[str]:
    """The lines: header, what only a root has, then the cell itself."""
    root = config if isinstance(config, RootCell) else None
    body = config.cell if isinstance(config, RootCell) else config
    facts = [
        ("kind", "root (system configuration)" if root else "cell"),
        ("name", repr(body.name)),
        ("layout", f"{config.layout}, revision {config.revision}"),
        ("arch", config.arch or "not in the file"),
    ]
    if root is not None:
        facts += _machine(root)
    facts += _facts(body)
    if config.trailing:
        facts.append(("trailing", f"{len(config.trailing)} bytes that nothing describes"))
    lines = _columns(facts)
    lines += _section("memory", _memory(body))
    lines += _section("interrupts", _interrupts(body))
    lines += _section("PCI", [_pci(i, d) for i, d in enumerate(body.pci_devices)])
    lines += _section(
        "PCI capabilities",
        [
            (
                f"{i}",
                f"id {c.id:#x}",
                f"at {c.start:#x}",
                f"{c.length} bytes",
                f"flags {c.flags:#x}",
            )
            for i, c in enumerate(body.pci_caps)
        ],
    )
    lines += _section(
        "ports", [(f"{i}", f"{p.base:#x}", f"{p.length}") for i, p in enumerate(body.pio)]
    )
    lines += _section(
        "caches",
        [
            (f"{i}", f"start {c.start}", f"size {c.size}", f"type {c.type}", f"flags {c.flags:#x}")
            for i, c in enumerate(body.caches)
        ],
    )
    lines += _section("stream ids", [(f"{i:#x}",) for i in body.stream_ids])
    return lines


def _machine(root: RootCell) -> list[tuple[str, str]]:
    memory = root.hypervisor_memory
    facts = [
        ("system flags", _flags(root.flags, names.SYSTEM_FLAGS)),
        ("hypervisor", f"{_range(memory.phys_start, memory.size)}, {format_size(memory.size)}"),
        ("debug console", _console(root.debug_console)),
        (
            "PCI",
            f"configuration space at {root.pci_mmconfig_base:#x}, buses 0 to "
            f"{root.pci_mmconfig_end_bus}, domain {root.pci_domain}"
            + (", virtual" if root.pci_is_virtual else ""),
        ),
    ]
    if root.pci_machine_mmconfig_base:
        facts.append(("machine's PCI", f"{root.pci_machine_mmconfig_base:#x}"))
    match root.platform:
        case ArmPlatform() as arm:
            bases = [
                f"{name} {base:#x}"
                for name in ("gicd", "gicc", "gich", "gicv", "gicr")
                if (base := getattr(arm, f"{name}_base"))
            ]
            facts.append(("GIC", f"version {arm.gic_version}, {', '.join(bases)}"))
            facts.append(("maintenance", f"interrupt {arm.maintenance_irq}"))
        case X86Platform() as x86:
            facts.append(("PM timer", f"port {x86.pm_timer_address:#x}"))
            facts.append(("APIC mode", f"{x86.apic_mode}"))
            facts.append(("VT-d limit", f"{x86.vtd_interrupt_limit} interrupts"))
            facts.append(("clocks", f"TSC {x86.tsc_khz} kHz, APIC {x86.apic_khz} kHz"))
        case _:
            facts.append(("platform", "unknown architecture: choose one with --arch"))
    for index, unit in enumerate(root.iommu_units):
        if unit.type or unit.base or unit.size:
            kind = names.IOMMU_TYPES.get(unit.type, f"type {unit.type}")
            facts.append((f"IOMMU {index}", f"{kind}, {_range(unit.base, unit.size)}"))
    return facts


def _facts(body: CellBody) -> list[tuple[str, str]]:
    cpus = ", ".join(map(str, body.cpus)) or "none"
    facts = [
        ("flags", _flags(body.flags, names.CELL_FLAGS)),
        ("CPUs", f"{cpus} (set of {len(body.cpu_set)} bytes)"),
        ("reset address", f"{body.cpu_reset_address:#x}"),
        ("console", _console(body.console)),
        # The format counts from the first interrupt that devices share, 32 on arm.
        ("virtual PCI", f"interrupts from {body.vpci_irq_base} + 32 on"),
    ]
    if body.id:
        facts.append(("id", str(body.id)))
    if body.msg_reply_timeout:
        facts.append(("reply timeout", str(body.msg_reply_timeout)))
    return facts


def _memory(body: CellBody) -> list[Sequence[str]]:
    uses: dict[int, list[str]] = {}
    for _, device in ivshmem_devices(body):
        for number in range(min(2 + device.shmem_peers, len(body.memory))):
            part = ("state table", "read/write")[number] if number < 2 else f"output {number - 2}"
            own = " (own)" if number - 2 == device.shmem_dev_id else ""
            uses.setdefault(device.shmem_regions_start + number, []).append(
                f"{device.address} {part}{own}"
            )
    return [
        (
            str(index),
            _range(region.phys_start, region.size),
            f"at {region.virt_start:#x}",
            format_size(region.size),
            _flags(region.flags, names.MEMORY_FLAGS),
            ", ".join(uses.get(index, [])),
        )
        if region != MemoryRegion()
        else (str(index), "absent", "", "", "", ", ".join(uses.get(index, [])))
        for index, region in enumerate(body.memory)
    ]


def _interrupts(body: CellBody) -> list[Sequence[str]]:
    return [(f"{chip.address:#x}", _runs(chip) or "none") for chip in body.irqchips]


def _runs(chip: Irqchip) -> str:
    """`33, 140-143`."""
    runs: list[list[int]] = []
    for number in chip.interrupts:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in runs)


def _pci(index: int, device: PciDevice) -> Sequence[str]:
    kind = names.PCI_TYPES.get(device.type, f"type {device.type}")
    if device.type == names.IVSHMEM:
        first = device.shmem_regions_start
        what = (
            f"id {device.shmem_dev_id} of {device.shmem_peers} peers, protocol "
            f"{names.protocol_name(device.shmem_protocol)}, memory {first} to "
            f"{first + 1 + device.shmem_peers}"
        )
    else:
        vectors = f"MSI {device.num_msi_vectors}, MSI-X {device.num_msix_vectors}"
        what = f"capabilities {device.num_caps} from {device.caps_start}, {vectors}"
        if device.num_msix_vectors:
            what += f" at {_range(device.msix_address, device.msix_region_size)}"
    bars = " ".join(f"{mask:#x}" for mask in device.bar_mask)
    virtual = f", virtual bdf {device.virt_bdf:#x}" if device.virt_bdf else ""
    return (str(index), device.address, kind, f"{what}{virtual}, BARs {bars}")


def _console(console: Console) -> str:
    if console == Console():
        return "none"
    kind = names.CONSOLE_TYPES.get(console.type, f"type {console.type}")
    text = f"{kind} at {console.address:#x}"
    if console.size:
        text += f", {format_size(console.size)}"
    if console.divider or console.gate_nr or console.clock_reg:
        text += f", divider {console.divider}, gate {console.gate_nr} at {console.clock_reg:#x}"
    return f"{text}, {_flags(console.flags, names.CONSOLE_FLAGS)}"


def _flags(value: int, table: dict[str, int]) -> str:
    return " ".join(names.flag_names(value, table)) or "no flags"


def _range(start: int, size: int) -> str:
    return f"{start:#x}-{start + size:#x}"


def _section(title: str, rows: Sequence[Sequence[str]]) -> list[str]:
    return ["", title, *(f"  {line}" for line in _columns(rows))] if rows else []


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)] if rows else []
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
