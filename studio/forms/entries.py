"""A list of entries: add one of some kind, change it in place, put it elsewhere, take it away.

Each entry is a card with the fields of its own dataclass, drawn by the editors that every form uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from functools import partial
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from rlhf_engine.contract.entries import kind_of, plain_entries
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import EntryKind, Param, about, value_type
from studio.engine_words import word
from studio.forms.editors import Editor, mark_wrong
from studio.theme.tokens import CONTROL, S1, S2, S3
from studio.widgets.buttons import button, icon_button
from studio.widgets.labels import PlainLabel, set_tooltip

LABEL = 136  # width of the labels inside a card
MakeEditor = Callable[[type[Any], Field[Any], Param], Editor]  # (dataclass, its field, what that says of itself)


class EntryCard(QFrame):
    """One entry. Signals: changed(); moving(-1 or +1); removing()."""

    changed = Signal()
    moving = Signal(int)
    removing = Signal()

    def __init__(self, kind: EntryKind, make: MakeEditor, parent: QWidget) -> None:
        super().__init__(parent)
        self.kind = kind
        self.touched = False  # an entry that was just added is not scolded for what it lacks
        self.editors: dict[str, Editor] = {}
        self.setProperty("card", "true")
        self.title = PlainLabel(word(kind.title), bold=True)
        self.about = PlainLabel(word(kind.summary), tone="muted", elide=Qt.TextElideMode.ElideRight, size=0.92)
        set_tooltip(self.about, word(kind.summary))
        self.error = PlainLabel(tone="bad", wrap=True)
        self.error.hide()
        self.up = icon_button("arrow-up", self.tr("Move up (Alt+Up)"), lambda: self.moving.emit(-1))
        self.down = icon_button("arrow-down", self.tr("Move down (Alt+Down)"), lambda: self.moving.emit(1))
        self.remove = icon_button("trash-can-outline", self.tr("Remove (Alt+Delete)"), self.removing.emit)
        head = QHBoxLayout()
        head.setSpacing(S2)
        head.addWidget(self.title)
        head.addWidget(self.about, 1)
        for made in (self.up, self.down, self.remove):
            head.addWidget(made)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(S2)
        self._grid.setVerticalSpacing(S2)
        self._grid.setColumnMinimumWidth(0, LABEL)
        self._grid.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S3, S1, S2, S2)
        layout.setSpacing(S1)
        layout.addLayout(head)
        layout.addLayout(self._grid)
        under = QHBoxLayout()
        under.setContentsMargins(LABEL + S2, 0, 0, 0)
        under.addWidget(self.error)
        layout.addLayout(under)
        for f in fields(kind.type):
            if (said := about(f)) is not None:
                self._add(f, said, make(kind.type, f, said))
        for keys, do in (
            ("Alt+Up", lambda: self.moving.emit(-1)),
            ("Alt+Down", lambda: self.moving.emit(1)),
            ("Alt+Delete", self.removing.emit),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(do)

    def value(self) -> dict[str, Any]:
        """As plain JSON values."""
        read = {name: editor.value() for name, editor in self.editors.items()}
        return {"kind": self.kind.key} | {k: list(v) if isinstance(v, tuple) else v for k, v in read.items()}

    def set_value(self, entry: dict[str, Any]) -> None:
        for name, editor in self.editors.items():
            if name in entry:
                editor.set_value(entry[name])

    def show_place(self, number: int, of: int) -> None:
        """Which of how many it is."""
        self.title.setText(f"{number}.  {word(self.kind.title)}")
        self.setAccessibleName(self.title.text())
        self.up.setEnabled(number > 1)
        self.down.setEnabled(number < of)

    def check(self) -> bool:
        """Mark what does not hold, at the field it is about; True when all holds."""
        try:
            self.kind.type(**self.value())
            wrong, text = "", ""
        except SpecError as error:
            wrong, text = error.field, " ".join(filter(None, (str(error), error.hint)))
        for name, editor in self.editors.items():
            mark_wrong(editor.inner, name == wrong)
        self.error.setText(text)
        self.error.setVisible(bool(text))
        return not text

    def focus_first(self) -> None:
        first = next(iter(self.editors.values()), None)
        (first.inner if first is not None else self.remove).setFocus()

    def _add(self, f: Field[Any], said: Param, editor: Editor) -> None:
        label = PlainLabel(word(said.label), wrap=True)
        label.setFixedWidth(LABEL)
        label.setBuddy(editor.inner)
        editor.inner.setAccessibleName(word(said.label))
        editor.inner.setAccessibleDescription(word(said.help))
        tip = "\n".join(filter(None, (word(said.help), said.source)))
        set_tooltip(label, tip)
        set_tooltip(editor.inner, tip)
        row = self._grid.rowCount()
        self._grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop)
        label.setMinimumHeight(CONTROL)
        self._grid.addWidget(editor, row, 1)
        self.editors[f.name] = editor
        if f.default is not MISSING:
            editor.set_value(f.default)
        editor.changed.connect(self._edited)

    def _edited(self) -> None:
        self.touched = True
        self.changed.emit()


class EntriesEditor(Editor):
    """The list. `value()` is a tuple of JSON objects, which every spec takes; `set_value` takes dataclasses as well."""

    tall = True

    def __init__(self, said: Param, make: MakeEditor) -> None:
        super().__init__()
        self.said, self._make = said, make
        self.cards: list[EntryCard] = []
        self.empty = PlainLabel(self.tr("Nothing has been added."), tone="muted")
        self.add_button = button(self.tr("Add"), icon="plus")
        self._offer()
        self._place = QVBoxLayout()
        self._place.setSpacing(S2)
        row = QHBoxLayout()
        row.addWidget(self.add_button)
        row.addSpacing(S2)
        row.addWidget(self.empty)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(self._place)
        layout.addLayout(row)
        self.inner = self.add_button
        self.setFocusProxy(self.add_button)

    def value(self) -> tuple[dict[str, Any], ...]:
        return tuple(card.value() for card in self.cards)

    def set_value(self, value: Any) -> None:
        """Entries of kinds that the field does not know are left aside, as unknown settings are."""
        wanted = [entry for entry in value or () if kind_of(self.said, entry) is not None]
        complete = plain_entries(self.said, wanted)
        if [card.kind.key for card in self.cards] != [entry["kind"] for entry in complete]:
            for card in [*self.cards]:
                self._drop(card)
            for entry in complete:
                self._append(next(kind for kind in self.said.entries if kind.key == entry["kind"]))
        for card, entry in zip(self.cards, complete, strict=True):
            if card.value() != entry:
                card.set_value(entry)
        self._renumber()
        self.changed.emit()

    def add(self, kind: EntryKind) -> EntryCard:
        """One more of a kind, at the end."""
        card = self._append(kind)
        self._renumber()
        self.changed.emit()
        card.focus_first()
        return card

    def move_card(self, card: EntryCard, by: int) -> None:
        at = self.cards.index(card)
        to = at + by
        if not 0 <= to < len(self.cards):
            return
        self.cards.insert(to, self.cards.pop(at))
        self._place.insertWidget(to, card)
        focus = card.focusWidget()
        self._renumber()
        if focus is not None and focus.isEnabled():
            focus.setFocus()
        self.changed.emit()

    def remove_card(self, card: EntryCard) -> None:
        at = self.cards.index(card)
        self._drop(card)
        self._renumber()
        left = self.cards[min(at, len(self.cards) - 1)].remove if self.cards else self.add_button
        left.setFocus()
        self.changed.emit()

    def check(self) -> bool:
        """Mark the entries that do not hold; True when every one does by itself."""
        for card in self.cards:
            card.touched = True
        marked = [card.check() for card in self.cards]
        return all(marked)

    def take(self, picks: str, ref: str) -> bool:
        """Choose a model or dataset in the first entry that has such an input, or in a new one."""
        card = next((card for card in self.cards if _input(card.kind, picks)), None)
        kind = next((kind for kind in self.said.entries if _input(kind, picks)), None)
        if card is None and kind is not None:
            card = self._append(kind)
            self._renumber()
        if card is None:
            return False
        card.editors[_input(card.kind, picks)].set_value(ref)
        self.changed.emit()
        return True

    def _append(self, kind: EntryKind) -> EntryCard:
        card = EntryCard(kind, self._make, self)
        card.changed.connect(partial(self._edited, card))
        card.moving.connect(partial(self.move_card, card))
        card.removing.connect(partial(self.remove_card, card))
        self.cards.append(card)
        self._place.addWidget(card)
        card.show()
        return card

    def _drop(self, card: EntryCard) -> None:
        self.cards.remove(card)
        self._place.removeWidget(card)
        card.hide()
        card.deleteLater()

    def _edited(self, card: EntryCard) -> None:
        if card.touched:
            card.check()
        self.changed.emit()

    def _renumber(self) -> None:
        for number, card in enumerate(self.cards, 1):
            card.show_place(number, len(self.cards))
        self.empty.setVisible(not self.cards)

    def _offer(self) -> None:
        kinds = self.said.entries
        if len(kinds) == 1:
            self.add_button.setText(self.tr("Add: {0}").format(word(kinds[0].title)))
            set_tooltip(self.add_button, word(kinds[0].summary))
            self.add_button.clicked.connect(lambda: self.add(kinds[0]))
            return
        menu = QMenu(self.add_button)
        for kind in kinds:
            text = f"{word(kind.title)}\t{word(kind.summary)}".replace("&", "&&")
            menu.addAction(text, partial(self.add, kind))
        self.add_button.setMenu(menu)


def _input(kind: EntryKind, picks: str) -> str:
    """The field of an entry that takes one such input; "" for none."""
    found = ((f.name, about(f)) for f in fields(kind.type) if value_type(kind.type, f.name)[0] is str)
    return next((name for name, said in found if said is not None and said.picks == picks), "")


def inner_editors(editors: Sequence[Editor]) -> list[Editor]:
    """These editors and, of lists, those of their entries."""
    lists = [editor for editor in editors if isinstance(editor, EntriesEditor)]
    return [*editors, *(one for found in lists for card in found.cards for one in card.editors.values())]
