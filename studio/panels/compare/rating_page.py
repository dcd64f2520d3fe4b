"""Rating answers one by one: a thumb up or down, or one to five; what KTO learns from."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import QScrollBar, QWidget

from studio.forms import Combo
from studio.panels.compare.asking_page import AskingPage, Do
from studio.panels.compare.key_button import KeyButton
from studio.panels.compare.keys import FIVE, THUMBS, Bindings
from studio.panels.compare.pair_view import AnswerSide
from studio.panels.compare.rating_queue import LIKED_FROM, RatingQueue
from studio.panels.compare.rubric import ONE
from studio.theme.tokens import S2
from studio.widgets import EmptyState, PlainText

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels
    from studio.panels.compare.desk import Desk

MEMORY = "rating"


class RatingPage(AskingPage):
    def __init__(self, desk: Desk, panel: QWidget, panel_keys: dict[str, Do]) -> None:
        super().__init__(desk, panel, panel_keys)
        self.answer = AnswerSide(self.tr("Answer"))
        self.body.addWidget(self.answer, 1)
        self._bindings = Bindings()
        self.scale = Combo()
        self.scale.addItem(self.tr("Thumbs"), THUMBS)
        self.scale.addItem(self.tr("1 to 5"), FIVE)
        self.scale.setAccessibleName(self.tr("Scale"))
        self.scale.setCurrentIndex(max(0, self.scale.findData(self._session.recall(MEMORY, THUMBS))))
        self.scale.currentIndexChanged.connect(lambda _: self._change_scale())
        self.thumbs = {
            False: KeyButton(self.tr("Bad"), lambda: self.rate(False)),
            True: KeyButton(self.tr("Good"), lambda: self.rate(True)),
        }
        words = (self.tr("Very bad"), self.tr("Bad"), self.tr("Middling"), self.tr("Good"), self.tr("Very good"))
        self.scores = {
            score: KeyButton(word, partial(self.rate, score >= LIKED_FROM, score))
            for score, word in enumerate(words, 1)
        }
        self.skip_button = KeyButton(self.tr("Skip"), self.skip)
        for made in (*self.thumbs.values(), *self.scores.values()):
            self.verdicts.addWidget(made, 2)
        self.verdicts.addSpacing(S2)
        self.verdicts.addWidget(self.skip_button, 1)
        self.row.insertWidget(self.row.count() - 1, self.scale)
        self._show_scale()

    def _nothing(self) -> EmptyState:
        return EmptyState(
            "check-circle-outline",
            self.tr("Every answer is rated."),
            (self.tr("Train with KTO"), lambda: self._session.go("train", task="kto")),
            [(self.tr("Undo"), self.undo)],
            detail=self.tr("Answers come from this project's pairs: import or generate some to rate more."),
        )

    def rate(self, liked: bool, score: int = 0) -> None:
        if self._can_judge():
            self.save(self.queue.to_write(liked, score, self.note.text(), self._desk.beside.rubric.told))

    def _new_queue(self, labels: Labels, author: str) -> RatingQueue:
        return RatingQueue(labels, author, mixing=self._desk.beside.mixing_for(labels, author))

    def _undo(self) -> dict[str, Any] | None:
        return self._session.labels.undo_last_rating(self.queue.author)

    def _keys(self, bindings: Bindings) -> Iterable[tuple[str, Do]]:
        self._bindings = bindings
        for liked, name in ((False, "thumb_down"), (True, "thumb_up")):
            self.thumbs[liked].set_keys(bindings.shown(name))
        for score, made in self.scores.items():
            made.set_keys(bindings.shown(f"rate_{score}"))
        self.skip_button.set_keys(bindings.shown("skip"))
        names: dict[str, Do] = {"thumb_down": partial(self.rate, False), "thumb_up": partial(self.rate, True)}
        if self.five:
            names = {f"rate_{score}": partial(self.rate, score >= LIKED_FROM, score) for score in self.scores}
        return [(key, do) for name, do in names.items() for key in bindings.sequences(name)]

    @property
    def five(self) -> bool:
        """Whether it is rated from 1 to 5."""
        return bool(self.scale.currentData() == FIVE)

    def _change_scale(self) -> None:
        self._session.remember(MEMORY, self.scale.currentData())
        self._show_scale()
        self.use(self._bindings)
        self.setFocus()

    def _show_scale(self) -> None:
        for made in self.thumbs.values():
            made.setVisible(not self.five)
        for made in self.scores.values():
            made.setVisible(self.five)
        self.told.setText(self._told())

    def _show_question(self) -> None:
        self.answer.show_text(self.queue.current.text)
        self._desk.beside.rubric.offer(ONE)

    def _told(self) -> str:
        parts = [self.tr("{0} rated in this sitting").format(f"{self.queue.done if self.queue else 0:,}")]
        if self.five:
            parts.append(self.tr("4 and 5 count as liked, 1 to 3 as not liked"))
        return " · ".join(parts)

    def _bar(self) -> QScrollBar:
        return self.answer.body.view.verticalScrollBar()

    def _texts(self) -> list[PlainText]:
        return [self.answer.body]

    def _draft_name(self) -> str:
        return str(self.queue.current.name)
