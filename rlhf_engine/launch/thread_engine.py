"""The engine as a thread of this process: for scripts, notebooks and tests. The window uses ProcessEngine."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Envelope
from rlhf_engine.contract.spec import Spec
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.launch.recorded import carry_out, delete_run, require_resumable
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import task_of


@dataclass(frozen=True, slots=True)
class _Order:
    run_id: str
    spec: Spec
    name: str = ""
    resume: bool = False
    control: RunControl = field(default_factory=RunControl)


class ThreadEngine:
    """Does submitted runs in order. `publish` is called on the engine's thread and must not block."""

    def __init__(self, project_root: Path, publish: Callable[[Envelope], None]) -> None:
        self._root = project_root
        self._publish = publish
        self._waiting: deque[_Order] = deque()
        self._current: _Order | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="rlhf-engine", daemon=True)
        self._thread.start()

    def submit(self, spec: Spec, name: str = "") -> str:
        order = _Order(new_run_id(), spec, name)
        self._line_up(order)
        return order.run_id

    def resume(self, run_id: str) -> None:
        self._line_up(_Order(run_id, require_resumable(self._root, run_id), resume=True))

    def control(self, run_id: str) -> RunControl:
        """The switches of a run. Those of a run that has ended are connected to nothing."""
        with self._changed:
            orders = [*self._waiting, *([self._current] if self._current else [])]
        return next((order.control for order in orders if order.run_id == run_id), RunControl())

    def rename(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        """Raises ProjectLocked while a kept run is going."""
        with RunsWriter(self._root) as writer:
            writer.rename(run_id, name, note)

    def delete(self, run_id: str) -> None:
        """Raises ProjectLocked while a kept run is going."""
        with RunsWriter(self._root) as writer:
            delete_run(self._root, run_id, writer)

    @property
    def running(self) -> str | None:
        current = self._current
        return current.run_id if current else None

    @property
    def waiting(self) -> list[str]:
        with self._changed:
            return [order.run_id for order in self._waiting]

    def close(self, timeout: float = 30.0, leave_running: bool = False) -> bool:
        """Cancel everything (or let the run in progress end, with `leave_running`) and wait for the thread.

        False means that it is still inside a step after `timeout` seconds.
        """
        with self._changed:
            self._closed = True
            for order in [*self._waiting, *([self._current] if self._current and not leave_running else [])]:
                order.control.cancel()
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _line_up(self, order: _Order) -> None:
        task_of(order.spec)  # what is no spec is refused here, not on the engine's thread
        with self._changed:
            if self._closed:
                raise RuntimeError("The engine has been closed.")
            self._waiting.append(order)
            self._changed.notify_all()

    def _work(self) -> None:
        while (order := self._next()) is not None:
            carry_out(self._root, order.run_id, order.spec, self._publish, order.control, order.name, order.resume)
            with self._changed:
                self._current = None

    def _next(self) -> _Order | None:
        """The next run; None once the engine is closed and all that waited has been told that it is cancelled."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            self._current = self._waiting.popleft() if self._waiting else None
            return self._current
