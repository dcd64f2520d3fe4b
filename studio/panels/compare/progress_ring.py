"""A ring that fills with what is judged."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from studio.theme import colors, theme
from studio.widgets import set_tooltip

SIZE = 26


class ProgressRing(QWidget):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedSize(SIZE, SIZE)
        self.done = self.total = 0
        theme().changed.connect(self.update)
        self.show_share(0, 0)

    def show_share(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        told = self.tr("{0} judged").format(f"{done / total:.1%}") if total else self.tr("Nothing to judge")
        self.setAccessibleName(told)
        set_tooltip(self, told)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect()).adjusted(3, 3, -3, -3)
        painter.setPen(QPen(QColor(colors().border), 4))
        painter.drawEllipse(area)
        if self.total and self.done:
            whole = self.done >= self.total
            pen = QPen(QColor(colors().good if whole else colors().accent), 4)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            painter.drawArc(area, 90 * 16, -round(360 * 16 * self.done / self.total))
