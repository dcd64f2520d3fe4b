"""Ranking several answers to one prompt: a number key gives the next place, or the list is dragged into order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QDropEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError
from studio.panels.compare.key_button import KeyButton
from studio.panels.compare.pair_view import AnswerSide, PromptCard
from studio.panels.compare.ranking_queue import MOST, RankingQueue
from studio.session import sentence
from studio.theme.tokens import S2, S3
from studio.widgets import EmptyState, PlainLabel, button

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed
    from studio.session import Session

_NUMBER = Qt.ItemDataRole.UserRole


class RankList(QListWidget):
    """The answers by their place; `dragged(numbers)` when they were put in another order."""

    dragged = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)

    def dropEvent(self, event: QDropEvent) -> None:
        super().dropEvent(event)
        QTimer.singleShot(0, self, self.say_order)  # the moved row is taken from its old place after this

    def say_order(self) -> None:
        self.dragged.emit([self.item(row).data(_NUMBER) for row in range(self.count())])


class RankingPage(QWidget):
    """`start(author)` when it is shown. Nothing moves on before it is on the disk. `wrote(changed)` is called then."""

    def __init__(self, session: Session, wrote: Callable[[Changed], None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._wrote = session, wrote
        self.queue: RankingQueue | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.prompt = PromptCard()
        self.cards = [AnswerSide(str(number)) for number in range(1, MOST + 1)]
        inside = QWidget()
        inside.setObjectName("plain")
        self._grid = QGridLayout(inside)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(S3)
        for number, card in enumerate(self.cards):
            card.setMinimumHeight(150)
            self._grid.addWidget(card, number // 2, number % 2)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setWidget(inside)
        self.list = RankList()
        self.list.setAccessibleName(self.tr("Order"))
        self.list.dragged.connect(self.order)
        self.list.itemClicked.connect(lambda item: self.pick(item.data(_NUMBER)))
        side = QVBoxLayout()
        side.setSpacing(S2)
        side.addWidget(PlainLabel(self.tr("Best first"), bold=True))
        side.addWidget(self.list, 1)
        about = self.tr("Press the answers' numbers from best to worst, or drag. Shift and a number ties.")
        side.addWidget(PlainLabel(about, tone="muted", wrap=True))
        holder = QWidget()
        holder.setLayout(side)
        holder.setFixedWidth(230)
        side.setContentsMargins(0, 0, 0, 0)
        both = QHBoxLayout()
        both.setSpacing(S3)
        both.addWidget(self._area, 1)
        both.addWidget(holder)
        self.problem = PlainLabel(tone="bad", wrap=True, selectable=True)
        self.problem.hide()
        self.save_button = KeyButton(self.tr("Save the order"), self.save)
        self.save_button.setObjectName("ranking_save")
        self.save_button.set_keys("Enter")
        self.skip_button = KeyButton(self.tr("Skip"), self.skip)
        self.skip_button.set_keys("S")
        self.told = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addWidget(button(self.tr("Undo  ⌫"), self.undo))
        row.addWidget(self.told, 1)
        row.addWidget(self.skip_button)
        row.addWidget(self.save_button)
        self.asking = QWidget()
        asking = QVBoxLayout(self.asking)
        asking.setContentsMargins(0, 0, 0, 0)
        asking.setSpacing(S3)
        asking.addWidget(self.prompt)
        asking.addLayout(both, 1)
        asking.addWidget(self.problem)
        asking.addLayout(row)
        self.nothing = EmptyState(
            "check-circle-outline",
            self.tr("No answers wait to be ranked."),
            (self.tr("Import comparisons…"), lambda: session.go("data", kind="comparisons")),
            [(self.tr("Undo"), self.undo)],
            detail=self.tr("All pairs of one prompt that wait are ranked together."),
        )
        self._stack = QStackedWidget()
        self._stack.addWidget(self.asking)
        self._stack.addWidget(self.nothing)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
        self._listen()

    def start(self, author: str) -> None:
        """Read what waits anew."""
        self.queue = None
        if self._session.project is not None:
            self.queue = RankingQueue(self._session.labels, author)
            self._try(self.queue.start)
        self._show_group()
        self.setFocus()

    def pick(self, number: int, tie: bool = False) -> None:
        """Give answer `number` (from 0) the next place, or take its place away."""
        group = self.queue.current if self.queue else None
        if group is not None and number < len(group.answers):
            group.pick(number, tie)
            self._show_order()

    def order(self, numbers: list[int]) -> None:
        if self.queue is not None and self.queue.current is not None:
            self.queue.current.order(numbers)
            self._show_order()

    def save(self) -> None:
        if self.queue is not None and self.queue.current is not None and self._try(self.queue.save):
            self._wrote(self._session.labels.last_change)
            self._show_group()

    def skip(self) -> None:
        if self.queue is not None:
            self._try(self.queue.skip)
            self._show_group()

    def undo(self) -> None:
        """The last place given; with none given, the last ranking."""
        if self.queue is None:
            return
        if self.queue.current is not None and self.queue.current.take_back():
            self._show_order()
            return
        queue, undone = self.queue, list[bool]()
        if self._try(lambda: undone.append(queue.undo())):
            if undone == [False]:
                self._session.toast(self.tr("There is nothing to undo."))
                return
            self._wrote(self._session.labels.last_change)
            self._show_group()

    def _try(self, do: Callable[[], object]) -> bool:
        """What cannot be written is said here, and the order stays."""
        try:
            do()
        except EngineError as error:
            self.problem.setText(sentence(error))
            self.problem.show()
            return False
        self.problem.hide()
        return True

    def _listen(self) -> None:
        keys: list[tuple[str, Callable[[], object]]] = [
            ("Return", self.save),
            ("Enter", self.save),
            ("S", self.skip),
            ("Backspace", self.undo),
            ("Z", self.undo),
            ("Ctrl+Z", self.undo),
        ]
        for number, sign in enumerate("!@#$%^&*("):
            keys.append((str(number + 1), partial(self.pick, number)))
            keys += [(key, partial(self.pick, number, True)) for key in (f"Shift+{number + 1}", sign)]
        for key, do in keys:
            shortcut = QShortcut(QKeySequence(key), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(do)
            shortcut.activatedAmbiguously.connect(do)

    def _show_group(self) -> None:
        group = self.queue.current if self.queue else None
        self._stack.setCurrentWidget(self.asking if group else self.nothing)
        if group is not None:
            self.prompt.show_prompt(group.pair)
            for number, card in enumerate(self.cards):
                card.setVisible(number < len(group.answers))
                card.show_text(group.answers[number] if number < len(group.answers) else "")
            self._area.verticalScrollBar().setValue(0)
        self._show_order()

    def _show_order(self) -> None:
        group = self.queue.current if self.queue else None
        self.list.clear()
        ranked = self.queue.ranked if self.queue else 0
        self.told.setText(self.tr("{0} ranked in this sitting").format(f"{ranked:,}"))
        if group is None:
            return
        places = {number: place for place, tied in enumerate(group.ranked, 1) for number in tied}
        for number in [*(number for tied in group.ranked for number in tied), *group.left]:
            place = f"{places[number]}." if number in places else "-"
            begins = " ".join(group.answers[number].split())[:60]
            item = QListWidgetItem(self.tr("{0}  Answer {1}: {2}").format(place, number + 1, begins))
            item.setData(_NUMBER, number)
            self.list.addItem(item)
        for number, card in enumerate(self.cards[: len(group.answers)]):
            title = self.tr("Answer {0}").format(number + 1)
            card.name.setText(self.tr("{0}, place {1}").format(title, places[number]) if number in places else title)
        self.save_button.setEnabled(group.places() is not None)
