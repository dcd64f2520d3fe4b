"""What this machine has, asked without importing torch here: processors, memory, GPUs by the driver, torch in a child.

Facts only; `doctor.py` says what they mean.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

# Printed by a child process: a torch whose CUDA libraries crash must not take the caller with it.
_TORCH_PROBE = """
import json, torch
cuda = torch.cuda.is_available()
print(json.dumps({
    "version": torch.__version__,
    "cuda_build": torch.version.cuda or torch.version.hip or "",
    "cuda_works": cuda,
    "capability": list(torch.cuda.get_device_capability(0)) if cuda else [],
    "metal_works": torch.backends.mps.is_available(),
    "threads": torch.get_num_threads(),
}))
"""


@dataclass(frozen=True, slots=True)
class Processor:
    """`cores` are those this process may use; `flags` as the kernel names them, empty where it does not say."""

    cores: int
    flags: frozenset[str] = frozenset()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU as its driver describes it; memory in bytes."""

    name: str
    memory: int
    free: int


@dataclass(frozen=True, slots=True)
class Driver:
    """The NVIDIA driver's answer. `version` is empty where there is no driver; `error` says why it did not answer."""

    version: str = ""
    gpus: tuple[Gpu, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Torch:
    """torch as a child process found it. `error` is set, and everything else empty, where it could not be imported."""

    version: str = ""
    cuda_build: str = ""
    cuda_works: bool = False
    capability: tuple[int, ...] = ()
    metal_works: bool = False
    threads: int = 0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def processor() -> Processor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = min(cores, _container_cores() or cores)
    name, flags = platform.processor(), frozenset[str]()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""  # only Linux has it
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            flags = frozenset(value.split())
        elif key.strip() == "model name":
            name = value.strip()
    return Processor(cores, flags, name)


def memory() -> tuple[int, int]:
    """Bytes of memory this process may use: (total, available), 0 where unknown. A container's limit counts."""
    try:
        import psutil

        seen = psutil.virtual_memory()
        total, available = int(seen.total), int(seen.available)
    except ImportError:  # a Python in which nothing was installed yet
        total, available = _memory_without_psutil()
    limit = _container_bytes("memory.max")
    if limit and limit < total:
        used = _container_bytes("memory.current") or 0
        return limit, min(available, max(0, limit - used))
    return total, available


def disk_free(folder: Path) -> int:
    """Bytes free where `folder` is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def nvidia_driver() -> Driver:
    """What the driver knows. A machine without one, or without nvidia-ml-py, gives an empty Driver and no error."""
    try:
        import pynvml
    except ImportError:
        return Driver()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        absent = (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
        return Driver() if error.value in absent else Driver(error=str(error))
    try:
        gpus = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            room = pynvml.nvmlDeviceGetMemoryInfo(device)
            gpus.append(Gpu(_text(pynvml.nvmlDeviceGetName(device)), int(room.total), int(room.free)))
        return Driver(_text(pynvml.nvmlSystemGetDriverVersion()), tuple(gpus))
    except pynvml.NVMLError as error:
        return Driver(error=str(error))
    finally:
        pynvml.nvmlShutdown()


def torch_found(timeout: float = 120.0) -> Torch:
    """Ask a child process about torch; takes a few seconds, so never on a window's thread."""
    try:
        child = subprocess.run(
            [sys.executable, "-c", _TORCH_PROBE], capture_output=True, text=True, encoding="utf-8", timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return Torch(error=f"importing torch took longer than {timeout:.0f} seconds")
    if child.returncode != 0:
        return Torch(error=(child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1])
    answer = json.loads(child.stdout.strip().splitlines()[-1])
    return Torch(**{**answer, "capability": tuple(answer["capability"])})


def package_version(name: str) -> str:
    """The installed version, or an empty string."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _memory_without_psutil() -> tuple[int, int]:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf, macOS no count of available pages
        return 0, 0


def _container_bytes(name: str) -> int | None:
    try:
        return int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
    except (OSError, ValueError):  # no control groups here, or "max"
        return None


def _container_cores() -> int | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None
