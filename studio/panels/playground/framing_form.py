"""What is put around a question: chat or plain text, a system text, worked examples, and a nudge to think."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFrame,
    QHBoxLayout,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.panels.playground.conversation import STEP_BY_STEP, Exchange, Framing
from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel, ghost_button, icon_button, set_tooltip


class _Box(QPlainTextEdit):
    """A small text field of some lines; Tab leaves it."""

    def __init__(self, placeholder: str, name: str, height: int) -> None:
        super().__init__()
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(name)
        self.setTabChangesFocus(True)
        self.setFixedHeight(height)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # Esc stops an answer, wherever the cursor is
        if event.key() == Qt.Key.Key_Escape:
            event.ignore()
        else:
            super().keyPressEvent(event)


class ExampleRow(QFrame):
    """One worked example: question and answer."""

    changed = Signal()
    removed = Signal(object)

    def __init__(self, example: Exchange | None = None) -> None:
        super().__init__()
        self.setProperty("card", "true")
        self.question = _Box(self.tr("Question"), self.tr("Question of the example"), 52)
        self.answer = _Box(self.tr("Answer"), self.tr("Answer of the example"), 52)
        if example is not None:
            self.question.setPlainText(example.question)
            self.answer.setPlainText(example.answer)
        for box in (self.question, self.answer):
            box.textChanged.connect(self.changed)
        remove = icon_button("close", self.tr("Remove this example"), lambda: self.removed.emit(self))
        boxes = QVBoxLayout()
        boxes.setSpacing(S2)
        boxes.addWidget(self.question)
        boxes.addWidget(self.answer)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(S2, S2, 2, S2)
        layout.setSpacing(2)
        layout.addLayout(boxes, 1)
        layout.addWidget(remove, 0, Qt.AlignmentFlag.AlignTop)

    def example(self) -> Exchange:
        return Exchange(self.question.toPlainText(), self.answer.toPlainText())


class FramingForm(QScrollArea):
    """`framing()` and `set_values(values())`; `changed` whenever another prompt would be sent."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.chat = self._mode(self.tr("Chat"), self.tr("Turns, in the model's own chat template"))
        self.plain = self._mode(self.tr("Plain text"), self.tr("One text as it is, which the model carries on"))
        self.chat.setChecked(True)
        modes = QButtonGroup(self)
        modes.addButton(self.chat)
        modes.addButton(self.plain)
        self.system = _Box(self.tr("None"), self.tr("System text"), 68)
        self.step_by_step = QCheckBox(self.tr("Think step by step"))
        set_tooltip(self.step_by_step, self.tr("Adds “{0}”").format(STEP_BY_STEP))
        self.rows: list[ExampleRow] = []
        self._rows = QVBoxLayout()
        self._rows.setSpacing(S2)
        self.add = ghost_button(self.tr("Add an example"), self.add_example, icon="plus")

        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(S3, S3, S3, S3)
        layout.setSpacing(S2)
        mode_row = QHBoxLayout()
        mode_row.setSpacing(S2)
        mode_row.addWidget(self.chat, 1)
        mode_row.addWidget(self.plain, 1)
        layout.addWidget(PlainLabel(self.tr("Mode"), tone="muted"))
        layout.addLayout(mode_row)
        layout.addSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("System text"), tone="muted"))
        layout.addWidget(self.system)
        layout.addSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("Examples, before every question"), tone="muted"))
        layout.addLayout(self._rows)
        layout.addWidget(self.add, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("Chain of thought"), tone="muted"))
        layout.addWidget(self.step_by_step)
        layout.addStretch(1)
        self.setWidget(inside)
        self.chat.toggled.connect(lambda _: self.changed.emit())
        self.system.textChanged.connect(self.changed)
        self.step_by_step.toggled.connect(lambda _: self.changed.emit())

    def framing(self) -> Framing:
        return Framing(
            self.chat.isChecked(),
            self.system.toPlainText(),
            tuple(row.example() for row in self.rows),
            self.step_by_step.isChecked(),
        )

    def add_example(self, example: Exchange | None = None) -> ExampleRow:
        row = ExampleRow(example)
        row.changed.connect(self.changed)
        row.removed.connect(self._remove)
        self.rows.append(row)
        self._rows.addWidget(row)
        if example is None:
            row.question.setFocus()
        self.changed.emit()
        return row

    def values(self) -> dict[str, Any]:
        """For keeping across restarts."""
        framing = self.framing()
        examples = [[example.question, example.answer] for example in framing.examples]
        return {
            "chat": framing.chat,
            "system": framing.system,
            "examples": examples,
            "step_by_step": framing.step_by_step,
        }

    def set_values(self, values: dict[str, Any]) -> None:
        (self.chat if values.get("chat", True) else self.plain).setChecked(True)
        self.system.setPlainText(str(values.get("system", "")))
        self.step_by_step.setChecked(bool(values.get("step_by_step", False)))
        for row in list(self.rows):
            self._remove(row)
        for question, answer in values.get("examples", []):
            self.add_example(Exchange(str(question), str(answer)))

    def _remove(self, row: ExampleRow) -> None:
        self.rows.remove(row)
        self._rows.removeWidget(row)
        row.hide()
        row.deleteLater()
        self.changed.emit()

    def _mode(self, text: str, tip: str) -> QPushButton:
        made = QPushButton(text)
        made.setCheckable(True)
        made.setAutoDefault(False)
        set_tooltip(made, tip)
        return made
