"""The one bridge to the engine: envelopes from its threads are handed to Qt's thread, in order, 30 times a second."""

from __future__ import annotations

import contextlib
import logging
import queue
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from PySide6.QtCore import QObject, QTimer, Signal

from rlhf_engine.contract.events import Envelope

log = logging.getLogger(__name__)


class Switches(Protocol):
    """What a run's control can do; RunControl is one."""

    def cancel(self) -> None: ...
    def suspend(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def turn(self, knob: str, value: float) -> None: ...


class Engine(Protocol):
    """What the window needs of an engine: ThreadEngine and ProcessEngine both have it."""

    def submit(self, spec: Any, name: str = "") -> str: ...
    def resume(self, run_id: str) -> Any: ...
    def control(self, run_id: str) -> Any: ...
    def close(self, timeout: float = 30.0) -> Any: ...


Publish = Callable[[Envelope], None]
Factory = Callable[[Path, Publish, Callable[..., None]], Engine]


def process_engine(root: Path, publish: Publish, on_state: Callable[..., None]) -> Engine:
    """The engine of the real window: one worker process that outlives it."""
    from rlhf_engine.launch.process_engine import ProcessEngine

    made: Engine = ProcessEngine(root, publish, on_state=on_state)
    return made


class EngineThread(QObject):
    """Signals, all on the window's thread:

    received(Envelope): one event of any run.
    state_changed(str): starting, idle, busy or failed.
    ready(dict): what the worker says about its device once torch is imported.
    """

    received = Signal(object)
    state_changed = Signal(str)
    ready = Signal(dict)
    FRAME_MS = 33
    BUDGET_S = 0.008  # a flood of events may take a quarter of each frame, no more

    def __init__(self, root: Path, factory: Factory = process_engine, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = "starting"
        self.device: dict[str, Any] = {}
        self._inbox: queue.SimpleQueue[Envelope | tuple[str, Any]] = queue.SimpleQueue()
        self._timer = QTimer(self, interval=self.FRAME_MS)
        self._timer.timeout.connect(self._drain)
        self._engine = factory(root, self._inbox.put, self._on_state)
        self._timer.start()

    def submit(self, spec: Any, name: str = "") -> str:
        return self._engine.submit(spec, name)

    def resume(self, run_id: str) -> None:
        self._engine.resume(run_id)

    def control(self, run_id: str) -> Switches:
        switches: Switches = self._engine.control(run_id)
        return switches

    def restart(self) -> None:
        """Start the worker again after it died, where the engine can."""
        again = getattr(self._engine, "restart", None)
        if again is not None:
            again()

    def close(self, timeout: float = 5.0) -> None:
        """Let go of the engine; a kept run that is going goes on in its own process."""
        self._timer.stop()
        self._engine.close(timeout)

    def _on_state(self, state: str, facts: Any = None) -> None:
        """Called on the engine's threads."""
        self._inbox.put((state, facts))

    def _drain(self) -> None:
        deadline = time.perf_counter() + self.BUDGET_S
        while time.perf_counter() < deadline:
            with contextlib.suppress(queue.Empty):
                self._hand_on(self._inbox.get_nowait())
                continue
            return

    def _hand_on(self, said: Envelope | tuple[str, Any]) -> None:
        if isinstance(said, Envelope):
            self.received.emit(said)
            return
        state, facts = said
        if isinstance(facts, dict) and facts:
            self.device.update(facts)
            self.ready.emit(dict(self.device))
        if state != self.state:
            self.state = state
            self.state_changed.emit(state)
