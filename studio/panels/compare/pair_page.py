"""Judging pairs: two answers, one key; the next pair is shown only when the verdict is on the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from studio.panels.compare.keys import Bindings
from studio.panels.compare.mixing import SETTLE
from studio.panels.compare.pair_view import PairView
from studio.panels.compare.queue import PairQueue, Said
from studio.panels.compare.remarks import FailureBar, SavingSign
from studio.panels.compare.telling import verdict_line, words_of_others
from studio.panels.compare.verdict_bar import VerdictBar
from studio.panels.compare.writing import Writing
from studio.theme.tokens import S3
from studio.widgets import PlainLabel

if TYPE_CHECKING:
    from studio.panels.compare.desk import Desk


class PairPage(QWidget):
    """`queue` is what is judged, None while no project is open. It hears keys wherever the focus is in `panel`.

    Signals: said(Said) when a verdict is on the disk, before another pair is shown; moved() when another pair (or none)
    comes up; opened() and closed() when the editor takes the keys, and when they are free for judging again.
    `vote_of(said)` is what the reward model says of a pair just judged.
    """

    said = Signal(object)
    moved = Signal()
    opened = Signal()
    closed = Signal()

    def __init__(
        self,
        desk: Desk,
        panel: QWidget,
        panel_keys: dict[str, Callable[[], object]],
        bindings: Bindings,
        vote_of: Callable[[Said], str],
    ) -> None:
        super().__init__(panel)
        self._desk, self._session, self._panel, self._vote_of = desk, desk.session, panel, vote_of
        self.queue: PairQueue | None = None
        self._ahead = QTimer(self, singleShot=True, interval=0)
        self._ahead.timeout.connect(self._read_ahead)
        self.view = PairView()
        self.writing = Writing(self._session, desk.saving, lambda: self.queue, self)
        self.writing.opened.connect(self.opened)
        self.writing.saved.connect(desk.announcer.note)
        self.writing.closed.connect(self.closed)
        self.edit, self.note, self.drafts = self.writing.edit, self.writing.note, self.writing.drafts
        self.note.closed.connect(panel.setFocus)
        self.failure = FailureBar(lambda: self.writing.is_busy)
        others: dict[str, Callable[[], object]] = {
            "undo": self.undo,
            "flag": self.toggle_flag,
            "note": self.writing.open_note,
            "edit": self.writing.open_edit,
            "edit_winner": self.writing.edit_winner,
            "differences": self.toggle_differences,
            "marks": self.toggle_marks,
            "reveal": self.toggle_reveal,
            "down": lambda: self.view.scroll_on(0.8),
            "up": lambda: self.view.scroll_on(-0.8),
            **panel_keys,
        }
        self.bar = VerdictBar(panel, self.judge, others, bindings)
        self.more = self.bar.more
        self.last = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.others_said = PlainLabel(tone="muted", wrap=True, selectable=True)  # for whoever settles, and nobody else
        self.others_said.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(self.view, 1)
        for widget in (
            self.others_said,
            self.edit,
            SavingSign(desk.saving),
            self.failure,
            self.note,
            self.bar,
            self.last,
        ):
            layout.addWidget(widget)
        desk.saving.waits.connect(lambda on: self.bar.setEnabled(not on))

    def restore(self) -> None:
        """The switches as they were last time."""
        if self._desk.looks.get("differences"):
            self.toggle_differences()
        if self._desk.looks.get("marks"):
            self.toggle_marks()
        self._show_reveal()

    # --- judging -------------------------------------------------------------------------------------------------

    def judge(self, side: str, strength: int) -> None:
        """Write down a verdict on the pair shown; when it is on the disk the next one is shown."""
        queue = self.queue
        if queue is None or queue.current is None or not self.isVisibleTo(self._panel):
            return
        said, write = queue.to_write(side, strength, self.note.text())
        self._desk.saving.do(
            write,
            lambda _: self._written(queue, said),
            lambda error: self._not_written((side, strength), error),
        )

    def _written(self, queue: PairQueue, said: Said) -> None:
        changed = self._session.labels.last_change
        self.drafts.said()
        self.forget_failure()
        try:
            queue.accept(said)
        except EngineError as error:  # the verdict is kept; what comes next cannot be read
            self._session.say(error)
        self.said.emit(said)
        self._desk.beside.rubric.clear()
        self.show_current()
        self._show_last(said)
        self._desk.announcer.note(changed)
        self._ahead.start()
        self._desk.looks.count_day()

    def _not_written(self, verdict: tuple[str, int], error: Exception) -> None:
        self.bar.keep(verdict)
        self.failure.keep(lambda: self.judge(*verdict), error)
        if not isinstance(error, EngineError):
            self._session.say(error)

    def undo(self) -> None:
        queue = self.queue
        if queue is None:
            return
        labels = self._session.labels
        self._desk.saving.do(
            lambda: labels.undo_last(queue.author), lambda row: self._undone(queue, row), self._session.say
        )

    def _undone(self, queue: PairQueue, row: dict[str, Any] | None) -> None:
        if row is None:
            self._session.toast(self.tr("There is nothing to undo."))
            return
        self._desk.announcer.note(self._session.labels.last_change)
        self.forget_failure()
        told = self.tr("Taken back: judge this pair again.")
        try:
            if queue.came_back(row) is None:
                told = self.tr("Taken back. Its pair is no longer there.")
        except EngineError as error:
            self._session.say(error)
        self.show_current()
        self.last.setText(told)

    def toggle_flag(self) -> None:
        queue = self.queue
        if queue is None or queue.current is None:
            return
        on, pair, labels = self.view.flag.isHidden(), queue.current.id, self._session.labels

        def flagged(changed: Any) -> None:
            self._show_flag(on)
            self._desk.announcer.note(changed)

        def refused(error: Exception) -> None:
            self._show_flag(not on)
            self._session.say(error)

        self._desk.saving.do(lambda: labels.flag("pairs", pair, on, queue.author), flagged, refused)

    def toggle_differences(self) -> None:
        self.view.show_differences(self._switch("differences"))

    def toggle_marks(self) -> None:
        self.view.show_marks(self._switch("marks"))

    def _switch(self, name: str) -> bool:
        """Turn one of the switches over, whether by its key or by a click; the new state."""
        made = self.bar.others[name]
        on = not made.property("on")
        made.setProperty("on", on)
        made.setChecked(on)
        self._desk.looks.put(**{name: on})
        return on

    def toggle_reveal(self) -> None:
        """Whether the sources are told after each verdict; never before one."""
        self._desk.looks.put(reveal=not self._desk.looks.reveals)
        self._show_reveal()
        if self.queue is not None and self.queue.said and self.last.text():
            self._show_last(self.queue.said[-1])

    # --- what is shown -------------------------------------------------------------------------------------------

    def show_current(self) -> None:
        """Show the pair that comes now, and its draft."""
        shown = self.queue.current if self.queue else None
        self.drafts.load(shown.id if shown else "", self.queue.author if self.queue else "")
        if shown is not None:
            self.view.show_pair(shown)
            self._show_flag(bool(shown.pair.get("flagged")))
            self.bar.keep(shown.standing)
        settles = shown is not None and shown.why == SETTLE
        self.others_said.setVisible(settles)
        if shown is not None and settles:
            self.others_said.setText(words_of_others(shown, self._session.labels.words_on(shown.id)))
        if not self.edit.isHidden():
            self.edit.hide()
            self.opened.emit()  # who hears the keys is decided anew
        self.moved.emit()

    def forget(self) -> None:
        """Another project is open."""
        self.drafts.forget_project()
        self.note.clear()
        self.last.setText("")
        self.queue = None

    def forget_failure(self) -> None:
        """What could not be written belongs to what was on the screen."""
        if not self.failure.isHidden():
            self.bar.keep(None)
            self.failure.hide()

    def _show_last(self, said: Said) -> None:
        told = verdict_line(said, self.queue.agreement if self.queue else (0, 0), self._desk.looks.reveals)
        self.last.setText(" · ".join(filter(None, (told, self._vote_of(said)))))

    def _show_reveal(self) -> None:
        self.bar.others["reveal"].setChecked(self._desk.looks.reveals)

    def _show_flag(self, on: bool) -> None:
        self.view.flag.setVisible(on)
        self.bar.others["flag"].setChecked(on)

    def _read_ahead(self) -> None:
        if self.queue is not None and not self._desk.saving.is_waiting:
            try:
                self.queue.refill()
            except EngineError as error:
                self._session.say(error)
