"""A kept task, one that trains and one that is not kept, whose steps are sleeps, and a context without torch."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import DataError, DeviceLost, RunCancelled, RunSuspended
from rlhf_engine.contract.events import CheckpointSaved, KnobChanged, Metrics, RunPaused, RunResumed, RunStarted
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.tasks import TASKS, Task


@dataclass(frozen=True, kw_only=True)
class TinySpec:
    """`end` is how it ends: "", data, bug, kill, exit, full, forbidden, lost or memory."""

    steps: int = 3
    pause: float = 0.0
    end: str = ""
    seed: int = 0

    @property
    def total_steps(self) -> int:
        return self.steps


@dataclass(frozen=True, kw_only=True)
class LightSpec(TinySpec):
    """The same, not kept."""


def work(spec: TinySpec, run: TinyContext) -> None:
    for step in run.steps(spec.steps):
        print("a library speaks")  # noqa: T201
        os.write(1, b"a C library speaks\n")
        warnings.warn("a library warns", stacklevel=1)
        run.emit(Metrics(step, {"loss": 1 / step, "nothing": float("nan")}))
        time.sleep(spec.pause)
    match spec.end:
        case "data":
            raise DataError("people.jsonl, line 3: there is no prompt.", "Add one.")
        case "bug":
            raise ZeroDivisionError("division by zero")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "full":
            raise OSError(28, "No space left on device", "/somewhere/adapter.safetensors")
        case "forbidden":
            raise PermissionError(13, "Permission denied", "/somewhere/adapter.safetensors")
        case "lost":
            raise DeviceLost("The GPU stopped answering.")
        case "memory":
            raise MemoryError


class TinyContext:
    """Steps with a checkpoint (a folder) after every second, as the real one has them."""

    def __init__(
        self,
        project_root: Path,
        run_id: str,
        reporter: Reporter,
        control: RunControl,
        seed: int,  # noqa: ARG002 - as the real one
        resume: bool = False,
        task: str = "",
        device: str = "auto",  # noqa: ARG002
    ) -> None:
        self.folder, self.emit, self._control = project_root / "runs" / run_id, reporter.emit, control
        self._task = task
        saved = sorted((self.folder / "checkpoints").glob("*")) if resume else []
        self._first = int(saved[-1].name) + 1 if saved else 1

    def steps(self, total: int) -> Any:
        self.emit(RunStarted(self._task, total, self._first - 1))
        for step in range(self._first, total + 1):
            self.safe_point()
            for name, value in self._control.turned().items():
                self.emit(KnobChanged(step, name, value))
            yield step
            if step % 2 == 0 or self._control.suspended:
                (self.folder / "checkpoints" / f"{step:08d}").mkdir(parents=True, exist_ok=True)
                self.emit(CheckpointSaved(step, f"checkpoints/{step:08d}"))
            if self._control.suspended:
                raise RunSuspended

    def safe_point(self) -> None:
        if self._control.paused:
            self.emit(RunPaused())
            self._control.wait_until_going()
            self.emit(RunResumed())
        if self._control.cancelled:
            raise RunCancelled


def fake_runtime() -> dict[str, types.ModuleType]:
    context, device = types.ModuleType("rlhf_engine.runtime.context"), types.ModuleType("rlhf_engine.runtime.device")
    context.RunContext = TinyContext  # type: ignore[attr-defined]
    device.device_errors = contextlib.nullcontext  # type: ignore[attr-defined]
    return {context.__name__: context, device.__name__: device}


def tiny_tasks() -> dict[str, Task]:
    return {
        "tiny": Task("tiny", "Tiny", "Sleeps.", TinySpec, f"{__name__}:work", trains=True),
        "light": Task("light", "Light", "Sleeps, and leaves no trace.", LightSpec, f"{__name__}:work", kept=False),
    }


if __name__ == "__main__":
    # A worker, or the command, that knows these tasks, and for which torch is imported in no time.
    from rlhf_engine import cli
    from rlhf_engine.launch import worker
    from tests.engine.launch import tiny_task

    TASKS.update(tiny_task.tiny_tasks())
    sys.modules.update(tiny_task.fake_runtime())
    if sys.argv[1] == "rlhf":
        sys.exit(cli.main(sys.argv[2:]))
    worker.main(warm_up=lambda: {"device": "none"})
