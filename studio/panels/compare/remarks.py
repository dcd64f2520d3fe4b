"""What stands between the answers and the verdicts: a note to go with the verdict, and a verdict that is not saved."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import DiskFull
from studio.panels.compare.verdict_bar import Verdict
from studio.session import sentence
from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel, button


class NoteLine(QWidget):
    """`text()` is what goes with the next verdict; `closed` when the keys are free for judging again."""

    closed = Signal()
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = QLineEdit()
        self.field.textEdited.connect(lambda _: self.changed.emit())
        self.field.setPlaceholderText(self.tr("A note that goes with your verdict. Enter keeps it"))
        self.field.setAccessibleName(self.tr("Note"))
        self.field.returnPressed.connect(self._keep)
        self.shown = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.shown)
        layout.addWidget(self.field)
        self.clear()

    def text(self) -> str:
        return self.field.text().strip()

    def open(self) -> None:
        self.shown.hide()
        self.field.show()
        self.show()
        self.field.setFocus()

    def close_field(self) -> None:
        """Show what was noted instead of the field."""
        self.field.hide()
        self.shown.setText(self.tr("Note: {0}").format(self.text()))
        self.shown.setVisible(bool(self.text()))
        self.setVisible(bool(self.text()))

    def clear(self) -> None:
        self.put("")

    def put(self, text: str) -> None:
        """Show a note that was begun before."""
        self.field.setText(text)
        self.close_field()

    def _keep(self) -> None:
        self.close_field()
        self.closed.emit()


class FailureBar(QFrame):
    """A verdict that could not be written, kept for another try: `retried(side, strength)`.

    While the disk is full `waited(side, strength)` comes every few seconds.
    """

    retried = Signal(str, int)
    waited = Signal(str, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "bad")
        self._verdict: Verdict = ("tie", 1)
        self.cause = PlainLabel(tone="bad", wrap=True, selectable=True)
        self.retry = button(self.tr("Try again"), lambda: self.retried.emit(*self._verdict))
        self._again = QTimer(self, singleShot=True, interval=3000)
        self._again.timeout.connect(lambda: self.waited.emit(*self._verdict))
        row = QHBoxLayout(self)
        row.setContentsMargins(S3, S2, S3, S2)
        row.addWidget(self.cause, 1)
        row.addWidget(self.retry)
        self.hide()

    def keep(self, verdict: Verdict, error: Exception) -> None:
        self._verdict = verdict
        words = self.tr("Your verdict is not saved yet: {0} The pair stays until it is.").format(sentence(error))
        if isinstance(error, DiskFull):
            words += " " + self.tr("As soon as there is space it is saved by itself.")
            self._again.start()
        self.cause.setText(words)
        self.show()

    def wait(self) -> None:
        """Try again a little later."""
        self._again.start()

    def hideEvent(self, event: QHideEvent) -> None:
        self._again.stop()
        super().hideEvent(event)
