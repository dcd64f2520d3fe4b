"""The most memory that a run held in each of its phases.

On CUDA torch keeps the record itself. On a CPU it is the resident set of the process: the system keeps the highest
ever, which is exact for every phase that goes beyond those before it; the others are watched by a thread that looks now
and then, and may miss what is gone within milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from rlhf_engine.runtime.device import peak_memory

LOOKS = 0.01  # seconds between two looks at the resident set
LOAD, ROLLOUT, SCORING, UPDATE = "load", "rollout", "scoring", "update"
METRICS = {
    LOAD: "memory/load",
    ROLLOUT: "memory/rollout",
    SCORING: "memory/scoring",
    UPDATE: "memory/update",
}


class Peaks:
    """`bytes` by phase. What comes before the first named phase is the load."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._on_gpu = device, device.type == "cuda"
        self.bytes: dict[str, int] = {}
        self.at_start = self._now()
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._before = 0 if self._on_gpu else int(peak_memory(self._device))

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """What the block holds at most counts for `phase`."""
        self._end_load()
        watching = None if self._on_gpu else _Watch()
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        try:
            yield
        finally:
            self._note(phase, watching.stop() if watching else 0)

    def told(self, predicted: int = 0) -> dict[str, float]:
        """The peaks so far as metrics, in MB; `predicted` is what was foreseen on top of the start, 0 for nothing."""
        self._end_load()
        highest = max(*self.bytes.values(), int(peak_memory(self._device)) if self._grew() else 0)
        told = {METRICS[phase]: size / 1e6 for phase, size in self.bytes.items()}
        told |= {"memory/start": self.at_start / 1e6, "memory/peak": highest / 1e6}
        return told | ({"memory/predicted": predicted / 1e6} if predicted else {})

    def _end_load(self) -> None:
        if LOAD not in self.bytes:
            self._note(LOAD, self._now())

    def _note(self, phase: str, seen: int) -> None:
        record = int(peak_memory(self._device)) if self._grew() else 0
        self._before = max(self._before, record)
        self.bytes[phase] = max(self.bytes.get(phase, 0), seen, record)

    def _grew(self) -> bool:
        """Whether the system's record is of this phase. CUDA's was reset when it began."""
        return self._on_gpu or int(peak_memory(self._device)) > self._before

    def _now(self) -> int:
        if self._on_gpu:
            return int(torch.cuda.memory_allocated())
        return int(psutil.Process().memory_info().rss)


class _Watch:
    """A thread that remembers the largest resident set it saw."""

    def __init__(self) -> None:
        self._process, self._ended = psutil.Process(), threading.Event()
        self._most = int(self._process.memory_info().rss)
        self._thread = threading.Thread(target=self._look, name="rlhf-peaks", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(LOOKS):
            self._most = max(self._most, int(self._process.memory_info().rss))

    def stop(self) -> int:
        self._ended.set()
        self._thread.join()
        return max(self._most, int(self._process.memory_info().rss))
