"""The model card as it would be published, and a person's own words in its place."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from studio.theme import mono_font
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, ghost_button


class CardEditor(QWidget):
    """`show_generated(text)` fills it unless a person has changed the text; `own()` is what they wrote, or ""."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._generated = ""
        self.box = QPlainTextEdit()
        self.box.setFont(mono_font())
        self.box.setTabChangesFocus(True)
        self.box.setPlaceholderText(
            self.tr("The card is written from the facts of the run. List the files to read it before it is published.")
        )
        self.box.setAccessibleName(self.tr("Model card"))
        self.said = PlainLabel(tone="muted", wrap=True)
        self.back = ghost_button(self.tr("Back to the generated one"), self._restore)
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.said, 1)
        line.addWidget(self.back)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, S2, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(line)
        layout.addWidget(self.box, 1)
        self.box.textChanged.connect(self._tell)
        self._tell()

    def own(self) -> str:
        text = self.box.toPlainText()
        return "" if not text.strip() or text == self._generated else text

    def show_generated(self, text: str) -> None:
        kept = self.own()
        self._generated = text
        if not kept:
            self.box.setPlainText(text)
        self._tell()

    def outdate(self) -> None:
        """Other choices would make another card; what a person wrote stays."""
        if not self.own():
            self.show_generated("")

    def _restore(self) -> None:
        self.box.setPlainText(self._generated)

    def _tell(self) -> None:
        edited = bool(self.own())
        self.said.setText(
            self.tr("Your own text, published as it stands.")
            if edited
            else self.tr("Written from the facts of the run; can be edited.")
            if self._generated
            else ""
        )
        self.back.setVisible(edited and bool(self._generated))
        self.changed.emit()
