"""One run's events folded into what there is to say about it now. No widgets here: live and past runs are one fold."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QCoreApplication

from rlhf_engine.contract.events import (
    Alert,
    CheckpointSaved,
    Curve,
    Envelope,
    KnobChanged,
    Metrics,
    Produced,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Sample,
    Stage,
)
from rlhf_engine.tasks import TASKS
from studio.engine_words import metric

tr = QCoreApplication.translate
MOST_LINES = 2000
GOING = ("running", "paused")
ENDED = ("completed", "cancelled", "suspended", "failed", "interrupted")


@dataclass(frozen=True, slots=True)
class LogLine:
    """`level` is info, warning, danger, good or quiet; `step` is the step the run had reached."""

    time: float
    level: str
    text: str
    hint: str = ""
    step: int = 0


@dataclass
class RunStory:
    """`hear()` each envelope once, in order.

    `state` is waiting, running, paused, or one of ENDED. `pace` is seconds a step, a running mean of the last ones.
    """

    run_id: str = ""
    task: str = ""
    state: str = "waiting"
    step: int = 0
    total: int = 0
    stage: str = ""
    stage_done: int = 0
    stage_total: int = 0
    hardware: str = ""
    pace: float = 0.0
    rate_factor: float = 1.0
    metrics: dict[str, float] = field(default_factory=dict)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    curves: dict[str, list[Curve]] = field(default_factory=dict)  # by name, oldest first
    alerts: list[LogLine] = field(default_factory=list)
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=MOST_LINES))
    logged: int = 0  # lines ever, so that a reader of `log` knows which are new
    checkpoints: list[int] = field(default_factory=list)
    produced: list[Produced] = field(default_factory=list)
    end: RunFinished | None = None
    lost: set[str] = field(default_factory=set)  # metrics that have been NaN or infinite
    _worked: float = 0.0  # seconds of the stretches that are over
    _since: float | None = None  # when the present stretch began; None while nothing is going on
    _last: float = 0.0
    _beat: float | None = None  # when the last step was heard of

    @property
    def going(self) -> bool:
        return self.state in GOING

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    def elapsed(self, now: float) -> float:
        """Seconds at work, pauses left out."""
        return self._worked + (max(0.0, now - self._since) if self._since is not None else 0.0)

    @property
    def left(self) -> float | None:
        """Seconds to the end, None while nobody knows."""
        if self.state != "running" or self.pace <= 0 or self.total <= self.step:
            return None
        return self.pace * (self.total - self.step)

    @property
    def share(self) -> float | None:
        if self.total > 0:
            return min(1.0, self.step / self.total)
        return min(1.0, self.stage_done / self.stage_total) if self.stage_total else None

    def hear(self, envelope: Envelope) -> None:
        now, event = envelope.time, envelope.event
        self._last = now
        match event:
            case RunStarted():
                self._start(event, now)
            case Stage(text=text, done=done, total=total):
                if text != self.stage:
                    self._note(now, "quiet", text)
                self.stage, self.stage_done, self.stage_total = text, done, total
            case Metrics(step=step, values=values):
                self._advance(step, values, now)
            case Sample(step=step):
                self.samples.setdefault(step, []).append(event)
            case Curve(name=name):
                self.curves.setdefault(name, []).append(event)
            case CheckpointSaved(step=step):
                self.checkpoints.append(step)
                self._note(now, "quiet", tr("Story", "Checkpoint of step {0} saved.").format(step))
            case KnobChanged(name=name, value=value):
                if name == "learning_rate":
                    self.rate_factor = value
                self._note(now, "info", f"{name.replace('_', ' ').capitalize()} \u00d7 {value:g}")
            case Alert(level=level, text=text, hint=hint, step=step):
                line = self._note(now, level, text, hint, step or self.step)
                self.alerts.append(line)
            case Produced(what=what, path=path):
                self.produced = [old for old in self.produced if old.path != path] + [event]
                self._note(
                    now, "good", tr("Story", "{0} written to {1}.").format(what.replace("_", " ").capitalize(), path)
                )
            case RunPaused():
                self._rest(now)
                self.state = "paused"
                self._note(now, "info", tr("Story", "Paused."))
            case RunResumed():
                self._since, self._beat = now, None
                self.state = "running"
                self._note(now, "info", tr("Story", "Going on."))
            case RunFinished(outcome=outcome, message=message, hint=hint):
                self._rest(now)
                self.state, self.end, self.stage = outcome, event, ""
                level = {"failed": "danger", "completed": "good"}.get(outcome, "info")
                self._note(now, level, " ".join(filter(None, (_ended(outcome), message))), hint)

    def interrupt(self, message: str, hint: str) -> None:
        """The process died without a last word: the story ends where it was last heard."""
        self._rest(self._last)
        self.state, self.stage = "interrupted", ""
        self.end = RunFinished("failed", message, hint)

    def facts(self) -> dict[str, Any]:
        """What the run said about what it made, else the last values of its main metrics."""
        told: dict[str, Any] = {}
        for made in self.produced:
            told |= made.facts
        charts = TASKS[self.task].charts if self.task in TASKS else tuple(self.metrics)
        return told or {name: self.metrics[name] for name in charts if name in self.metrics}

    def _start(self, event: RunStarted, now: float) -> None:
        again = self.going
        self.task = event.task or self.task
        self.total = event.total_steps or (self.total if again else 0)
        self.hardware = event.hardware or self.hardware
        kept = event.from_step
        self.step = kept
        self.samples = {step: found for step, found in self.samples.items() if step <= kept}
        standing = {name: [one for one in found if one.step <= kept] for name, found in self.curves.items()}
        self.curves = {name: found for name, found in standing.items() if found}
        self.alerts = [line for line in self.alerts if line.step <= kept]
        self.checkpoints = [step for step in self.checkpoints if step <= kept]
        self.state, self.end, self._beat = "running", None, None
        if not again:
            self._since = now
            self._note(
                now,
                "info",
                tr("Story", "Going on from step {0}.").format(kept) if kept else tr("Story", "Started."),
                step=kept,
            )

    def _advance(self, step: int, values: dict[str, float], now: float) -> None:
        if self._beat is not None and step > self.step:
            seconds = (now - self._beat) / (step - self.step)
            self.pace = seconds if not self.pace else 0.8 * self.pace + 0.2 * seconds
        self._beat, self.step = now, step
        self.stage, self.stage_done, self.stage_total = "", 0, 0
        self.metrics.update(values)
        for name, value in values.items():
            if not math.isfinite(value) and name not in self.lost:
                self.lost.add(name)
                text = tr("Story", "{0} is not a finite number ({1}: {2}).").format(metric(name).label, name, value)
                self.alerts.append(self._note(now, "warning", text, "", step))

    def _rest(self, now: float) -> None:
        if self._since is not None:
            self._worked += max(0.0, now - self._since)
        self._since = self._beat = None

    def _note(self, now: float, level: str, text: str, hint: str = "", step: int = -1) -> LogLine:
        line = LogLine(now, level, text, hint, self.step if step < 0 else step)
        self.log.append(line)
        self.logged += 1
        return line


def _ended(outcome: str) -> str:
    """How a run ended, as the first word of the last line."""
    words = {
        "completed": tr("Story", "Completed."),
        "cancelled": tr("Story", "Cancelled."),
        "suspended": tr("Story", "Suspended."),
        "failed": tr("Story", "Failed."),
    }
    return words.get(outcome, f"{outcome.capitalize()}.")
