"""How answers are laid out, the columns at both sides, and focus: small buttons that name their keys."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QHBoxLayout, QMenu, QToolButton, QWidget

from studio.panels.compare.keys import Bindings
from studio.theme.tokens import S1
from studio.widgets import icon_button, set_tooltip


class Tools(QWidget):
    """`chosen(layout)`; `queue`, `column` and `focus` are buttons to connect to."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._titles = {
            "side": self.tr("Side by side"),
            "stacked": self.tr("Stacked"),
            "conversation": self.tr("Conversation"),
            "ranking": self.tr("Rank several"),
            "rating": self.tr("Rate one by one"),
        }
        self.layout_menu = QToolButton()
        self.layout_menu.setProperty("framed", "true")
        self.layout_menu.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.layout_menu)
        group = QActionGroup(menu)
        self.entries: dict[str, QAction] = {}
        for name, title in self._titles.items():
            if name == "ranking":
                menu.addSeparator()
            entry = menu.addAction(title)
            entry.setCheckable(True)
            entry.triggered.connect(partial(self.chosen.emit, name))
            group.addAction(entry)
            self.entries[name] = entry
        self.layout_menu.setMenu(menu)
        self.queue = icon_button("format-list-bulleted", self.tr("Queue"))
        self.queue.setCheckable(True)
        self.column = icon_button("account-edit-outline", self.tr("Who judges, and the rubric"), checkable=True)
        self.focus = icon_button("fullscreen", self.tr("Focus"))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S1)
        for made in (self.queue, self.column, self.focus, self.layout_menu):
            row.addWidget(made)

    def show_layout(self, name: str) -> None:
        self.layout_menu.setText(f"{self._titles[name]}     ")  # the arrow stands there
        self.entries[name].setChecked(True)

    def show_keys(self, bindings: Bindings) -> None:
        queue = self.tr("The queue: waiting, drafts, judged, skipped, flagged ({0})")
        set_tooltip(self.queue, queue.format(bindings.shown("queue")))
        set_tooltip(self.focus, self.tr("Nothing but the answers ({0}; Esc ends it)").format(bindings.shown("focus")))
        set_tooltip(self.layout_menu, self.tr("How the answers are laid out ({0})").format(bindings.shown("layout")))
