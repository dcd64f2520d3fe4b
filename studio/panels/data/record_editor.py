"""Writing a record: a new one, or an old one anew. Nothing is overwritten; what is saved takes the old one's place."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLineEdit, QPlainTextEdit, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.data.records import Prompt, turns_of, unpack_prompt
from studio.forms import Combo
from studio.panels.data.words import LIKED, ROLES, STRENGTHS, WINNERS, word
from studio.theme.tokens import S1, S2, S3
from studio.widgets import PlainLabel, button, ghost_button, icon_button, primary_button

Row = dict[str, Any]


class RecordEditor(QWidget):
    """`begin(kind, row)`; row None is a new record. `values()` are the fields as `Labels` takes them.

    Signals: saved() when the person is done, cancelled() when they are not.
    """

    saved = Signal()
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = "prompts"
        self.row: Row | None = None
        self.title = PlainLabel(bold=True)
        self.prompt = PromptEditor()
        self.completion = _text_box(self.tr("Answer"))
        self.a, self.b = _text_box(self.tr("Answer A")), _text_box(self.tr("Answer B"))
        self.winner, self.strength = Combo(), Combo()
        for key in ("a", "b", "tie", "both_bad"):
            self.winner.addItem(word(WINNERS[key]), key)
        for degree, text in STRENGTHS.items():
            self.strength.addItem(word(text), degree)
        self.liked = Combo()
        for liked, text in LIKED.items():
            self.liked.addItem(word(text), liked)
        self.comment = QLineEdit()
        self.comment.setPlaceholderText(self.tr("Comment"))
        self.winner.currentIndexChanged.connect(lambda _: self.strength.setEnabled(self.winner.currentData() in "ab"))
        self.error = PlainLabel(tone="bad", wrap=True)
        self._answers = self._block((self.tr("Answer"), self.completion))
        self._pair = self._block((self.tr("Answer A"), self.a), (self.tr("Answer B"), self.b))
        self._verdict = self._verdict_row()
        self._liking = self._liked_row()
        self.note = PlainLabel(tone="muted", wrap=True)
        self._lay_out()

    def begin(self, kind: str, row: Row | None = None) -> None:
        """Fill the editor. Of a judged pair only the verdict is edited: its answers are what was judged."""
        self.kind, self.row = kind, row
        titles = {
            "prompts": (self.tr("New prompt"), self.tr("Edit the prompt")),
            "demonstrations": (self.tr("New demonstration"), self.tr("Edit the demonstration")),
            "comparisons": (self.tr("New comparison"), self.tr("Judge again")),
            "ratings": (self.tr("New rating"), self.tr("Edit the rating")),
        }
        self.title.setText(titles[kind][row is not None])
        self.prompt.set_value(unpack_prompt(row["prompt"], row["turns"]) if row else "")
        answered = kind in ("demonstrations", "ratings")
        self.completion.setPlainText(row["completion"] if row and answered else "")
        self.liked.setCurrentIndex(self.liked.findData(bool(row["liked"]) if row and kind == "ratings" else True))
        for side, box in (("a", self.a), ("b", self.b)):
            box.setPlainText(row[side] if row and kind == "comparisons" else "")
        judged = kind == "comparisons" and row is not None
        self.winner.setCurrentIndex(max(0, self.winner.findData(row["winner"] if row and judged else "a")))
        self.strength.setCurrentIndex(self.strength.findData(row["strength"] if row and judged else 2))
        self.comment.setText(row.get("comment", "") if row else "")
        self._answers.setVisible(answered)
        self._liking.setVisible(kind == "ratings")
        self._pair.setVisible(kind == "comparisons")
        self._verdict.setVisible(kind == "comparisons")
        for widget in (self.a, self.b):
            widget.setReadOnly(judged)
        self.prompt.set_read_only(judged)
        self.note.setText(
            self.tr("The old version stays on record and is replaced by this one.") if row else self.tr("Source: human")
        )
        self.error.hide()
        (self.winner if judged else self.prompt).setFocus()

    def values(self) -> dict[str, Any]:
        verdict = {
            "winner": self.winner.currentData(),
            "strength": self.strength.currentData(),
            "comment": self.comment.text(),
        }
        if self.kind == "comparisons":
            if self.row is not None:
                return verdict
            texts = {"a": self.a.toPlainText(), "b": self.b.toPlainText()}
            return {"prompt": self.prompt.value(), **texts, **verdict}
        values: dict[str, Any] = {"prompt": self.prompt.value()}
        if self.kind in ("demonstrations", "ratings"):
            values["completion"] = self.completion.toPlainText()
        if self.kind == "ratings":
            values["liked"] = self.liked.currentData()
        return values

    def show_error(self, text: str) -> None:
        self.error.setText(text)
        self.error.show()

    def _lay_out(self) -> None:
        inside = QWidget()
        inside.setObjectName("plain")
        fields = QVBoxLayout(inside)
        fields.setContentsMargins(0, 0, S2, 0)
        fields.setSpacing(S3)
        for widget in (self.prompt, self._answers, self._liking, self._pair, self._verdict):
            fields.addWidget(widget)
        fields.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(inside)
        self.save = primary_button(self.tr("Save"), self.saved.emit, tip=self.tr("Ctrl+Enter"))
        buttons = QHBoxLayout()
        buttons.setSpacing(S2)
        buttons.addWidget(self.save)
        buttons.addWidget(button(self.tr("Cancel"), self.cancelled.emit))
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(self.title)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.error)
        layout.addWidget(self.note)
        layout.addLayout(buttons)
        for keys, signal in (("Ctrl+Return", self.saved), ("Esc", self.cancelled)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(signal)

    def _block(self, *fields: tuple[str, QPlainTextEdit]) -> QWidget:
        block = QWidget()
        layout = QVBoxLayout(block)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        for title, box in fields:
            layout.addWidget(PlainLabel(title, tone="muted"))
            layout.addWidget(box)
        return block

    def _liked_row(self) -> QWidget:
        block = QWidget()
        layout = QVBoxLayout(block)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addWidget(PlainLabel(self.tr("Verdict"), tone="muted"))
        layout.addWidget(self.liked, 0, Qt.AlignmentFlag.AlignLeft)
        self.liked.setAccessibleName(self.tr("Verdict"))
        return block

    def _verdict_row(self) -> QWidget:
        block = QWidget()
        layout = QVBoxLayout(block)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addWidget(PlainLabel(self.tr("Which is better"), tone="muted"))
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.winner)
        line.addWidget(self.strength)
        line.addWidget(self.comment, 1)
        layout.addLayout(line)
        self.winner.setAccessibleName(self.tr("Which is better"))
        self.strength.setAccessibleName(self.tr("How much better"))
        return block


class PromptEditor(QWidget):
    """A question, or a conversation: turns can be added, taken away and given to another role."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.turns: list[_Turn] = []
        self._rows = QVBoxLayout()
        self._rows.setSpacing(S2)
        self.add = ghost_button(self.tr("Add a turn"), lambda: self._add(self._next_role(), ""), icon="plus")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addWidget(PlainLabel(self.tr("Prompt"), tone="muted"))
        layout.addLayout(self._rows)
        layout.addWidget(self.add, 0, Qt.AlignmentFlag.AlignLeft)
        self.set_value("")

    def value(self) -> Prompt:
        turns = [{"role": turn.role.currentData(), "content": turn.box.toPlainText()} for turn in self.turns]
        return turns[0]["content"] if len(turns) == 1 and turns[0]["role"] == "user" else turns

    def set_value(self, prompt: Prompt) -> None:
        while self.turns:
            self._remove(self.turns[-1])
        for turn in turns_of(prompt):
            self._add(turn["role"], turn["content"])

    def set_read_only(self, yes: bool) -> None:
        self.add.setVisible(not yes)
        for turn in self.turns:
            turn.box.setReadOnly(yes)
            turn.role.setEnabled(not yes)
            turn.remove.setEnabled(not yes)

    def setFocus(self) -> None:  # type: ignore[override]
        self.turns[-1].box.setFocus()

    def _next_role(self) -> str:
        return "assistant" if self.turns and self.turns[-1].role.currentData() == "user" else "user"

    def _add(self, role: str, text: str) -> None:
        turn = _Turn(role, text)
        turn.remove.clicked.connect(lambda: self._remove(turn))
        self.turns.append(turn)
        self._rows.addWidget(turn)
        self._show_roles()

    def _remove(self, turn: _Turn) -> None:
        self.turns.remove(turn)
        self._rows.removeWidget(turn)
        turn.hide()
        turn.deleteLater()
        self._show_roles()

    def _show_roles(self) -> None:
        """A single question needs no heading."""
        alone = len(self.turns) == 1 and self.turns[0].role.currentData() == "user"
        for turn in self.turns:
            turn.head.setVisible(not alone)


class _Turn(QWidget):
    def __init__(self, role: str, text: str) -> None:
        super().__init__()
        self.role = Combo()
        for key, title in ROLES.items():
            self.role.addItem(word(title), key)
        self.role.setCurrentIndex(max(0, self.role.findData(role)))
        self.role.setAccessibleName(self.tr("Role"))
        self.remove = icon_button("close", self.tr("Remove this turn"))
        self.box = _text_box(self.tr("Text of the turn"))
        self.box.setPlainText(text)
        self.head = QWidget()
        line = QHBoxLayout(self.head)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.role)
        line.addStretch()
        line.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addWidget(self.head)
        layout.addWidget(self.box)


def _text_box(name: str) -> QPlainTextEdit:
    box = QPlainTextEdit()
    box.setTabChangesFocus(True)
    box.setMinimumHeight(96)
    box.setAccessibleName(name)
    return box
