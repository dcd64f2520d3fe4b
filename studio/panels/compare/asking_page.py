"""The frame of a page that asks about one prompt: the prompt, what is asked, a note, the verdicts, and what else to do.

Two kinds of question stand in it, rankings and ratings; each has a queue that hands out what is to be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollBar, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from studio.panels.compare.draft_saver import DraftSaver
from studio.panels.compare.keys import Bindings
from studio.panels.compare.listener import Listener
from studio.panels.compare.pair_view import PromptCard
from studio.panels.compare.remarks import FailureBar, NoteLine, SavingSign
from studio.session import sentence
from studio.theme.tokens import S1, S3
from studio.widgets import EmptyState, PlainLabel, PlainText, button, ghost_button

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels
    from studio.panels.compare.desk import Desk

Do = Callable[[], object]


class AskingQueue(Protocol):
    """Hands out what is to be judged, one after the other."""

    author: str
    done: int

    @property
    def current(self) -> Any: ...
    def start(self) -> None: ...
    def skip(self) -> None: ...
    def refill(self) -> None: ...
    def accept(self) -> None: ...
    def came_back(self, undone: dict[str, Any]) -> None: ...


class AskingPage(QWidget):
    """`start(author)` when it is shown; `use(bindings)` for its keys. Nothing moves on before it is on the disk.

    `moved()` when another question comes up, or none is left.

    A kind of question gives the methods that raise NotImplementedError, and puts its widgets into `body` and
    `verdicts`. Keys are heard wherever the focus is in `panel`, those of what the panel does (`panel_keys`) among them.
    """

    moved = Signal()

    def __init__(self, desk: Desk, panel: QWidget, panel_keys: dict[str, Do]) -> None:
        super().__init__(panel)
        self._desk, self._session = desk, desk.session
        self._panel_keys = panel_keys
        self.queue: Any = None  # an AskingQueue, None while no project is open
        self._ahead = QTimer(self, singleShot=True, interval=0)
        self._ahead.timeout.connect(self._read_ahead)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.listener = Listener(panel)
        self.listener.listen(False)
        self._enter = Listener(self)  # elsewhere Enter is of the field that is written in
        self.prompt = PromptCard()
        self.problem = PlainLabel(tone="bad", wrap=True, selectable=True)
        self.problem.hide()
        self.note = NoteLine()
        self.note.closed.connect(self.setFocus)
        self.drafts = DraftSaver(self._session, desk.saving, self.note, None, self)
        self.failure = FailureBar(self.note.field.isVisible)
        self.told = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.body, self.verdicts = QHBoxLayout(), QHBoxLayout()
        self.body.setSpacing(S3)
        self.verdicts.setSpacing(S1)
        self.asking = QWidget()
        asking = QVBoxLayout(self.asking)
        asking.setContentsMargins(0, 0, 0, 0)
        asking.setSpacing(S3)
        asking.addWidget(self.prompt)
        asking.addLayout(self.body, 1)
        for widget in (SavingSign(desk.saving), self.failure, self.problem, self.note):
            asking.addWidget(widget)
        asking.addLayout(self.verdicts)
        asking.addWidget(self._actions())
        self.nothing = self._nothing()
        self._stack = QStackedWidget()
        self._stack.addWidget(self.asking)
        self._stack.addWidget(self.nothing)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
        desk.saving.waits.connect(self._wait)

    def _actions(self) -> QWidget:
        self.more = QWidget()
        self.row = QHBoxLayout(self.more)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(S1)
        self.others: dict[str, QPushButton] = {}
        self._words = {"undo": self.tr("Undo"), "flag": self.tr("Flag"), "note": self.tr("Note")}
        self._words["marks"] = self.tr("Blanks")
        for name, do in (
            ("undo", self.undo),
            ("flag", self.toggle_flag),
            ("note", self.open_note),
            ("marks", self.toggle_marks),
        ):
            switch = name in ("flag", "marks")
            made = button("", do) if switch else ghost_button("", do)
            made.setCheckable(switch)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            made.setProperty("touch", "true")
            self.others[name] = made
            self.row.addWidget(made)
        self.row.addWidget(self.told, 1)
        self.row.addStretch()  # where that is hidden
        return self.more

    # --- what a kind of question gives ---------------------------------------------------------------------------

    def _nothing(self) -> EmptyState:
        """What is shown when no question is left."""
        raise NotImplementedError

    def _new_queue(self, labels: Labels, author: str) -> AskingQueue:
        raise NotImplementedError

    def _undo(self) -> dict[str, Any] | None:
        """Take back the last one that was written, and return it; called on another thread."""
        raise NotImplementedError

    def _show_question(self) -> None:
        """Show `queue.current`, which there is."""
        raise NotImplementedError

    def _keys(self, bindings: Bindings) -> Iterable[tuple[str, Do]]:
        """Its own keys, and show them on its buttons."""
        raise NotImplementedError

    def _told(self) -> str:
        """How far one is, in a line."""
        raise NotImplementedError

    def _bar(self) -> QScrollBar:
        """What moves the answers."""
        raise NotImplementedError

    def _texts(self) -> list[PlainText]:
        """Where answers are shown."""
        raise NotImplementedError

    def _draft_name(self) -> str:
        """What a note that was begun is kept under."""
        return str(self.queue.current.pair["id"])

    # --- judging -------------------------------------------------------------------------------------------------

    def start(self, author: str) -> None:
        """Read what waits anew."""
        self.queue = None
        self.failure.hide()
        if self._session.project is not None:
            self.queue = self._new_queue(self._session.labels, author)
            self.try_to(self.queue.start)
        self.show_current()
        self.others["marks"].setChecked(bool(self._desk.looks.get("marks")))
        self._show_marks()
        self.setFocus()

    def save(self, write: Do) -> None:
        """Write down what is said of the question shown; the next one follows when it is on the disk."""
        queue, session = self.queue, self._session

        def written(_: Any) -> None:
            changed = session.labels.last_change
            self.failure.hide()
            self.drafts.said()
            self.try_to(queue.accept)
            self.show_current()
            self._desk.announcer.note(changed)
            self._desk.looks.count_day()
            self._ahead.start()

        self._desk.saving.do(write, written, lambda error: self._failed(lambda: self.save(write), error))

    def skip(self) -> None:
        if self._can_judge():
            self.drafts.keep()
            self.try_to(self.queue.skip)
            self.show_current()

    def undo(self) -> None:
        if self.queue is None or self._desk.saving.is_waiting:
            return
        queue = self.queue

        def undone(row: dict[str, Any] | None) -> None:
            if row is None:
                self._session.toast(self.tr("There is nothing to undo."))
                return
            self.failure.hide()
            self.try_to(lambda: queue.came_back(row))
            self.show_current()
            self._desk.announcer.note(self._session.labels.last_change)

        self._desk.saving.do(self._undo, undone, lambda error: self._failed(self.undo, error))

    def toggle_flag(self) -> None:
        if not self._can_judge():
            return
        pair, on, author = self.queue.current.pair, self.prompt.flag.isHidden(), self.queue.author
        labels = self._session.labels

        def flagged(changed: Any) -> None:
            pair["flagged"] = on
            self._show_flag(on)
            self._desk.announcer.note(changed)

        self._desk.saving.do(lambda: labels.flag("pairs", pair["id"], on, author), flagged, self._refused)

    def toggle_marks(self) -> None:
        on = not self._desk.looks.get("marks")
        self._desk.looks.put(marks=on)
        self.others["marks"].setChecked(on)
        self._show_marks()

    def open_note(self) -> None:
        if self._can_judge():
            self.note.open()

    def try_to(self, do: Do) -> bool:
        """What cannot be read or said is told here, and the question stays."""
        try:
            do()
        except EngineError as error:
            self.problem.setText(sentence(error))
            self.problem.show()
            return False
        self.problem.hide()
        return True

    def _can_judge(self) -> bool:
        return self.queue is not None and self.queue.current is not None and not self._desk.saving.is_waiting

    def _failed(self, again: Do, error: Exception) -> None:
        if not isinstance(error, EngineError):
            self._refused(error)
        self.failure.keep(again, error)

    def _refused(self, error: Exception) -> None:
        self._show_flag(not self.prompt.flag.isHidden())
        self._session.say(error)

    def _wait(self, on: bool) -> None:
        for place in range(self.verdicts.count()):
            item = self.verdicts.itemAt(place)
            if item is not None and (widget := item.widget()) is not None:
                widget.setEnabled(not on)

    # --- what is shown -------------------------------------------------------------------------------------------

    def use(self, bindings: Bindings) -> None:
        """Hear these keys from now on, and show them."""
        mine: dict[str, Do] = {
            "undo": self.undo,
            "flag": self.toggle_flag,
            "note": self.open_note,
            "marks": self.toggle_marks,
            "skip": self.skip,
            "down": lambda: self.scroll_on(0.8),
            "up": lambda: self.scroll_on(-0.8),
            **self._panel_keys,
        }
        keys = [(key, do) for name, do in mine.items() for key in bindings.sequences(name)]
        self.listener.hear([*keys, *self._keys(bindings)])
        for name, made in self.others.items():
            made.setText(f"{self._words[name]}  {bindings.shown(name, 1)}")

    def show_current(self) -> None:
        """Show the question that comes now, or that none is left."""
        here = self.queue.current if self.queue else None
        self._stack.setCurrentWidget(self.asking if here else self.nothing)
        self.drafts.load(self._draft_name() if here else "", self.queue.author if self.queue else "")
        if here is not None:
            self.prompt.show_prompt(here.pair)
            flagged = here.pair.get("flagged")
            if flagged is None:  # read without it
                row = self._session.labels.get("pairs", here.pair["id"]) or {}
                flagged = here.pair["flagged"] = bool(row.get("flagged"))
            self._show_flag(bool(flagged))
            self._show_question()
        self.told.setText(self._told())
        self.moved.emit()

    def scroll_on(self, pages: float) -> None:
        """Move the answers on by so much of what is seen."""
        bar = self._bar()
        bar.setValue(bar.value() + round(pages * max(1, bar.pageStep())))

    def leave(self) -> None:
        """Another page is shown: what was begun stays a draft."""
        if self._session.project is not None:
            self.drafts.keep()
        self.note.close_field()

    def forget(self) -> None:
        """Another project is open."""
        self.queue = None
        self.drafts.forget_project()
        self.note.clear()

    def _show_flag(self, on: bool) -> None:
        self.prompt.flag.setVisible(on)
        self.others["flag"].setChecked(on)

    def _show_marks(self) -> None:
        for body in (self.prompt.body, *self._texts()):
            body.show_marks(bool(self._desk.looks.get("marks")))

    def _read_ahead(self) -> None:
        if self.queue is not None and not self._desk.saving.is_waiting:
            self.try_to(self.queue.refill)
