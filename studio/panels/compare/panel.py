"""Judging: a prompt, two answers, one key; the next pair is shown only when the verdict is on the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from studio.commands import Command
from studio.panels.compare.announcer import Announcer
from studio.panels.compare.beside import Beside
from studio.panels.compare.guidelines import Guidelines
from studio.panels.compare.how_many import HowMany
from studio.panels.compare.key_words import action_words
from studio.panels.compare.keys import ACTIONS, Bindings
from studio.panels.compare.keys import MEMORY as KEYS
from studio.panels.compare.looks import Looks
from studio.panels.compare.making import Making
from studio.panels.compare.next_row import NextRow
from studio.panels.compare.pair_view import LAYOUTS, PairView
from studio.panels.compare.queue import PairQueue, Said
from studio.panels.compare.queue_list import QueueList
from studio.panels.compare.ranking_page import RankingPage
from studio.panels.compare.rating_page import RatingPage
from studio.panels.compare.remarks import FailureBar
from studio.panels.compare.source_row import SourceRow
from studio.panels.compare.states import nothing_to_judge
from studio.panels.compare.telling import verdict_line
from studio.panels.compare.tools import Tools
from studio.panels.compare.verdict_bar import VerdictBar
from studio.panels.compare.writing import Writing
from studio.session import Session
from studio.theme.tokens import S3, S4, S6
from studio.widgets import PanelHeader, PlainLabel, button, icon_button

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed


class ComparePanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.queue: PairQueue | None = None
        self._stale = True
        self._focused = False
        self.mode = "pairs"  # or "ranking", "rating"
        self.looks = Looks(session)
        self.announcer = Announcer(session, self)
        self._ahead = QTimer(self, singleShot=True, interval=0)
        self._ahead.timeout.connect(self._read_ahead)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        session.project_changed.connect(self._project_changed)
        session.labels_changed.connect(self._labels_changed)
        inside = Qt.ShortcutContext.WidgetWithChildrenShortcut
        QShortcut(QKeySequence("Esc"), self, context=inside).activated.connect(self._escape)
        self.reload()
        self._restore()

    # --- the page ------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.header = PanelHeader(self.tr("Compare"), self.tr("Which answer would you rather have? Names stay hidden"))
        self.tools = Tools()
        self.tools.chosen.connect(self.arrange)
        self.tools.queue.clicked.connect(self.toggle_queue)
        self.tools.focus.clicked.connect(self.toggle_focus)
        self.header.add(self.tools)
        self.guide = button(self.tr("Guidelines"), self.show_guidelines, icon="book-open-variant")
        self.header.add(self.guide)
        self.generate = button(self.tr("Generate pairs…"), self.open_generate, icon="auto-fix")
        self.header.add(self.generate)
        self.beside = Beside(self, self._session)
        self.beside.changed.connect(self.reload)
        told = self.tr("How consistent you are, and how far annotators agree")
        self.header.add(icon_button("account-check-outline", told, lambda: self._session.go("agreement")))
        who = self.tr("Who judges, and the rubric")
        self.header.add(icon_button("account-edit-outline", who, self.beside.toggle))
        self.sources = SourceRow()
        self.sources.changed.connect(self.reload)
        self.next = NextRow(self._session)
        self.next.planned.connect(self._take_order)
        self.how_many = HowMany(self._session)
        self.how_many.closed.connect(self.close_cards)
        self.next.how_many.clicked.connect(self.how_many.open)
        self.making = Making(self._session)
        self.making.added.connect(self._pair_added)
        self.making.changed.connect(self._making_changed)
        self.making.closed.connect(self.close_cards)
        self.queue_list = QueueList(self._session)
        self.queue_list.opened.connect(self.open_pair)
        self.queue_list.hide()
        self.column = self.beside.column

        self.view = PairView()
        self.writing = Writing(self._session, lambda: self.queue, self)
        self.writing.opened.connect(self._listen)
        self.writing.saved.connect(self.announcer.note)
        self.writing.closed.connect(self.close_cards)
        self.edit, self.note, self.drafts = self.writing.edit, self.writing.note, self.writing.drafts
        self.note.closed.connect(self.setFocus)
        self.failure = FailureBar()
        self.failure.retried.connect(self.judge)
        self.failure.waited.connect(self._judge_again)
        others: dict[str, Callable[[], object]] = {
            "undo": self.undo,
            "flag": self.toggle_flag,
            "note": self.writing.open_note,
            "edit": self.writing.open_edit,
            "edit_winner": self.writing.edit_winner,
            "differences": self.toggle_differences,
            "marks": self.toggle_marks,
            "reveal": self.toggle_reveal,
            "guidelines": self.show_guidelines,
            "queue": self.toggle_queue,
            "layout": self.next_layout,
            "focus": self.toggle_focus,
            "down": lambda: self.view.scroll_on(0.8),
            "up": lambda: self.view.scroll_on(-0.8),
        }
        self.bindings = Bindings(self._session.recall(KEYS))
        self.bar = VerdictBar(self, self.judge, others, self.bindings)
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
        self.ranking = RankingPage(self._session, self.announcer.note)
        self.rating = RatingPage(self._session, self.announcer.note)
        self._stack.addWidget(self.ranking)
        self._stack.addWidget(self.rating)
        middle = QHBoxLayout()
        middle.setSpacing(S4)
        middle.addWidget(self.queue_list)
        middle.addWidget(self._stack, 1)
        middle.addWidget(self.column)
        page = QVBoxLayout()
        page.setContentsMargins(S6, 0, S6, S4)
        page.setSpacing(S3)
        page.addWidget(self.sources)
        page.addWidget(self.next)
        page.addWidget(self.how_many)
        page.addWidget(self.beside.question)
        page.addWidget(self.making)
        page.addLayout(middle, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.header)
        layout.addLayout(page, 1)
        self._show_keys()

    def _restore(self) -> None:
        """How it looked last time."""
        self.arrange(str(self.looks.get("layout", "side")))
        if self.looks.get("differences"):
            self.toggle_differences()
        if self.looks.get("marks"):
            self.toggle_marks()
        self._show_reveal()
        if self.looks.get("queue"):
            self.toggle_queue()

    def _show_keys(self) -> None:
        """Show the keys that are listened to; they may have been changed in Settings."""
        self.bar.use(self.bindings)
        self.guide.setText(self.tr("Guidelines  {0}").format(self.bindings.shown("guidelines", 1)))
        self.tools.show_keys(self.bindings)

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
        changed = self._session.labels.last_change
        self.drafts.said()
        self._forget_failure()
        self._open_next(said)
        self.beside.rubric.clear()
        self._show_current()
        self._show_last(said)
        self.announcer.note(changed)
        self._ahead.start()
        self.looks.count_day()

    def open_pair(self, pair_id: str) -> None:
        """Show a pair of the queue now, whether it waits or is to be judged again."""
        if self.queue is None or not pair_id:
            return
        pair = self._session.labels.pair_as_judged(pair_id)
        if pair is None:
            self._session.toast(self.tr("This pair is no longer there."), "warn")
            self.queue_list.read()
            return
        if self.mode != "pairs":
            self.arrange(LAYOUTS[0])
        self.queue.open(pair)
        self._show_current()
        self.setFocus()

    def _open_next(self, said: Said) -> None:
        """Of a list that is gone through (skipped, flagged, …) the next pair; else the next that waits."""
        if self.queue is None or self.queue_list.isHidden() or self.queue_list.view == "waiting":
            return
        pair = self._session.labels.pair_as_judged(self.queue_list.after(said.shown.id))
        if pair is not None:
            self.queue.open(pair)

    def _judge_again(self, side: str, strength: int) -> None:
        """By itself, once there may be space again; not under the hands of somebody who writes."""
        if not self.writing.is_busy:
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
        self.announcer.note(self._session.labels.last_change)
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
        self.announcer.note(changed)

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
        self.looks.put(**{name: on})
        return on

    def toggle_reveal(self) -> None:
        """Whether the sources are told after each verdict; never before one."""
        self.looks.put(reveal=not self.looks.reveals)
        self._show_reveal()
        if self.queue is not None and self.queue.said and self.last.text():
            self._show_last(self.queue.said[-1])

    def _show_reveal(self) -> None:
        self.bar.others["reveal"].setChecked(self.looks.reveals)

    def close_cards(self) -> None:
        """Close what was opened over the pair, and give the keys back to judging."""
        self.writing.close()
        self.making.close_form()
        self.how_many.close_card()
        self._listen()
        self.setFocus()

    def _listen(self) -> None:
        """The keys judge unless a form is open."""
        self.bar.listen(self.mode == "pairs" and self.edit.isHidden() and self.making.form.isHidden())

    def _escape(self) -> None:
        if self._focused and not self.writing.is_busy and self.making.form.isHidden():
            self.toggle_focus()
        self.close_cards()

    def show_guidelines(self) -> None:
        Guidelines(self._session, self).open()

    # --- how it looks --------------------------------------------------------------------------------------------

    def arrange(self, layout: str) -> None:
        """One of LAYOUTS for pairs, or "ranking" or "rating"."""
        before, self.mode = self.mode, layout if layout in ("ranking", "rating") else "pairs"
        if self.mode == "pairs":
            self.view.arrange(layout)
        name = self.view.layout_name if self.mode == "pairs" else self.mode
        self.tools.show_layout(name)
        self.looks.put(layout=name)
        if self.mode != "pairs":
            self.close_cards()
            self._show_page()
        elif before != "pairs":
            self.reload()
            self._listen()
            self.setFocus()

    def _show_page(self) -> None:
        """Ranking and rating have keys and a queue of their own."""
        page = self.ranking if self.mode == "ranking" else self.rating
        if self._session.project is None:
            self._show_nothing()
            return
        self._stack.setCurrentWidget(page)
        self._listen()
        page.start(self.queue.author if self.queue else "")

    def next_layout(self) -> None:
        self.arrange(LAYOUTS[(LAYOUTS.index(self.view.layout_name) + 1) % len(LAYOUTS)])

    def toggle_queue(self) -> None:
        on = self.queue_list.isHidden()
        self.queue_list.setVisible(on)
        self.tools.queue.setChecked(on)
        self.looks.put(queue=on)
        if on:
            self.queue_list.read()
        else:
            self.setFocus()

    def toggle_focus(self) -> None:
        """Nothing but the answers and the verdicts; the keys go on working."""
        self._focused = not self._focused
        self.header.setVisible(not self._focused)
        self.sources.setVisible(not self._focused)
        self.next.setVisible(not self._focused)
        self.bar.more.setVisible(not self._focused)
        self.beside.show(not self._focused)
        if self._focused:
            self.queue_list.hide()
        elif self.looks.get("queue"):
            self.queue_list.show()
        self._session.focus_asked.emit(self._focused)
        self.setFocus()

    def _forget_failure(self) -> None:
        if not self.failure.isHidden():
            self.bar.keep(None)
            self.failure.hide()

    # --- generating ----------------------------------------------------------------------------------------------

    def open_generate(self) -> None:
        self.making.open()
        self._listen()

    def _pair_added(self, _pair: str) -> None:
        self.announcer.note(self._session.labels.last_change)
        self.next.touch()
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
        self._forget_failure()
        if self._session.project is None:
            self.queue = None
        else:
            said = self.queue.said if self.queue is not None else []
            first = self.queue is None
            author, again = self.beside.who.author, self.sources.again.isChecked()
            self.queue = PairQueue(self._session.labels, author, again, said=said)
            self.beside.mix(self.queue, lambda: self.view.layout_name)
            self.queue_list.author = self.queue.author
            self._ask_for_order(first)
            try:
                self.queue.start()
                if first:
                    self._go_on()
            except EngineError as error:
                self.queue = None
                self._session.say(error)
        self._show_sources()
        self._show_current()

    def _ask_for_order(self, first: bool) -> None:
        """The order that is known is followed until the one that fits the pairs of now is worked out."""
        assert self.queue is not None
        again = self.queue.no_person_yet
        fits = not first and self.next.no_person_yet == again and self.next.plan is not None
        if fits and self.next.plan is not None:
            self.queue.order = self.next.plan.ids
        self.next.no_person_yet = again
        if self.next.wanted:
            self.next.read(chosen=not fits)

    def _take_order(self, chosen: bool) -> None:
        if self.queue is None or self.next.plan is None:
            return
        self.queue.order = self.next.plan.ids
        try:
            self.queue.start(None if chosen else self.queue.current)
        except EngineError as error:
            self._session.say(error)
            return
        if chosen and self.mode == "pairs":
            self._show_current()
        else:
            self.next.show_reason(self.queue)

    def _go_on(self) -> None:
        """Where one stopped, if that pair still waits."""
        if self.queue is None or self.queue.current is None:
            return
        pair = self._session.labels.pair_as_judged(self.looks.stopped_at)
        if pair is not None and not pair["winner"] and pair["id"] != self.queue.current.id:
            self.queue.open(pair)

    def _show_current(self) -> None:
        shown = self.queue.current if self.queue else None
        self.drafts.load(shown.id if shown else "", self.queue.author if self.queue else "")
        self.queue_list.follow(shown.id if shown else "")
        self.queue_list.touch()
        if self.mode != "pairs":
            self._show_progress()
            return
        if shown is None:
            self._show_nothing()
        else:
            if self._stack.currentWidget() is not self.judging:
                self._stack.setCurrentWidget(self.judging)
            self.view.show_pair(shown)
            self._show_flag(bool(shown.pair.get("flagged")))
            self.bar.keep(shown.standing)
            if not self.edit.isHidden():
                self.edit.hide()
                self._listen()
        self.next.show_reason(self.queue)
        self._show_progress()

    def _show_nothing(self) -> None:
        """No pair is left, or there never was one."""
        old = self._stack.currentWidget()
        if old is not None and old not in (self.judging, self.ranking, self.rating):
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
        self.sources.follow(self.queue, self.looks.days)
        if self.queue is not None and not self.queue.no_person_yet:
            self._session.set_badge("compare", self.queue.tally.left)

    def _show_last(self, said: Said) -> None:
        told = verdict_line(said, self.queue.agreement if self.queue else (0, 0), self.looks.reveals)
        self.last.setText(" · ".join(filter(None, (told, self.next.vote(said)))))

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

    def _labels_changed(self, changed: Changed) -> None:
        if self.announcer.is_speaking or not changed & (type(changed).PAIRS | type(changed).COMPARISONS):
            return
        self._stale = True
        if changed & type(changed).PAIRS:
            self.next.touch()
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
        self.announcer.drop()
        self.making.drop()
        self.drafts.forget_project()
        self.queue_list.stop()
        self.next.stop()
        self.close_cards()
        self.note.clear()
        self.last.setText("")
        self.queue = None
        self.beside.read()
        self.reload()
        if self.mode != "pairs":
            self._show_page()

    def on_shown(self) -> None:
        bindings = Bindings(self._session.recall(KEYS))
        if bindings.own != self.bindings.own:
            self.bindings = bindings
            self._show_keys()
        if self._stale:
            self.refresh()
        if self.mode == "pairs":
            self.setFocus()
        else:
            self._show_page()

    def on_hidden(self) -> None:
        if self._focused:
            self.toggle_focus()
        self.drafts.keep()
        if self.queue is not None and self.queue.current is not None:
            self.looks.stop_at(self.queue.current.id)
        self.announcer.speak()

    def receive(self, hints: dict[str, Any]) -> None:
        """`generate=True` opens the form for new pairs; `again=True` asks for those a rule has judged.

        `settle=[ids]` asks for pairs on which annotators differ; `order` is one of `choosing.strategies`.
        """
        if order := hints.get("order"):
            if self.mode != "pairs":
                self.arrange("side")
            self.next.choose(str(order))
        if self.queue is not None and (settle := hints.get("settle")):
            if self.mode != "pairs":
                self.arrange("side")
            if not self.queue.settle(settle):
                self._session.toast(self.tr("These pairs are no longer there."), "warn")
            self._show_current()
        if hints.get("generate"):
            self.open_generate()
        if "again" in hints:
            (self.sources.again if hints["again"] else self.sources.waiting).setChecked(True)

    def commands(self) -> list[Command]:
        def key(name: str) -> str:
            return next(iter(self.bindings.keys(name)), "")

        return [
            Command(self.tr("Generate pairs to judge"), self.open_generate),
            Command(self.tr("Show the guidelines"), self.show_guidelines, key("guidelines")),
            Command(self.tr("Show who judges, and the rubric"), self.beside.toggle),
            Command(self.tr("Undo the last verdict"), self.undo, key("undo")),
            Command(self.tr("Mark the differences of two answers"), self.toggle_differences, key("differences")),
            Command(self.tr("Show blanks and invisible characters"), self.toggle_marks, key("marks")),
            Command(self.tr("Show or hide the queue of pairs"), self.toggle_queue, key("queue")),
            Command(self.tr("Show nothing but the answers"), self.toggle_focus, key("focus")),
            Command(self.tr("Change the keys of judging"), lambda: self._session.go("settings", section="judging")),
        ]

    def keys(self) -> list[tuple[str, str]]:
        told = [(" / ".join(self.bindings.keys(name)), action_words(name)) for name in ACTIONS]
        return [(keys, words) for keys, words in told if keys]
