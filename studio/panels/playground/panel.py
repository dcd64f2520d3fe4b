"""Asking one to four models the same thing, seeing them write, and keeping what is worth keeping."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.contract.events import RunFinished
from rlhf_engine.tasks.generate.spec import GenerateSpec
from studio.commands import Command
from studio.panels.compare.differences import differences
from studio.panels.playground.answer_card import AnswerCard
from studio.panels.playground.asking import Asking
from studio.panels.playground.column import Turn
from studio.panels.playground.columns import MOST, Columns
from studio.panels.playground.composer import Composer
from studio.panels.playground.conversation import assemble
from studio.panels.playground.keeping import keep_demonstration, keep_pair, keep_rating
from studio.panels.playground.notice import Notice, Openers
from studio.panels.playground.side import Side
from studio.session import Session, sentence
from studio.theme.tokens import S2, S3, S4, S6
from studio.widgets import EmptyState, PanelHeader, button, primary_button

MEMORY = "playground"


class PlaygroundPanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.asking: Asking | None = None
        self._build()
        self._restore()
        session.project_changed.connect(self._project_changed)
        session.runs_changed.connect(self.refresh)
        session.labels_changed.connect(self._labels_changed)
        session.model_changed.connect(self._take_selected)
        session.activity.changed.connect(self._show_state)
        session.activity.began.connect(lambda _: self._show_state())
        session.activity.ended.connect(lambda *_: self._show_state())
        for keys, do in (
            ("Esc", self.stop),
            ("Ctrl+R", self.regenerate),
            ("Ctrl+L", self.send_to_compare),
            ("Ctrl+D", self.toggle_differences),
            ("Ctrl+T", self.tokens.toggle),
        ):
            shortcut = QShortcut(QKeySequence(keys), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(do)
        self.refresh()

    # --- the page ------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        header = PanelHeader(self.tr("Playground"), self.tr("Ask one or more models, and keep what is worth keeping"))
        self.tokens = button(self.tr("Tokens"), icon="heat-wave", tip=self.tr("How likely each token was (Ctrl+T)"))
        self.tokens.setCheckable(True)
        self.tokens.toggled.connect(self._show_tokens)
        self.fresh = button(self.tr("New conversation"), self.new_conversation, icon="restart")
        self.add = button(self.tr("Add a model"), self.add_column, icon="plus")
        for made in (self.tokens, self.fresh, self.add):
            header.add(made)
        self.side = Side(self._session)
        self.side.sent_wanted.connect(self._show_sent)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self._main())
        splitter.addWidget(self.side)
        splitter.setStretchFactor(0, 1)
        splitter.setChildrenCollapsible(False)
        splitter.setSizes([800, 320])
        self.page = QWidget()
        page = QVBoxLayout(self.page)
        page.setContentsMargins(S6, 0, S6, S4)
        page.addWidget(splitter)
        self.empty = EmptyState(
            "message-text-outline",
            self.tr("Open a project to talk to its models."),
            (self.tr("Go to Home"), lambda: self._session.go("home")),
        )
        self._stack = QStackedWidget()
        self._stack.addWidget(self.page)
        self._stack.addWidget(self.empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(header)
        layout.addWidget(self._stack, 1)

    def _main(self) -> QWidget:
        self.talk = Columns(self._session)
        self.talk.changed.connect(self._show_state)
        self.talk.chosen.connect(self._show_state)
        self.talk.demonstrated.connect(self._save_demonstration)
        self.talk.rated.connect(self._rate)
        self.talk.picked.connect(self._pick)
        self.openers = Openers(self.ask)
        self.notice = Notice()
        self.composer = Composer()
        self.composer.setPlaceholderText(self.tr("Ask something. Enter sends, Shift+Enter begins a new line"))
        self.composer.sent.connect(self.ask)
        self.composer.textChanged.connect(self._show_sent)
        self.send = primary_button(self.tr("Send"), lambda: self.ask(self.composer.toPlainText()), icon="send")
        self.stop_button = button(self.tr("Stop  Esc"), self.stop, icon="stop")
        self.again = button(self.tr("Again  Ctrl+R"), self.regenerate, tip=self.tr("Other answers: the next seed"))
        self.compare = button(
            self.tr("Send to Compare  Ctrl+L"), self.send_to_compare, tip=self.tr("Two chosen answers, to be judged")
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(S2)
        buttons.addWidget(self.again)
        buttons.addWidget(self.compare)
        buttons.addStretch()
        buttons.addWidget(self.stop_button)
        buttons.addWidget(self.send)
        main = QWidget()
        left = QVBoxLayout(main)
        left.setContentsMargins(0, 0, S4, 0)
        left.setSpacing(S3)
        left.addWidget(self.talk, 1)
        for widget in (self.openers, self.notice, self.composer):
            left.addWidget(widget)
        left.addLayout(buttons)
        return main

    # --- asking --------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> None:
        """Send a question to every column."""
        if self.asking is None and question.strip() and self.talk.all:
            self._send(question)

    def regenerate(self) -> None:
        """Ask the last question again with the next seed."""
        if self.asking is not None or not self.talk.talked:
            return
        question = next(column.turns[-1].question for column in self.talk.all if column.turns)
        seed = self.side.sampling.editors["seed"]
        seed.set_value((int(seed.value()) + 1) % 2**31)
        for column in self.talk.all:
            if column.turns and column.turns[-1].question == question:
                column.drop_last()
        self._send(question)

    def stop(self) -> None:
        if self.asking is not None:
            self.asking.stop()

    def _send(self, question: str) -> None:
        framing = self.side.framing.framing()
        prompts = [assemble(framing, column.earlier(), question) for column in self.talk.all]
        shared = all(prompt == prompts[0] for prompt in prompts)
        try:
            spec = GenerateSpec(
                models=tuple(column.ref for column in self.talk.all),
                prompts=(prompts[0],) if shared else tuple(prompts),
                own_prompts=not shared,
                template="auto" if framing.chat else "plain",
                device=self._session.settings.device,
                **self.side.sampling.values(),
            )
        except SpecError as error:
            self.side.mark(error)
            return
        cards = []
        for column, prompt in zip(self.talk.all, prompts, strict=True):
            bare = assemble(framing.bare, column.earlier(), question)
            cards += [(column, card) for card in column.begin(question, prompt, bare, spec.samples)]
        self.notice.clear()
        try:
            self.asking = Asking(self._session, spec, cards, self)
        except EngineError as error:
            for column in self.talk.all:
                column.drop_last()
            self.notice.show_error(sentence(error))
            return
        self.asking.said.connect(self.notice.show_warning)
        self.asking.ended.connect(self._ended)
        self.composer.note(question)
        self._session.select_model(self.talk.all[0].ref)  # what the foot of the window calls the model in use
        self._remember()
        self._show_state()

    def _ended(self, end: RunFinished) -> None:
        asking, self.asking = self.asking, None
        if asking is not None:
            asking.deleteLater()
        if end.outcome == "failed":
            self.notice.show_error(" ".join(filter(None, (end.message, end.hint))), end.traceback)
        self._show_state()
        if self.isVisible():
            self.composer.setFocus()

    def toggle_differences(self) -> None:
        """Mark how the two chosen answers differ, else the first two to the last question; again takes it back."""
        marked = [card.body for column in self.talk.all for turn in column.turns for card in turn.cards]
        marked = [body for body in marked if body.marked()]
        if marked:
            for body in marked:
                body.mark([])
            return
        chosen = [card.body for *_, card in self.talk.choices()]
        two = chosen if len(chosen) == 2 else [card.body for card in self.talk.newest()][:2]
        if len(two) < 2 or self.asking is not None:
            self._session.toast(self.tr("Two finished answers are needed to compare them."))
            return
        self.tokens.setChecked(False)  # the marks are in the words, not in the tokens
        spans = differences(*(body.displayed for body in two))
        if not any(spans):
            self._session.toast(self.tr("Both answers say the same."))
        for body, own in zip(two, spans, strict=True):
            body.mark(own)

    # --- keeping -------------------------------------------------------------------------------------------------

    def send_to_compare(self) -> None:
        """The two chosen answers become a pair; they must answer the same question."""
        if not self.compare.isEnabled():
            return
        chosen = self.talk.choices()
        (left, turn, a), (right, _, b) = chosen
        if keep_pair(self._session, turn, (left.ref, a), (right.ref, b), self.side.sampling.values()):
            for _, _, card in chosen:
                card.choice.setChecked(False)

    def _save_demonstration(self, card: AnswerCard) -> None:
        keep_demonstration(self._session, self._turn_of(card), card)

    def _rate(self, card: AnswerCard, liked: bool | None) -> None:
        keep_rating(self._session, self._turn_of(card), card, liked)

    def _turn_of(self, card: AnswerCard) -> Turn:
        turns = (turn for column in self.talk.all for turn in column.turns)
        return next(turn for turn in turns if card in turn.cards)

    # --- models --------------------------------------------------------------------------------------------------

    def add_column(self) -> None:
        if self.asking is None:
            self.talk.add()
            self._remember()

    def new_conversation(self) -> None:
        if self.asking is None:
            self.talk.clear()
            self.notice.clear()
            self.side.alternatives.clear()
            self._show_state()
            self.composer.setFocus()

    def refresh(self) -> None:
        """Read again which models and prompts there are."""
        has_project = self._session.project is not None
        self._stack.setCurrentIndex(0 if has_project else 1)
        self.add.setEnabled(has_project)
        if has_project:
            self.talk.refresh()
            self.openers.offer(self._session)
            self._show_state()

    def _labels_changed(self, changed: Any) -> None:
        if changed & (type(changed).MODELS | type(changed).PROMPTS):
            self.refresh()

    def _project_changed(self) -> None:
        if self.asking is not None:
            self.asking.deleteLater()
            self.asking = None
        self.talk.clear()
        self.notice.clear()
        self.refresh()

    def _take_selected(self) -> None:
        """Another model was selected elsewhere: the first column takes it, unless it is in use."""
        if self.asking is None and not any(column.ref == self._session.model for column in self.talk.all):
            self.talk.take([self._session.model])

    # --- what is shown -------------------------------------------------------------------------------------------

    def _show_state(self) -> None:
        writing = self.asking is not None
        training = next(iter(self._session.activity.kept()), None)
        chosen = self.talk.choices()
        self.talk.set_busy(writing)
        self.send.setText(self.tr("Queue") if training else self.tr("Send"))
        self.send.setEnabled(not writing and bool(self.talk.all))
        self.stop_button.setVisible(writing)
        self.again.setEnabled(self.talk.talked and not writing)
        self.fresh.setEnabled(self.talk.talked and not writing)
        self.add.setEnabled(len(self.talk.all) < MOST and not writing and self._session.project is not None)
        self.compare.setEnabled(len(chosen) == 2 and chosen[0][1].question == chosen[1][1].question)
        self.openers.setVisible(not self.talk.talked and self.openers.any)
        if training is None:
            self.notice.clear_busy()
        else:
            self.notice.show_busy(self._session, training, writing)
            if self.asking is not None:
                self.asking.say_waiting(self.tr("Waiting for the engine…"))
        self._show_sent()

    def _show_sent(self) -> None:
        """What would be sent now: the draft, or the last question while there is none."""
        if not self.talk.all or not self.side.shows_sent:
            return
        draft, column = self.composer.toPlainText(), self.talk.all[0]
        if not draft.strip() and column.turns:
            self.side.show_sent(column.turns[-1].sent)
        else:
            self.side.show_sent(assemble(self.side.framing.framing(), column.earlier(), draft))

    def _show_tokens(self, on: bool) -> None:
        self.talk.show_tokens(on)
        self.side.show_tokens(on)

    def _pick(self, token: dict[str, Any]) -> None:
        self.side.pick(token)

    # --- between sessions ----------------------------------------------------------------------------------------

    def _remember(self) -> None:
        sampling = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in self.side.sampling.values().items()
        }
        kept = {
            "models": [column.ref for column in self.talk.all],
            "framing": self.side.framing.values(),
            "sampling": sampling,
            "past": self.composer.past,
        }
        self._session.remember(MEMORY, kept)

    def _restore(self) -> None:
        kept = self._session.recall(MEMORY, {})
        self.side.framing.set_values(kept.get("framing", {}))
        self.side.sampling.set_values(kept.get("sampling", {}))
        for question in kept.get("past", []):
            self.composer.note(str(question))
        for ref in kept.get("models", [])[:MOST] or [self._session.model]:
            self.talk.add(str(ref))

    def on_hidden(self) -> None:
        self._remember()

    def on_shown(self) -> None:
        self.composer.setFocus()

    def receive(self, hints: dict[str, Any]) -> None:
        """`model` puts a model into the first column, `models` fills the columns, `prompt` the question."""
        one = [str(hints["model"])] if hints.get("model") else []
        self.talk.take([str(ref) for ref in hints.get("models", ())] or one)
        if hints.get("prompt"):
            self.composer.setPlainText(str(hints["prompt"]))

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("Add a model"), self.add_column),
            Command(self.tr("New conversation"), self.new_conversation),
            Command(self.tr("Ask again"), self.regenerate, "Ctrl+R"),
            Command(self.tr("Send two answers to Compare"), self.send_to_compare, "Ctrl+L"),
            Command(self.tr("Mark how two answers differ"), self.toggle_differences, "Ctrl+D"),
            Command(self.tr("Show tokens"), self.tokens.toggle, "Ctrl+T"),
            Command(self.tr("Show what the model is sent"), self.side.open_sent),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("Enter", self.tr("Send")),
            ("Shift+Enter", self.tr("New line")),
            ("Esc", self.tr("Stop writing")),
            ("Ctrl+R", self.tr("Ask again, with the next seed")),
            ("Ctrl+L", self.tr("Send two chosen answers to Compare")),
            ("Ctrl+D", self.tr("Mark how two answers differ, or stop")),
            ("Ctrl+T", self.tr("Show or hide tokens")),
            ("Ctrl+Up / Ctrl+Down", self.tr("Earlier and later questions")),
        ]
