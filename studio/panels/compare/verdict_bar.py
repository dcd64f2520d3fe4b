"""The verdicts and what else can be done with a pair, each a button that shows its key."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from studio.panels.compare.key_button import KeyButton
from studio.panels.compare.keys import VERDICTS, Bindings
from studio.panels.compare.listener import Listener
from studio.theme.tokens import S1
from studio.widgets import button, ghost_button

Verdict = tuple[str, int]  # side, strength
NARROW, ROOMY, NEEDED = 700, 620, 380  # pixels: all verdicts in one row, all actions, and the least
_RARER = ("edit_winner", "marks", "reveal")


class VerdictBar(QWidget):
    """Made for the panel whose keys it listens to. `verdict(side, strength)` and the named actions do the work.

    Every action of `keys.ACTIONS` is either a verdict, or in `others`; `others` shown as buttons are in `buttons`.
    """

    def __init__(
        self,
        panel: QWidget,
        verdict: Callable[[str, int], object],
        others: dict[str, Callable[[], object]],
        bindings: Bindings,
    ) -> None:
        super().__init__(panel)
        self.verdicts: dict[Verdict, KeyButton] = {}
        self.others: dict[str, QPushButton] = {}
        self._do: dict[str, Callable[[], object]] = dict(others)
        self._words: dict[str, str] = {}
        self._listener = Listener(panel)
        labels = {
            "left_much": self.tr("1 much better"),
            "left": self.tr("1 better"),
            "left_slightly": self.tr("1 slightly better"),
            "tie": self.tr("Tie"),
            "right_slightly": self.tr("2 slightly better"),
            "right": self.tr("2 better"),
            "right_much": self.tr("2 much better"),
            "both_bad": self.tr("Both bad"),
            "skip": self.tr("Skip"),
        }
        short = {
            "left_much": self.tr("1 much"),
            "left_slightly": self.tr("1 slightly"),
            "right_slightly": self.tr("2 slightly"),
            "right_much": self.tr("2 much"),
        }
        self._main = QGridLayout()
        self._main.setContentsMargins(0, 0, 0, 0)
        self._main.setSpacing(S1)
        for name, (side, strength) in VERDICTS.items():
            self._do[name] = partial(verdict, side, strength)
            made = KeyButton(labels[name], self._do[name], short=short.get(name, ""))
            made.setObjectName(f"verdict_{name}")
            self.verdicts[side, strength] = made
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addLayout(self._main)
        layout.addWidget(self._actions(others))
        self._narrow: bool | None = None
        self._arrange(False)
        self.use(bindings)

    def _arrange(self, narrow: bool) -> None:
        """All in one row; where there is little room the preferences above the rest."""
        if narrow == self._narrow:
            return
        self._narrow = narrow
        for column in range(12):
            self._main.setColumnStretch(column, 0)
            self._main.setColumnMinimumWidth(column, 0)
        names = list(VERDICTS)
        if narrow:
            preferences = [name for name in names if VERDICTS[name][0] in ("left", "right")]
            for column, name in enumerate(preferences):
                self._main.addWidget(self.verdicts[VERDICTS[name]], 0, column)
                self._main.setColumnStretch(column, 1)
            for column, name in enumerate(name for name in names if name not in preferences):
                self._main.addWidget(self.verdicts[VERDICTS[name]], 1, 2 * column, 1, 2)
            return
        column = 0
        for name in names:
            self._main.addWidget(self.verdicts[VERDICTS[name]], 0, column)
            self._main.setColumnStretch(column, 1)
            column += 1
            if name in ("left_slightly", "tie", "right_much"):
                self._main.setColumnMinimumWidth(column, S1)
                column += 1

    def _actions(self, others: dict[str, Callable[[], object]]) -> QWidget:
        self.more = QWidget()
        row = QHBoxLayout(self.more)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S1)
        for name, words, switch in (
            ("undo", self.tr("Undo"), False),
            ("flag", self.tr("Flag"), True),
            ("note", self.tr("Note"), False),
            ("edit", self.tr("Edit"), False),
            ("edit_winner", self.tr("Edit winner"), False),
            ("differences", self.tr("Differences"), True),
            ("marks", self.tr("Blanks"), True),
            ("reveal", self.tr("Sources"), True),
        ):
            made = button(words, others[name]) if switch else ghost_button(words, others[name])
            made.setCheckable(switch)
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            made.setProperty("touch", "true")
            self._words[name] = words
            self.others[name] = made
            row.addWidget(made)
        row.addStretch()
        return self.more

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is little room the rarer buttons go; their keys stay."""
        super().resizeEvent(event)
        width = event.size().width()
        self._arrange(width < NARROW)
        for name in _RARER:
            self.others[name].setVisible(width >= ROOMY)

    def minimumSizeHint(self) -> QSize:
        """As if it were narrow: it makes its own room."""
        return QSize(NEEDED, super().minimumSizeHint().height())

    def use(self, bindings: Bindings) -> None:
        """Listen to these keys from now on, and show them."""
        self._listener.hear((key, do) for name, do in self._do.items() for key in bindings.sequences(name))
        for name, verdict in VERDICTS.items():
            self.verdicts[verdict].set_keys(bindings.shown(name))
        for name, made in self.others.items():
            made.setText(f"{self._words[name]}  {bindings.shown(name, 1)}")

    def keep(self, verdict: Verdict | None) -> None:
        """Show which verdict was given: one that is not saved yet, or one that stands. None is none."""
        for key, made in self.verdicts.items():
            made.setCheckable(key == verdict)
            made.setChecked(key == verdict)

    def listen(self, on: bool) -> None:
        """Whether the keys judge. Not while a form is open: there, keys choose from lists."""
        self._listener.listen(on)
