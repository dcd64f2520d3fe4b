"""Ranking several answers to one prompt: a key or a press gives the next place, or the list is dragged into order."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QScrollArea, QScrollBar, QSizePolicy, QVBoxLayout, QWidget

from studio.panels.compare.asking_page import AskingPage, Do
from studio.panels.compare.key_button import KeyButton
from studio.panels.compare.keys import ANSWERS, Bindings
from studio.panels.compare.pair_view import AnswerSide
from studio.panels.compare.rank_list import RankList, places_of
from studio.panels.compare.ranking_queue import RankingQueue
from studio.theme.tokens import S2, S3
from studio.widgets import EmptyState, PlainLabel, PlainText

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels
    from studio.panels.compare.desk import Desk

LIST_WIDTH, NARROW_LIST = 250, 190
ROOMY, SMALL = 820, 640  # pixels
CARD_HEIGHT = 170


class RankingPage(AskingPage):
    def __init__(self, desk: Desk, panel: QWidget, panel_keys: dict[str, Do]) -> None:
        super().__init__(desk, panel, panel_keys)
        inside = QWidget()
        inside.setObjectName("plain")
        self._grid = QGridLayout(inside)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(S3)
        self.cards: list[AnswerSide] = []
        self.picks: list[KeyButton] = []
        for number in range(ANSWERS):
            card = AnswerSide(str(number + 1))
            card.setMinimumHeight(CARD_HEIGHT)
            pick = KeyButton(self.tr("Next place"), partial(self.pick, number))
            pick.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            card.head.addWidget(pick)
            self.cards.append(card)
            self.picks.append(pick)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(inside)
        self.list = RankList()
        self.list.setAccessibleName(self.tr("Order"))
        self.list.dragged.connect(self.order)
        self.list.picked.connect(self.pick)
        holder = QWidget()
        side = QVBoxLayout(holder)
        side.setContentsMargins(0, 0, 0, 0)
        side.setSpacing(S2)
        side.addWidget(PlainLabel(self.tr("Best first"), bold=True))
        side.addWidget(self.list, 1)
        about = self.tr("Give places from best to worst, or drag. Shift and the key ties with the place before.")
        side.addWidget(PlainLabel(about, tone="muted", wrap=True))
        self._beside = holder
        self._columns = 0
        self._arrange()
        self.body.addWidget(self._area, 1)
        self.body.addWidget(holder)
        self.save_button = KeyButton(self.tr("Save the order"), self.save_order)
        self.save_button.setObjectName("ranking_save")
        self.skip_button = KeyButton(self.tr("Skip"), self.skip)
        self.verdicts.addWidget(self.more, 1)
        self.verdicts.addStretch()
        self.verdicts.addWidget(self.skip_button)
        self.verdicts.addWidget(self.save_button)
        for made in (self.skip_button, self.save_button):
            made.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            made.setMinimumWidth(110)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Two answers side by side where there is room for them, else one below the other."""
        columns = 2 if self.width() >= ROOMY else 1
        self._beside.setFixedWidth(LIST_WIDTH if columns == 2 else NARROW_LIST)
        self.others["marks"].setVisible(self.width() >= SMALL)  # its key stays
        self.told.setVisible(self.width() >= SMALL)
        if columns == self._columns:
            return
        self._columns = columns
        for number, card in enumerate(self.cards):
            self._grid.addWidget(card, number // columns, number % columns)

    def _nothing(self) -> EmptyState:
        return EmptyState(
            "check-circle-outline",
            self.tr("No answers wait to be ranked."),
            (self.tr("Import comparisons…"), lambda: self._session.go("data", kind="comparisons")),
            [(self.tr("Undo"), self.undo)],
            detail=self.tr("All pairs of one prompt that wait are ranked together."),
        )

    def pick(self, number: int, tie: bool = False) -> None:
        """Give answer `number` (from 0) the next place, or take its place away."""
        if self._can_judge() and number < len(self.queue.current.answers):
            self.queue.current.pick(number, tie)
            self._show_order()

    def order(self, numbers: list[int]) -> None:
        if self._can_judge():
            self.queue.current.order(numbers)
            self._show_order()

    def save_order(self) -> None:
        made: list[Do] = []
        if self._can_judge() and self.try_to(lambda: made.append(self.queue.to_write(self.note.text(), self._best()))):
            self.save(made[0])

    def undo(self) -> None:
        """The last place given; with none given, the last ranking."""
        if self._can_judge() and self.queue.current.take_back():
            self._show_order()
        else:
            super().undo()

    def _best(self) -> dict[str, int]:
        return {name: int(number) - 1 for name, number in self._desk.beside.rubric.told.items()}

    def _new_queue(self, labels: Labels, author: str) -> RankingQueue:
        return RankingQueue(labels, author, mixing=self._desk.beside.mixing_for(labels, author))

    def _undo(self) -> dict[str, Any] | None:
        return self._session.labels.undo_last(self.queue.author)

    def _keys(self, bindings: Bindings) -> Iterable[tuple[str, Do]]:
        self._enter.hear((("Return", self.save_order), ("Enter", self.save_order)))
        keys: list[tuple[str, Do]] = [(key, self.save_order) for key in bindings.sequences("save_order")]
        for number, pick in enumerate(self.picks):
            name = f"rank_{number + 1}"
            keys += [(key, partial(self.pick, number)) for key in bindings.sequences(name)]
            keys += [(key, partial(self.pick, number, True)) for key in bindings.tied(name)]
            pick.set_keys(bindings.shown(name))
        self.save_button.set_keys("  ".join(filter(None, ("Enter", bindings.shown("save_order", 1)))))
        self.skip_button.set_keys(bindings.shown("skip"))
        return keys

    def _show_question(self) -> None:
        answers = self.queue.current.answers
        for number, card in enumerate(self.cards):
            card.setVisible(number < len(answers))
            card.show_text(answers[number] if number < len(answers) else "")
        self._area.verticalScrollBar().setValue(0)
        self._desk.beside.rubric.offer(tuple(str(number + 1) for number in range(len(answers))))
        self._show_order()

    def _show_order(self) -> None:
        group = self.queue.current
        self.list.show_order(group)
        places = places_of(group)
        for number, (card, pick) in enumerate(zip(self.cards, self.picks, strict=True)):
            title = self.tr("Answer {0}").format(number + 1)
            placed = number in places
            card.name.setText(self.tr("{0}: {1}").format(title, places[number]) if placed else title)
            pick.set_label(self.tr("Take back") if placed else self.tr("Next place"))
        self.save_button.setEnabled(group.places() is not None and not self._desk.saving.is_waiting)

    def _wait(self, on: bool) -> None:
        super()._wait(on)
        if self._can_judge():
            self._show_order()

    def _told(self) -> str:
        return self.tr("{0} ranked in this sitting").format(f"{self.queue.done if self.queue else 0:,}")

    def _bar(self) -> QScrollBar:
        return self._area.verticalScrollBar()

    def _texts(self) -> list[PlainText]:
        return [card.body for card in self.cards]
