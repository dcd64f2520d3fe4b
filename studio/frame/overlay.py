"""Something laid over the window until Esc or a click beside it: the palette and the key map."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from studio.theme.tokens import S2


class Overlay(QWidget):
    """Covers its parent; `sheet` is the card in the middle, `body` its layout. Focus goes back where it was."""

    def __init__(self, parent: QWidget, width: int, top: int = 72) -> None:
        super().__init__(parent)
        self._covered = parent
        self._top = top
        self._width = width
        self._before: QWidget | None = None
        self.sheet = QFrame(self)
        self.sheet.setProperty("card", "true")
        self.body = QVBoxLayout(self.sheet)
        self.body.setContentsMargins(S2, S2, S2, S2)
        self.body.setSpacing(S2)
        parent.installEventFilter(self)
        self.hide()

    def open(self, focus: QWidget | None = None) -> None:
        self._before = self.window().focusWidget()
        self.setGeometry(self._covered.rect())
        self.place()
        self.show()
        self.raise_()
        (focus or self).setFocus(Qt.FocusReason.PopupFocusReason)

    def dismiss(self) -> None:
        self.hide()
        if self._before is not None:
            self._before.setFocus()
        self._before = None

    def place(self) -> None:
        width = min(self._width, self.width() - 48)
        height = min(self.sheet.sizeHint().height(), self.height() - self._top - 48)
        self.sheet.setGeometry((self.width() - width) // 2, self._top, width, height)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self.setGeometry(self._covered.rect())
            self.place()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if not self.sheet.geometry().contains(event.position().toPoint()):
            self.dismiss()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.dismiss()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        QPainter(self).fillRect(self.rect(), QColor(0, 0, 0, 110))
