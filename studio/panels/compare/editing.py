"""Writing the better answer oneself: an editor that begins with one of the two and saves a demonstration."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QWidget

from studio.panels.compare.queue import Shown
from studio.theme.tokens import S2
from studio.widgets import Card, PlainLabel, button, primary_button
from studio.widgets.display import Display


class EditCard(Card):
    """`saved(text)`, `changed()` at every key, and `closed()`. `shown` is the pair that is written about.

    Esc is the panel's: two of one key around the cursor would both be silent.
    """

    saved = Signal(str)
    changed = Signal()
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Write the answer you would rather have"), parent)
        self.shown: Shown | None = None
        self.first = button(self.tr("Begin with answer 1"), lambda: self.begin_with(0))
        self.second = button(self.tr("Begin with answer 2"), lambda: self.begin_with(1))
        for made in (self.first, self.second):
            self.add_action(made)
        self.box = QPlainTextEdit()
        self.box.setTabChangesFocus(True)
        self.box.setAccessibleName(self.tr("Answer"))
        self.box.textChanged.connect(self._check)
        self.add(self.box, 1)
        self.about = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
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

    def open(self, shown: Shown, side: int = 0, draft: str = "") -> None:
        """Begin with what was begun before (`draft`), else with the answer on a side (0 or 1)."""
        self.shown = shown
        self._begin(draft or shown.texts[side])
        self.show()
        self.box.setFocus()

    def draft(self) -> str:
        """What has been written, if it is no longer one of the answers."""
        text = self.box.toPlainText()
        as_shown = [] if self.shown is None else [_as_edited(answer) for answer in self.shown.texts]
        return "" if text in as_shown else text

    def begin_with(self, side: int) -> None:
        if self.shown is not None:
            self._begin(self.shown.texts[side])

    def _begin(self, text: str) -> None:
        self.box.setPlainText(text)
        self.box.moveCursor(self.box.textCursor().MoveOperation.End)
        self.box.setFocus()

    def _check(self) -> None:
        text = self.box.toPlainText()
        self.save.setEnabled(bool(text.strip()))
        written = Display()
        written.add(text[:100_000])
        turned = bool(written.stand_ins())
        self.about.setText(
            self.tr("There are invisible control characters in this text; they can turn its order round.")
            if turned
            else self.tr("It becomes a demonstration; the pair still waits for your verdict.")
        )
        self.about.set_tone("warn" if turned else "muted")
        self.changed.emit()

    def _save(self) -> None:
        if self.save.isEnabled():
            self.saved.emit(self.box.toPlainText())


def _as_edited(text: str) -> str:
    """An answer as an editor gives it back: one kind of line end and of blank."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2029", "\n").replace("\xa0", " ")
