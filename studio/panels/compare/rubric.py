"""What is judged beside the overall choice: which answer is more helpful, more honest, or whatever the project asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLineEdit, QPushButton, QVBoxLayout, QWidget

from studio.theme.tokens import S1, S2
from studio.widgets import PlainLabel, button, set_tooltip

if TYPE_CHECKING:
    from studio.panels.compare.who_judges import WhoJudges

SIDES = ("left", "tie", "right")
ONE = ("yes", "partly", "no")
_KEYS = 8  # attributes with a key: Alt+1 to Alt+8


class Rubric(QWidget):
    """A row of buttons for each attribute; pressed again, one is unsaid. Alt and its number goes through them.

    What can be said goes by what is judged: which of two answers (SIDES), how much one has of it (ONE), or the number
    of the best of several.

    `who` keeps the attributes and whether they are asked for at all.
    """

    def __init__(self, panel: QWidget, who: WhoJudges) -> None:
        super().__init__(panel)
        self._who = who
        self.choices: tuple[str, ...] = SIDES
        self.said: dict[str, str] = {}  # attribute: what was chosen
        self.buttons: dict[tuple[str, str], QPushButton] = {}
        self.asked = QCheckBox(self.tr("Judge these beside the choice"))
        self.asked.toggled.connect(self._ask)
        self.names = QLineEdit()
        self.names.setAccessibleName(self.tr("Attributes, with commas between them"))
        set_tooltip(self.names, self.tr("Attributes, with commas between them; at most eight"))
        self.names.editingFinished.connect(self._rename)
        self._rows = QWidget()
        self._grid = QGridLayout(self._rows)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(S1)
        self._grid.setColumnStretch(0, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.asked)
        layout.addWidget(self._rows)
        layout.addWidget(self.names)
        inside = Qt.ShortcutContext.WidgetWithChildrenShortcut
        for number in range(1, _KEYS + 1):
            key = QShortcut(QKeySequence(f"Alt+{number}"), panel, context=inside)
            key.activated.connect(lambda place=number - 1: self.turn(place))
        self.read()

    def read(self) -> None:
        """Show the attributes of the project that is open."""
        settings = self._who.settings
        self.asked.blockSignals(True)
        self.asked.setChecked(settings.rubric)
        self.asked.blockSignals(False)
        self.names.setText(", ".join(settings.attributes))
        self._build(settings.attributes)
        self._rows.setVisible(settings.rubric)
        self.names.setVisible(settings.rubric)
        self.clear()

    def offer(self, choices: tuple[str, ...]) -> None:
        """What can be said from now on; what was said is forgotten."""
        if choices != self.choices:
            self.choices = choices
            self._build(self._who.settings.attributes)
        self.clear()

    @property
    def told(self) -> dict[str, str]:
        """What was said, where it is asked for at all."""
        return dict(self.said) if self._who.settings.rubric else {}

    def clear(self) -> None:
        """Nothing is said of the next pair yet."""
        self.said.clear()
        self._show()

    def say(self, name: str, side: str) -> None:
        """Say of an attribute which side has more of it; the same again takes it back."""
        if self.said.get(name) == side:
            del self.said[name]
        else:
            self.said[name] = side
        self._show()

    def turn(self, place: int) -> None:
        """Of the attribute at this place, the next that can be said; after the last, nothing."""
        names = self._who.settings.attributes
        if not self._who.settings.rubric or place >= len(names):
            return
        here = self.said.get(names[place], "")
        order = ("", *self.choices)
        following = order[(order.index(here) + 1) % len(order)]
        self.say(names[place], following or here)

    def attributes(self, left: str) -> dict[str, str]:
        """What was said, by answer: `left` is the one ("a" or "b") on the left."""
        right = "b" if left == "a" else "a"
        return {name: {"left": left, "right": right, "tie": "tie"}[side] for name, side in self.told.items()}

    def _build(self, names: Sequence[str]) -> None:
        while (item := self._grid.takeAt(0)) is not None:
            held = [item.widget()]
            if (inner := item.layout()) is not None:
                held = [found.widget() for n in range(inner.count()) if (found := inner.itemAt(n)) is not None]
            for widget in held:
                if widget is not None:
                    widget.hide()  # it goes only when the event loop comes round
                    widget.deleteLater()
        self.buttons.clear()
        marks = {"left": "1", "tie": "=", "right": "2"}
        marks |= {"yes": self.tr("Yes"), "partly": self.tr("Partly"), "no": self.tr("No")}
        told = {"left": self.tr("{0}: answer 1"), "tie": self.tr("{0}: both alike"), "right": self.tr("{0}: answer 2")}
        told |= {"yes": self.tr("{0}: yes"), "partly": self.tr("{0}: partly"), "no": self.tr("{0}: no")}
        below = len(self.choices) > len(SIDES)  # too many to stand beside the name
        for row, name in enumerate(names):
            label = PlainLabel(self.tr("{0}   Alt+{1}").format(name, row + 1), elide=Qt.TextElideMode.ElideRight)
            self._grid.addWidget(label, 2 * row, 0, 1, -1 if below else 1)
            holder = QHBoxLayout()
            holder.setSpacing(2 if below else S1)
            for side in self.choices:
                made = button(marks.get(side, side), partial(self.say, name, side))
                made.setCheckable(True)
                made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
                made.setProperty("choice", "many" if below else "true")
                made.setAccessibleName(told.get(side, self.tr("{0}: answer {1}").format(name, side)).format(name))
                self.buttons[name, side] = made
                holder.addWidget(made)
            self._grid.addLayout(holder, 2 * row + int(below), 0 if below else 1)

    def _show(self) -> None:
        for (name, side), made in self.buttons.items():
            made.setChecked(self.said.get(name) == side)

    def _ask(self, on: bool) -> None:
        if self._who.keep(replace(self._who.settings, rubric=on)):
            self.read()

    def _rename(self) -> None:
        names = tuple(part.strip() for part in self.names.text().split(","))
        if self._who.keep(replace(self._who.settings, attributes=names)):
            self.read()
        else:
            self.names.setText(", ".join(self._who.settings.attributes))
