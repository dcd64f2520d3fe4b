"""What stands between the answers and the question: why it has to wait, what went wrong, or how to begin."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from studio.activity import Going
from studio.theme.tokens import S2
from studio.widgets import ErrorCard, PlainLabel, button

if TYPE_CHECKING:
    from studio.session import Session


class Notice(QWidget):
    """A line about a busy engine, and below it an error or a warning."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.busy = PlainLabel(tone="warn", elide=Qt.TextElideMode.ElideRight)
        self.stop = button(self.tr("Stop training"), lambda: self._stop_training())
        self._stop_training: Callable[[], object] = lambda: None
        self._busy_row = QWidget()
        row = QHBoxLayout(self._busy_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        row.addWidget(self.busy, 1)
        row.addWidget(self.stop)
        self.warning = PlainLabel(tone="warn", wrap=True)
        self.error: ErrorCard | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(S2)
        self._layout.addWidget(self._busy_row)
        self._layout.addWidget(self.warning)
        self._busy_row.hide()
        self.warning.hide()

    def show_busy(self, session: Session, training: Going, waiting: bool) -> None:
        """Why a question has to wait, with a way to end that. Stopped training can be resumed."""
        text = (
            self.tr("“{0}” has the engine: your question is answered as soon as it has ended.")
            if waiting
            else self.tr("“{0}” has the engine: a question waits until it has ended.")
        )
        self.busy.setText(text.format(training.title))
        self._stop_training = lambda: session.control(training.run_id).suspend()
        self._busy_row.show()

    def clear_busy(self) -> None:
        self._busy_row.hide()

    def show_warning(self, text: str) -> None:
        self.warning.setText(text)
        self.warning.show()

    def show_error(self, cause: str, details: str = "") -> None:
        self._drop_error()
        self.error = ErrorCard(self.tr("The question was not answered"), cause, "", details)
        self._layout.addWidget(self.error)

    def clear(self) -> None:
        self.warning.hide()
        self._drop_error()

    def _drop_error(self) -> None:
        if self.error is not None:
            self.error.hide()
            self.error.deleteLater()
            self.error = None


class Openers(QWidget):
    """Three of the project's prompts, to begin with."""

    def __init__(self, ask: Callable[[str], object], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ask = ask
        self.any = False
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(S2)

    def offer(self, session: Session) -> None:
        prompts = [row["prompt"] for row in session.labels.page("prompts", limit=3) if not row["turns"]]
        while (taken := self._layout.takeAt(0)) is not None:
            if (widget := taken.widget()) is not None:
                widget.deleteLater()
        self.any = bool(prompts)
        if prompts:
            self._layout.addWidget(PlainLabel(self.tr("From the prompts of this project"), tone="muted"))
        for prompt in prompts:
            short = prompt if len(prompt) <= 90 else prompt[:89] + "…"
            made = button(short.replace("\n", " ").replace("&", "&&"), partial(self._ask, prompt))
            self._layout.addWidget(made, 0, Qt.AlignmentFlag.AlignLeft)
