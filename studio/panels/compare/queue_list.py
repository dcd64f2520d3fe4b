"""The queue at the left: pairs that wait, were begun, judged, skipped or flagged, searched and filtered.

Every list is read on another thread: a search walks through all texts, and may take seconds in a large project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import QLineEdit, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from rlhf_engine.store.judging_pages import VIEWS
from studio.forms import Combo
from studio.session import sentence
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, ghost_button, tooltip

if TYPE_CHECKING:
    from studio.session import Session

PAGE = 100
WIDTH = 220
ROW = 44  # pixels: two lines, and enough for a finger


class QueueList(QWidget):
    """`opened(pair id)` when a row is chosen. `view` is which of VIEWS is listed."""

    opened = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.author = ""
        self._asked = 0  # so that a slow answer to an old question is not shown
        self._limit = PAGE
        self._current = ""
        self.setFixedWidth(WIDTH)
        self.which = Combo()
        self._words = {
            "waiting": self.tr("Waiting"),
            "drafts": self.tr("Drafts"),
            "judged": self.tr("Judged"),
            "skipped": self.tr("Skipped"),
            "flagged": self.tr("Flagged"),
        }
        for view in VIEWS:
            self.which.addItem(self._words[view], view)
        self.which.setAccessibleName(self.tr("Which pairs"))
        self.search = QLineEdit()
        self.search.setPlaceholderText(self.tr("Search prompts, answers, notes"))
        self.search.setClearButtonEnabled(True)
        self.winner, self.source = Combo(), Combo()
        for words, key in (
            (self.tr("Any verdict"), ""),
            (self.tr("A won"), "a"),
            (self.tr("B won"), "b"),
            (self.tr("Tie"), "tie"),
            (self.tr("Both bad"), "both_bad"),
            (self.tr("Annotators differ"), "split"),
        ):
            self.winner.addItem(words, key)
        for words, key in (
            (self.tr("By anyone"), ""),
            (self.tr("By people"), "human"),
            (self.tr("By a rule"), "rule"),
            (self.tr("Imported"), "import"),
            (self.tr("By a model"), "model"),
        ):
            self.source.addItem(words, key)
        self.rows = QListWidget()
        self.rows.setAccessibleName(self.tr("Pairs"))
        self.rows.setUniformItemSizes(True)
        self.rows.setWordWrap(True)
        self.rows.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.rows.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.rows.itemClicked.connect(self._open)
        self.rows.itemActivated.connect(self._open)
        self.told = PlainLabel(tone="muted", wrap=True)
        self.more = ghost_button(self.tr("Show more"), self._show_more)
        self.more.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.which)
        layout.addWidget(self.search)
        layout.addWidget(self.winner)
        layout.addWidget(self.source)
        layout.addWidget(self.rows, 1)
        layout.addWidget(self.told)
        layout.addWidget(self.more, 0, Qt.AlignmentFlag.AlignLeft)
        self._soon = QTimer(self, singleShot=True, interval=250)
        self._soon.timeout.connect(self.read)
        self.which.currentIndexChanged.connect(lambda _: self._ask_anew())
        self.search.textChanged.connect(lambda _: self._ask_anew())
        self.winner.currentIndexChanged.connect(lambda _: self._ask_anew())
        self.source.currentIndexChanged.connect(lambda _: self._ask_anew())
        self._show_filters()

    @property
    def view(self) -> str:
        return str(self.which.currentData())

    def show_view(self, view: str) -> None:
        self.which.setCurrentIndex(max(0, self.which.findData(view)))

    def touch(self) -> None:
        """What is listed may have changed."""
        if not self.isHidden():
            self._soon.start()

    def stop(self) -> None:
        """Nothing is to be read any more, such as of a project that is closed."""
        self._soon.stop()
        self._asked += 1
        self.rows.clear()
        self.told.setText("")

    def read(self) -> None:
        """Ask for what is listed, on another thread."""
        self._soon.stop()
        root = self._session.root
        if root is None:
            self.stop()
            return
        self._asked += 1
        asked, author, limit = self._asked, self.author, self._limit
        wanted: dict[str, Any] = {"view": self.view, "text": self.search.text().strip(), "author": author}
        if not self.winner.isHidden():
            wanted |= {"winner": self.winner.currentData(), "source": self.source.currentData()}

        def found() -> tuple[list[dict[str, Any]], dict[str, int]]:
            from rlhf_engine.store.labels import Labels

            labels = Labels(root / "labels.db", write=False)
            try:
                return labels.queue(limit=limit + 1, **wanted), labels.queue_counts(author)
            finally:
                labels.close()

        if wanted["text"]:
            self.told.setText(self.tr("Searching…"))
        self._session.in_background(
            found,
            lambda told: self._show(*told) if asked == self._asked else None,
            lambda error: self._failed(error) if asked == self._asked else None,
        )

    def follow(self, pair_id: str) -> None:
        """Mark the row of the pair on the screen, if it is listed."""
        self._current = pair_id
        for number in range(self.rows.count()):
            if self.rows.item(number).data(Qt.ItemDataRole.UserRole) == pair_id:
                self.rows.setCurrentRow(number)
                return
        self.rows.setCurrentRow(-1)

    def after(self, pair_id: str) -> str:
        """The pair listed after this one; "" if there is none."""
        ids = [self.rows.item(number).data(Qt.ItemDataRole.UserRole) for number in range(self.rows.count())]
        place = ids.index(pair_id) + 1 if pair_id in ids else 0
        return next((str(found) for found in ids[place : place + 1]), "")

    def _show(self, rows: list[dict[str, Any]], counts: dict[str, int]) -> None:
        for number, view in enumerate(VIEWS):
            self.which.setItemText(number, f"{self._words[view]}  {counts[view]:,}")
        self.rows.clear()
        for row in rows[: self._limit]:
            item = QListWidgetItem(f"{self._mark(row)}{' '.join(str(row['prompt']).split())[:120]}")
            item.setData(Qt.ItemDataRole.UserRole, row["id"])
            item.setToolTip(tooltip(str(row["prompt"])))
            item.setSizeHint(QSize(0, ROW))
            self.rows.addItem(item)
        self.more.setVisible(len(rows) > self._limit)
        nothing = self.tr("No pair is found.") if self._narrowed else self.tr("No pair here.")
        self.told.setText("" if rows else nothing)
        self.told.setVisible(not rows)
        self.follow(self._current)

    def _mark(self, row: dict[str, Any]) -> str:
        """What stands, in a sign or two. A and B are the answers as stored: on the screen their sides are drawn."""
        signs = {"a": "A", "b": "B", "tie": "=", "both_bad": "✕", "skip": "»", "split": "≠"}
        sign = signs.get(str(row["winner"]), "")
        flag = "⚑ " if row["flagged"] and self.view != "flagged" else ""
        return f"{flag}{sign + '  ' if sign else ''}"

    def _failed(self, error: BaseException) -> None:
        self.told.setText(sentence(error))
        self.told.show()

    @property
    def _narrowed(self) -> bool:
        filtered = not self.winner.isHidden() and (self.winner.currentData() or self.source.currentData())
        return bool(self.search.text().strip() or filtered)

    def _ask_anew(self) -> None:
        self._limit = PAGE
        self._show_filters()
        self._soon.start()

    def _show_filters(self) -> None:
        judged = self.view in ("judged", "flagged")
        self.winner.setVisible(judged)
        self.source.setVisible(judged)

    def _show_more(self) -> None:
        self._limit += 3 * PAGE
        self.read()

    def _open(self, item: QListWidgetItem) -> None:
        self.opened.emit(str(item.data(Qt.ItemDataRole.UserRole)))
