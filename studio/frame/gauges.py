"""How full the machine is: asked once a second on a background thread, so that a slow driver holds up nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

GB = 2**30


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes; `gpu` is empty where there is no NVIDIA GPU. `load` is the GPU's use in percent."""

    memory: int
    memory_total: int
    gpu: str = ""
    gpu_memory: int = 0
    gpu_total: int = 0
    load: int = 0
    degrees: int = 0
    watts: int = 0
    processors: int = 0
    busy: float = 0.0  # of all processors, percent


class Gauges:
    """`read()` on one background thread at a time. The driver is opened once; its absence is found out once."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._tried = False
        self._lock = threading.Lock()

    def read(self) -> Reading:
        import psutil

        from rlhf_engine import machine

        with self._lock:
            total, available = machine.memory()
            cores = machine.processor().cores if not self._tried else 0
            busy = float(psutil.cpu_percent(interval=None))
            card = self._card()
            return Reading(total - available, total, processors=cores, busy=busy, **card)

    def close(self) -> None:
        with self._lock:
            if self._nvml is not None:
                self._nvml.nvmlShutdown()
                self._nvml = None

    def _card(self) -> dict[str, Any]:
        if not self._tried:
            self._tried = True
            try:
                import pynvml

                pynvml.nvmlInit()
                self._nvml = pynvml
            except ImportError:
                return {}
            except pynvml.NVMLError:  # no driver here: the status bar says CPU
                return {}
        if self._nvml is None:
            return {}
        nvml = self._nvml
        try:
            if nvml.nvmlDeviceGetCount() == 0:
                return {}
            device = nvml.nvmlDeviceGetHandleByIndex(0)
            room = nvml.nvmlDeviceGetMemoryInfo(device)
            name = nvml.nvmlDeviceGetName(device)
            return {
                "gpu": name.decode() if isinstance(name, bytes) else name,
                "gpu_memory": int(room.used),
                "gpu_total": int(room.total),
                "load": _number(nvml, lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu),
                "degrees": _number(nvml, lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)),
                "watts": _number(nvml, lambda: nvml.nvmlDeviceGetPowerUsage(device) / 1000),
            }
        except nvml.NVMLError:  # the card fell off the bus, or may not be asked: memory is still shown
            return {}


def _number(nvml: Any, ask: Any) -> int:
    """Some cards do not know their power or temperature."""
    try:
        return int(ask())
    except nvml.NVMLError:
        return 0
