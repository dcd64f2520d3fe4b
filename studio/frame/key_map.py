"""The key map (F1): every key that works now, by where it works."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QScrollArea, QWidget

from studio.frame.overlay import Overlay
from studio.theme.tokens import S2, S4, S6
from studio.widgets.labels import PlainLabel

Keys = Sequence[tuple[str, str]]


class KeyMap(Overlay):
    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, 760)
        self.body.setContentsMargins(S6, S4, S4, S4)
        self.body.addWidget(PlainLabel(self.tr("Keys"), bold=True, size=1.25))
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setMinimumHeight(480)
        self.body.addWidget(self._area)
        self.body.addWidget(PlainLabel(self.tr("Esc closes this. Ctrl+K finds anything by its name."), tone="muted"))

    def ask(self, groups: Sequence[tuple[str, Keys]]) -> None:
        inside = QWidget()
        inside.setObjectName("plain")
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, S2, S4, S2)
        grid.setHorizontalSpacing(S6)
        grid.setVerticalSpacing(S2)
        row = 0
        for title, keys in groups:
            if not keys:
                continue
            grid.addWidget(PlainLabel(title, bold=True), row, 0, 1, 2)
            row += 1
            for key, what in keys:
                grid.addWidget(PlainLabel(key, tone="muted"), row, 0, Qt.AlignmentFlag.AlignTop)
                grid.addWidget(PlainLabel(what, wrap=True), row, 1)
                row += 1
        grid.setColumnStretch(1, 1)
        grid.setRowStretch(row, 1)
        self._area.setWidget(inside)
        self.open()
