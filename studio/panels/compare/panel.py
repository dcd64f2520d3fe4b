"""Compare: two answers, several in order, or one by one; what is asked next, who judges, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from studio.commands import Command
from studio.panels.compare.announcer import Announcer
from studio.panels.compare.asked import Asked
from studio.panels.compare.beside import Beside
from studio.panels.compare.desk import Desk
from studio.panels.compare.head import Head
from studio.panels.compare.how_many import HowMany
from studio.panels.compare.key_words import action_words
from studio.panels.compare.keys import ACTIONS, Bindings
from studio.panels.compare.keys import MEMORY as KEYS
from studio.panels.compare.looks import Looks
from studio.panels.compare.making import Making
from studio.panels.compare.pair_page import PairPage
from studio.panels.compare.pair_view import LAYOUTS
from studio.panels.compare.queue import PairQueue
from studio.panels.compare.queue_list import QueueList
from studio.panels.compare.ranking_page import RankingPage
from studio.panels.compare.rating_page import RatingPage
from studio.panels.compare.rubric import SIDES
from studio.panels.compare.saving import Saving
from studio.panels.compare.states import nothing_to_judge
from studio.session import Session
from studio.theme.tokens import S3, S4, S6

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed


class ComparePanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._focused = False
        self.mode = "pairs"  # or "ranking", "rating"
        self._state: QWidget | None = None  # what is shown instead of a pair
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        session.project_changed.connect(self._project_changed)
        session.labels_changed.connect(self._labels_changed)
        inside = Qt.ShortcutContext.WidgetWithChildrenShortcut
        QShortcut(QKeySequence("Esc"), self, context=inside).activated.connect(self._escape)
        self.asked.reload()
        self._restore()

    @property
    def queue(self) -> PairQueue | None:
        """The pairs that are judged; None while no project is open."""
        return self.pairs.queue

    # --- the page ------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        session = self._session
        self.head = Head(session, self)
        self.tools, self.sources, self.next = self.head.tools, self.head.sources, self.head.next
        self.tools.chosen.connect(self.arrange)
        for made, do in (
            (self.tools.queue, self.toggle_queue),
            (self.tools.focus, self.toggle_focus),
            (self.head.guide, self.show_guidelines),
            (self.head.generate, self.open_generate),
        ):
            made.clicked.connect(do)
        self.how_many = HowMany(session)
        self.how_many.closed.connect(self.close_cards)
        self.next.how_many.triggered.connect(self.how_many.open)
        self.making = Making(session)
        self.making.added.connect(self._pair_added)
        self.making.changed.connect(self._making_changed)
        self.making.closed.connect(self.close_cards)
        self.queue_list = QueueList(session)
        self.queue_list.opened.connect(self.open_pair)
        self.queue_list.hide()

        self.saving = Saving(self)
        beside = self.beside = Beside(self, session)
        self.column = beside.column
        self.tools.column.clicked.connect(self.toggle_column)
        self.announcer = Announcer(session, self.saving, self)
        self.looks = Looks(session)
        desk = Desk(session, self.looks, beside, self.saving, self.announcer)
        keys: dict[str, Callable[[], object]] = {
            "guidelines": self.show_guidelines,
            "queue": self.toggle_queue,
            "layout": self.next_layout,
            "focus": self.toggle_focus,
        }
        self.bindings = Bindings(session.recall(KEYS))
        self.pairs = PairPage(desk, self, keys, self.bindings, self.next.vote)
        self.asked = Asked(desk, self.pairs, self.sources, self.next, self.queue_list)
        beside.changed.connect(self._judge_anew)
        self.pairs.moved.connect(self._show_state)
        self.pairs.opened.connect(self._listen)
        self.pairs.closed.connect(self.close_cards)
        self.ranking = RankingPage(desk, self, keys)
        self.ranking.moved.connect(self._ranked)
        self.rating = RatingPage(desk, self, keys)
        self._stack = QStackedWidget()
        self._blank = QWidget()  # instead of what is judged, while a form takes the room
        self._blank.hide()
        for page in (self.pairs, self.ranking, self.rating):
            self._stack.addWidget(page)
        middle = QHBoxLayout()
        middle.setSpacing(S4)
        middle.addWidget(self.queue_list)
        middle.addWidget(self._stack, 1)
        middle.addWidget(self._blank, 1)
        middle.addWidget(self.column)
        page_layout = self._page = QVBoxLayout()
        page_layout.setContentsMargins(S6, 0, S6, S4)
        page_layout.setSpacing(S3)
        for widget in (self.head.order, self.how_many, beside.question, self.making):
            page_layout.addWidget(widget)
        page_layout.addLayout(middle, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.head)
        layout.addLayout(page_layout, 1)
        self._show_keys()

    def _restore(self) -> None:
        """How it looked last time."""
        self.arrange(str(self.looks.get("layout", "side")))
        self.pairs.restore()
        self.tools.column.setChecked(self.beside.opened)
        if self.looks.get("queue"):
            self.toggle_queue()

    def _show_keys(self) -> None:
        """Show the keys that are listened to; they may have been changed in Settings."""
        self.pairs.bar.use(self.bindings)
        self.ranking.use(self.bindings)
        self.rating.use(self.bindings)
        self.head.show_keys(self.bindings)

    @property
    def page(self) -> PairPage | RankingPage | RatingPage:
        """What is judged on now."""
        if self.mode == "pairs":
            return self.pairs
        return self.ranking if self.mode == "ranking" else self.rating

    def open_pair(self, pair_id: str) -> None:
        """Show a pair of the queue now, whether it waits or is to be judged again."""
        if self.queue is None or not pair_id or self.saving.is_waiting:
            return
        if self.mode != "pairs":
            self.arrange(LAYOUTS[0])
        if self.asked.open(pair_id):
            self.setFocus()
        else:
            self._session.toast(self.tr("This pair is no longer there."), "warn")
            self.queue_list.read()

    # --- how it looks --------------------------------------------------------------------------------------------

    def close_cards(self) -> None:
        """Close what was opened over the pair, and give the keys back to judging."""
        self.pairs.writing.close()
        self.ranking.leave()
        self.rating.leave()
        self.making.close_form()
        self.how_many.close_card()
        self._listen()
        self.take_focus()

    def take_focus(self) -> None:
        """Let the keys judge."""
        (self if self.mode == "pairs" else self.page).setFocus()

    def _listen(self) -> None:
        """The keys judge unless a form is open; it has the room to itself."""
        free = self.making.form.isHidden()
        self._stack.setVisible(free)
        self._blank.setVisible(not free)
        self.pairs.bar.listen(self.mode == "pairs" and self.pairs.edit.isHidden() and free)
        for name, page in (("ranking", self.ranking), ("rating", self.rating)):
            page.listener.listen(self.mode == name and free)

    def _escape(self) -> None:
        if self._focused and not self.pairs.writing.is_busy and self.making.form.isHidden():
            self.toggle_focus()
        self.close_cards()

    def show_guidelines(self) -> None:
        self.beside.toggle_guidelines(self.bindings.keys("guidelines"))
        self.tools.column.setChecked(self.beside.opened)

    def arrange(self, layout: str) -> None:
        """One of LAYOUTS for pairs, or "ranking" or "rating"."""
        if self.saving.is_waiting:
            self.tools.show_layout(self.pairs.view.layout_name if self.mode == "pairs" else self.mode)
            return
        before, self.mode = self.mode, layout if layout in ("ranking", "rating") else "pairs"
        if self.mode == "pairs":
            self.pairs.view.arrange(layout)
        name = self.pairs.view.layout_name if self.mode == "pairs" else self.mode
        self.tools.show_layout(name)
        self.looks.put(layout=name)
        self.head.order.setVisible(self.mode == "pairs" and not self._focused)
        if self.mode != "pairs":
            self.close_cards()
            self._show_page()
        elif before != "pairs":
            self.close_cards()
            self.beside.rubric.offer(SIDES)
            self.asked.reload()

    def _show_page(self) -> None:
        """Ranking and rating have a queue of their own."""
        if self._session.project is None:
            self._show_nothing()
            return
        page = self.page
        assert not isinstance(page, PairPage)
        self._stack.setCurrentWidget(page)
        self._listen()
        page.start(self.beside.who.author)
        self._show_progress()

    def next_layout(self) -> None:
        order = [*LAYOUTS, LAYOUTS[0]]
        self.arrange(order[order.index(self.pairs.view.layout_name) + int(self.mode == "pairs")])

    def toggle_column(self) -> None:
        self.beside.toggle()
        self.tools.column.setChecked(self.beside.opened)

    def toggle_queue(self) -> None:
        on = self.queue_list.isHidden()
        self.queue_list.setVisible(on)
        self.tools.queue.setChecked(on)
        self.looks.put(queue=on)
        if on:
            self.queue_list.read()
        else:
            self.take_focus()

    def toggle_focus(self) -> None:
        """Nothing but the answers and the verdicts; the keys go on working."""
        self._focused = not self._focused
        self.head.setVisible(not self._focused)
        self._page.setContentsMargins(S6, S4 if self._focused else 0, S6, S4)
        self.head.order.setVisible(not self._focused and self.mode == "pairs")
        for page in (self.pairs, self.ranking, self.rating):
            page.more.setVisible(not self._focused)
        self.beside.show(not self._focused)
        if self._focused:
            self.queue_list.hide()
        elif self.looks.get("queue"):
            self.queue_list.show()
        self._session.focus_asked.emit(self._focused)
        self.take_focus()

    # --- generating ----------------------------------------------------------------------------------------------

    def open_generate(self) -> None:
        self.making.open()
        self._listen()

    def _pair_added(self, _pair: str) -> None:
        self.announcer.note(self._session.labels.last_change)
        self.asked.add_one()
        self._begin_again()
        self._show_progress()

    def _making_changed(self) -> None:
        self.head.generate.setEnabled(self.making.maker is None and self._session.project is not None)
        self._listen()
        if self.queue is None or self.queue.current is None:  # a pair that is being read or edited stays as it is
            self.pairs.show_current()

    # --- what is shown -------------------------------------------------------------------------------------------

    def _show_state(self) -> None:
        """Another pair is on the screen, or none is left."""
        shown = self.queue.current if self.queue else None
        self.queue_list.follow(shown.id if shown else "")
        self.queue_list.touch()
        self.head.generate.setEnabled(self._session.project is not None and self.making.maker is None)
        if self.mode == "pairs":
            if shown is None:
                self._show_nothing()
            else:
                self._stack.setCurrentWidget(self.pairs)
            self.next.show_reason(self.queue)
        self._show_progress()

    def _show_nothing(self) -> None:
        """No pair is left, or there never was one."""
        if self._state is not None:
            self._stack.removeWidget(self._state)
            self._state.deleteLater()
        self._state = nothing_to_judge(
            self._session, self.queue, self.open_generate, lambda: self.sources.again.setChecked(True)
        )
        self._stack.addWidget(self._state)
        self._stack.setCurrentWidget(self._state)

    def _show_progress(self) -> None:
        self.sources.follow(self.queue if self.mode != "rating" else None, self.looks.days)
        if self.queue is not None and not self.queue.no_person_yet:
            self._session.set_badge("compare", self.queue.tally.left)

    # --- what others say -----------------------------------------------------------------------------------------

    def _labels_changed(self, changed: Changed) -> None:
        if self.announcer.is_speaking or not changed & (type(changed).PAIRS | type(changed).COMPARISONS):
            return
        self.asked.stale = True
        if changed & type(changed).PAIRS:
            self.next.touch()
        if self.isVisible():
            self._take_in()

    def _take_in(self) -> None:
        """What changed elsewhere."""
        self.asked.refresh()
        self._begin_again()
        self._show_progress()

    def _begin_again(self) -> None:
        """Where nothing was left to rank or to rate there may be something now."""
        page = self.page
        if not isinstance(page, PairPage) and page.queue is not None and page.queue.current is None:
            self._show_page()

    def _ranked(self) -> None:
        """A ranking judges pairs."""
        if self.mode == "ranking" and self.queue is not None:
            self.queue.recount()
            self._show_progress()

    def _judge_anew(self) -> None:
        """Another person sits here, or other pairs are to come back."""
        if self.mode != "pairs" and not self.saving.is_waiting:
            self._show_page()

    def _project_changed(self) -> None:
        self.saving.drop()
        self.announcer.drop()
        self.making.drop()
        self.queue_list.stop()
        self.next.stop()
        self.pairs.forget()
        for page in (self.ranking, self.rating):
            page.forget()
        self.close_cards()
        self.beside.read()
        self.asked.reload()
        self._judge_anew()

    def on_shown(self) -> None:
        bindings = Bindings(self._session.recall(KEYS))
        if bindings.own != self.bindings.own:
            self.bindings = bindings
            self._show_keys()
        if self.asked.stale:
            self._take_in()
        if self.mode == "pairs":
            self.setFocus()
        else:
            self._show_page()

    def on_hidden(self) -> None:
        if self._focused:
            self.toggle_focus()
        self.pairs.drafts.keep()
        self.ranking.leave()
        self.rating.leave()
        if self.queue is not None and self.queue.current is not None:
            self.looks.stop_at(self.queue.current.id)
        self.announcer.speak()

    def receive(self, hints: dict[str, Any]) -> None:
        """`generate=True` opens the form for new pairs; `again=True` asks for those a rule has judged.

        `settle=[ids]` asks for pairs on which annotators differ, `first=[ids]` for waiting pairs before all others;
        `order` is one of `choosing.strategies`.
        """
        if order := hints.get("order"):
            if self.mode != "pairs":
                self.arrange("side")
            self.next.choose(str(order))
        if self.queue is not None and (settle := hints.get("settle")):
            if self.mode != "pairs":
                self.arrange("side")
            if not self.asked.settle(settle):
                self._session.toast(self.tr("These pairs are no longer there."), "warn")
        if hints.get("generate"):
            self.open_generate()
        if "again" in hints:
            (self.sources.again if hints["again"] else self.sources.waiting).setChecked(True)
        if before := hints.get("first"):
            if self.mode != "pairs":
                self.arrange("side")
            self.asked.put_first(before)

    def commands(self) -> list[Command]:
        def key(name: str) -> str:
            return next(iter(self.bindings.keys(name)), "")

        pairs = self.pairs
        return [
            Command(self.tr("Generate pairs to judge"), self.open_generate),
            Command(self.tr("Show the guidelines"), self.show_guidelines, key("guidelines")),
            Command(self.tr("Show who judges, and the rubric"), self.toggle_column),
            Command(self.tr("Rank several answers"), lambda: self.arrange("ranking")),
            Command(self.tr("Rate answers one by one"), lambda: self.arrange("rating")),
            Command(self.tr("Undo the last verdict"), lambda: self.page.undo(), key("undo")),
            Command(self.tr("Mark the differences of two answers"), pairs.toggle_differences, key("differences")),
            Command(self.tr("Show blanks and invisible characters"), lambda: self.page.toggle_marks(), key("marks")),
            Command(self.tr("Show or hide the queue of pairs"), self.toggle_queue, key("queue")),
            Command(self.tr("Show nothing but the answers"), self.toggle_focus, key("focus")),
            Command(self.tr("Change the keys of judging"), lambda: self._session.go("settings", section="judging")),
        ]

    def keys(self) -> list[tuple[str, str]]:
        wheres = {"pairs": ("", "pairs"), "ranking": ("", "ranking"), "rating": ("", "thumbs", "five")}[self.mode]
        told = [
            (" / ".join(self.bindings.keys(name)), action_words(name))
            for name, action in ACTIONS.items()
            if action.where in wheres
        ]
        return [(keys, words) for keys, words in told if keys]

    def help_topic(self) -> str:
        return "judging"
