"""Beside the answers: what frames a question, how answers are drawn, what is sent, and what else could be said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.data.records import Prompt
from studio.panels.playground.conversation import written_out
from studio.panels.playground.framing_form import FramingForm
from studio.panels.playground.sampling_form import SamplingForm
from studio.panels.playground.token_view import Alternatives, Token
from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel, PlainText, ghost_button

if TYPE_CHECKING:
    from studio.session import Session


class Side(QTabWidget):
    """`sent_wanted` when the page of what is sent comes up or its framing changes: answer with `show_sent`."""

    sent_wanted = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDocumentMode(True)
        self.tabBar().setDrawBase(False)
        self.setMinimumWidth(300)
        self.framing = FramingForm()
        self.sampling = SamplingForm(session)
        self.sent = PlainText(mono=True)
        self.alternatives = Alternatives()
        self._sent_page = self._made_sent_page()
        self.addTab(self.framing, self.tr("Prompt"))
        self.addTab(self.sampling, self.tr("Sampling"))
        self.addTab(self._sent_page, self.tr("Sent"))
        self.addTab(self.alternatives, self.tr("Tokens"))
        self.currentChanged.connect(lambda _: self.sent_wanted.emit())
        self.framing.changed.connect(self.sent_wanted)

    @property
    def shows_sent(self) -> bool:
        return self.currentWidget() is self._sent_page

    def open_sent(self) -> None:
        self.setCurrentWidget(self._sent_page)

    def show_sent(self, prompt: Prompt) -> None:
        self.sent.set_text(written_out(prompt))

    def mark(self, error: SpecError) -> None:
        """Show which setting does not hold."""
        self.sampling.mark(error)
        self.setCurrentWidget(self.sampling)

    def pick(self, token: Token) -> None:
        self.alternatives.show_token(token)
        self.setCurrentWidget(self.alternatives)

    def show_tokens(self, on: bool) -> None:
        self.setCurrentWidget(self.alternatives if on else self.framing)

    def _made_sent_page(self) -> QWidget:
        page = QWidget()
        copy = ghost_button(self.tr("Copy"), lambda: QGuiApplication.clipboard().setText(self.sent.text()))
        layout = QVBoxLayout(page)
        layout.setContentsMargins(S3, S3, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("What the model is sent, word for word"), tone="muted", wrap=True))
        layout.addWidget(self.sent, 1)
        layout.addWidget(copy, 0, Qt.AlignmentFlag.AlignLeft)
        return page
