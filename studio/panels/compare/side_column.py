"""The column at the right: what helps to judge (guidelines, a rubric, meters), each a part that folds."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QScrollArea, QToolButton, QVBoxLayout, QWidget

from studio.theme.tokens import S1, S2, S3

WIDTH = 300


class SideColumn(QScrollArea):
    """`add(key, title, widget)` puts a part below those that are there. `folded` tells which part was folded or opened.

    Without parts the column is not there at all.
    """

    folded = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.parts: dict[str, tuple[QToolButton, QWidget]] = {}
        inside = QWidget()
        inside.setObjectName("plain")
        self._layout = QVBoxLayout(inside)
        self._layout.setContentsMargins(0, 0, S2, 0)
        self._layout.setSpacing(S3)
        self._layout.addStretch()
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFixedWidth(WIDTH)
        self.hide()

    def add(self, key: str, title: str, widget: QWidget, opened: bool = True) -> None:
        head = QToolButton()
        head.setText(title)
        head.setCheckable(True)
        head.setProperty("fold", "true")
        head.setChecked(opened)
        head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        head.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        head.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        part = QWidget()
        layout = QVBoxLayout(part)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addWidget(head)
        layout.addWidget(widget)
        widget.setVisible(opened)
        head.toggled.connect(lambda on: self._fold(key, on))
        self.parts[key] = (head, widget)
        self._layout.insertWidget(self._layout.count() - 1, part)
        self.show()

    def is_open(self, key: str) -> bool:
        return self.parts[key][0].isChecked()

    def open(self, key: str, on: bool = True) -> None:
        """Open or fold a part."""
        self.parts[key][0].setChecked(on)

    def _fold(self, key: str, on: bool) -> None:
        head, widget = self.parts[key]
        head.setArrowType(Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow)
        widget.setVisible(on)
        self.folded.emit(key, on)
