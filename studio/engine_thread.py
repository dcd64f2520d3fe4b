"""The one bridge to the engine: envelopes from its threads are handed to Qt's thread, in order, 30 times a second."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

from rlhf_engine.contract.events import Envelope
from rlhf_engine.launch.engine import Engine, Switches

log = logging.getLogger(__name__)


Publish = Callable[[Envelope], None]
OnState = Callable[[str, dict[str, Any]], None]
Factory = Callable[[Path, Publish, OnState], Engine]
LIFE = ("starting", "warming", "ready", "died", "stopped")  # of the worker; its other words are about runs


def process_engine(root: Path, publish: Publish, on_state: OnState) -> Engine:
    """The engine of the real window: one worker process that can outlive it."""
    from rlhf_engine.launch.process_engine import ProcessEngine

    return ProcessEngine(root, publish, on_state)


class EngineThread(QObject):
    """Signals, all on the window's thread:

    received(Envelope): one event of any run.
    state_changed(str): the worker's life: starting, warming, ready, died or stopped.
    ready(dict): what the worker says about its device once torch is imported.
    noticed(str, dict): what an engine says about runs: waiting, following, followed, dropped, changed, refused, died.
    """

    received = Signal(object)
    state_changed = Signal(str)
    ready = Signal(dict)
    noticed = Signal(str, dict)
    FRAME_MS = 33
    BUDGET_S = 0.008  # a flood of events may take a quarter of each frame, no more

    def __init__(self, root: Path, factory: Factory = process_engine, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = "starting"
        self.device: dict[str, Any] = {}
        self._inbox: queue.SimpleQueue[Envelope | tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._timer = QTimer(self, interval=self.FRAME_MS)
        self._timer.timeout.connect(self._drain)
        self._engine = factory(root, self._inbox.put, self._on_state)
        self._timer.start()

    def submit(self, spec: Any, name: str = "") -> str:
        return self._engine.submit(spec, name)

    def resume(self, run_id: str) -> None:
        self._engine.resume(run_id)

    def control(self, run_id: str) -> Switches:
        return self._engine.control(run_id)

    def rename(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        """Change a run's name or note; `noticed("changed", …)` follows, or "refused"."""
        self._engine.rename(run_id, name, note)

    def delete(self, run_id: str) -> None:
        """Forget a run and delete its folder; `noticed("changed", …)` follows, or "refused"."""
        self._engine.delete(run_id)

    def close(self, timeout: float = 5.0) -> None:
        """Let go of the engine; a kept run that is going goes on in its own process."""
        self._timer.stop()
        self._engine.close(timeout, leave_running=True)

    def _on_state(self, state: str, facts: dict[str, Any]) -> None:
        """Called on the engine's threads."""
        self._inbox.put((state, facts))

    def _drain(self) -> None:
        deadline = time.perf_counter() + self.BUDGET_S
        while time.perf_counter() < deadline:
            with contextlib.suppress(queue.Empty):
                self._hand_on(self._inbox.get_nowait())
                continue
            return

    def _hand_on(self, said: Envelope | tuple[str, dict[str, Any]]) -> None:
        if isinstance(said, Envelope):
            self.received.emit(said)
            return
        state, facts = said
        if state == "ready":
            self.device.update(facts)
            self.ready.emit(dict(self.device))
        if state not in LIFE or state == "died":
            self.noticed.emit(state, facts)
        if state in LIFE and state != self.state:
            self.state = state
            self.state_changed.emit(state)
