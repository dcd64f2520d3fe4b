"""How a run is doing, in one strip: name, state, progress, time left, and the switches one can throw."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QMenu, QProgressBar, QVBoxLayout, QWidget

from studio.forms import FloatSpin
from studio.panels.run_view.naming import STATES, state_word
from studio.panels.run_view.story import RunStory
from studio.theme.tokens import S2, S3
from studio.widgets import Pill, PlainLabel, button, duration, set_tooltip

LONGEST = 48  # characters of a name


class RunHeader(QWidget):
    """`show_story()` brings it up to date. Signals: what was asked for; learning_rate_turned(factor)."""

    pause_asked = Signal()
    resume_asked = Signal()
    stop_asked = Signal()
    suspend_asked = Signal()
    learning_rate_turned = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = PlainLabel(size=1.2, bold=True)
        self.pill = Pill()
        self.detail = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.numbers = PlainLabel(tone="muted")
        self.pause = button(self.tr("Pause"), self._pause, icon="pause")
        self.stop = button(self.tr("Stop"), icon="stop", tip=self.tr("Stop now, or keep a checkpoint (Ctrl+.)"))
        self._story = RunStory()
        self._asked_pause = False
        menu = QMenu(self)
        menu.addAction(self.tr("Keep a checkpoint and stop"), self.suspend_asked.emit)
        menu.addAction(self.tr("Stop now"), self.stop_asked.emit)
        self.stop.setMenu(menu)
        self.knob = self._knob()
        top = QHBoxLayout()
        top.setSpacing(S3)
        top.addWidget(self.name)
        top.addWidget(self.pill)
        top.addWidget(self.detail, 1)
        top.addWidget(self.knob)
        top.addWidget(self.pause)
        top.addWidget(self.stop)
        bottom = QHBoxLayout()
        bottom.setSpacing(S3)
        bottom.addWidget(self.progress, 1)
        bottom.addWidget(self.numbers)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(top)
        layout.addLayout(bottom)
        shortcut = QShortcut(QKeySequence("Ctrl+."), self)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(lambda: self.stop.showMenu() if self.stop.isVisible() else None)
        self._second = QTimer(self, interval=1000)
        self._second.timeout.connect(self._tell_numbers)

    def show_story(self, story: RunStory, name: str, waits_for: str = "") -> None:
        self._story = story
        if story.state != "running":
            self._asked_pause = False
        self.name.setText(name if len(name) <= LONGEST else name[: LONGEST - 1] + "…")
        set_tooltip(self.name, name if len(name) > LONGEST else "")
        self.pill.set(state_word(story.state), STATES[story.state])
        self.detail.setText(self._detail(story, waits_for))
        self.pause.setVisible(story.going)
        self.stop.setVisible(story.going or story.state == "waiting")
        paused = story.state == "paused"
        self.pause.setText(
            self.tr("Go on") if paused else self.tr("Pausing…") if self._asked_pause else self.tr("Pause")
        )
        self.knob.setVisible(story.going and bool(story.metrics or story.rate_factor != 1.0))
        if not self.rate.hasFocus() and self.rate.value() != story.rate_factor:
            self.rate.setValue(story.rate_factor)
        self._tell_numbers()
        if story.state == "running" and self.isVisible():
            self._second.start()
        else:
            self._second.stop()

    def _detail(self, story: RunStory, waits_for: str) -> str:
        if story.state == "waiting":
            return self.tr("Starts when {0} has ended").format(waits_for) if waits_for else self.tr("Starting…")
        if story.stage:
            done = f" {story.stage_done:,}/{story.stage_total:,}" if story.stage_total else ""
            return story.stage + done
        if story.state == "running" and not story.metrics:
            return self.tr("Getting ready")
        return story.hardware

    def _tell_numbers(self) -> None:
        story = self._story
        share = story.share
        if story.going and share is None:
            self.progress.setRange(0, 0)
        else:
            self.progress.setRange(0, 1000)
            self.progress.setValue(round(1000 * (1.0 if story.state == "completed" else share or 0.0)))
        parts = []
        if story.total:
            parts.append(self.tr("step {0} of {1}").format(f"{story.step:,}", f"{story.total:,}"))
            parts.append(f"{story.step / story.total:.0%}")
        elif story.step:
            parts.append(self.tr("step {0}").format(f"{story.step:,}"))
        if story.pace:
            parts.append(self.tr("{0} s a step").format(f"{story.pace:.2g}"))
        if story.state != "waiting":
            parts.append(self.tr("{0} so far").format(duration(story.elapsed(time.time()))) if story.going else "")
            parts.append(self.tr("took {0}").format(duration(story.elapsed(0))) if story.ended else "")
        if story.left is not None:
            parts.append(self.tr("{0} left").format(duration(story.left)))
        self.numbers.setText("  ·  ".join(filter(None, parts)))

    def _pause(self) -> None:
        if self._story.state == "paused":
            self.resume_asked.emit()
            return
        self._asked_pause = True
        self.pause.setText(self.tr("Pausing…"))
        self.pause_asked.emit()

    def _knob(self) -> QWidget:
        self.rate = FloatSpin(log_scale=True)
        self.rate.setRange(0.001, 1000.0)
        self.rate.setValue(1.0)
        self.rate.setFixedWidth(84)
        self.rate.setAccessibleName(self.tr("Learning rate factor"))
        text = self.tr("Multiplies the scheduled learning rate from the next step on. It is written into the log.")
        set_tooltip(self.rate, text)
        self.rate.valueChanged.connect(self._turned)
        knob = QWidget()
        row = QHBoxLayout(knob)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        row.addWidget(PlainLabel(self.tr("Learning rate \u00d7"), tone="muted"))
        row.addWidget(self.rate)
        return knob

    def _turned(self, value: float) -> None:
        if value != self._story.rate_factor:
            self.learning_rate_turned.emit(value)
