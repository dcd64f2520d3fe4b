"""The bar at the top: the project, the way to everything else, and what has not been read yet."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QPushButton, QSizePolicy, QToolButton, QWidget

from studio.session import Session
from studio.theme import set_icon
from studio.theme.tokens import S2, S3
from studio.widgets.buttons import icon_button
from studio.widgets.labels import set_tooltip


class TopBar(QFrame):
    """Signals, one for each thing that can be asked for here."""

    rail_toggled = Signal()
    palette_asked = Signal()
    notes_asked = Signal()
    help_asked = Signal()
    project_asked = Signal(str)  # a folder
    new_asked = Signal()
    open_asked = Signal()
    sample_asked = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setProperty("bar", "true")
        self.fold = icon_button(
            "menu", self.tr("Show or hide the names of the panels (Ctrl+B)"), self.rail_toggled.emit
        )
        self.project = QToolButton()
        self.project.setProperty("framed", "true")
        self.project.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.project.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.project.setMaximumWidth(320)
        set_icon(self.project, "folder-outline")
        self._menu = QMenu(self.project)
        self._menu.aboutToShow.connect(self._fill)
        self.project.setMenu(self._menu)
        self.search = QPushButton(self.tr("Search or run a command…    Ctrl+K"))
        self.search.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.search.setMaximumWidth(480)
        self.search.setMinimumWidth(120)
        set_icon(self.search, "magnify", "muted")
        self.search.clicked.connect(lambda: self.palette_asked.emit())
        self.notes = icon_button("bell-outline", self.tr("Notifications (Ctrl+J)"), self.notes_asked.emit)
        self.notes.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.help = icon_button("help-circle-outline", self.tr("Help (F1)"), self.help_asked.emit)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(S3, S2, S3, S2)
        layout.setSpacing(S2)
        layout.addWidget(self.fold)
        layout.addWidget(self.project)
        layout.addStretch(1)
        layout.addWidget(self.search, 3)
        layout.addStretch(1)
        layout.addWidget(self.notes)
        layout.addWidget(self.help)
        session.project_changed.connect(self.show_project)
        self.show_project()

    def show_project(self) -> None:
        project = self._session.project
        name = project.name if project else self.tr("No project")
        short = self.project.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, 220)
        self.project.setText(f" {short}  ".replace("&", "&&"))
        set_tooltip(self.project, str(project.root) if project else self.tr("Open or create a project"))

    def show_unread(self, count: int) -> None:
        self.notes.setText(str(count) if count else "")
        set_icon(self.notes, "bell-badge-outline" if count else "bell-outline", "warn" if count else "text")

    def _fill(self) -> None:
        menu = self._menu
        menu.clear()
        menu.addAction(self.tr("New project…"), self.new_asked.emit)
        menu.addAction(self.tr("Open project…"), self.open_asked.emit)
        menu.addAction(self.tr("Sample project"), self.sample_asked.emit)
        here = str(self._session.root or "")
        others = [path for path in self._session.settings.recent if path != here and Path(path).is_dir()]
        if others:
            menu.addSeparator()
        for path in others[:8]:
            shown = Path(path).name.replace("&", "&&")
            menu.addAction(shown, partial(self.project_asked.emit, path)).setToolTip("")
