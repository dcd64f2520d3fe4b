"""One answer: its text while it is written, then what is known about it and what can be done with it."""

from __future__ import annotations

from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine.contract.events import Text
from studio.panels.playground.token_view import Token, TokenView, nats
from studio.theme.tokens import S1, S2, S3
from studio.widgets import PlainLabel, PlainText, icon_button, set_tooltip


class AnswerCard(QFrame):
    """Signals: chosen() when it is ticked or not; demonstrated(card) to save it; picked(token) in the tokens view.

    rated(card, liked) when a thumb is pressed, with None when it is taken back. `rating` is the id it was saved under.
    """

    chosen = Signal()
    demonstrated = Signal(object)
    picked = Signal(dict)
    rated = Signal(object, object)

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "true")
        self.finish: str | None = None  # None while it is written, "" when it was interrupted
        self.score: float | None = None
        self.tokens: list[Token] = []
        self.title = PlainLabel(title, self, tone="muted", bold=True)
        self.body = PlainText(fit=True, most_lines=40)
        self.heat = TokenView()
        self.heat.hide()
        self.heat.picked.connect(self.picked)
        self.about = PlainLabel(self.tr("Waiting…"), tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.choice = QCheckBox(self.tr("Choose"))
        set_tooltip(self.choice, self.tr("Choose two answers to send them to Compare"))
        self.choice.toggled.connect(lambda _: self.chosen.emit())
        self.rating = ""
        self.thumbs = {
            liked: icon_button(icon, words, partial(self._thumb, liked), checkable=True)
            for liked, icon, words in (
                (True, "thumb-up-outline", self.tr("Good answer: keep it as a rating")),
                (False, "thumb-down-outline", self.tr("Bad answer: keep it as a rating")),
            )
        }
        self.copy = icon_button("content-copy", self.tr("Copy"), self._copy)
        self.save = icon_button(
            "school-outline", self.tr("Save as demonstration"), lambda: self.demonstrated.emit(self)
        )
        actions = QHBoxLayout()
        actions.setSpacing(S1)
        actions.addWidget(self.about, 1)
        for widget in (*self.thumbs.values(), self.copy, self.save, self.choice):
            widget.setEnabled(False)
            actions.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S3, S2, S2, S2)
        layout.setSpacing(S1)
        if title:
            layout.addWidget(self.title)
        layout.addWidget(self.body)
        layout.addWidget(self.heat)
        layout.addLayout(actions)
        for frame in (self.body.view, self.heat):
            frame.setFrameShape(QFrame.Shape.NoFrame)
            frame.setStyleSheet("border: none; background: transparent; padding: 0;")

    def text(self) -> str:
        return self.body.text()

    @property
    def is_chosen(self) -> bool:
        return self.choice.isChecked()

    def hear(self, said: Text) -> None:
        """Take the next piece."""
        self.tokens += said.tokens
        self.body.append(said.piece)
        if not self.heat.isHidden():
            self.heat.show_answer(self.tokens)
        if said.finish:
            self.end(said.finish)
        else:
            self.about.setText(self.tr("{0} tokens").format(len(self.tokens)))

    def end(self, finish: str) -> None:
        """The answer has ended: "eos", "length", "stop", or "" when somebody interrupted."""
        self.finish = finish
        if not self.text() and not self.tokens:
            self.about.setText(self.tr("Not written"))
        else:
            self._describe()
        ready = bool(self.text().strip())
        for widget in (*self.thumbs.values(), self.copy, self.save, self.choice):
            widget.setEnabled(ready)

    def waiting(self, text: str) -> None:
        """Say what it waits for, until the first word."""
        if self.finish is None and not self.tokens:
            self.about.setText(text)

    def take_facts(self, facts: dict[str, Any]) -> None:
        """What the run says about the finished answer."""
        self.score = facts.get("score")
        self._describe()

    def show_tokens(self, on: bool) -> None:
        self.body.setVisible(not on)
        self.heat.setVisible(on)
        if on:
            self.heat.show_answer(self.tokens)

    def _describe(self) -> None:
        ends = {
            "eos": self.tr("ended"),
            "length": self.tr("cut off"),
            "stop": self.tr("stop text"),
            "": self.tr("stopped"),
        }
        parts = [] if self.score is None else [self.tr("score {0}").format(f"{self.score:+.2f}")]
        parts.append(self.tr("{0} tok").format(len(self.tokens)))
        if self.tokens:
            mean = sum(float(token["logprob"]) for token in self.tokens) / len(self.tokens)
            parts.append(self.tr("{0} nats/tok").format(nats(mean)))
        parts.append(ends.get(self.finish or "", self.finish or ""))
        self.about.setText(" · ".join(parts))
        set_tooltip(self.about, "\n".join(parts))

    def _thumb(self, liked: bool) -> None:
        self.rated.emit(self, liked if self.thumbs[liked].isChecked() else None)

    def show_rating(self, id: str, liked: bool | None) -> None:
        """What is kept now: `liked` is None for nothing."""
        self.rating = id
        for thumb, made in self.thumbs.items():
            made.setChecked(thumb == liked)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text())
