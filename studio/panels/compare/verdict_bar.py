"""The verdicts and what else can be done with a pair, each a button that shows its key."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.theme.tokens import S2
from studio.widgets import button, ghost_button

Verdict = tuple[str, int]  # side, strength


class VerdictBar(QWidget):
    """Made for the panel whose keys it listens to. `verdict(side, strength)` and the named actions do the work."""

    def __init__(
        self, panel: QWidget, verdict: Callable[[str, int], object], others: dict[str, Callable[[], object]]
    ) -> None:
        super().__init__(panel)
        self.verdicts: dict[Verdict, QPushButton] = {}
        self.others: dict[str, QPushButton] = {}
        self._panel = panel
        self._shortcuts: list[QShortcut] = []
        main = QGridLayout()
        main.setSpacing(S2)
        rows: list[tuple[str, str, int, tuple[str, ...]]] = [
            (self.tr("1 is much better   Shift+1"), "left", 3, ("Shift+1", "!")),
            (self.tr("1 is better   1  ←"), "left", 2, ("1", "Left")),
            (self.tr("Tie   3  ↓"), "tie", 1, ("3", "Down")),
            (self.tr("2 is better   2  →"), "right", 2, ("2", "Right")),
            (self.tr("2 is much better   Shift+2"), "right", 3, ("Shift+2", "@")),
        ]
        for column, (text, side, strength, keys) in enumerate(rows):
            made = self._verdict(text, side, strength, keys, verdict)
            made.setMinimumHeight(40)
            main.addWidget(made, 0, column)
            main.setColumnStretch(column, 1)
        more = QHBoxLayout()
        more.setSpacing(S2)
        more.addWidget(self._verdict(self.tr("Both bad   4"), "both_bad", 2, ("4",), verdict))
        more.addWidget(self._verdict(self.tr("Skip   S"), "skip", 2, ("S",), verdict))
        named = [
            ("undo", self.tr("Undo   Backspace"), ("Backspace", "Ctrl+Z")),
            ("flag", self.tr("Flag   F"), ("F",)),
            ("note", self.tr("Note   N"), ("N",)),
            ("edit", self.tr("Edit   E"), ("E",)),
            ("differences", self.tr("Differences   D"), ("D",)),
        ]
        more.addStretch()
        for name, text, keys in named:
            switch = name in ("differences", "flag")
            made = button(text, others[name]) if switch else ghost_button(text, others[name])
            made.setCheckable(switch)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self.others[name] = made
            self._listen(keys, others[name])
            more.addWidget(made)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(main)
        layout.addLayout(more)

    def keep(self, verdict: Verdict | None) -> None:
        """Show which verdict was given but not saved; None is none."""
        for key, made in self.verdicts.items():
            made.setCheckable(key == verdict)
            made.setChecked(key == verdict)

    def listen(self, on: bool) -> None:
        """Whether the keys judge. Not while a form is open: there, keys choose from lists."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(on)

    def _verdict(
        self, text: str, side: str, strength: int, keys: tuple[str, ...], verdict: Callable[[str, int], object]
    ) -> QPushButton:
        made = button(text, lambda: verdict(side, strength))
        made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.verdicts[side, strength] = made
        self._listen(keys, lambda: verdict(side, strength))
        return made

    def _listen(self, keys: tuple[str, ...], do: Callable[[], object]) -> None:
        for key in keys:
            shortcut = QShortcut(QKeySequence(key), self._panel, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.setAutoRepeat(False)  # a key held down judges once
            shortcut.activated.connect(do)
            shortcut.activatedAmbiguously.connect(do)
            self._shortcuts.append(shortcut)
