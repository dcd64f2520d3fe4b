"""The rail at the left: one button a panel in the order of the work, with counts; it folds to icons."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QButtonGroup, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from studio.panels import PANELS
from studio.theme import colors, set_icon, theme
from studio.theme.tokens import S1, S2
from studio.widgets.labels import set_tooltip

WIDE, NARROW = 168, 56


class RailButton(QToolButton):
    def __init__(self, title: str, icon: str, keys: str) -> None:
        super().__init__()
        self._count = 0
        self._title = title
        self.setProperty("rail", "true")
        self.setText(f"  {title}")
        self.setAccessibleName(title)
        self.setCheckable(True)
        self.setIconSize(QSize(20, 20))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        set_icon(self, icon)
        set_tooltip(self, f"{title} ({keys})")

    def set_count(self, count: int) -> None:
        if count != self._count:
            self._count = count
            self.setAccessibleName(f"{self._title} ({count})" if count else self._title)
            self.update()

    def fold(self, yes: bool) -> None:
        styles = Qt.ToolButtonStyle
        self.setToolButtonStyle(styles.ToolButtonIconOnly if yes else styles.ToolButtonTextBesideIcon)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._count:
            return
        text = str(self._count) if self._count < 1000 else "999+"
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = self.font()
        font.setPointSizeF(font.pointSizeF() * 0.8)
        font.setBold(True)
        painter.setFont(font)
        width = max(18.0, painter.fontMetrics().horizontalAdvance(text) + 10.0)
        narrow = self.width() <= NARROW
        area = QRectF(self.width() - width - (2 if narrow else 8), 3 if narrow else (self.height() - 18) / 2, width, 18)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors().accent))
        painter.drawRoundedRect(area, 9, 9)
        painter.setPen(QColor(colors().on_accent))
        painter.drawText(area, Qt.AlignmentFlag.AlignCenter, text)


class Rail(QWidget):
    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("rail", "true")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(self.tr("Panels"))
        self.folded = False
        self.buttons: dict[str, RailButton] = {}
        group = QButtonGroup(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S2, S2, S2, S2)
        layout.setSpacing(S1)
        for number, row in enumerate(PANELS.values(), 1):
            if row.within:
                continue
            if row.key == "settings":
                layout.addStretch()
            made = RailButton(row.shown_title(), row.icon, "F1" if row.key == "help" else f"Ctrl+{number}")
            made.clicked.connect(lambda _=False, key=row.key: self.chosen.emit(key))
            group.addButton(made)
            layout.addWidget(made)
            self.buttons[row.key] = made
        self.fold(False)
        theme().changed.connect(self._refold)  # larger text takes more room

    def show_current(self, key: str) -> None:
        if key in PANELS:
            key = PANELS[key].within or key
        if key in self.buttons:
            self.buttons[key].setChecked(True)

    def set_count(self, key: str, count: int) -> None:
        if key in self.buttons:
            self.buttons[key].set_count(count)

    def fold(self, yes: bool) -> None:
        self.folded = yes
        widest = max(made.fontMetrics().horizontalAdvance(made.text()) for made in self.buttons.values())
        self.setFixedWidth(NARROW if yes else max(WIDE, widest + 90))
        for made in self.buttons.values():
            made.fold(yes)

    def _refold(self) -> None:
        self.fold(self.folded)
