"""What stands between the answers and the verdicts: a note that goes with one, and one that is not saved yet."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import DiskFull
from studio.panels.compare.saving import Saving
from studio.session import sentence
from studio.theme.tokens import S2, S3
from studio.widgets import Icon, PlainLabel, button


class _Field(QLineEdit):
    """A field whose Enter is its own, whatever else hears that key around it."""

    def event(self, event: QEvent) -> bool:
        enter = (Qt.Key.Key_Return, Qt.Key.Key_Enter)
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and event.key() in enter:
            event.accept()
            return True
        return super().event(event)


class NoteLine(QWidget):
    """`text()` is what goes with the next verdict; `closed` when the keys are free for judging again."""

    closed = Signal()
    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.field = _Field()
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


class SavingSign(QFrame):
    """Shown while a disk takes long to keep what was said."""

    def __init__(self, saving: Saving, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "true")
        words = self.tr("Saving waits for the disk. The next one comes by itself as soon as this verdict is safe.")
        row = QHBoxLayout(self)
        row.setContentsMargins(S3, S2, S3, S2)
        row.setSpacing(S2)
        row.addWidget(Icon("timer-sand", 18, "warn"))
        row.addWidget(PlainLabel(words, wrap=True), 1)
        saving.waits.connect(self.setVisible)
        self.hide()


class FailureBar(QFrame):
    """What could not be written, kept for another try. While the disk is full that is tried every few seconds.

    `is_busy` tells whether somebody writes: nothing is saved by itself under their hands.
    """

    def __init__(self, is_busy: Callable[[], bool], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "bad")
        self._do: Callable[[], object] = lambda: None
        self._is_busy = is_busy
        self.cause = PlainLabel(tone="bad", wrap=True, selectable=True)
        self.retry = button(self.tr("Try again"), lambda: self._do())
        self._again = QTimer(self, singleShot=True, interval=3000)
        self._again.timeout.connect(self._try)
        row = QHBoxLayout(self)
        row.setContentsMargins(S3, S2, S3, S2)
        row.addWidget(self.cause, 1)
        row.addWidget(self.retry)
        self.hide()

    def keep(self, do: Callable[[], object], error: Exception) -> None:
        self._do = do
        words = self.tr("Your verdict is not saved yet: {0} What you see stays until it is.").format(sentence(error))
        if isinstance(error, DiskFull):
            words += " " + self.tr("As soon as there is space it is saved by itself.")
            self._again.start()
        self.cause.setText(words)
        self.show()

    def _try(self) -> None:
        if self._is_busy():
            self._again.start()
        else:
            self._do()

    def hideEvent(self, event: QHideEvent) -> None:
        self._again.stop()
        super().hideEvent(event)
