"""What the window, the command line and the tests may ask of an engine, whichever kind it is.

An engine with a worker process also calls `on_state(state, facts)`:
    starting {}, warming {pid, host, version, python}, ready {device, memory_total, ...}: the worker's own life.
    died {message, hint, log}: it ended unasked; the run in progress is told as failed, the rest go on in a new one.
    waiting {run, holder}: that run will start when another process has ended its own.
    following {run, pid, host}: a run of another process is being published; followed {run} when that is over.
    dropped {run}: it left the queue without having started.
    changed {run}: renamed or deleted.
    refused {message, hint, run}: a request could not be carried out.
    stopped {}: the end.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Protocol

import psutil

from rlhf_engine.contract.spec import Spec


class Switches(Protocol):
    """A run's switches, thrown from any thread. They never wait, and do nothing once the run has ended."""

    def cancel(self) -> None: ...
    def suspend(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def turn(self, knob: str, value: float) -> None: ...


class Engine(Protocol):
    """Does submitted runs in order, and publishes every envelope on its own thread.

    Each run's envelopes arrive in order, gapless from 0, RunStarted first and RunFinished last, whatever happens.
    """

    def submit(self, spec: Spec, name: str = "") -> str:
        """Line up a run; returns its id at once."""
        ...

    def resume(self, run_id: str) -> None:
        """Line up a run of this project that ended before its goal, from its last checkpoint; `seq` counts on.

        Raises:
            StoreError: there is no such run, it is going, or it is complete.
        """
        ...

    def control(self, run_id: str) -> Switches: ...

    def rename(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        """Change what a person calls a run, or their note on it."""
        ...

    def delete(self, run_id: str) -> None:
        """Forget a run that has ended, and delete its folder with the model in it."""
        ...

    @property
    def running(self) -> str | None:
        """The run in progress."""
        ...

    @property
    def waiting(self) -> list[str]:
        """The runs that have not started, next one first."""
        ...

    def close(self, timeout: float = 30.0, leave_running: bool = False) -> bool:
        """End the engine. True means that everything is over, or left running on purpose."""
        ...


def new_run_id() -> str:
    """Twelve hex digits. The processes that one torchrun has started all get the same."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return uuid.uuid4().hex[:12]
    agent = psutil.Process(os.getppid())
    names = [os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")]
    return hashlib.sha256(repr((names, agent.pid, agent.create_time())).encode()).hexdigest()[:12]
