"""Says whether this machine can run the studio and train, in sentences, each with what to type when something is amiss.

Importable without torch, and asks no network. `python -m rlhf_engine.doctor [--json]` prints it; each check takes plain
facts, so that a test can describe any machine.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlhf_engine import machine
from rlhf_engine.qt_libraries import QtLibrary, has_display, install_command, missing_libraries, plugins_in_use

GB = 2**30  # as `free -g` and `nvidia-smi` count, so that an 80 GB card is said to have 80
Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing checked. `fix` is what to do or type, empty where nothing needs doing; `facts` are the raw numbers."""

    level: Level
    subject: str
    sentence: str
    fix: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def diagnose(
    folder: Path | None = None, probe_torch: bool = True, on_finding: Callable[[Finding], None] | None = None
) -> list[Finding]:
    """Check this machine. `folder` is where projects are to live. Probing torch takes seconds: never on a window's
    thread. `on_finding` hears each finding as soon as it is known.
    """
    findings: list[Finding] = []

    def found(finding: Finding) -> None:
        findings.append(finding)
        if on_finding:
            on_finding(finding)

    found(check_python(sys.version_info[:3], platform.platform(terse=True)))
    found(check_qt(machine.package_version("PySide6_Essentials"), sys.version_info[:2]))
    if sys.platform.startswith("linux"):
        missing = missing_libraries(plugins_in_use(os.environ))
        found(check_qt_libraries(missing, install_command(missing) if missing else []))
    found(check_display(os.environ, sys.platform))
    found(check_sqlite(sqlite3.sqlite_version_info))
    found(check_processor(machine.processor()))
    found(check_memory(*machine.memory()))
    where = folder or Path.home()
    found(check_disk(machine.disk_free(where), where))
    driver = machine.nvidia_driver()
    found(check_gpu(driver))
    if probe_torch:
        torch = machine.torch_found()
        found(check_torch(torch, driver, sys.platform))
        if not torch.error:
            found(check_precision(torch, machine.processor()))
        if torch.cuda_works:
            found(check_four_bits(machine.package_version("bitsandbytes")))
    found(check_hub(os.environ))
    return findings


def hardware_line(findings: Sequence[Finding]) -> str:
    """One line for a banner: "2 CPU cores with AMX, 23 GB memory, no GPU: small models train here, slowly …"."""
    facts: dict[str, Any] = {}
    for finding in findings:
        facts.update(finding.facts)
    cores = facts.get("cores", 0)
    parts = [f"{cores} CPU core{'' if cores == 1 else 's'}{' with AMX' if facts.get('matrix_unit') else ''}"]
    if "memory" in facts:
        parts.append(f"{facts['memory'] / GB:.0f} GB memory")
    gpus: list[dict[str, Any]] = facts.get("gpus", [])
    if not gpus:
        if facts.get("metal_works"):
            return ", ".join([*parts, "Apple GPU: models up to about a billion parameters train here with LoRA."])
        return ", ".join([*parts, "no GPU: small models train here; larger ones need a GPU."])
    first = gpus[0]
    many = f"{len(gpus)} x " if len(gpus) > 1 else ""
    parts.append(f"{many}{first['name']} with {first['memory'] / GB:.0f} GB")
    if facts.get("cuda_works") is False:
        return ", ".join(parts) + ": torch cannot use the GPU yet, so training runs on the CPU."
    return ", ".join(parts) + f": {_size_that_trains(first['memory'])} train here with LoRA."


def worst(findings: Sequence[Finding]) -> Level:
    levels = {finding.level for finding in findings}
    return "fail" if "fail" in levels else "warn" if "warn" in levels else "ok"


def check_python(version: tuple[int, int, int], system: str) -> Finding:
    text = ".".join(map(str, version))
    if version < (3, 11):
        return Finding("fail", "Python", f"Python {text} is too old.", "Install Python 3.11 or newer.")
    return Finding("ok", "Python", f"Python {text} on {system}.", facts={"python": text})


def check_qt(installed: str, python: tuple[int, int]) -> Finding:
    if not installed:
        return Finding("fail", "Qt", "PySide6 is not installed, so there is no window.", _pip("PySide6-Essentials"))
    if installed.startswith("6.12.") and python < (3, 12):
        return Finding(
            "fail",
            "Qt",
            f"PySide6 {installed} loses a reference at every signal on Python {python[0]}.{python[1]} "
            "and ends the program without a word after a while.",
            _pip("PySide6-Essentials<6.12"),
        )
    if installed in ("6.11.0", "6.11.1"):
        return Finding("warn", "Qt", f"PySide6 {installed} lays docks out wrongly.", _pip("PySide6-Essentials==6.11.3"))
    return Finding("ok", "Qt", f"PySide6 {installed}.", facts={"qt": installed})


def check_qt_libraries(missing: Sequence[QtLibrary], command: Sequence[str]) -> Finding:
    subject = "Qt system libraries"
    if not missing:
        return Finding("ok", subject, "All that Qt needs here is installed.")
    names = ", ".join(library.soname for library in missing)
    fix = "sudo " + " ".join(command) if command else "Install the packages that hold them with your package manager."
    return Finding("fail", subject, f"Qt cannot start without {names}.", fix, {"missing": [m.soname for m in missing]})


def check_display(environ: Mapping[str, str], system: str) -> Finding:
    if has_display(environ, system):
        return Finding("ok", "Display", "A window can be shown.", facts={"display": True})
    if environ.get("QT_QPA_PLATFORM"):
        said = f"QT_QPA_PLATFORM={environ['QT_QPA_PLATFORM']} draws windows where nobody sees them."
        return Finding("warn", "Display", said, "Unset QT_QPA_PLATFORM to see the studio.", {"display": False})
    return Finding(
        "warn",
        "Display",
        "There is no display: neither DISPLAY nor WAYLAND_DISPLAY is set.",
        "Work in the terminal with `rlhf`, or log in with a desktop (ssh -X, a remote desktop).",
        {"display": False},
    )


def check_sqlite(version: tuple[int, int, int]) -> Finding:
    text = ".".join(map(str, version))
    if version < (3, 35):
        return Finding("fail", "SQLite", f"SQLite {text} is too old for a project.", "Install a newer Python.")
    # 3.51.3 and 3.50.7 mend the race of two writers on one WAL file; ours never have two.
    mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51, 0)
    note = "" if mended else " Each database has one writer here, so its write-ahead-log bug of old cannot strike."
    return Finding("ok", "SQLite", f"SQLite {text}.{note}", facts={"sqlite": text})


def check_processor(cpu: machine.Processor) -> Finding:
    amx = {"amx_tile", "amx_bf16"} <= cpu.flags
    bf16 = amx or "avx512_bf16" in cpu.flags
    what = "with AMX" if amx else "with AVX512-BF16" if bf16 else "without bfloat16 units" if cpu.flags else ""
    cores = f"{cpu.cores} core{'' if cpu.cores == 1 else 's'}"
    sentence = " ".join(filter(None, (cores, what))) + (f" ({cpu.name})." if cpu.name else ".")
    return Finding("ok", "CPU", sentence, facts={"cores": cpu.cores, "matrix_unit": amx, "cpu_bf16": bf16})


def check_memory(total: int, available: int) -> Finding:
    if not total:
        return Finding("warn", "Memory", "How much memory there is could not be found out.", _pip("psutil"))
    facts = {"memory": total, "memory_available": available}
    sentence = f"{total / GB:.1f} GB, of which {available / GB:.1f} GB are free."
    if available < 2 * GB:
        return Finding("warn", "Memory", sentence, "Close other programs before you load a model.", facts)
    return Finding("ok", "Memory", sentence, facts=facts)


def check_disk(free: int, folder: Path) -> Finding:
    sentence, facts = f"{free / GB:.0f} GB free in {folder}.", {"disk_free": free}
    if free < 1 * GB:
        return Finding("fail", "Disk", sentence, "Free some space: checkpoints and labels cannot be written.", facts)
    if free < 10 * GB:
        return Finding("warn", "Disk", sentence, "A 1B model and its checkpoints take about 10 GB.", facts)
    return Finding("ok", "Disk", sentence, facts=facts)


def check_gpu(driver: machine.Driver) -> Finding:
    if driver.error:
        fix = "Restart the machine; if that does not help, install the driver again."
        return Finding("fail", "GPU", f"The NVIDIA driver does not answer: {driver.error}.", fix)
    if not driver.gpus:
        return Finding("ok", "GPU", "No NVIDIA GPU: the CPU does the work.", facts={"gpus": []})
    names = "; ".join(f"{gpu.name}, {gpu.memory / GB:.0f} GB ({gpu.free / GB:.0f} GB free)" for gpu in driver.gpus)
    facts = {"gpus": [asdict(gpu) for gpu in driver.gpus], "driver": driver.version}
    return Finding("ok", "GPU", f"{names}; driver {driver.version}.", facts=facts)


def check_torch(torch: machine.Torch, driver: machine.Driver, system: str) -> Finding:
    if torch.error:
        return Finding("fail", "torch", f"torch cannot be imported: {torch.error}.", _pip("torch"))
    facts = {"torch": torch.version, "cuda_works": torch.cuda_works, "metal_works": torch.metal_works}
    plain = torch.version.split("+")[0]
    if driver.gpus and not torch.cuda_build:
        # `===` compares the text: with `==`, the CPU build that is already here would satisfy pip
        fix = _pip(f"torch==={plain}")
        if system == "win32":  # on Windows the ordinary build of torch has no CUDA
            fix = "Follow the installation page of PyTorch: choose Windows, pip and your CUDA version."
        said = f"There is an NVIDIA GPU, but this torch ({torch.version}) is built for the CPU only."
        return Finding("warn", "torch", said, fix, facts)
    if driver.gpus and not torch.cuda_works:
        said = f"torch {torch.version} was built for CUDA {torch.cuda_build}; driver {driver.version} cannot run it."
        return Finding("warn", "torch", said, "Install a newer NVIDIA driver, then restart the machine.", facts)
    built = f"CUDA {torch.cuda_build}" if torch.cuda_build else "Metal" if torch.metal_works else "the CPU"
    threads = f", {torch.threads} thread{'' if torch.threads == 1 else 's'}"
    return Finding("ok", "torch", f"torch {torch.version} for {built}{threads}.", facts=facts)


def check_precision(torch: machine.Torch, cpu: machine.Processor) -> Finding:
    if torch.cuda_works:
        if torch.capability >= (8, 0):
            return Finding("ok", "Precision", "The GPU computes in bfloat16: choose bf16.", facts={"precision": "bf16"})
        said = "This GPU has no bfloat16 units (it is older than the A100 and the RTX 30 series)."
        return Finding("warn", "Precision", said, "Choose float32; bf16 would be slow.", {"precision": "fp32"})
    if torch.metal_works:
        return Finding("ok", "Precision", "Choose float32 on Apple's GPU.", facts={"precision": "fp32"})
    if {"amx_bf16"} <= cpu.flags:
        said = "The CPU multiplies in bfloat16 (AMX): float32 for the starter model, bf16 for larger ones."
        return Finding("ok", "Precision", said, facts={"precision": "fp32"})
    return Finding("ok", "Precision", "Choose float32 on this CPU.", facts={"precision": "fp32"})


def check_four_bits(installed: str) -> Finding:
    """Said only where there is a GPU that could use it."""
    if not installed:
        said = "bitsandbytes is not installed: larger models cannot be trained on a base in 4 bits."
        return Finding("ok", "4 bits", said, _pip("bitsandbytes"), {"bitsandbytes": ""})
    return Finding(
        "ok", "4 bits", f"bitsandbytes {installed}: bases can be in 4 bits.", facts={"bitsandbytes": installed}
    )


def check_hub(environ: Mapping[str, str]) -> Finding:
    """Looks at settings only: nobody's network is touched to make a diagnosis."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            said = f"{name} is set: only models that are already on this machine can be used."
            return Finding("ok", "Hub", said, facts={"offline": True})
    endpoint = environ.get("HF_ENDPOINT", "")
    where = f"models come from {endpoint}" if re.match(r"https?://", endpoint) else "models can be fetched by name"
    return Finding("ok", "Hub", f"Not switched off: {where} when you ask for one.", facts={"offline": False})


def report(findings: Sequence[Finding]) -> str:
    """The findings as lines of plain text, what to do indented under what is amiss."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:4}  {finding.subject}: {finding.sentence}")
        if finding.fix:
            lines.append(f"      -> {finding.fix}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing fails, 1 otherwise."""
    asked = sys.argv[1:] if arguments is None else arguments
    findings = diagnose(folder=Path.cwd())
    if "--json" in asked:
        said = json.dumps([finding.to_json() for finding in findings], indent=2)
    else:
        said = f"{hardware_line(findings)}\n\n{report(findings)}"
    sys.stdout.write(said + "\n")
    return 1 if worst(findings) == "fail" else 0


def _pip(requirement: str) -> str:
    quoted = f'"{requirement}"' if re.search(r"[<>=]", requirement) else requirement
    return f"{Path(sys.executable).name} -m pip install {quoted}"


def _size_that_trains(memory: int) -> str:
    """Bf16 weights take 2 bytes a parameter; LoRA, activations and a rollout's cache about twice that again."""
    billions = memory / GB / 6
    return f"models up to about {billions:.0f}B parameters" if billions >= 1 else "models below 1B parameters"


if __name__ == "__main__":
    sys.exit(main())
