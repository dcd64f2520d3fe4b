"""A spec as a form with a button that starts it, and how far the run is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.contract.events import Alert, Envelope, Metrics, Produced, RunFinished, Stage
from studio.forms import SpecForm
from studio.run_feed import RunFeed
from studio.session import sentence
from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel, StageBar, primary_button

if TYPE_CHECKING:
    from studio.session import Session


NARROWEST = 520


class Starting(QWidget):
    """Signals: heard(event) of what was measured and made; told(envelope) of everything; ended() when it is over."""

    heard = Signal(object)
    told = Signal(object)
    ended = Signal()

    def __init__(self, session: Session, spec_type: type[Any], start: str, icon: str, hide: Sequence[str] = ()) -> None:
        super().__init__()
        self._session = session
        self._feed: RunFeed | None = None
        self.run_id = ""
        self.form = SpecForm(spec_type, session, hide=hide)
        self.problem = PlainLabel(wrap=True)
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self.go = primary_button(start, self.start, icon=icon)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(self.form)
        bar = area.verticalScrollBar().sizeHint().width()
        area.setMinimumWidth(max(NARROWEST, self.form.minimumSizeHint().width() + bar + S2))
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addWidget(self.problem, 1)
        row.addWidget(self.go, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(area, 1)
        layout.addWidget(self.bar)
        layout.addLayout(row)
        self.bar.hide()
        session.project_changed.connect(self._leave)

    def start(self) -> None:
        """Start a run of what the form says, unless one is going or something is missing."""
        if self._feed is not None or self._session.project is None:
            return
        if blockers := self.form.blockers():
            self._say(blockers[0], "bad")
            return
        self.go.setEnabled(False)
        self._say("")
        try:
            self.form.prepare(self._submit, self._failed)
        except SpecError as error:
            self.form.mark(error)
            self._failed(error)

    def stop(self) -> None:
        if self.run_id:
            self._session.control(self.run_id).cancel()

    def _submit(self, spec: Any) -> None:
        try:
            self.run_id = self._session.submit(spec)
        except EngineError as error:
            self._failed(error)
            return
        self._feed = self._session.run_feed(self.run_id, self)
        self._feed.event.connect(self._hear)
        self.bar.show_stage(self.tr("Waiting for the engine"))
        self.bar.show()

    def _hear(self, envelope: Envelope) -> None:
        self.told.emit(envelope)
        match envelope.event:
            case Stage(text, done, total):
                self.bar.show_stage(text, done, total)
            case Alert(_, text, hint):
                self._say(" ".join(filter(None, (text, hint))), "warn")
            case Metrics() | Produced():
                self.heard.emit(envelope.event)
            case RunFinished(outcome, message, hint):
                self._end()
                if outcome == "failed":
                    self._say(" ".join(filter(None, (message, hint))), "bad")
                self.ended.emit()
            case _:
                pass

    def _failed(self, error: BaseException) -> None:
        self._say(sentence(error), "bad")
        self.go.setEnabled(True)

    def _say(self, text: str, tone: str = "") -> None:
        self.problem.set_tone(tone)
        self.problem.setText(text)

    def _end(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.stop()
            feed.deleteLater()
        self.bar.hide()
        self.go.setEnabled(True)

    def _leave(self) -> None:
        self._end()
        self._say("")
        self.run_id = ""
