"""The keys of judging in Settings: a row for each action, each key a field that listens; what is taken is told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QKeyCombination, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QWidget

from studio.forms import Combo
from studio.panels.compare.key_words import action_words
from studio.panels.compare.keys import ACTIONS, FIVE, MEMORY, MOST, PAIRS, RANKING, THUMBS, Bindings
from studio.theme.tokens import CONTROL, S2
from studio.widgets import Card, PlainLabel, button, ghost_button

if TYPE_CHECKING:
    from studio.session import Session

_MODIFIERS = (Qt.Key.Key_Shift, Qt.Key.Key_Control, Qt.Key.Key_Alt, Qt.Key.Key_Meta, Qt.Key.Key_AltGr)


class KeyField(QPushButton):
    """Shows a key; a click makes it listen. `pressed_key(text)` is a key as QKeySequence writes it, "" for none.

    While it listens Esc leaves the key as it was, and Delete takes it away.
    """

    pressed_key = Signal(str)

    def __init__(self, what: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._key = ""
        self._what = what
        self.listening = False
        self.setAutoDefault(False)
        self.setMinimumWidth(96)
        self.clicked.connect(self.listen)

    def show_key(self, key: str) -> None:
        self._key = key
        self.listening = False
        self.setText(key or "+")
        self.setAccessibleName(self._what + (f", {key}" if key else ""))

    def listen(self) -> None:
        self.listening = True
        self.setText(self.tr("Press a key…"))
        self.setFocus()

    def event(self, event: QEvent) -> bool:
        if self.listening and event.type() in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            event.accept()  # no shortcut of the window, no Tab: this key is ours
            if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
                self._take(event)
            return True
        return super().event(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.show_key(self._key)
        super().focusOutEvent(event)

    def _take(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if key in _MODIFIERS:
            return
        self.show_key(self._key)
        if key == Qt.Key.Key_Delete and not event.modifiers():
            self.pressed_key.emit("")
        elif key != Qt.Key.Key_Escape:
            self.pressed_key.emit(written(event))


class KeysCard(Card):
    """Every change is kept at once, and heard by Compare when it is shown."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Keys for judging"), parent, icon="gesture-tap-button")
        self._session = session
        self.bindings = Bindings(session.recall(MEMORY))
        self._pending: tuple[str, int, str] | None = None
        self.preset = Combo()
        for words, name in (
            (self.tr("Left hand: 1 2 3 4 and the letters below"), "left hand"),
            (self.tr("One row: 1 to 7 from left to right, 8 for both bad"), "one row"),
            (self.tr("Right hand: U I O above J K L"), "right hand"),
            (self.tr("My own"), ""),
        ):
            self.preset.addItem(words, name)
        self.preset.setAccessibleName(self.tr("Where the hand is"))
        self.preset.activated.connect(lambda _: self._use(str(self.preset.currentData())))
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addWidget(PlainLabel(self.tr("Where the hand is")))
        row.addWidget(self.preset, 1)
        self.body.addLayout(row)
        self.problem = PlainLabel(tone="bad", wrap=True)
        self.take = button(self.tr("Use it here instead"), self._take_over)
        told = QHBoxLayout()
        told.addWidget(self.problem, 1)
        told.addWidget(self.take)
        self.body.addLayout(told)
        self.body.addLayout(self._grid())
        about = self.tr("Click a key and press another. Delete takes it away, Esc leaves it.")
        last = QHBoxLayout()
        last.addWidget(PlainLabel(about, tone="muted", wrap=True), 1)
        last.addWidget(ghost_button(self.tr("As they come"), partial(self._use, "left hand")))
        self.body.addLayout(last)
        self._tell("")
        self.show_bindings()

    def _grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(S2)
        grid.setVerticalSpacing(2)
        grid.setColumnStretch(0, 1)
        self.fields: dict[tuple[str, int], KeyField] = {}
        heads = {
            PAIRS: self.tr("Two answers"),
            RANKING: self.tr("Several answers in order"),
            THUMBS: self.tr("One answer, thumbs"),
            FIVE: self.tr("One answer, 1 to 5"),
            "": self.tr("Everywhere"),
        }
        line, where = 0, None
        for name, action in ACTIONS.items():
            if action.where != where:
                where = action.where
                head = PlainLabel(heads[where], bold=True)
                head.setMinimumHeight(CONTROL + S2)
                grid.addWidget(head, line, 0)
                line += 1
            grid.addWidget(PlainLabel(action_words(name)), line, 0)
            for place in range(MOST):
                field = KeyField(action_words(name))
                field.pressed_key.connect(partial(self.change, name, place))
                self.fields[name, place] = field
                grid.addWidget(field, line, 1 + place)
            line += 1
        return grid

    def change(self, name: str, place: int, key: str) -> None:
        """Give an action another key in one of its places, unless something else has it."""
        self._tell("")
        holder = self.bindings.holder(key, name) if key else ""
        if holder == "window":
            self._tell(self.tr("{0} has a fixed meaning in this window. Choose another key.").format(key))
            return
        if holder:
            self._tell(self.tr("{0} is taken: {1}.").format(key, action_words(holder)), (name, place, key))
            return
        keys = [*self.bindings.keys(name), *[""] * MOST][:MOST]
        keys[place] = key
        self.bindings.bind(name, keys)
        self._keep()

    def _take_over(self) -> None:
        if self._pending is not None:
            name, place, key = self._pending
            self.bindings.take(key, name)
            self.change(name, place, key)

    def _use(self, preset: str) -> None:
        if preset:
            self.bindings.use(preset)
            self._tell("")
            self._keep()
        self.show_bindings()

    def _keep(self) -> None:
        self._session.remember(MEMORY, self.bindings.own)
        self._session.keep_settings()
        self.show_bindings()

    def show_bindings(self) -> None:
        for (name, place), field in self.fields.items():
            keys = self.bindings.keys(name)
            field.show_key(keys[place] if place < len(keys) else "")
            field.setVisible(place <= len(keys))
        self.preset.setCurrentIndex(self.preset.findData(self.bindings.preset))

    def _tell(self, problem: str, pending: tuple[str, int, str] | None = None) -> None:
        self._pending = pending
        self.problem.setText(problem)
        self.problem.setVisible(bool(problem))
        self.take.setVisible(pending is not None)


def written(event: QKeyEvent) -> str:
    """A key as QKeySequence writes it. Shift and a digit are told as that, whatever sign the keyboard puts there."""
    key, modifiers = Qt.Key(event.key()), event.modifiers()
    modifiers &= ~Qt.KeyboardModifier.KeypadModifier
    shifted = "!@#$%^&*()"
    if modifiers & Qt.KeyboardModifier.ShiftModifier and event.text() in tuple(shifted):
        key = Qt.Key(ord("1234567890"[shifted.index(event.text())]))
    elif event.text() and not event.text().isalnum() and event.text().isprintable():
        modifiers &= ~Qt.KeyboardModifier.ShiftModifier  # the sign is what is meant: "?", not Shift and a key
    return QKeySequence(QKeyCombination(modifiers, key)).toString(QKeySequence.SequenceFormat.PortableText)
