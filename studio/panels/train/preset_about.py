"""What a preset is for, what it changes in the defaults, and what has been changed since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from rlhf_engine.contract.changes import Change
from studio.engine_words import word
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, ghost_button, set_tooltip

BRIEF = 3  # changes that are shown before one asks for all


class PresetAbout(QWidget):
    """`tell(words, sets, since)`: `sets` are what the preset changes in the defaults, `since` what the form does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = PlainLabel(tone="muted", wrap=True)
        self.sets = ChangeLine(self.tr("Sets"))
        self.since = ChangeLine(self.tr("Changed since"), tone="warn")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        for made in (self.words, self.sets, self.since):
            layout.addWidget(made)

    def tell(self, words: str = "", sets: Sequence[Change] = (), since: Sequence[Change] = ()) -> None:
        self.words.setText(words)
        self.sets.show_changes(sets)
        self.since.show_changes(since)

    def text(self) -> str:
        """All that is said, one thing a line."""
        return "\n".join(filter(None, (self.words.text(), self.sets.told(), self.since.told())))


class ChangeLine(QWidget):
    """Changes one after the other; of many the first few, and all on request."""

    def __init__(self, title: str, tone: str = "muted") -> None:
        super().__init__()
        self._title = title
        self._changes: list[str] = []
        self.brief = PlainLabel(tone=tone, elide=Qt.TextElideMode.ElideRight, size=0.92)
        self.brief.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)  # as wide as it is
        self.whole = PlainLabel(tone=tone, wrap=True, size=0.92)
        self.more = ghost_button("")
        self.more.setCheckable(True)
        self.more.toggled.connect(lambda _: self._draw())
        self.more.setProperty("small", "true")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        row.addWidget(self.brief)
        row.addWidget(self.whole, 1)
        row.addWidget(self.more, 0, Qt.AlignmentFlag.AlignTop)
        row.addStretch()

    def show_changes(self, changes: Sequence[Change]) -> None:
        shown = lines(changes)
        if shown != self._changes:
            self._changes = shown
            self.more.setChecked(False)
            set_tooltip(self.brief, "\n".join(shown))
        self._draw()

    def text(self) -> str:
        """What can be read now."""
        return self.brief.text() if self.whole.isHidden() else self.whole.text()

    def told(self) -> str:
        return f"{self._title}: {', '.join(self._changes)}" if self._changes else ""

    def _draw(self) -> None:
        rest = len(self._changes) - BRIEF
        short = rest > 1 and not self.more.isChecked()
        self.brief.setText(f"{self._title}: {',  '.join(self._changes[:BRIEF] if rest > 1 else self._changes)}")
        self.whole.setText(f"{self._title}: {',  '.join(self._changes)}")
        self.brief.setVisible(short or rest <= 1)
        self.whole.setVisible(not short and rest > 1)
        self.more.setText(self.tr("and {0} more").format(rest) if short else self.tr("fewer"))
        self.more.setVisible(rest > 1)
        self.setVisible(bool(self._changes))


def lines(changes: Sequence[Change]) -> list[str]:
    """One line a change, in the window's language: Learning rate 1e-4 → 3e-5."""
    return [replace(change, label=word(change.label), unit=word(change.unit)).text() for change in changes]
