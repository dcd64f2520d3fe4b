"""Help: search over all pages, the list of them, and the page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from studio.commands import Command
from studio.engine_words import word
from studio.panels.help.browser import HelpBrowser
from studio.theme.tokens import S2, S4, S6
from studio.widgets import PanelHeader, PlainLabel, button, icon_button

if TYPE_CHECKING:
    from rlhf_engine.help import Hit
    from studio.session import Session

_PAGE, _ANCHOR = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
FIRST = "index"


class HelpPanel(QWidget):
    """Hints: topic (a page, "page#heading"), metric (and task) to explain, search (words to look for)."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.page = ""
        self._past: list[str] = []
        self._asked = 0  # searches; the answer to an older one is dropped
        self.header = PanelHeader(self.tr("Help"), self.tr("What everything means"))
        self.header.add(button(self.tr("Keys"), self._show_keys, icon="keyboard-outline", tip=self.tr("Keys (?)")))
        self.back = icon_button("arrow-left", self.tr("Back to the page before (Backspace)"), self.go_back)
        self._soon = QTimer(self, singleShot=True, interval=120)
        self._soon.timeout.connect(self._look)
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search all pages"))
        self.search.setAccessibleName(self.tr("Search all pages"))
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(lambda _: self._soon.start())
        self.search.returnPressed.connect(self._take_first)
        self.pages, self.hits = QListWidget(), QListWidget()
        self.pages.setAccessibleName(self.tr("Pages"))
        self.hits.setAccessibleName(self.tr("What was found"))
        self.hits.setWordWrap(True)
        self.hits.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.nothing = PlainLabel(tone="muted", wrap=True)
        self.browser = HelpBrowser()
        self.browser.followed.connect(self._follow)
        self.pages.currentItemChanged.connect(lambda now, _: self._picked(now))
        self.hits.currentItemChanged.connect(lambda now, _: self._picked(now))
        self.hits.itemClicked.connect(self._picked)
        self._lay_out()
        self._fill()
        self.show_topic(FIRST)
        for keys, do in (("Ctrl+F", self._focus_search), ("Backspace", self.go_back)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(do)

    # --- pages ---------------------------------------------------------------------------------------------------

    def show_topic(self, topic: str) -> bool:
        """Show "page" or "page#heading"; False for a page that there is not."""
        from rlhf_engine.help import PAGES, read

        page, _, anchor = topic.partition("#")
        if page not in PAGES:
            return False
        if self.page and topic != self.page and (not self._past or self._past[-1] != self.page):
            self._past.append(self.page)
        if page != self.page.partition("#")[0]:
            self.browser.show_markdown(read(page), anchor)
        else:
            self.browser.seek(anchor)
        self.page = topic
        self.back.setEnabled(bool(self._past))
        self._mark(page)
        return True

    def go_back(self) -> None:
        if self._past:
            before, kept = self._past[-1], self._past[:-1]
            self.show_topic(before)
            self._past = kept
            self.back.setEnabled(bool(kept))

    def receive(self, hints: dict[str, Any]) -> None:
        from rlhf_engine.help import page_of_metric

        if metric := str(hints.get("metric") or ""):
            page, anchor = page_of_metric(metric, str(hints.get("task") or ""))
            self.show_topic(f"{page}#{anchor}")
        elif topic := str(hints.get("topic") or ""):
            self.show_topic(topic) or self.show_topic(topic.partition("#")[0]) or self.show_topic(FIRST)
        if words := str(hints.get("search") or ""):
            self.search.setText(words)

    def commands(self) -> list[Command]:
        from rlhf_engine.help import PAGES

        title = self.tr("Help: {0}")
        return [
            Command(title.format(page.title), partial(self._session.go, "help", topic=page.key))
            for page in PAGES.values()
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [("Ctrl+F", self.tr("Search all pages")), ("Backspace", self.tr("Back to the page before"))]

    # --- searching -----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """On another thread: the first time every page has to be made."""
        from rlhf_engine.help import search

        words = self.search.text().strip()
        self._asked += 1
        asked = self._asked
        if not words:
            self._lists.setCurrentIndex(0)
            return

        def told(hits: list[Hit]) -> None:
            if asked == self._asked:
                self._show_hits(hits)

        self._session.in_background(lambda: search(words), told)

    def _show_hits(self, hits: list[Hit]) -> None:
        self.hits.blockSignals(True)
        self.hits.clear()
        for hit in hits:
            pages = self.tr("{0} and {1} more").format(hit.page.title, len(hit.also)) if hit.also else hit.page.title
            where = pages if not hit.heading else f"{hit.heading}  ·  {pages}"
            entry = QListWidgetItem(f"{where}\n{hit.text}", self.hits)
            entry.setData(_PAGE, hit.page.key)
            entry.setData(_ANCHOR, hit.anchor)
        self.hits.setCurrentRow(-1)
        self.hits.blockSignals(False)
        text = self.tr("Nothing was found. Try fewer or shorter words.")
        self.nothing.setText("" if hits else text)
        self.nothing.setVisible(not hits)
        self._lists.setCurrentIndex(1)

    def _take_first(self) -> None:
        self._soon.stop()
        if self._lists.currentIndex() == 1 and self.hits.count():
            self.hits.setCurrentRow(0)
        else:
            self._look()

    def _focus_search(self) -> None:
        self.search.setFocus()
        self.search.selectAll()

    # --- drawing -------------------------------------------------------------------------------------------------

    def _picked(self, entry: QListWidgetItem | None) -> None:
        if entry is not None and entry.data(_PAGE):
            anchor = entry.data(_ANCHOR)
            self.show_topic(f"{entry.data(_PAGE)}#{anchor}" if anchor else str(entry.data(_PAGE)))

    def _follow(self, page: str, anchor: str) -> None:
        here = self.page.partition("#")[0]
        self.show_topic(f"{page or here}#{anchor}" if anchor else page)

    def _mark(self, page: str) -> None:
        self.pages.blockSignals(True)
        for row in range(self.pages.count()):
            if self.pages.item(row).data(_PAGE) == page:
                self.pages.setCurrentRow(row)
        self.pages.blockSignals(False)

    def _fill(self) -> None:
        from rlhf_engine.help import PAGES

        group = ""
        for page in PAGES.values():
            if page.group != group:
                group = page.group
                head = QListWidgetItem(word(group), self.pages)
                head.setFlags(Qt.ItemFlag.NoItemFlags)
                head.setSizeHint(QSize(0, 34))
                font = head.font()
                font.setBold(True)
                head.setFont(font)
            entry = QListWidgetItem(f"   {word(page.title)}", self.pages)
            entry.setData(_PAGE, page.key)

    def _show_keys(self) -> None:
        getattr(self.window(), "show_keys", lambda: None)()

    def _lay_out(self) -> None:
        found = QWidget()
        inside = QVBoxLayout(found)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.nothing)
        inside.addWidget(self.hits, 1)
        self._lists = QStackedWidget()
        self._lists.addWidget(self.pages)
        self._lists.addWidget(found)
        top = QHBoxLayout()
        top.setSpacing(S2)
        top.addWidget(self.back)
        top.addWidget(self.search, 1)
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(S2)
        column.addLayout(top)
        column.addWidget(self._lists, 1)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(side)
        split.addWidget(self.browser)
        split.setSizes([300, 800])
        split.setStretchFactor(1, 1)
        split.setChildrenCollapsible(False)
        content = QVBoxLayout()
        content.setContentsMargins(S6, 0, S6, S4)
        content.addWidget(split)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addLayout(content, 1)
