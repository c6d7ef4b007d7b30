# SPDX-License-Identifier: MIT
"""Rules about module, firmware, kernel, tool and images: with each other and with the cells."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from oejail.cells import Cell
from oejail.cells.names import LOADABLE, WRITE
from oejail.cells.regions import load_address, region_at
from oejail.checks.finding import ERROR, WARNING
from oejail.checks.model import FileInput, InmateInput, SetInput
from oejail.checks.ranges import Range
from oejail.checks.table import rule

if TYPE_CHECKING:
    from oejail.artifacts.elf import Module, Program
    from oejail.artifacts.firmware import Firmware
    from oejail.artifacts.kernel import Kernel

Found = Iterator[tuple[str, str]]


# A file's kind says what its detail is; where there is no such file, its module is not imported.
def _module(given: SetInput) -> Module | None:
    detail = given.module.identity.detail if given.module else None
    return cast("Module", detail) if _is(given.module, "module") else None


def _firmware(given: SetInput) -> Firmware | None:
    detail = given.firmware.identity.detail if given.firmware else None
    return cast("Firmware", detail) if _is(given.firmware, "firmware") else None


def _kernel(given: SetInput) -> Kernel | None:
    detail = given.kernel.identity.detail if given.kernel else None
    return cast("Kernel", detail) if _is(given.kernel, "kernel") else None


def _tool(given: SetInput) -> Program | None:
    return _program(given.tool)


def _program(file: FileInput | None) -> Program | None:
    detail = file.identity.detail if file else None
    return cast("Program", detail) if _is(file, "elf", "tool") else None


def _is(file: FileInput | None, *kinds: str) -> bool:
    return file is not None and file.identity.kind in kinds


def _wrong_kind(file: FileInput | None, kind: str, what: str) -> Found:
    if file is not None and file.identity.kind != kind:
        said = file.identity.error.removeprefix(f"{file.path}: ")
        yield file.path, said or f"found a file of kind {file.identity.kind}, expected {what}"


@rule(
    "module-format",
    ERROR,
    title="jailhouse.ko is no kernel module",
    means="What should be jailhouse.ko is no kernel module.",
    happens="`insmod: … invalid module format`.",
    mend="take jailhouse.ko from the package of the recipe `jailhouse`.",
)
def module_format(given: SetInput) -> Found:
    yield from _wrong_kind(given.module, "module", "a kernel module")


@rule(
    "module-vermagic",
    ERROR,
    title="the module is for another kernel than the kernel image",
    means="The module was built for another kernel release than the kernel image's.",
    happens="`version magic 'A' should be 'B'`, `insmod: … invalid module format` (status 8).",
    mend="build kernel and `jailhouse` in the same build, and take both from it.",
)
def module_vermagic(given: SetInput) -> Found:
    module, kernel = _module(given), _kernel(given)
    if given.module is None or given.kernel is None or module is None or kernel is None:
        return
    if module.release and kernel.release and module.release != kernel.release:
        yield (
            given.module.path,
            f"built for {module.release}, {given.kernel.path} is {kernel.release}",
        )


@rule(
    "module-directory",
    ERROR,
    title="the module lies in another kernel's directory",
    means="The module was installed in the directory of another kernel release than the one it "
    "was built for.",
    happens="`modprobe` does not find it, or finds a module that the kernel refuses.",
    mend="clean the recipe `jailhouse` and build it again: one of the two is stale.",
)
def module_directory(given: SetInput) -> Found:
    module = _module(given)
    if given.module is None or module is None:
        return
    directory = given.module.release
    if directory and module.release and directory != module.release:
        yield (
            given.module.path,
            f"built for {module.release}, installed in lib/modules/{directory}",
        )


@rule(
    "module-signature",
    ERROR,
    title="module and root are of different versions of Jailhouse",
    means="The signature that the module looks for is not the root configuration's: `JHSYS` with "
    "an architecture byte (upstream from revision 14 on) or `JHSYST` (upstream before, and "
    "openEuler's fork).",
    happens="`jailhouse: Not a system configuration`, `JAILHOUSE_ENABLE: Invalid argument`.",
    mend="build module and configurations from one version of Jailhouse.",
)
def module_signature(given: SetInput) -> Found:
    module, root = _module(given), given.root_config
    if given.module is None or module is None or root is None:
        return
    known = set(module.signatures) & {"JHSYS", "JHSYST"}
    wanted = "JHSYS" if root.revision >= 14 and root.layout == "upstream" else "JHSYST"
    if known and wanted not in known:
        yield (
            given.module.path,
            f"looks for {', '.join(sorted(known))}, the root (revision {root.revision}, "
            f"{root.layout}) has {wanted}",
        )


@rule(
    "firmware-format",
    ERROR,
    title="jailhouse.bin is no hypervisor",
    means="What should be jailhouse.bin does not begin with `JAILHOUS`, or is cut.",
    happens="`JAILHOUSE_ENABLE: Invalid argument`, without a word from the driver.",
    mend="take jailhouse.bin from the package of the recipe `jailhouse`.",
)
def firmware_format(given: SetInput) -> Found:
    yield from _wrong_kind(given.firmware, "firmware", "the hypervisor (signature JAILHOUS)")


@rule(
    "firmware-size",
    ERROR,
    title="jailhouse.bin is larger than the hypervisor's memory",
    means="The file jailhouse.bin is not smaller than the hypervisor's memory.",
    happens="`JAILHOUSE_ENABLE: Invalid argument`, without a word from the driver.",
    mend="enlarge hypervisor_memory in the root's configuration.",
)
def firmware_size(given: SetInput) -> Found:
    root = given.root_config
    if given.firmware is None or root is None or _firmware(given) is None:
        return
    size, room = given.firmware.identity.size, root.hypervisor_memory.size
    if size >= room:
        yield given.firmware.path, f"{size:#x} bytes, the hypervisor's memory has {room:#x}"


@rule(
    "hypervisor-capacity",
    ERROR,
    title="the hypervisor's memory is too small",
    means="The hypervisor's memory must be larger than core_size + CPUs x percpu_size + the size "
    "of the root's configuration.",
    happens="`JAILHOUSE_ENABLE: Invalid argument`, without a word from the driver.",
    mend="enlarge hypervisor_memory in the root's configuration, or take CPUs from its set.",
)
def hypervisor_capacity(given: SetInput) -> Found:
    firmware, root = _firmware(given), given.root_config
    if given.root is None or firmware is None or root is None:
        return
    cpus = max(root.cell.cpus, default=-1) + 1
    configuration = given.root.identity.size - len(root.trailing)
    wanted, room = firmware.required(cpus, configuration), root.hypervisor_memory.size
    if wanted >= room:
        yield (
            f"{given.root.path}: hypervisor_memory",
            f"{room:#x} bytes, more than {wanted:#x} needed: core {firmware.core_size:#x} + "
            f"{cpus} CPUs x {firmware.percpu_size:#x} + configuration {configuration:#x}",
        )


@rule(
    "version-differs",
    WARNING,
    title="module and firmware differ in version",
    means="Module and firmware say different versions of Jailhouse.",
    happens="usually nothing; where the interface between the two changed, a hang at enable.",
    mend="take both from one build.",
)
def version_differs(given: SetInput) -> Found:
    module, firmware = _module(given), _firmware(given)
    if given.module is None or module is None or firmware is None:
        return
    if module.version and firmware.version and module.version != firmware.version:
        yield given.module.path, f"version {module.version}, the firmware's is {firmware.version}"


@rule(
    "file-arch",
    ERROR,
    title="a file is for another architecture",
    means="Module, kernel, tool or an ELF image is for another architecture than the set.",
    happens="`invalid module format`, `Exec format error`, a kernel that does not start, or a "
    "cell that traps at its first instruction.",
    mend="take the files of the right build: the MACHINE of the platform.",
)
def file_arch(given: SetInput) -> Found:
    root = given.root_config
    expected = given.arch or (root.arch if root else None)
    if expected is None:
        return
    images = [inmate.image for inmate in given.inmates]
    for file in (given.module, given.kernel, given.tool, *images):
        if file and file.identity.arch and file.identity.arch != expected:
            yield file.path, f"architecture {file.identity.arch}, expected {expected}"


def _images(given: SetInput) -> Iterator[tuple[InmateInput, FileInput, Cell]]:
    for inmate in given.inmates:
        cell = inmate.cell.cell
        if inmate.image is not None and cell is not None:
            yield inmate, inmate.image, cell


@rule(
    "image-empty",
    ERROR,
    title="an image is empty",
    means="The image of a cell has no bytes.",
    happens="`cell load` succeeds and loads nothing; the cell starts whatever lay there before.",
    mend="build the image again.",
)
def image_empty(given: SetInput) -> Found:
    for _, image, cell in _images(given):
        if image.identity.size == 0:
            yield image.path, f"empty, cell {cell.name!r} would run what lay in memory before"


@rule(
    "image-elf",
    ERROR,
    title="an image is an ELF file",
    means="The image of a cell is an ELF file, and the tool loads raw bytes only.",
    happens="the ELF header is loaded as code: `Started cell`, state running, then silence.",
    mend="convert it with `objcopy -O binary`, or use a tool with openEuler's patch for ELF.",
)
def image_elf(given: SetInput) -> Found:
    tool = _tool(given)
    if tool is not None and tool.loads_elf:
        return
    for _, image, cell in _images(given):
        if _program(image) or image.identity.kind == "module":
            yield image.path, f"an ELF file, cell {cell.name!r} needs a raw image"


def _places(inmate: InmateInput, image: FileInput, cell: Cell) -> list[Range]:
    """Where the tool would put the image, as the cell sees it; none where there is no place.

    A tool that loads ELF puts each segment where it says, the first one at the address that is
    given, and the segment's zeroed memory must have room as well.
    """
    program = _program(image)
    if program is not None and program.elf.segments:
        segments = program.elf.segments
        shift = 0 if inmate.address is None else inmate.address - segments[0].physical
        return [
            Range(s.physical + shift, s.physical + shift + max(s.file_size, s.memory_size))
            for s in segments
            if max(s.file_size, s.memory_size) > 0
        ]
    start = load_address(cell) if inmate.address is None else inmate.address
    size = image.identity.size
    return [Range(start, start + size)] if start is not None and size else []


@rule(
    "image-address",
    ERROR,
    title="an image's address is in no LOADABLE region",
    means="The address at which an image is loaded is in no region of the cell, or in one that "
    "is not LOADABLE and WRITE.",
    happens="`JAILHOUSE_CELL_LOAD: Invalid argument`.",
    mend="give an address in the LOADABLE region (`address:` in oejail.yaml, as the cell sees "
    "it), or link the image there.",
)
def image_address(given: SetInput) -> Found:
    for inmate, image, cell in _images(given):
        for place in _places(inmate, image, cell):
            index = region_at(cell, place.start)
            if index is None:
                yield image.path, f"address {place.start:#x} is in no region of cell {cell.name!r}"
            elif cell.memory[index].flags & (LOADABLE | WRITE) != LOADABLE | WRITE:
                yield (
                    image.path,
                    f"address {place.start:#x} is in memory[{index}] of cell {cell.name!r}, which "
                    "is not LOADABLE and WRITE",
                )


@rule(
    "image-size",
    ERROR,
    title="an image is larger than its region",
    means="The image is larger than what the cell's region has from the load address on.",
    happens="`JAILHOUSE_CELL_LOAD: Invalid argument`.",
    mend="enlarge the region, load lower, or make the image smaller.",
)
def image_size(given: SetInput) -> Found:
    for inmate, image, cell in _images(given):
        for place in _places(inmate, image, cell):
            index = region_at(cell, place.start)
            if index is not None and place.end > cell.memory[index].virt_end:
                yield (
                    image.path,
                    f"{place.end - place.start:#x} bytes at {place.start:#x}, memory[{index}] of "
                    f"cell {cell.name!r} ends at {cell.memory[index].virt_end:#x}",
                )
