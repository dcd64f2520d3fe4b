"""What stands above the judging: how far one is, what is asked and in which order, and what else there is to open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QToolButton, QWidget

from studio.panels.compare.next_row import NextRow
from studio.panels.compare.source_row import SourceRow
from studio.panels.compare.tools import Tools
from studio.theme.tokens import S2
from studio.widgets import PanelHeader, button, icon_button, set_tooltip

if TYPE_CHECKING:
    from studio.panels.compare.keys import Bindings
    from studio.session import Session

ROOMY = 980  # pixels; below, words of buttons that have an icon go


class Head(PanelHeader):
    """The panel's first row; `order` is the second, which stands below it on the page."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        tagline = QCoreApplication.translate("Compare", "Which answer would you rather have? Names stay hidden")
        super().__init__(QCoreApplication.translate("Compare", "Compare"), tagline, parent)
        self._guide_key = ""
        self.sources = SourceRow(self.about)
        self.add_before(self.sources.ring)
        self.next = NextRow(session)
        self.tools = Tools()
        self.add(self.tools)
        self.guide = button(self.tr("Guidelines"), icon="book-open-variant")
        self.add(self.guide)
        self.generate = button(self.tr("Generate pairs…"), icon="auto-fix")
        self.add(self.generate)
        self.more = icon_button("dots-vertical", self.tr("More"))
        self.more.setProperty("bare", "true")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        menu.addAction(self.next.how_many)
        menu.addAction(self.next.vote_action)
        told = menu.addAction(self.tr("How consistent you are, and how far annotators agree"))
        told.triggered.connect(lambda: session.go("agreement"))
        keys = menu.addAction(self.tr("Change the keys of judging"))
        keys.triggered.connect(lambda: session.go("settings", section="judging"))
        self.more.setMenu(menu)
        self.add(self.more)
        self.order = QWidget()
        row = QHBoxLayout(self.order)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        row.addWidget(self.sources)
        row.addWidget(self.next, 1)

    def show_keys(self, bindings: Bindings) -> None:
        self._guide_key = bindings.shown("guidelines", 1)
        set_tooltip(self.guide, self.tr("How to judge ({0})").format(bindings.shown("guidelines")))
        self.tools.show_keys(bindings)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        roomy = self.width() >= ROOMY
        self.guide.setText(self.tr("Guidelines  {0}").format(self._guide_key) if roomy else self._guide_key)
        self.generate.setText(self.tr("Generate pairs…") if roomy else self.tr("Generate…"))
