"""A button that says what it does and, below it, by which key."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QRect, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QPushButton, QSizePolicy, QWidget

from studio.theme import colors
from studio.theme.tokens import S2

HEIGHT = 46  # enough for a finger


class KeyButton(QPushButton):
    """`label` and `keys` are what is written; the button's own text stays empty, so that no sign is a mnemonic.

    Where `label` does not fit, `short` is written.
    """

    def __init__(
        self, label: str, do: Callable[[], object] | None = None, parent: QWidget | None = None, *, short: str = ""
    ) -> None:
        super().__init__(parent)
        self.label, self.short, self.keys = label, short or label, ""
        self.setProperty("tall", "true")
        self.setAutoDefault(False)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_keys("")
        if do is not None:
            self.clicked.connect(lambda: do())

    def set_label(self, label: str) -> None:
        self.label = self.short = label
        self.set_keys(self.keys)

    def set_keys(self, keys: str) -> None:
        self.keys = keys
        self.setAccessibleName(f"{self.label}, {keys}" if keys else self.label)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        widths = (self.fontMetrics().horizontalAdvance(text) for text in (self.label, self.keys))
        return QSize(max(widths) + 2 * S2 + 2, HEIGHT)

    def minimumSizeHint(self) -> QSize:
        widths = (self.fontMetrics().horizontalAdvance(text) for text in (self.short, self.keys))
        return QSize(max(widths) + S2, HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        painter = QPainter(self)
        area = self.rect().adjusted(S2 // 2, 5, -S2 // 2, -5)
        upper = QRect(area.left(), area.top(), area.width(), area.height() * 11 // 20)
        lower = QRect(area.left(), upper.bottom(), area.width(), area.bottom() - upper.bottom())
        c = colors()
        painter.setPen(QColor(c.text if self.isEnabled() else c.muted))
        whole = area if not self.keys else upper
        fits = painter.fontMetrics().horizontalAdvance(self.label) <= area.width()
        label = self.label if fits else self.short
        painter.drawText(whole, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextSingleLine, label)
        if self.keys:
            font = painter.font()
            font.setPointSizeF(font.pointSizeF() * 0.88)
            painter.setFont(font)
            painter.setPen(QColor(c.muted))
            painter.drawText(lower, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextSingleLine, self.keys)
