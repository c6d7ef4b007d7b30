# SPDX-License-Identifier: MIT
from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oejail.cells import encode, from_dict, shipped
from oejail.cli.cell import app
from oejail.errors import Exit, FindingsError, OejailError, UsageFault
from tests.support.elf_files import elf

ROOT = "qemu-arm64-openeuler-demo"
FREERTOS = "qemu-arm64-freertos-demo"
INMATE = "qemu-arm64-inmate-demo"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (ROOT, FREERTOS, INMATE, "rpi4", "rpi4-zephyr"):
        Path(f"{name}.cell").write_bytes(encode(shipped(name)))
    Path("rev14.cell").write_bytes(encode(shipped(FREERTOS), revision=14, arch="arm64"))
    Path("cut.cell").write_bytes(encode(shipped(FREERTOS))[:-4])
    Path("FreeRTOS.bin").write_bytes(bytes(64))
    Path("FreeRTOS.elf").write_bytes(elf({".text": bytes(64)}, kind=2, entry=0x1000))


def run(*words: str) -> tuple[str, OejailError | None]:
    result = CliRunner().invoke(app, words)
    error = result.exception
    if error is not None and not isinstance(error, OejailError):
        raise error
    return result.stdout, error


def rules(*words: str) -> set[str]:
    """The errors' rules; the exit status agrees."""
    out, error = run("check", "--json", *words)
    report = json.loads(out)
    assert report["ok"] is (error is None)
    assert error is None or error.exit_code == Exit.FINDINGS
    return {f["rule"] for f in report["findings"] if f["severity"] == "error"}


PAIR = (f"{ROOT}.cell", f"{FREERTOS}.cell")


def test_the_genuine_pair() -> None:
    assert rules(*PAIR) == set()
    assert rules(*PAIR, "--mem", "1G", "--ram", "2G", "--smp", "4", "--gic", "3") == set()
    out, error = run("check", *PAIR, "--smp", "4")
    assert (out, error) == ("no finding: 2 configurations, machine (qemu-aarch64)\n", None)
    assert run("check", *PAIR)[0] == "no finding: 2 configurations, files alone\n"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--smp", "8"), {"smp-many"}),
        (("--smp", "2"), {"smp-few"}),
        (("--ram", "1G"), {"memory-beyond-ram"}),
        (("--gic", "2"), {"gic-version"}),
        (("--mem", "2G"), {"memory-linux", "hypervisor-linux"}),
        (("--platform", "raspberrypi4-64"), {"gic-version", "gic-address", "memory-beyond-ram"}),
    ],
)
def test_another_machine(options: tuple[str, ...], found: set[str]) -> None:
    assert rules(*PAIR, *options) == found


def test_linux_and_the_inmate_demo() -> None:
    assert rules(f"{ROOT}.cell", f"{INMATE}.cell", "--mem", "1G") == {"memory-linux"}
    assert rules(f"{ROOT}.cell", f"{INMATE}.cell", "--mem", "768M") == set()


def test_cells_that_do_not_go_together() -> None:
    assert {"name-taken", "cpu-taken"} <= rules(*PAIR, f"{FREERTOS}.cell")
    assert rules(f"{ROOT}.cell", "rpi4-zephyr.cell") == {"interrupt-chip"}
    assert rules(f"{ROOT}.cell", "rev14.cell") == {"layout-mismatch"}
    assert rules(f"{ROOT}.cell", "cut.cell") == {"cell-truncated"}
    assert "cell-format" in rules(f"{FREERTOS}.cell", f"{ROOT}.cell")
    assert rules("rpi4.cell", "rpi4-zephyr.cell", "--platform", "raspberrypi4-64") == set()


def test_images_by_name_and_by_file_stem() -> None:
    assert rules(*PAIR, "--image", "freertos=FreeRTOS.bin") == set()
    assert rules(*PAIR, "--image", f"{FREERTOS}=FreeRTOS.elf") == {"image-elf"}
    with pytest.raises(UsageFault, match="--image nonesuch: fits 0 of the cells"):
        raise run("check", *PAIR, "--image", "nonesuch=FreeRTOS.bin")[1] or AssertionError
    with pytest.raises(UsageFault, match="fits 2 of the cells"):
        raise run("check", *PAIR, PAIR[1], "--image", "freertos=x")[1] or AssertionError


def test_findings_one_a_line_and_waived() -> None:
    out, error = run("check", *PAIR, "--smp", "8")
    assert out == (
        f"error: {ROOT}.cell: 4 CPUs, machine (qemu-aarch64) has 8: CPU 4 is not in the root's set "
        "[smp-many]\n"
    )
    assert isinstance(error, FindingsError)
    assert error.message == f"{ROOT}.cell: 1 finding of severity error"
    out, error = run("check", *PAIR, "--smp", "8", "--waive", "smp-many=second cluster is off")
    assert error is None
    assert out.endswith("[smp-many] (waived: second cluster is off)\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mem", "12X"), "--mem: '12X' is no size"),
        (("--waive", "smp-many"), "--waive smp-many: write --waive A=B"),
        (("--waive", "smp=x"), "no rule 'smp'"),
        (("--image", "=x"), "write --image A=B"),
    ],
)
def test_usage(words: tuple[str, ...], message: str) -> None:
    _, error = run("check", *PAIR, *words)
    assert isinstance(error, UsageFault)
    assert message in error.message


def test_a_root_of_no_known_machine_needs_a_platform() -> None:
    root = shipped(ROOT)
    data = bytearray(encode(root))
    data[316:324] = (0x7000_0000).to_bytes(8, "little")  # gicd_base
    Path("other.cell").write_bytes(bytes(data))
    _, error = run("check", "other.cell", "--smp", "4")
    assert isinstance(error, UsageFault)
    assert "interrupt controller is at 0x70000000: 0 platforms have it there" in error.message
    assert error.hint and "--platform (qemu-aarch64, raspberrypi4-64)" in error.hint
    assert rules("other.cell", "--smp", "4", "--platform", "qemu-aarch64") >= {"gic-address"}


def test_show() -> None:
    out, error = run("show", *PAIR)
    assert error is None
    first, second = out.split(f"\n\n{FREERTOS}.cell\n")
    assert first.startswith(f"{ROOT}.cell\nkind           root")
    assert second.startswith("kind           cell\nname           'freertos'")


def test_the_json_is_complete() -> None:
    out, _ = run("show", "--json", *PAIR)
    report = json.loads(out)
    assert report["schema_version"] == 1
    for view, name in zip(report["configurations"], PAIR, strict=True):
        assert view.pop("file") == name
        assert encode(from_dict(view)) == Path(name).read_bytes()


def test_show_errors() -> None:
    _, error = run("show", "cut.cell")
    assert error is not None and error.message.startswith("cut.cell: offset 396: pci_devices")
    _, error = run("show", PAIR[0], "--layout", "openeuler")
    assert error is not None and error.exit_code == Exit.USAGE
    _, error = run("show", PAIR[0], "--arch", "mips")
    assert error is not None and "--arch mips: not one of x86, arm, arm64" in error.message
    out, error = run("show", PAIR[0], "--arch", "x86")
    assert error is None and "clocks         TSC" in out


def test_build_from_shipped_and_own_sources() -> None:
    out, error = run("build", FREERTOS, "-o", "built.cell")
    assert (out, error) == ("built.cell: cell 'freertos', 452 bytes\n", None)
    assert Path("built.cell").read_bytes() == Path(f"{FREERTOS}.cell").read_bytes()
    Path("own.yaml").write_text(f"include: ['oejail:{FREERTOS}.yaml']\ncpus: [2]\n")
    _, error = run("build", "own.yaml", "-o", "own.cell", "--revision", "14")
    assert error is None
    assert run("diff", f"{FREERTOS}.cell", "own.cell")[0] == "revision 13 → 14\nCPU 1 → 2\n"
    _, error = run("build", ROOT, "-o", "fork.cell", "--layout", "openeuler", "--revision", "13")
    assert error is None
    assert len(Path("fork.cell").read_bytes()) == len(Path(PAIR[0]).read_bytes()) + 8


def test_build_errors_leave_no_file() -> None:
    Path("own.yaml").write_text("kind: cell\nmemory:\n  - {size: 64Q}\n")
    _, error = run("build", "own.yaml", "-o", "own.cell")
    assert error is not None and error.exit_code == Exit.USAGE
    assert error.message.startswith(
        "own.yaml:3:6: memory[0].size: found '64Q', expected an integer"
    )
    _, error = run("build", "nonesuch", "-o", "own.cell")
    assert error is not None and error.message == "nonesuch: No such file or directory"
    assert error.hint and FREERTOS in error.hint
    _, error = run("build", FREERTOS, "-o", "own.cell", "--revision", "11")
    assert error is not None and "found upstream revision 11" in error.message
    assert not Path("own.cell").exists()


@pytest.mark.parametrize("name", [ROOT, FREERTOS, "rev14"])
def test_show_and_build_give_the_file_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = Path(f"{name}.cell").read_bytes() + bytes(56)
    Path("long.cell").write_bytes(raw)
    report, _ = run("show", "--json", "long.cell")
    result = CliRunner().invoke(app, ["build", "-", "-o", "back.cell"], input=report)
    assert result.exit_code == 0
    assert Path("back.cell").read_bytes() == raw


def test_diff() -> None:
    assert run("diff", PAIR[1], PAIR[1]) == ("no change in meaning\n", None)
    out, error = run("diff", "rev14.cell", PAIR[1], "--exit-code")
    assert out == "revision 14 → 13\n"
    assert error is not None and error.exit_code == Exit.FINDINGS
    report = json.loads(run("diff", "rev14.cell", PAIR[1], "--json")[0])
    assert report == {
        "schema_version": 1,
        "same": False,
        "changes": [{"where": "", "what": "revision 14 → 13"}],
    }


GUIDE = (
    "qemu-system-aarch64 -machine virt,gic-version=3,virtualization=on -cpu cortex-a57 "
    "-smp 4 -m 2G -append 'console=ttyAMA0 mem=1G'"
)


def test_the_machine_of_a_command_line() -> None:
    assert rules(*PAIR, "--qemu", GUIDE) == set()
    assert rules(*PAIR, "--qemu", GUIDE.replace("-smp 4", "-smp 8")) == {"smp-many"}
    assert rules(*PAIR, "--qemu", GUIDE, "--smp", "2") == {"smp-few"}
    assert rules(*PAIR, "--qemu", GUIDE, "--mem", "2G") == {"memory-linux", "hypervisor-linux"}
    assert rules(*PAIR, "--qemu", GUIDE, "--ram", "1G") == {"memory-beyond-ram"}
    assert rules(*PAIR, "--qemu", GUIDE, "--gic", "2") == {"gic-version"}
    assert rules("rpi4.cell", "--qemu", GUIDE) >= {"gic-version"}
    _, error = run("check", *PAIR, "--qemu", "-m '")
    assert isinstance(error, UsageFault) and "--qemu: No closing quotation" in error.message


def test_the_platforms_mem_is_for_its_own_root() -> None:
    """With mem=1G Zephyr's RAM would lie in Linux's; nobody said that this root gets that."""
    for name in ("qemu-arm64-mcs", "qemu-arm64-zephyr-mcs-demo"):
        Path(f"{name}.cell").write_bytes(encode(shipped(name)))
    mcs = ("qemu-arm64-mcs.cell", "qemu-arm64-zephyr-mcs-demo.cell")
    assert rules(*mcs, "--smp", "4") == set()
    assert rules(*mcs, "--mem", "780M") == set()
    assert rules(*mcs, "--mem", "1G") == {"memory-linux"}


def test_qemu() -> None:
    line, error = run("qemu", *PAIR)
    assert error is None
    assert rules(*PAIR, "--qemu", line) == set()
    report = json.loads(run("qemu", *PAIR, "--json")[0])
    assert (report["smp"], report["ram"], report["mem"]) == (4, 2 << 30, 1 << 30)
    assert report["command"] + "\n" == line
    _, error = run("qemu", "rpi4.cell")
    assert isinstance(error, UsageFault)
    _, error = run("qemu", *PAIR, PAIR[1])
    assert isinstance(error, FindingsError)
    assert any("[cpu-taken]" in line for line in error.details)
    _, error = run("qemu", "cut.cell")
    assert isinstance(error, FindingsError) and "[cell-truncated]" in error.details[0]


def test_junit() -> None:
    from junitparser import JUnitXml

    _, error = run("check", *PAIR, "--smp", "8", "--junit", "report.xml")
    assert isinstance(error, FindingsError)
    [suite] = list(JUnitXml.fromfile("report.xml"))
    assert suite.failures == 1
    run("check", *PAIR, "--smp", "8", "--junit", "report.xml", "--waive", "smp-many=known")
    [suite] = list(JUnitXml.fromfile("report.xml"))
    assert (suite.failures, suite.skipped) == (0, 1)


def test_map() -> None:
    out, error = run("map", *PAIR, "--mem", "1G")
    assert error is None
    assert "Linux (root 'qemu')" in out and "\x1b" not in out
    out, error = run("map", f"{ROOT}.cell", f"{INMATE}.cell", "--mem", "1G", "--svg", "map.svg")
    assert (out, error) == ("map.svg: 25 regions, 1 conflict\n", None)
    assert Path("map.svg").read_text().startswith("<svg xmlns=")
    report = json.loads(run("map", *PAIR, "--qemu", GUIDE, "--json")[0])
    assert report["columns"][0] == "hypervisor"
    assert report["conflicts"] == [] and report["bands"][0]["claims"]
    _, error = run("map", PAIR[1], PAIR[0])
    assert isinstance(error, UsageFault) and "a root's configuration first" in error.message
