"""What the doctor says of machines described by hand, and that it can be asked without torch or a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_engine import doctor
from rlhf_engine.doctor import Finding, hardware_line, worst
from rlhf_engine.machine import Driver, Gpu, Processor, Torch
from rlhf_engine.qt_libraries import LIBRARIES

GB = 2**30
H100 = Driver("580.10", (Gpu("NVIDIA H100", 80 * GB, 79 * GB),))
CPU_TORCH = Torch(version="2.13.0+cpu", threads=2)


def test_importing_the_doctor_imports_no_torch_and_no_qt():
    code = "import sys, rlhf_engine.doctor; sys.exit(any(name in sys.modules for name in ('torch', 'PySide6')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_this_machine_is_diagnosed_and_the_diagnosis_is_json():
    heard: list[Finding] = []
    findings = doctor.diagnose(folder=Path.cwd(), probe_torch=False, on_finding=heard.append)
    assert heard == findings
    assert {"Python", "Qt", "CPU", "Memory", "Disk", "GPU", "SQLite", "Hub"} <= {f.subject for f in findings}
    assert json.loads(json.dumps([f.to_json() for f in findings]))[0]["subject"] == "Python"
    assert "CPU core" in hardware_line(findings)


@pytest.mark.slow
def test_torch_is_found_by_a_child_process():
    torch = doctor.machine.torch_found()
    assert torch.error == ""
    assert torch.version.startswith("2.") and torch.threads >= 1


def test_an_old_python_fails():
    finding = doctor.check_python((3, 10, 2), "Linux")
    assert finding.level == "fail" and "3.10.2" in finding.sentence and "3.11" in finding.fix


@pytest.mark.parametrize(
    ("installed", "python", "level"),
    [
        ("6.11.3", (3, 11), "ok"),
        ("6.12.0", (3, 11), "fail"),
        ("6.12.0", (3, 12), "ok"),
        ("6.11.1", (3, 13), "warn"),
        ("", (3, 11), "fail"),
    ],
)
def test_the_qt_that_ends_the_program_is_refused_only_where_it_does(installed, python, level):
    finding = doctor.check_qt(installed, python)
    assert finding.level == level
    assert bool(finding.fix) == (level != "ok")


def test_missing_qt_libraries_are_named_with_the_command_that_installs_them():
    icccm = next(library for library in LIBRARIES if "icccm" in library.soname)
    finding = doctor.check_qt_libraries([icccm], ["apt-get", "install", "-y", "libxcb-icccm4"])
    assert finding.level == "fail"
    assert "libxcb-icccm.so.4" in finding.sentence
    assert finding.fix == "sudo apt-get install -y libxcb-icccm4"
    assert doctor.check_qt_libraries([], []).level == "ok"


def test_no_display_is_a_warning_on_linux_alone():
    assert doctor.check_display({}, "linux").level == "warn"
    assert doctor.check_display({"WAYLAND_DISPLAY": "wayland-0"}, "linux").level == "ok"
    assert doctor.check_display({}, "darwin").level == "ok"


def test_an_old_sqlite_is_explained_and_a_very_old_one_fails():
    assert "one writer" in doctor.check_sqlite((3, 40, 1)).sentence
    assert "one writer" in doctor.check_sqlite((3, 51, 2)).sentence
    assert "one writer" not in doctor.check_sqlite((3, 50, 7)).sentence
    assert "one writer" not in doctor.check_sqlite((3, 51, 3)).sentence
    assert doctor.check_sqlite((3, 30, 0)).level == "fail"


def test_little_memory_or_disk_is_said_with_the_number():
    low = doctor.check_memory(16 * GB, GB)
    assert low.level == "warn" and "16.0 GB, of which 1.0 GB" in low.sentence
    assert doctor.check_memory(16 * GB, 8 * GB).level == "ok"
    assert doctor.check_memory(0, 0).level == "warn"
    assert doctor.check_disk(GB // 2, Path("/x")).level == "fail"
    assert doctor.check_disk(5 * GB, Path("/x")).level == "warn"
    assert doctor.check_disk(50 * GB, Path("/x")).level == "ok"


def test_a_driver_that_does_not_answer_fails_and_no_driver_does_not():
    assert doctor.check_gpu(Driver(error="Driver/library version mismatch")).level == "fail"
    assert doctor.check_gpu(Driver()).level == "ok"
    assert "NVIDIA H100, 80 GB (79 GB free); driver 580.10" in doctor.check_gpu(H100).sentence


def test_a_cpu_torch_beside_a_gpu_says_what_to_type():
    finding = doctor.check_torch(CPU_TORCH, H100, "linux")
    assert finding.level == "warn" and "CPU only" in finding.sentence
    assert finding.fix.endswith('-m pip install "torch===2.13.0"')
    assert "PyTorch" in doctor.check_torch(CPU_TORCH, H100, "win32").fix
    assert doctor.check_torch(CPU_TORCH, Driver(), "linux").level == "ok"


def test_a_driver_too_old_for_torch_is_told_apart_from_a_cpu_torch():
    finding = doctor.check_torch(Torch(version="2.13.0", cuda_build="13.0"), H100, "linux")
    assert finding.level == "warn" and "newer NVIDIA driver" in finding.fix


def test_a_torch_that_cannot_be_imported_fails_with_its_own_words():
    finding = doctor.check_torch(Torch(error="No module named 'torch'"), Driver(), "linux")
    assert finding.level == "fail" and "No module named 'torch'" in finding.sentence


@pytest.mark.parametrize(
    ("torch", "flags", "precision", "level"),
    [
        (Torch(version="2", cuda_works=True, capability=(9, 0)), frozenset(), "bf16", "ok"),
        (Torch(version="2", cuda_works=True, capability=(7, 5)), frozenset(), "fp32", "warn"),
        (Torch(version="2", metal_works=True), frozenset(), "fp32", "ok"),
        (CPU_TORCH, frozenset({"amx_bf16"}), "fp32", "ok"),
        (CPU_TORCH, frozenset(), "fp32", "ok"),
    ],
)
def test_bfloat16_is_advised_where_the_units_are(torch, flags, precision, level):
    finding = doctor.check_precision(torch, Processor(2, flags))
    assert (finding.facts["precision"], finding.level) == (precision, level)


def test_four_bits_need_a_package_that_is_named_where_it_is_missing():
    missing = doctor.check_four_bits("")
    assert missing.level == "ok" and missing.fix.endswith("-m pip install bitsandbytes")
    assert doctor.check_four_bits("0.50.2").sentence == "bitsandbytes 0.50.2: bases can be in 4 bits."


def test_offline_flags_are_read_and_the_network_is_not():
    assert doctor.check_hub({"HF_HUB_OFFLINE": "1"}).facts["offline"] is True
    assert doctor.check_hub({"HF_HUB_OFFLINE": "0"}).facts["offline"] is False


def test_one_line_describes_a_machine_without_a_gpu():
    cpu = doctor.check_processor(Processor(2, frozenset({"amx_tile", "amx_bf16"})))
    findings = [cpu, doctor.check_memory(23 * GB, 20 * GB), doctor.check_gpu(Driver())]
    line = hardware_line(findings)
    assert line == "2 CPU cores with AMX, 23 GB memory, no GPU: small models train here; larger ones need a GPU."


def test_one_line_describes_a_machine_with_a_gpu_and_whether_torch_can_use_it():
    machine = [doctor.check_processor(Processor(1)), doctor.check_gpu(H100)]
    assert hardware_line(machine).startswith("1 CPU core, NVIDIA H100 with 80 GB: models up to about 1")
    unusable = [*machine, doctor.check_torch(CPU_TORCH, H100, "linux")]
    assert hardware_line(unusable).endswith("torch cannot use the GPU yet, so training runs on the CPU.")


def test_the_worst_finding_decides():
    ok, warn, fail = (Finding(level, "x", "y") for level in ("ok", "warn", "fail"))
    assert worst([ok]) == "ok" and worst([ok, warn]) == "warn" and worst([warn, fail, ok]) == "fail"
    assert worst([]) == "ok"
