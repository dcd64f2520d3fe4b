"""Writing the better answer oneself: an editor that begins with one of the two and saves a demonstration."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QWidget

from studio.panels.compare.queue import Shown
from studio.theme.tokens import S2
from studio.widgets import Card, PlainLabel, button, primary_button


class EditCard(Card):
    """`saved(text)` and `closed()`. Esc is the panel's: two of one key around the cursor would both be silent."""

    saved = Signal(str)
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Write the answer you would rather have"), parent)
        self._texts = ("", "")
        self.first = button(self.tr("Begin with answer 1"), lambda: self.begin_with(0))
        self.second = button(self.tr("Begin with answer 2"), lambda: self.begin_with(1))
        for made in (self.first, self.second):
            self.add_action(made)
        self.box = QPlainTextEdit()
        self.box.setTabChangesFocus(True)
        self.box.setAccessibleName(self.tr("Answer"))
        self.box.textChanged.connect(self._check)
        self.add(self.box, 1)
        self.about = PlainLabel(
            self.tr("It becomes a demonstration; the pair still waits for your verdict."), tone="muted"
        )
        self.save = primary_button(self.tr("Save demonstration   Ctrl+Enter"), self._save)
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addWidget(self.about, 1)
        row.addWidget(button(self.tr("Close   Esc"), self.closed.emit))
        row.addWidget(self.save)
        self.body.addLayout(row)
        inside = Qt.ShortcutContext.WidgetWithChildrenShortcut
        QShortcut(QKeySequence("Ctrl+Return"), self, context=inside).activated.connect(self._save)
        QShortcut(QKeySequence("Ctrl+Enter"), self, context=inside).activated.connect(self._save)

    def open(self, shown: Shown) -> None:
        self._texts = shown.texts
        self.begin_with(0)
        self.show()
        self.box.setFocus()

    def begin_with(self, side: int) -> None:
        self.box.setPlainText(self._texts[side])
        self.box.moveCursor(self.box.textCursor().MoveOperation.End)
        self.box.setFocus()

    def _check(self) -> None:
        self.save.setEnabled(bool(self.box.toPlainText().strip()))

    def _save(self) -> None:
        if self.save.isEnabled():
            self.saved.emit(self.box.toPlainText())
