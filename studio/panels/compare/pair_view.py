"""A prompt and two answers side by side, as plain text, scrolled together."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from studio.panels.compare.differences import Span, differences
from studio.panels.compare.queue import Shown
from studio.theme.tokens import S1, S2, S3
from studio.widgets import Pill, PlainLabel, PlainText


class AnswerSide(QFrame):
    """One of the two answers. Its source stays hidden."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setProperty("card", "true")
        self.name = PlainLabel(name, bold=True)
        self.words = PlainLabel(tone="muted")
        self.body = PlainText()
        self.body.view.setFrameShape(QFrame.Shape.NoFrame)
        self.body.view.setStyleSheet("border: none; background: transparent; padding: 0;")
        self.body.view.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        font = self.body.view.font()
        font.setPointSizeF(font.pointSizeF() * 1.1)
        self.body.view.setFont(font)
        self.body.view.setAccessibleName(name)
        head = QHBoxLayout()
        head.addWidget(self.name)
        head.addStretch()
        head.addWidget(self.words)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S3, S2, S3, S2)
        layout.setSpacing(S1)
        layout.addLayout(head)
        layout.addWidget(self.body, 1)

    def show_text(self, text: str) -> None:
        self.body.set_text(text)
        self.body.view.verticalScrollBar().setValue(0)
        self.words.setText(self.tr("{0} words").format(f"{len(text.split()):,}"))

    def mark(self, spans: list[Span]) -> None:
        self.body.mark(spans)

    def marked(self) -> list[str]:
        """The texts that are marked."""
        return self.body.marked()


class PairView(QWidget):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.prompt = PlainText(fit=True, most_lines=9)
        self.prompt.view.setFrameShape(QFrame.Shape.NoFrame)
        self.prompt.view.setStyleSheet("border: none; background: transparent; padding: 0;")
        self.prompt.view.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.prompt.view.setAccessibleName(self.tr("Prompt"))
        self.flag = Pill(self.tr("flagged"), "warn")
        self.flag.hide()
        self.sides = (AnswerSide(self.tr("Answer 1")), AnswerSide(self.tr("Answer 2")))
        self._differences = False
        top = QFrame()
        top.setProperty("card", "true")
        head = QHBoxLayout()
        head.addWidget(PlainLabel(self.tr("Prompt"), bold=True))
        head.addStretch()
        head.addWidget(self.flag)
        card = QVBoxLayout(top)
        card.setContentsMargins(S3, S2, S3, S2)
        card.setSpacing(S1)
        card.addLayout(head)
        card.addWidget(self.prompt)
        both = QHBoxLayout()
        both.setSpacing(S3)
        for side in self.sides:
            both.addWidget(side, 1)
            side.body.expanded.connect(self._paint)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(top)
        layout.addLayout(both, 1)
        left, right = (side.body.view.verticalScrollBar() for side in self.sides)
        left.valueChanged.connect(right.setValue)
        right.valueChanged.connect(left.setValue)

    def show_pair(self, shown: Shown) -> None:
        self.prompt.set_text(str(shown.pair["prompt"]))
        for side, text in zip(self.sides, shown.texts, strict=True):
            side.show_text(text)
        self._paint()

    def show_differences(self, on: bool) -> None:
        self._differences = on
        self._paint()

    def _paint(self) -> None:
        spans: tuple[list[Span], list[Span]] = ([], [])
        if self._differences:
            spans = differences(*(side.body.displayed for side in self.sides))
        for side, own in zip(self.sides, spans, strict=True):
            side.mark(own)
