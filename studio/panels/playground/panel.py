"""Asking one to four models the same thing, seeing them write, and keeping what is worth keeping."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedLayout, QTabWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.contract.events import RunFinished
from rlhf_engine.tasks.generate.spec import GenerateSpec
from studio.commands import Command
from studio.panels.playground.answer_card import AnswerCard
from studio.panels.playground.asking import Asking
from studio.panels.playground.column import Column, Turn
from studio.panels.playground.composer import Composer
from studio.panels.playground.conversation import assemble, written_out
from studio.panels.playground.framing_form import FramingForm
from studio.panels.playground.keeping import keep_demonstration, keep_pair
from studio.panels.playground.notice import Notice, Openers
from studio.panels.playground.sampling_form import SamplingForm
from studio.panels.playground.token_view import Alternatives
from studio.session import Session, sentence
from studio.theme.tokens import S2, S3, S4, S6
from studio.widgets import (
    EmptyState,
    PanelHeader,
    PlainLabel,
    PlainText,
    button,
    ghost_button,
    primary_button,
)

MOST = 4  # models beside each other
LETTERS = "ABCD"
MEMORY = "playground"


class PlaygroundPanel(QWidget):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.columns: list[Column] = []
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
        self._columns = QHBoxLayout()
        self._columns.setSpacing(S3)
        self.openers = Openers(self.ask)
        self.notice = Notice()
        self.composer = Composer()
        self.composer.setPlaceholderText(self.tr("Ask something. Enter sends, Shift+Enter begins a new line"))
        self.composer.sent.connect(self.ask)
        self.composer.textChanged.connect(self._show_prompt)
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
        left.addLayout(self._columns, 1)
        left.addWidget(self.openers)
        left.addWidget(self.notice)
        left.addWidget(self.composer)
        left.addLayout(buttons)

        self.framing = FramingForm()
        self.framing.changed.connect(self._show_prompt)
        self.sampling = SamplingForm(self._session)
        self.seen = PlainText(mono=True)
        self.alternatives = Alternatives()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(self.framing, self.tr("Prompt"))
        self.tabs.addTab(self.sampling, self.tr("Sampling"))
        self.tabs.addTab(self._seen_page(), self.tr("Sent"))
        self.tabs.addTab(self.alternatives, self.tr("Tokens"))
        self.tabs.setMinimumWidth(300)
        self.tabs.currentChanged.connect(lambda _: self._show_prompt())
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.addWidget(main)
        self.splitter.addWidget(self.tabs)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setSizes([800, 320])
        self.page = QWidget()
        page = QVBoxLayout(self.page)
        page.setContentsMargins(S6, 0, S6, S4)
        page.addWidget(self.splitter)
        self.empty = EmptyState(
            "message-text-outline",
            self.tr("Open a project to talk to its models."),
            (self.tr("Go to Home"), lambda: self._session.go("home")),
        )
        self._stack = QStackedLayout()
        self._stack.addWidget(self.page)
        self._stack.addWidget(self.empty)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(header)
        layout.addLayout(self._stack, 1)

    def _seen_page(self) -> QWidget:
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(S3, S3, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("What the model is sent, word for word"), tone="muted", wrap=True))
        layout.addWidget(self.seen, 1)
        layout.addWidget(
            ghost_button(self.tr("Copy"), lambda: QGuiApplication.clipboard().setText(self.seen.text())),
            0,
            Qt.AlignmentFlag.AlignLeft,
        )
        return page

    # --- asking --------------------------------------------------------------------------------------------------

    def ask(self, question: str) -> None:
        """Send a question to every column."""
        if self.asking is not None or not question.strip() or not self.columns:
            return
        self._send(question)

    def regenerate(self) -> None:
        """Ask the last question again with the next seed."""
        if self.asking is not None or not any(column.turns for column in self.columns):
            return
        question = next(column.turns[-1].question for column in self.columns if column.turns)
        seed = self.sampling.editors["seed"]
        seed.set_value((int(seed.value()) + 1) % 2**31)
        for column in self.columns:
            if column.turns and column.turns[-1].question == question:
                column.drop_last()
        self._send(question)

    def stop(self) -> None:
        if self.asking is not None:
            self.asking.stop()

    def _send(self, question: str) -> None:
        framing = self.framing.framing()
        prompts = [assemble(framing, column.earlier(), question) for column in self.columns]
        shared = all(prompt == prompts[0] for prompt in prompts)
        try:
            spec = GenerateSpec(
                models=tuple(column.ref for column in self.columns),
                prompts=(prompts[0],) if shared else tuple(prompts),
                own_prompts=not shared,
                template="auto" if framing.chat else "plain",
                device=self._session.settings.device,
                **self.sampling.values(),
            )
        except SpecError as error:
            self.sampling.mark(error)
            self.tabs.setCurrentWidget(self.sampling)
            return
        cards = []
        for column, prompt in zip(self.columns, prompts, strict=True):
            bare = assemble(framing.bare, column.earlier(), question)
            cards += [(column, card) for card in column.begin(question, prompt, bare, spec.samples)]
        self.notice.clear()
        try:
            self.asking = Asking(self._session, spec, cards, self)
        except EngineError as error:
            for column in self.columns:
                column.drop_last()
            self.notice.show_error(sentence(error))
            return
        self.asking.said.connect(self.notice.show_warning)
        self.asking.ended.connect(self._ended)
        self.composer.note(question)
        self._remember()
        self._show_state()

    def _ended(self, end: RunFinished) -> None:
        asking, self.asking = self.asking, None
        if asking is not None:
            asking.deleteLater()
        if end.outcome == "failed":
            self.notice.show_error(" ".join(filter(None, (end.message, end.hint))), end.traceback)
        self._show_state()
        self.composer.setFocus()

    # --- keeping -------------------------------------------------------------------------------------------------

    def chosen(self) -> list[tuple[Column, Turn, AnswerCard]]:
        """The ticked answers, column by column."""
        return [
            (column, turn, card)
            for column in self.columns
            for turn in column.turns
            for card in turn.cards
            if card.is_chosen
        ]

    def send_to_compare(self) -> None:
        chosen = self.chosen()
        if self.compare.isEnabled():
            (left, turn, a), (right, _, b) = chosen
            settings = self.sampling.values()
            if keep_pair(self._session, turn, (left.ref, a), (right.ref, b), settings):
                for _, _, card in chosen:
                    card.choice.setChecked(False)

    def _save_demonstration(self, card: AnswerCard) -> None:
        for column in self.columns:
            for turn in column.turns:
                if card in turn.cards:
                    keep_demonstration(self._session, turn, card)

    # --- columns -------------------------------------------------------------------------------------------------

    def add_column(self, ref: str = "") -> Column | None:
        if len(self.columns) == MOST:
            return None
        column = Column(LETTERS[len(self.columns)])
        column.model_changed.connect(self._remember)
        column.removed.connect(self.remove_column)
        column.chosen.connect(self._show_state)
        column.demonstrated.connect(self._save_demonstration)
        column.picked.connect(self._pick)
        column.show_tokens(self.tokens.isChecked())
        self.columns.append(column)
        self._columns.addWidget(column, 1)
        choices = [choice for choice in self._session.models() if choice.kind != "reward"]
        used = {other.ref for other in self.columns}
        fresh = next((choice.ref for choice in reversed(choices) if choice.ref not in used), "")
        column.offer(choices, ref or fresh)
        self._show_state()
        return column

    def remove_column(self, column: Column) -> None:
        if len(self.columns) > 1 and self.asking is None:
            self.columns.remove(column)
            column.hide()
            column.deleteLater()
            for letter, left in zip(LETTERS, self.columns, strict=False):
                left.letter.setText(letter)
            self._remember()
            self._show_state()

    def new_conversation(self) -> None:
        if self.asking is None:
            for column in self.columns:
                column.clear()
            self.notice.clear()
            self.alternatives.clear()
            self._show_state()
            self.composer.setFocus()

    def refresh(self) -> None:
        """Read again which models there are."""
        has_project = self._session.project is not None
        self._stack.setCurrentIndex(0 if has_project else 1)
        self.add.setEnabled(has_project)
        if not has_project:
            return
        choices = [choice for choice in self._session.models() if choice.kind != "reward"]
        for column in self.columns:
            column.offer(choices, self._session.model)
        self.openers.offer(self._session)
        self._show_state()

    def _labels_changed(self, changed: Any) -> None:
        if changed & (type(changed).MODELS | type(changed).PROMPTS):
            self.refresh()

    def _project_changed(self) -> None:
        self.asking = None
        for column in self.columns:
            column.clear()
            column.model.clear()
        self.notice.clear()
        self.refresh()

    def _take_selected(self) -> None:
        """Another model was selected elsewhere: the first column takes it, unless it is in use."""
        if self.columns and self.asking is None and not any(c.ref == self._session.model for c in self.columns):
            index = self.columns[0].model.findData(self._session.model)
            if index >= 0:
                self.columns[0].model.setCurrentIndex(index)

    # --- what is shown -------------------------------------------------------------------------------------------

    def _show_state(self) -> None:
        writing = self.asking is not None
        talked = any(column.turns for column in self.columns)
        training = next((going for going in self._session.activity.kept()), None)
        self.send.setText(self.tr("Queue") if training else self.tr("Send"))
        self.send.setEnabled(not writing and bool(self.columns))
        self.stop_button.setVisible(writing)
        self.again.setEnabled(talked and not writing)
        self.fresh.setEnabled(talked and not writing)
        self.add.setEnabled(len(self.columns) < MOST and not writing and self._session.project is not None)
        chosen = self.chosen()
        apart = len(chosen) == 2 and chosen[0][1].question == chosen[1][1].question
        self.compare.setEnabled(apart)
        self.openers.setVisible(not talked and self.openers.any)
        for column in self.columns:
            column.model.setEnabled(not writing)
            column.close_button.setVisible(len(self.columns) > 1)
            column.close_button.setEnabled(not writing)
        if training:
            self.notice.show_busy(self._session, training, writing)
        else:
            self.notice.clear_busy()
        if training and self.asking is not None:
            for column in self.columns:
                for card in column.turns[-1].cards if column.turns else []:
                    card.waiting(self.tr("Waiting for the engine…"))
        self._show_prompt()

    def _show_prompt(self) -> None:
        """What would be sent now: the draft, or the last question while there is none."""
        if not self.columns or self.tabs.currentIndex() != 2:
            return
        draft = self.composer.toPlainText()
        column = self.columns[0]
        if not draft.strip() and column.turns:
            self.seen.set_text(written_out(column.turns[-1].sent))
        else:
            self.seen.set_text(written_out(assemble(self.framing.framing(), column.earlier(), draft)))

    def _show_tokens(self, on: bool) -> None:
        for column in self.columns:
            column.show_tokens(on)
        self.tabs.setCurrentWidget(self.alternatives if on else self.framing)

    def _pick(self, token: dict[str, Any]) -> None:
        self.alternatives.show_token(token)
        self.tabs.setCurrentWidget(self.alternatives)

    # --- between sessions ----------------------------------------------------------------------------------------

    def _remember(self) -> None:
        self._session.remember(
            MEMORY,
            {
                "models": [column.ref for column in self.columns],
                "framing": self.framing.values(),
                "sampling": {name: _plain(value) for name, value in self.sampling.values().items()},
                "past": self.composer.past,
            },
        )

    def _restore(self) -> None:
        kept = self._session.recall(MEMORY, {})
        self.framing.set_values(kept.get("framing", {}))
        self.sampling.set_values(kept.get("sampling", {}))
        for question in kept.get("past", []):
            self.composer.note(str(question))
        for ref in kept.get("models", [])[:MOST] or [self._session.model]:
            self.add_column(str(ref))

    def on_hidden(self) -> None:
        self._remember()

    def on_shown(self) -> None:
        self.composer.setFocus()

    def receive(self, hints: dict[str, Any]) -> None:
        """`model` puts a model into the first column, `models` fills the columns, `prompt` the question."""
        refs = list(hints.get("models", [])) or ([hints["model"]] if hints.get("model") else [])
        for number, ref in enumerate(refs[:MOST]):
            column = self.columns[number] if number < len(self.columns) else self.add_column(ref)
            if column is not None:
                column.model.setCurrentIndex(column.model.findData(ref))
        if hints.get("prompt"):
            self.composer.setPlainText(str(hints["prompt"]))

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("Add a model"), self.add_column),
            Command(self.tr("New conversation"), self.new_conversation),
            Command(self.tr("Ask again"), self.regenerate, "Ctrl+R"),
            Command(self.tr("Send two answers to Compare"), self.send_to_compare, "Ctrl+L"),
            Command(self.tr("Show tokens"), self.tokens.toggle, "Ctrl+T"),
        ]

    def keys(self) -> list[tuple[str, str]]:
        return [
            ("Enter", self.tr("Send")),
            ("Shift+Enter", self.tr("New line")),
            ("Esc", self.tr("Stop writing")),
            ("Ctrl+R", self.tr("Ask again, with the next seed")),
            ("Ctrl+L", self.tr("Send two chosen answers to Compare")),
            ("Ctrl+T", self.tr("Show or hide tokens")),
            ("Ctrl+Up / Ctrl+Down", self.tr("Earlier and later questions")),
        ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
