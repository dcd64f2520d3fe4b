"""A prompt and two answers, as plain text: side by side, stacked, or at the end of their conversation."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QScrollBar, QVBoxLayout, QWidget

from studio.panels.compare.differences import Span, differences
from studio.panels.compare.queue import Shown
from studio.theme.tokens import S1, S2, S3
from studio.widgets import Pill, PlainLabel, PlainText

LAYOUTS = ("side", "stacked", "conversation")


class AnswerSide(QFrame):
    """One of the two answers. Its source stays hidden."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setProperty("card", "true")
        self.name = PlainLabel(name, bold=True)
        self.words = PlainLabel(tone="muted")
        self.body = PlainText()
        bare(self.body)
        font = self.body.view.font()
        font.setPointSizeF(font.pointSizeF() * 1.1)
        self.body.view.setFont(font)
        self.body.view.setAccessibleName(name)
        self.head = QHBoxLayout()
        self.head.setSpacing(S2)
        self.head.addWidget(self.name)
        self.head.addStretch()
        self.head.addWidget(self.words)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S3, S2, S3, S2)
        layout.setSpacing(S1)
        layout.addLayout(self.head)
        layout.addWidget(self.body, 1)

    def show_text(self, text: str) -> None:
        self.body.set_text(text)
        self.body.view.verticalScrollBar().setValue(0)
        count = len(text.split())
        self.words.setText(self.tr("1 word") if count == 1 else self.tr("{0} words").format(f"{count:,}"))

    def mark(self, spans: list[Span]) -> None:
        self.body.mark(spans)

    def marked(self) -> list[str]:
        """The texts that are marked."""
        return self.body.marked()


class PromptCard(QFrame):
    """What was asked: one text, or the turns of a conversation under the names of their roles."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "true")
        self.body = PlainText(fit=True, most_lines=9)
        bare(self.body)
        self.body.view.setAccessibleName(self.tr("Prompt"))
        self.title = PlainLabel(self.tr("Prompt"), bold=True)
        self.turns = PlainLabel(tone="muted")
        self.flag = Pill(self.tr("flagged"), "warn")
        self.flag.hide()
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch()
        head.addWidget(self.turns)
        head.addWidget(self.flag)
        card = QVBoxLayout(self)
        card.setContentsMargins(S3, S2, S3, S2)
        card.setSpacing(S1)
        card.addLayout(head)
        card.addWidget(self.body, 1)

    def show_prompt(self, pair: dict[str, Any]) -> None:
        self.body.set_text(str(pair["prompt"]))
        heads = role_spans(str(pair.get("turns") or ""))
        self.body.mark([], heads)
        self.turns.setText(self.tr("{0} turns").format(len(heads)) if len(heads) > 1 else "")
        if len(heads) > 1:  # what the answers answer is at the end
            bar = self.body.view.verticalScrollBar()
            bar.setValue(bar.maximum())


class PairView(QWidget):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.top = PromptCard()
        self.prompt, self.flag = self.top.body, self.top.flag
        self.sides = (AnswerSide(self.tr("Answer 1")), AnswerSide(self.tr("Answer 2")))
        self.layout_name = "side"
        self._differences = False
        self._both = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._both.setSpacing(S3)
        for side in self.sides:
            self._both.addWidget(side, 1)
            side.body.expanded.connect(self._paint)
        self._page = QBoxLayout(QBoxLayout.Direction.TopToBottom, self)
        self._page.setContentsMargins(0, 0, 0, 0)
        self._page.setSpacing(S3)
        self._page.addWidget(self.top)
        self._page.addLayout(self._both, 1)
        scroll_together(*(side.body.view.verticalScrollBar() for side in self.sides))

    def show_pair(self, shown: Shown) -> None:
        self.top.show_prompt(shown.pair)
        for side, text in zip(self.sides, shown.texts, strict=True):
            side.show_text(text)
        self._paint()

    def arrange(self, name: str) -> None:
        """One of LAYOUTS: "side", "stacked", or "conversation" with what came before on the left."""
        self.layout_name = name if name in LAYOUTS else "side"
        talk = self.layout_name == "conversation"
        ways = QBoxLayout.Direction
        self._page.setDirection(ways.LeftToRight if talk else ways.TopToBottom)
        self._page.setStretch(0, 1 if talk else 0)
        self._both.setDirection(ways.LeftToRight if self.layout_name == "side" else ways.TopToBottom)
        self.prompt.set_fit(not talk)

    def show_differences(self, on: bool) -> None:
        self._differences = on
        self._paint()

    def show_marks(self, on: bool) -> None:
        for body in (self.prompt, *(side.body for side in self.sides)):
            body.show_marks(on)

    def scroll_on(self, pages: float) -> None:
        """Move both answers on by so much of what is seen."""
        bar = max((side.body.view.verticalScrollBar() for side in self.sides), key=QScrollBar.maximum)
        bar.setValue(bar.value() + round(pages * max(1, bar.pageStep())))

    def _paint(self) -> None:
        spans: tuple[list[Span], list[Span]] = ([], [])
        if self._differences:
            spans = differences(*(side.body.displayed for side in self.sides))
        for side, own in zip(self.sides, spans, strict=True):
            side.mark(own)


def scroll_together(left: QScrollBar, right: QScrollBar) -> None:
    """Whichever is moved, the other follows as far as it goes; a short one does not hold a long one back."""
    going: list[bool] = []

    def follow(other: QScrollBar, value: int) -> None:
        if not going:
            going.append(True)
            other.setValue(value)
            going.clear()

    left.valueChanged.connect(lambda value: follow(right, value))
    right.valueChanged.connect(lambda value: follow(left, value))


def role_spans(turns: str) -> list[Span]:
    """Where the names of the roles stand in a prompt that `pack_prompt` has written as one text."""
    try:
        told = json.loads(turns) if turns else []
        sizes = [(len(str(turn["role"])) + 1, len(str(turn["content"]))) for turn in told]
    except (ValueError, KeyError, TypeError):
        return []
    spans, at = [], 0
    for head, content in sizes:
        spans.append((at, at + head))
        at += head + 1 + content + 2  # "Role: content", and an empty line
    return spans


def bare(text: PlainText) -> None:
    """Without a frame of its own, in a card."""
    text.view.setFrameShape(QFrame.Shape.NoFrame)
    text.view.setStyleSheet("border: none; background: transparent; padding: 0;")
    text.view.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
