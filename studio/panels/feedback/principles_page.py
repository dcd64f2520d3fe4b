"""The project's principles: read, reworded, added, deleted and put in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QListWidget, QPlainTextEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.judging.constitution import STARTER, Principle, read_constitution, write_constitution
from studio.session import sentence
from studio.theme.tokens import S2, S4
from studio.widgets import Card, PlainLabel, button, icon_button, primary_button

if TYPE_CHECKING:
    from studio.session import Session


class PrinciplesPage(QWidget):
    """Signal: changed() once other principles are in the project's file."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.principles: list[Principle] = []
        self.list = QListWidget()
        self.list.setAccessibleName(self.tr("Principles"))
        self.list.currentRowChanged.connect(self._show)
        self.name = QLineEdit()
        self.judge, self.critique, self.revise = QPlainTextEdit(), QPlainTextEdit(), QPlainTextEdit()
        self.said = PlainLabel(wrap=True)
        self.save_button = primary_button(self.tr("Save"), self.save, icon="content-save-outline")
        left = Card(self.tr("Principles"))
        left.add_action(icon_button("plus", self.tr("Add a principle"), self.add))
        left.add_action(icon_button("arrow-up", self.tr("Move up"), lambda: self.move_by(-1)))
        left.add_action(icon_button("arrow-down", self.tr("Move down"), lambda: self.move_by(1)))
        left.add_action(icon_button("delete-outline", self.tr("Delete"), self.delete))
        left.add(self.list, 1)
        left.add(button(self.tr("Back to the starter set"), self.starter, icon="backup-restore"))
        right = Card(self.tr("Wording"))
        parts: list[tuple[str, QWidget]] = [
            (self.tr("Name"), self.name),
            (self.tr("Which of two answers is better"), self.judge),
            (self.tr("What to criticise"), self.critique),
            (self.tr("How to revise"), self.revise),
        ]
        for text, editor in parts:
            label = PlainLabel(text, tone="muted")
            label.setBuddy(editor)
            editor.setAccessibleName(text)
            if isinstance(editor, QPlainTextEdit):
                editor.setTabChangesFocus(True)
            right.add(label)
            right.add(editor, int(isinstance(editor, QPlainTextEdit)))
        foot = QHBoxLayout()
        foot.setSpacing(S2)
        foot.addWidget(self.said, 1)
        foot.addWidget(self.save_button, 0, Qt.AlignmentFlag.AlignTop)
        right.body.addLayout(foot)
        inner = QVBoxLayout()
        inner.addWidget(right)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S4)
        layout.addWidget(left, 2)
        layout.addLayout(inner, 5)

    def refresh(self) -> None:
        """Read the project's file again."""
        if self._session.root is None:
            self._fill([], 0)
            return
        try:
            self._fill(list(read_constitution(self._session.root)), max(0, self.list.currentRow()))
            self._say("")
        except EngineError as error:
            self._fill([], 0)
            self._say(sentence(error), "bad")

    def add(self) -> None:
        """Begin a new principle with the starter's wording of helpfulness, to be reworded."""
        names = {principle.name for principle in self.principles}
        number = 1
        while (name := self.tr("principle {0}").format(number)) in names:
            number += 1
        first = STARTER[0]
        new = Principle(name, first.judge, first.critique, first.revise)
        self._keep([*self.principles, new], len(self.principles))
        self.name.setFocus()
        self.name.selectAll()

    def delete(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self.principles):
            self._keep([*self.principles[:row], *self.principles[row + 1 :]], max(0, row - 1))

    def move_by(self, places: int) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self.principles) and 0 <= row + places < len(self.principles):
            moved = list(self.principles)
            moved.insert(row + places, moved.pop(row))
            self._keep(moved, row + places)

    def starter(self) -> None:
        """The starter set comes back; principles of one's own stay behind it."""
        names = {principle.name for principle in STARTER}
        self._keep([*STARTER, *(one for one in self.principles if one.name not in names)], 0)

    def save(self) -> None:
        row = self.list.currentRow()
        if 0 <= row < len(self.principles):
            new = list(self.principles)
            new[row] = Principle(
                self.name.text().strip(),
                self.judge.toPlainText().strip(),
                self.critique.toPlainText().strip(),
                self.revise.toPlainText().strip(),
            )
            self._keep(new, row)

    def _keep(self, principles: list[Principle], row: int) -> None:
        """Into the file, and on screen; or neither, with the reason."""
        if self._session.root is None:
            return
        try:
            write_constitution(self._session.root, principles)
        except EngineError as error:
            self._say(sentence(error), "bad")
            return
        self._fill(principles, row)
        self._say(self.tr("Saved."), "good")
        self.changed.emit()

    def _fill(self, principles: list[Principle], row: int) -> None:
        self.principles = principles
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([principle.name for principle in principles])
        self.list.setCurrentRow(min(row, len(principles) - 1))
        self.list.blockSignals(False)
        self._show(self.list.currentRow())

    def _show(self, row: int) -> None:
        there = 0 <= row < len(self.principles)
        one = self.principles[row] if there else Principle("", "", "", "")
        self.name.setText(one.name)
        for editor, text in ((self.judge, one.judge), (self.critique, one.critique), (self.revise, one.revise)):
            editor.setPlainText(text)
            editor.setEnabled(there)
        self.name.setEnabled(there)
        self.save_button.setEnabled(there)

    def _say(self, text: str, tone: str = "") -> None:
        self.said.set_tone(tone)
        self.said.setText(text)
