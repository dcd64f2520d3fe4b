"""Rating answers one by one: a thumb up or down, or one to five; what KTO learns from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from studio.forms import Combo
from studio.panels.compare.key_button import KeyButton
from studio.panels.compare.pair_view import AnswerSide, PromptCard
from studio.panels.compare.rating_queue import LIKED_FROM, RatingQueue
from studio.session import sentence
from studio.theme.tokens import S2, S3
from studio.widgets import EmptyState, PlainLabel, button

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed
    from studio.session import Session

MEMORY = "rating"


class RatingPage(QWidget):
    """`start(author)` when it is shown. Nothing moves on before it is on the disk. `wrote(changed)` is called then."""

    def __init__(self, session: Session, wrote: Callable[[Changed], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._wrote = session, wrote
        self.queue: RatingQueue | None = None
        self._ahead = QTimer(self, singleShot=True, interval=0)
        self._ahead.timeout.connect(self._read_ahead)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.prompt = PromptCard()
        self.answer = AnswerSide(self.tr("Answer"))
        self.scale = Combo()
        self.scale.addItem(self.tr("Thumbs"), "thumbs")
        self.scale.addItem(self.tr("1 to 5"), "five")
        self.scale.setAccessibleName(self.tr("Scale"))
        self.scale.setCurrentIndex(max(0, self.scale.findData(session.recall(MEMORY, "thumbs"))))
        self.scale.currentIndexChanged.connect(lambda _: self._change_scale())
        self.told = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.problem = PlainLabel(tone="bad", wrap=True, selectable=True)
        self.problem.hide()
        self.thumbs = {
            False: KeyButton(self.tr("Bad"), lambda: self.rate(False)),
            True: KeyButton(self.tr("Good"), lambda: self.rate(True)),
        }
        self.thumbs[False].set_keys("1  ←")
        self.thumbs[True].set_keys("2  →")
        self.scores: dict[int, KeyButton] = {}
        words = (self.tr("Very bad"), self.tr("Bad"), self.tr("Middling"), self.tr("Good"), self.tr("Very good"))
        for score, word in enumerate(words, 1):
            self.scores[score] = KeyButton(word, partial(self.rate, score >= LIKED_FROM, score))
            self.scores[score].set_keys(str(score))
        self.skip_button = KeyButton(self.tr("Skip"), self.skip)
        self.skip_button.set_keys("S")
        row = QHBoxLayout()
        row.setSpacing(S2)
        for made in (*self.thumbs.values(), *self.scores.values()):
            row.addWidget(made, 1)
        row.addSpacing(S2)
        row.addWidget(self.skip_button)
        below = QHBoxLayout()
        below.setSpacing(S2)
        below.addWidget(button(self.tr("Undo  ⌫"), self.undo))
        below.addWidget(self.scale)
        below.addWidget(self.told, 1)
        self.asking = QWidget()
        asking = QVBoxLayout(self.asking)
        asking.setContentsMargins(0, 0, 0, 0)
        asking.setSpacing(S3)
        asking.addWidget(self.prompt)
        asking.addWidget(self.answer, 1)
        asking.addWidget(self.problem)
        asking.addLayout(row)
        asking.addLayout(below)
        self.nothing = EmptyState(
            "check-circle-outline",
            self.tr("Every answer is rated."),
            (self.tr("Train with KTO"), lambda: session.go("train", task="kto")),
            [(self.tr("Undo"), self.undo)],
            detail=self.tr("Answers come from this project's pairs: import or generate some to rate more."),
        )
        self._stack = QStackedWidget()
        self._stack.addWidget(self.asking)
        self._stack.addWidget(self.nothing)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
        self._listen()
        self._show_scale()

    def start(self, author: str) -> None:
        """Read the answers anew."""
        self.queue = None
        if self._session.project is not None:
            self.queue = RatingQueue(self._session.labels, author)
            self.try_to(self.queue.start)
        self._show()
        self.setFocus()

    def rate(self, liked: bool, score: int = 0) -> None:
        if self.queue is not None and self.queue.current is not None:
            queue = self.queue
            if self.try_to(lambda: queue.rate(liked, score)):
                self._wrote(self._session.labels.last_change)
                self._show()
                self._ahead.start()

    def skip(self) -> None:
        if self.queue is not None and self.queue.current is not None:
            self.try_to(self.queue.advance)
            self._show()

    def undo(self) -> None:
        if self.queue is None:
            return
        undone: list[object] = []
        queue = self.queue
        if self.try_to(lambda: undone.append(queue.undo())):
            if undone == [None]:
                self._session.toast(self.tr("There is nothing to undo."))
                return
            self._wrote(self._session.labels.last_change)
            self._show()

    def try_to(self, do: Callable[[], object]) -> bool:
        """What cannot be written is said here, and the answer stays."""
        try:
            do()
        except EngineError as error:
            self.problem.setText(self.tr("Your rating is not saved: {0} Try again.").format(sentence(error)))
            self.problem.show()
            return False
        self.problem.hide()
        return True

    def _press(self, number: int) -> None:
        if self.scale.currentData() == "five":
            self.rate(number >= LIKED_FROM, number)
        elif number in (1, 2):
            self.rate(number == 2)

    def _arrow(self, liked: bool) -> None:
        if self.scale.currentData() == "thumbs":
            self.rate(liked)

    def _listen(self) -> None:
        keys: list[tuple[str, Callable[[], object]]] = [
            *((str(number), partial(self._press, number)) for number in range(1, 6)),
            ("Left", partial(self._arrow, False)),
            ("Right", partial(self._arrow, True)),
            ("S", self.skip),
            ("Backspace", self.undo),
            ("Z", self.undo),
            ("Ctrl+Z", self.undo),
        ]
        for key, do in keys:
            shortcut = QShortcut(QKeySequence(key), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(do)

    def _change_scale(self) -> None:
        self._session.remember(MEMORY, self.scale.currentData())
        self._show_scale()
        self.setFocus()

    def _show_scale(self) -> None:
        five = self.scale.currentData() == "five"
        for made in self.thumbs.values():
            made.setVisible(not five)
        for made in self.scores.values():
            made.setVisible(five)
        self._tell()

    def _show(self) -> None:
        here = self.queue.current if self.queue else None
        self._stack.setCurrentWidget(self.asking if here else self.nothing)
        if here is not None:
            self.prompt.show_prompt(here.pair)
            self.answer.show_text(here.text)
        self._tell()

    def _tell(self) -> None:
        rated = self.queue.rated if self.queue else 0
        parts = [self.tr("{0} rated in this sitting").format(f"{rated:,}")]
        if self.scale.currentData() == "five":
            parts.append(self.tr("4 and 5 count as liked, 1 to 3 as not liked"))
        self.told.setText(" · ".join(parts))

    def _read_ahead(self) -> None:
        if self.queue is not None:
            self.try_to(self.queue.refill)
