"""What is going on right now, told from the events of all runs: for status bar, rail and the question on closing."""

from __future__ import annotations

import time
from dataclasses import dataclass

from PySide6.QtCore import QObject, QTimer, Signal

from rlhf_engine.contract.events import Envelope, Metrics, RunFinished, RunPaused, RunResumed, RunStarted, Stage
from rlhf_engine.tasks import TASKS
from studio.engine_words import task_title


@dataclass
class Going:
    """One run that has begun and not ended. `eta` is in seconds, None while nobody knows."""

    run_id: str
    task: str
    name: str = ""
    step: int = 0
    total: int = 0
    stage: str = ""
    done: int = 0
    of: int = 0
    paused: bool = False
    started: float = 0.0
    _beat: float = 0.0
    _pace: float = 0.0

    @property
    def kept(self) -> bool:
        return self.task not in TASKS or TASKS[self.task].kept

    @property
    def title(self) -> str:
        return self.name or task_title(self.task)

    @property
    def share(self) -> float | None:
        """How much is done, 0..1; None while nobody knows."""
        if self.total > 0:
            return min(1.0, self.step / self.total)
        return min(1.0, self.done / self.of) if self.of > 0 else None

    @property
    def eta(self) -> float | None:
        if self.paused or self._pace <= 0 or self.total <= self.step:
            return None
        return self._pace * (self.total - self.step)

    def advance(self, step: int, now: float) -> None:
        """Note a step; the pace is a running mean of the last few steps."""
        if step > self.step and self._beat and not self.paused:
            seconds = (now - self._beat) / (step - self.step)
            self._pace = seconds if not self._pace else 0.8 * self._pace + 0.2 * seconds
        self.step = max(self.step, step)
        self._beat = now


class Activity(QObject):
    """`changed` at most ten times a second; `began` and `ended` at once, for kept runs and for passing ones."""

    changed = Signal()
    began = Signal(str)
    ended = Signal(str, object)  # run_id, RunFinished

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.going: dict[str, Going] = {}
        self._names: dict[str, str] = {}
        self._soon = QTimer(self, singleShot=True, interval=100)
        self._soon.timeout.connect(self.changed)

    def name(self, run_id: str, name: str) -> None:
        self._names[run_id] = name

    def kept(self) -> list[Going]:
        """The runs that would be missed if the engine stopped now."""
        return [going for going in self.going.values() if going.kept]

    def current(self) -> Going | None:
        """The run to show where there is room for one: a kept one first."""
        return next(iter([*self.kept(), *self.going.values()]), None)

    def clear(self) -> None:
        self.going.clear()
        self.changed.emit()

    def hear(self, envelope: Envelope) -> None:
        run_id, event = envelope.run_id, envelope.event
        going = self.going.get(run_id)
        match event:
            case RunStarted():
                fresh = going is None
                going = going or Going(run_id, event.task, self._names.get(run_id, ""), started=time.time())
                going.task, going.total, going.step = event.task, event.total_steps, event.from_step
                self.going[run_id] = going
                if fresh:
                    self.began.emit(run_id)
            case RunFinished():
                self.going.pop(run_id, None)
                self._names.pop(run_id, None)
                self.ended.emit(run_id, event)
            case Stage() if going:
                going.stage, going.done, going.of = event.text, event.done, event.total
            case Metrics() if going:
                going.advance(event.step, envelope.time)
            case RunPaused() if going:
                going.paused = True
            case RunResumed() if going:
                going.paused, going._beat = False, 0.0
            case _:
                return
        if not self._soon.isActive():
            self._soon.start()
