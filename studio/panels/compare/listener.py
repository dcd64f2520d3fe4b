"""The keys that one page of judging hears, each for what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QWidget

Do = Callable[[], object]


class Listener:
    """Hears keys wherever the focus is inside `widget`; a field that is written in keeps its letters."""

    def __init__(self, widget: QWidget) -> None:
        self._widget = widget
        self._shortcuts: list[QShortcut] = []
        self._on = True

    def hear(self, keys: Iterable[tuple[str, Do]]) -> None:
        """These keys from now on, and no others."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = [self._made(key, do) for key, do in keys]
        self.listen(self._on)

    def listen(self, on: bool) -> None:
        self._on = on
        for shortcut in self._shortcuts:
            shortcut.setEnabled(on)

    def _made(self, key: str, do: Do) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), self._widget, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.setAutoRepeat(False)  # a key held down judges once
        shortcut.activated.connect(do)
        shortcut.activatedAmbiguously.connect(do)
        return shortcut
