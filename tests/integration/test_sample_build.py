# SPDX-License-Identifier: MIT
"""The sample tree through the real oebuild, the real BitBake and a real cross compiler."""

from __future__ import annotations

import json
import os
import stat
import struct
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from oejail import cells
from oejail.workspace import inmate, sample
from tests.support import sample_build as support
from tests.support.sample_build import TARGETS, SampleBuild

MARK = b"OEJAIL SAMPLE, NOT JAILHOUSE"
RELEASE = "5.10.0-oejail-sample"


def test_everything_is_where_openeuler_has_it(sample_build: SampleBuild) -> None:
    image = sample_build.work("jailhouse") / "image"
    found = {str(path.relative_to(image)) for path in image.rglob("*") if not path.is_dir()}
    assert found == {
        "lib/firmware/jailhouse.bin",
        f"lib/modules/{RELEASE}/extra/driver/jailhouse.ko",
        "usr/sbin/jailhouse",
        "usr/share/jailhouse/inmates/uart-demo.bin",
        "usr/share/jailhouse/cells/qemu-arm64-freertos-demo.cell",
        "usr/share/jailhouse/cells/qemu-arm64-inmate-demo.cell",
        "usr/share/jailhouse/cells/qemu-arm64-mcs.cell",
        "usr/share/jailhouse/cells/qemu-arm64-openeuler-demo.cell",
        "usr/share/jailhouse/cells/qemu-arm64-zephyr-mcs-demo.cell",
    }
    work = sample_build.work("jailhouse-freertos")
    assert work.parent.parent.name == "cortexa57-openeuler-linux"
    assert sample_build.work("jailhouse").parent.parent.name == "qemu_aarch64-openeuler-linux"
    flat = "Jailhouse_FreeRTOS_demo/FreeRTOS.bin"
    copies = [work / flat, work / "image" / flat, work / "package" / flat]
    copies += [
        work / "packages-split/jailhouse-freertos" / flat,
        sample_build.images / "FreeRTOS.bin",
    ]
    assert len({path.read_bytes() for path in copies}) == 1
    assert (work / "package" / flat).samefile(copies[3])
    assert (work / "Jailhouse_FreeRTOS_demo/FreeRTOS.elf").is_file()
    assert not list((work / "image").rglob("*.elf"))


def test_pkgdata_names_the_current_version(sample_build: SampleBuild) -> None:
    pkgdata = sample_build.build_dir / "tmp/pkgdata/qemu-aarch64"
    assert (pkgdata / "jailhouse-freertos").read_text() == "PACKAGES: jailhouse-freertos\n"
    lines = (pkgdata / "runtime/jailhouse-freertos").read_text().splitlines()
    fields = dict(line.split(": ", 1) for line in lines)
    assert (fields["PN"], fields["PV"], fields["PR"]) == ("jailhouse-freertos", "1.0", "r0")
    size = sample_build.packaged("FreeRTOS.bin").stat().st_size
    assert json.loads(fields["FILES_INFO:jailhouse-freertos"]) == {
        "/Jailhouse_FreeRTOS_demo/FreeRTOS.bin": size
    }
    assert (pkgdata / "runtime/jailhouse-freertos.packaged").is_file()
    assert (pkgdata / "runtime-reverse/jailhouse-freertos").resolve().parent.name == "runtime"


def test_the_module_is_one_and_stripped_in_its_package(sample_build: SampleBuild) -> None:
    packaged = sample_build.packaged("jailhouse.ko")
    image = sample_build.work("jailhouse") / "image"
    unstripped = image / f"lib/modules/{RELEASE}/extra/driver/jailhouse.ko"
    for path in (packaged, unstripped):
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            assert (elf["e_type"], elf["e_machine"]) == ("ET_REL", "EM_AARCH64")
            names = [section.name for section in elf.iter_sections()]
            info = elf.get_section_by_name(".modinfo").data().rstrip(b"\0").split(b"\0")
        entries = dict(entry.decode().split("=", 1) for entry in info)
        assert entries["name"] == "jailhouse"
        assert entries["firmware"] == "jailhouse.bin"
        assert entries["license"] == "GPL"
        assert entries["version"] == "v0.12 (oejail-sample)"
        assert entries["vermagic"] == f"{RELEASE} SMP mod_unload aarch64"
        data = path.read_bytes()
        assert MARK in data
        assert b"JHSYST\0" in data
        debug = [name for name in names if name.startswith(".debug")]
        assert bool(debug) == (path == unstripped)
    assert packaged.stat().st_size < unstripped.stat().st_size


def test_the_firmware_fits_the_roots_memory(sample_build: SampleBuild) -> None:
    data = sample_build.packaged("jailhouse.bin").read_bytes()
    signature, core, percpu, entry, console = struct.unpack_from("<8s4Q", data)
    assert signature == b"JAILHOUS"
    assert len(data) < core
    assert 0x50 <= entry < len(data)
    assert entry % 4 == 0
    assert console % 4096 == 0 and console < core
    assert data[0x30:0x4C] == bytes(0x4C - 0x30)
    assert MARK in data
    assert b"v0.12 (oejail-sample)\0" in data
    for root in ("qemu-arm64-openeuler-demo", "qemu-arm64-mcs", "rpi4"):
        config = cells.shipped(root)
        assert isinstance(config, cells.RootCell)
        needed = core + 4 * percpu + len(cells.encode(config))
        assert needed < config.hypervisor_memory.size


def test_the_cells_are_genuine(sample_build: SampleBuild) -> None:
    for name in ("qemu-arm64-openeuler-demo", "qemu-arm64-freertos-demo"):
        data = sample_build.packaged(f"{name}.cell").read_bytes()
        assert cells.decode(data) == cells.decode(cells.encode(cells.shipped(name)))


def test_the_tool_is_a_static_aarch64_program(sample_build: SampleBuild) -> None:
    path = sample_build.packaged("jailhouse")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert MARK in path.read_bytes()
    with path.open("rb") as stream:
        elf = ELFFile(stream)
        assert (elf["e_type"], elf["e_machine"]) == ("ET_EXEC", "EM_AARCH64")
        kinds = {segment["p_type"] for segment in elf.iter_segments()}
    assert "PT_LOAD" in kinds
    assert not kinds & {"PT_INTERP", "PT_DYNAMIC"}


def test_the_inmate_has_no_fixed_address(sample_build: SampleBuild) -> None:
    """Position independent: no relocation of the objects is an absolute one."""
    work = sample_build.work("jailhouse-freertos") / "Jailhouse_FreeRTOS_demo"
    for name in ("start.o", "inmate.o"):
        with (work / name).open("rb") as stream:
            elf = ELFFile(stream)
            for section in elf.iter_sections():
                if section["sh_type"] != "SHT_RELA" or ".debug" in section.name:
                    continue
                kinds = {entry["r_info_type"] for entry in section.iter_relocations()}
                # CALL26, JUMP26, ADR_PREL_PG_HI21, ADD_ABS_LO12_NC, LDST*_LO12 (pages stay pages)
                assert kinds <= {275, 277, 278, 282, 283, 284, 285, 286, 299}, (name, section.name)
    with (work / "FreeRTOS.elf").open("rb") as stream:
        elf = ELFFile(stream)
        assert elf["e_entry"] == 0
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_filesz"]]
        flat = bytearray(max(s["p_paddr"] + s["p_filesz"] for s in segments))
        for segment in segments:
            start = segment["p_paddr"]
            flat[start : start + segment["p_filesz"]] = segment.data()
        assert elf.get_section_by_name(".text")["sh_addr"] == 0
    assert bytes(flat) == (work / "FreeRTOS.bin").read_bytes()
    assert b"oejail sample inmate: tick " in flat


def test_the_events_tell_the_build(sample_build: SampleBuild) -> None:
    events = sample_build.events()
    path = sample_build.build_dir / "oejail-events.jsonl"
    assert all(len(line) <= 4000 for line in path.read_bytes().splitlines(keepends=True))
    assert all(event["v"] == 1 and event["pid"] > 0 and event["t"] > 1.6e9 for event in events)
    names = [event["event"] for event in events]
    assert names[0] == "ParseStarted"
    assert names[-1] == "CommandCompleted"
    first = {event["event"]: event for event in reversed(events)}
    assert first["ParseCompleted"]["parsed"] == 3  # and oejail-rtos, which nobody asked for
    assert first["ParseCompleted"]["errors"] == 0
    assert first["BuildStarted"]["targets"] == [f"{target}:do_build" for target in TARGETS]
    assert first["BuildCompleted"]["failures"] == 0
    assert first["BuildCompleted"]["interrupted"] == 0
    started = [event for event in events if event["event"] == "RunQueueTaskStarted"]
    totals = {event["stats"]["total"] for event in started}
    assert totals == {len(started)}
    ended = [event for event in events if event["event"] == "RunQueueTaskCompleted"]
    assert sorted((e["recipe"], e["task"]) for e in ended) == sorted(
        (e["recipe"], e["task"]) for e in started
    )
    (compiled,) = [
        event
        for event in events
        if event["event"] == "TaskSucceeded"
        and (event["pn"], event["task"]) == ("jailhouse-freertos", "do_compile")
    ]
    assert compiled["recipe"] == "jailhouse-freertos-1.0-r0"
    assert Path(compiled["logfile"]).is_file()
    assert compiled["pid"] != events[0]["pid"]


def test_nothing_of_the_build_is_left_running(sample_build: SampleBuild) -> None:
    from tests.support.processes import alive

    assert alive(str(sample_build.build_dir)) == []


def test_a_build_again_does_nothing_and_an_edit_only_its_recipe(sample_copy: SampleBuild) -> None:
    before = sample_copy.images.joinpath("FreeRTOS.bin").read_bytes()
    again = sample_copy.bitbake(*TARGETS)
    assert again.ok, again.stdout
    assert sample_copy.tasks_run() == []
    source = sample_copy.freertos_source
    source.write_text(source.read_text().replace(": tick ", ": tock "))
    edited = sample_copy.bitbake(*TARGETS)
    assert edited.ok, edited.stdout
    tasks = sample_copy.tasks_run()
    assert "jailhouse-freertos:do_compile" in tasks
    assert {task.split(":")[0] for task in tasks} == {"jailhouse-freertos"}
    after = sample_copy.images.joinpath("FreeRTOS.bin").read_bytes()
    assert b": tick " in before and b": tock " in after and b": tick " not in after
    assert sample_copy.packaged("FreeRTOS.bin").read_bytes() == after


def test_the_compilers_version_counts_and_its_place_does_not(
    sample_copy: SampleBuild, tmp_path: Path
) -> None:
    moved = tmp_path / "another place"
    moved.mkdir()
    zig = sample.find_zig()
    if zig is not None:
        (moved / "zig").symlink_to(zig.program)
    conf = sample_copy.build_dir / "conf/local.conf"
    conf.write_text(conf.read_text() + f'SAMPLE_TOOLCHAIN_PATH = "{moved}"\n')
    assert sample_copy.bitbake("jailhouse-freertos").ok
    assert sample_copy.tasks_run() == []
    kind = sample.cross_compiler().kind
    conf.write_text(conf.read_text() + f'SAMPLE_TOOLCHAIN = "{kind}-99"\n')
    assert sample_copy.bitbake("jailhouse-freertos").ok
    assert "jailhouse-freertos:do_compile" in sample_copy.tasks_run()


def test_a_failing_compile_says_where_and_why(sample_copy: SampleBuild) -> None:
    source = sample_copy.freertos_source
    source.write_text(source.read_text().replace("u64 tick;", "u64 tick"))
    result = sample_copy.bitbake(*TARGETS)
    assert result.returncode == 1
    events = sample_copy.events()
    (failed,) = [event for event in events if event["event"] == "TaskFailed"]
    assert (failed["pn"], failed["task"]) == ("jailhouse-freertos", "do_compile")
    log = Path(failed["logfile"]).read_text()
    assert "inmate.c" in log
    assert "error: expected" in log
    (queue,) = [event for event in events if event["event"] == "RunQueueTaskFailed"]
    assert (queue["recipe"], queue["task"]) == ("jailhouse-freertos", "do_compile")
    assert queue["exitcode"] == 1
    assert queue["stats"]["failed"] == 1
    (completed,) = [event for event in events if event["event"] == "BuildCompleted"]
    # The command itself is complete: that the build failed is BuildCompleted's to say.
    assert completed["failures"] == 1


def test_an_unknown_target(sample_copy: SampleBuild) -> None:
    result = sample_copy.bitbake("jailhouse-freertso")
    assert result.returncode == 1
    events = sample_copy.events()
    (missing,) = [event for event in events if event["event"] == "NoProvider"]
    assert missing["item"] == "jailhouse-freertso"
    assert "jailhouse-freertos" in missing["close_matches"]
    assert not [event for event in events if event["event"] == "BuildStarted"]
    assert events[-1]["event"] == "CommandFailed"
    assert events[-1]["exitcode"] == 1


def test_clean_removes_what_one_recipe_made(sample_copy: SampleBuild) -> None:
    result = sample_copy.bitbake("-c", "clean", "jailhouse-freertos")
    assert result.ok, result.stdout
    assert list(sample_copy.build_dir.glob("tmp/work/*/jailhouse-freertos/*")) == []
    assert sample_copy.bitbake("jailhouse-freertos").ok
    # As in OE-core, the shared state stays, and a clean recipe is made from it again.
    assert "jailhouse-freertos:do_deploy_setscene" in sample_copy.tasks_run()
    assert (sample_copy.images / "FreeRTOS.bin").is_file()


def test_an_inmate_of_ones_own(sample_copy: SampleBuild) -> None:
    """What `oejail new inmate` makes is ready to build."""
    inmate.render_inmate("blinky", "baremetal", sample_copy.src / "meta-blinky")
    compile_yaml = sample_copy.build_dir / "compile.yaml"
    text = compile_yaml.read_text()
    compile_yaml.write_text(text.replace('"meta-oejail"', '"meta-oejail", "meta-blinky"'))
    result = sample_copy.bitbake("blinky")
    assert result.ok, result.stdout
    made = sample_copy.packaged("blinky.bin")
    assert made.parent.parts[-4:] == ("usr", "share", "jailhouse", "inmates")
    assert b"blinky: tick " in made.read_bytes()
    assert (sample_copy.images / "blinky.bin").read_bytes() == made.read_bytes()


def test_bitbake_says_its_version(sample_build: SampleBuild) -> None:
    result = sample_build.oebuild("bitbake", "--version")
    assert result.ok
    assert "BitBake Build Tool version 2.19.0" in result.text


def test_raspberry_pi(tmp_path: Path) -> None:
    made = support.make(tmp_path / "pi", "raspberrypi4-64")
    result = made.bitbake("jailhouse")
    assert result.ok, result.stdout
    cells_there = {path.name for path in made.build_dir.rglob("packages-split/**/cells/*")}
    assert cells_there == {"rpi4.cell", "rpi4-mcs.cell", "rpi4-zephyr.cell", "rpi4-linux.cell"}
    assert b"oejail sample uart-demo: tick " in made.packaged("uart-demo.bin").read_bytes()
    refused = made.bitbake("jailhouse-freertos")
    assert refused.returncode == 1
    (missing,) = [event for event in made.events() if event["event"] == "NoProvider"]
    assert "incompatible with machine raspberrypi4-64" in str(missing["reasons"])


def test_without_the_feature_there_is_no_jailhouse(tmp_path: Path) -> None:
    made = support.make(tmp_path / "bare", feature="mcs")
    assert made.bitbake("jailhouse").returncode == 1
    (missing,) = [event for event in made.events() if event["event"] == "NoProvider"]
    assert "MCS_FEATURES does not contain jailhouse" in str(missing["reasons"])


def test_the_same_bytes_from_anywhere(
    sample_build: SampleBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another directory, umask, time zone and locale; built from nothing, not from a copy."""
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    old = os.umask(0o077)
    try:
        other = support.make(tmp_path / "a-longer-name-of-another-directory" / "ws")
        result = other.bitbake(*TARGETS)
    finally:
        os.umask(old)
    assert result.ok, result.stdout

    def made(built: SampleBuild) -> dict[str, tuple[int, bytes]]:
        tmp = built.build_dir / "tmp"
        parts = ("image", "packages-split", "deploy", "pkgdata")
        return {
            str(path.relative_to(tmp)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes())
            for path in tmp.rglob("*")
            if path.is_file() and any(part in path.parts for part in parts)
        }

    assert made(other) == made(sample_build)
    for work in ("jailhouse", "jailhouse-freertos"):
        for built in (sample_build, other):
            for path in built.work(work).rglob("*"):
                if path.suffix in (".o", ".elf", ".ko", ".bin"):
                    assert str(built.root).encode() not in path.read_bytes(), path
