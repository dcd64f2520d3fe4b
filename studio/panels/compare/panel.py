"""Judging: a prompt, two answers, one key; the next pair is shown only when the verdict is on the disk."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.data.records import unpack_prompt
from studio.commands import Command
from studio.panels.compare.editing import EditCard
from studio.panels.compare.guidelines import Guidelines
from studio.panels.compare.making import Making
from studio.panels.compare.pair_view import PairView
from studio.panels.compare.queue import PairQueue, Said
from studio.panels.compare.remarks import FailureBar, NoteLine
from studio.panels.compare.source_row import SourceRow
from studio.panels.compare.states import nothing_to_judge
from studio.panels.compare.telling import verdict_line
from studio.panels.compare.verdict_bar import VerdictBar
from studio.session import Session
from studio.theme.tokens import S3, S4, S6
from studio.widgets import PanelHeader, PlainLabel, button

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed

MEMORY = "compare"


class ComparePanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.queue: PairQueue | None = None
        self._stale = True
        self._announcing = False
        self._unsaid: Changed | None = None
        self._soon = QTimer(self, singleShot=True, interval=300)
        self._soon.timeout.connect(self._announce)
        self._ahead = QTimer(self, singleShot=True, interval=0)
        self._ahead.timeout.connect(self._read_ahead)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        session.project_changed.connect(self._project_changed)
        session.labels_changed.connect(self._labels_changed)
        inside = Qt.ShortcutContext.WidgetWithChildrenShortcut
        self._help = QShortcut(QKeySequence("H"), self, context=inside)
        self._help.activated.connect(self.show_guidelines)
        QShortcut(QKeySequence("Esc"), self, context=inside).activated.connect(self.close_cards)
        self.reload()
        if session.recall(MEMORY, {}).get("differences"):
            self.toggle_differences()

    # --- the page ------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        header = PanelHeader(self.tr("Compare"), self.tr("Which answer would you rather have? Names stay hidden"))
        header.add(button(self.tr("Guidelines   H"), self.show_guidelines, icon="book-open-variant"))
        self.generate = button(self.tr("Generate pairs…"), self.open_generate, icon="auto-fix")
        header.add(self.generate)
        self.sources = SourceRow()
        self.sources.changed.connect(self.reload)
        self.making = Making(self._session)
        self.making.added.connect(self._pair_added)
        self.making.changed.connect(self._making_changed)
        self.making.closed.connect(self.close_cards)

        self.view = PairView()
        self.edit = EditCard()
        self.edit.hide()
        self.edit.saved.connect(self._save_demonstration)
        self.edit.closed.connect(self.close_cards)
        self.note = NoteLine()
        self.note.closed.connect(self.setFocus)
        self.failure = FailureBar()
        self.failure.retried.connect(self.judge)
        self.failure.waited.connect(self._judge_again)
        self.bar = VerdictBar(
            self,
            self.judge,
            {
                "undo": self.undo,
                "flag": self.toggle_flag,
                "note": self.open_note,
                "edit": self.open_edit,
                "differences": self.toggle_differences,
            },
        )
        self.last = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.judging = QWidget()
        judging = QVBoxLayout(self.judging)
        judging.setContentsMargins(0, 0, 0, 0)
        judging.setSpacing(S3)
        judging.addWidget(self.view, 1)
        for widget in (self.edit, self.failure, self.note, self.bar, self.last):
            judging.addWidget(widget)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.judging)
        page = QVBoxLayout()
        page.setContentsMargins(S6, 0, S6, S4)
        page.setSpacing(S3)
        page.addWidget(self.sources)
        page.addWidget(self.making)
        page.addWidget(self._stack, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(header)
        layout.addLayout(page, 1)

    # --- judging -------------------------------------------------------------------------------------------------

    def judge(self, side: str, strength: int) -> None:
        """Commit a verdict on the pair shown, and only then show the next one."""
        queue = self.queue
        if queue is None or queue.current is None or self._stack.currentWidget() is not self.judging:
            return
        try:
            said = queue.judge(side, strength, self.note.text())
        except EngineError as error:
            self.bar.keep((side, strength))
            self.failure.keep((side, strength), error)
            return
        self._unsay(self._session.labels.last_change)
        self._forget_failure()
        self.note.clear()
        self._show_current()
        self._show_last(said)
        self._ahead.start()

    def _judge_again(self, side: str, strength: int) -> None:
        """By itself, once there may be space again; not under the hands of somebody who writes."""
        if self.edit.isHidden() and not self.note.field.isVisible():
            self.judge(side, strength)
        else:
            self.failure.wait()

    def undo(self) -> None:
        if self.queue is None or not self.bar.others["undo"].isEnabled():
            return
        try:
            undone = self.queue.undo()
        except EngineError as error:
            self._session.say(error)
            return
        if undone is None:
            self._session.toast(self.tr("There is nothing to undo."))
            return
        self._unsay(self._session.labels.last_change)
        self._forget_failure()
        self._show_current()
        self.last.setText(self.tr("Taken back: judge this pair again."))

    def toggle_flag(self) -> None:
        if self.queue is None or self.queue.current is None:
            return
        on = self.view.flag.isHidden()
        try:
            changed = self._session.labels.flag("pairs", self.queue.current.id, on, self.queue.author)
        except EngineError as error:
            self._session.say(error)
            return
        self._show_flag(on)
        self._unsay(changed)

    def toggle_differences(self) -> None:
        on = not self.bar.others["differences"].property("on")
        self.bar.others["differences"].setProperty("on", on)
        self.bar.others["differences"].setChecked(on)
        self.view.show_differences(on)
        self._session.remember(MEMORY, {"differences": on})

    def open_note(self) -> None:
        self.note.open()

    def open_edit(self) -> None:
        if self.queue is not None and self.queue.current is not None:
            self.edit.open(self.queue.current)
            self._listen()

    def close_cards(self) -> None:
        """Close what was opened over the pair, and give the keys back to judging."""
        self.edit.hide()
        self.making.close_form()
        self.note.close_field()
        self._listen()
        self.setFocus()

    def _listen(self) -> None:
        """The keys judge unless a form is open."""
        free = self.edit.isHidden() and self.making.form.isHidden()
        self.bar.listen(free)
        self._help.setEnabled(free)

    def show_guidelines(self) -> None:
        Guidelines(self._session, self).open()

    def _save_demonstration(self, text: str) -> None:
        if self.queue is None or self.queue.current is None:
            return
        pair = self.queue.current.pair
        try:
            prompt = unpack_prompt(pair["prompt"], pair["turns"])
            _, changed = self._session.labels.add_demonstration(prompt, text, author=self.queue.author)
        except EngineError as error:
            self._session.say(error)
            return
        self._unsay(changed)
        self._session.toast(self.tr("Saved as a demonstration."), "good")
        self.close_cards()

    def _forget_failure(self) -> None:
        if not self.failure.isHidden():
            self.bar.keep(None)
            self.failure.hide()

    # --- generating ----------------------------------------------------------------------------------------------

    def open_generate(self) -> None:
        self.making.open()
        self._listen()

    def _pair_added(self, _pair: str) -> None:
        self._unsay(self._session.labels.last_change)
        if self.queue is not None:
            self.queue.tally.total += 1
            if self.queue.current is None:
                self.queue.start()
                self._show_current()
            self._show_progress()

    def _making_changed(self) -> None:
        self.generate.setEnabled(self.making.maker is None and self._session.project is not None)
        self._listen()
        if self.queue is None or self.queue.current is None:  # a pair that is being read or edited stays as it is
            self._show_current()

    # --- what is shown -------------------------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the pairs anew."""
        self._stale = False
        self.note.clear()
        self._forget_failure()
        if self._session.project is None:
            self.queue = None
        else:
            said = self.queue.said if self.queue is not None else []
            self.queue = PairQueue(self._session.labels, author(), self.sources.again.isChecked(), said=said)
            try:
                self.queue.start()
            except EngineError as error:
                self.queue = None
                self._session.say(error)
        self._show_sources()
        self._show_current()

    def _show_current(self) -> None:
        shown = self.queue.current if self.queue else None
        if shown is None:
            self._show_nothing()
        else:
            if self._stack.currentWidget() is not self.judging:
                self._stack.setCurrentWidget(self.judging)
            self.view.show_pair(shown)
            self._show_flag(bool(shown.pair.get("flagged")))
            if not self.edit.isHidden():
                self.edit.hide()
                self._listen()
        self._show_progress()

    def _show_nothing(self) -> None:
        """No pair is left, or there never was one."""
        old = self._stack.currentWidget()
        if old is not None and old is not self.judging:
            self._stack.removeWidget(old)
            old.deleteLater()
        state = nothing_to_judge(
            self._session, self.queue, self.open_generate, lambda: self.sources.again.setChecked(True)
        )
        self._stack.addWidget(state)
        self._stack.setCurrentWidget(state)

    def _show_sources(self) -> None:
        has_project = self._session.project is not None
        self.sources.count(self._session.labels if has_project else None)
        self.generate.setEnabled(has_project and self.making.maker is None)

    def _show_progress(self) -> None:
        self.sources.follow(self.queue)
        if self.queue is not None and not self.queue.no_person_yet:
            self._session.set_badge("compare", self.queue.tally.left)

    def _show_last(self, said: Said) -> None:
        self.last.setText(verdict_line(said, self.queue.agreement if self.queue else (0, 0)))

    def _show_flag(self, on: bool) -> None:
        self.view.flag.setVisible(on)
        self.bar.others["flag"].setChecked(on)

    def _read_ahead(self) -> None:
        if self.queue is not None:
            try:
                self.queue.refill()
            except EngineError as error:
                self._session.say(error)

    # --- what others say -----------------------------------------------------------------------------------------

    def _unsay(self, changed: Changed) -> None:
        """Remember a change to announce a moment later: the next pair comes first."""
        self._unsaid = changed if self._unsaid is None else self._unsaid | changed
        self._soon.start()

    def _announce(self) -> None:
        changed, self._unsaid = self._unsaid, None
        if changed:
            self._announcing = True
            self._session.announce(changed)
            self._announcing = False

    def _labels_changed(self, changed: Changed) -> None:
        if self._announcing or not changed & (type(changed).PAIRS | type(changed).COMPARISONS):
            return
        self._stale = True
        if self.isVisible():
            self.refresh()

    def refresh(self) -> None:
        """Take in what changed elsewhere; the pair on the screen stays while it still waits."""
        self._stale = False
        if self.queue is None or self.queue.current is None:
            self.reload()
            return
        here = self.queue.current
        pair = self._session.labels.get("pairs", here.id)
        if pair is None or pair["hidden"]:
            self.reload()
            return
        self.queue.start(keep=here)
        self._show_sources()
        self._show_progress()

    def _project_changed(self) -> None:
        self._unsaid = None
        self._soon.stop()
        self.making.drop()
        self.close_cards()
        self.note.clear()
        self.last.setText("")
        self.queue = None
        self.reload()

    def on_shown(self) -> None:
        if self._stale:
            self.refresh()
        self.setFocus()

    def on_hidden(self) -> None:
        self._soon.stop()
        self._announce()

    def receive(self, hints: dict[str, Any]) -> None:
        """`generate=True` opens the form for new pairs; `again=True` asks for those a rule has judged."""
        if hints.get("generate"):
            self.open_generate()
        if "again" in hints:
            (self.sources.again if hints["again"] else self.sources.waiting).setChecked(True)

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("Generate pairs to judge"), self.open_generate),
            Command(self.tr("Show the guidelines"), self.show_guidelines, "H"),
            Command(self.tr("Undo the last verdict"), self.undo, "Backspace"),
            Command(self.tr("Mark the differences of two answers"), self.toggle_differences, "D"),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("1 / Left", self.tr("Answer 1 is better; with Shift much better")),
            ("2 / Right", self.tr("Answer 2 is better; with Shift much better")),
            ("3 / Down", self.tr("Tie")),
            ("4", self.tr("Both are bad")),
            ("S", self.tr("Skip")),
            ("F", self.tr("Flag for a second look")),
            ("E", self.tr("Write a better answer as a demonstration")),
            ("N", self.tr("Note")),
            ("D", self.tr("Mark the differences")),
            ("H", self.tr("Guidelines")),
            ("Backspace / Ctrl+Z", self.tr("Undo the last verdict")),
        ]


def author() -> str:
    """Who judges: the name of the account."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return ""
