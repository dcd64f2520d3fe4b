"""Choosing among the methods: a button with the one chosen, and a sheet of all of them, by family, with what each does.

Opened by a click, Ctrl+M or the arrow keys. In the sheet arrows move, letters jump, Enter chooses, Esc leaves.
"""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QEvent, QPoint, QSize, Qt, Signal
from PySide6.QtGui import QHideEvent, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from rlhf_engine.tasks import FAMILIES, TASKS
from studio.engine_words import full_title, word
from studio.panels.train.methods import by_family
from studio.theme import set_icon
from studio.theme.tokens import S1, S2, S3, S4
from studio.widgets import PlainLabel, button

COLUMN = 372  # width of a column of the sheet


class MethodRow(QPushButton):
    """One method in the sheet: its title, and in a line what it does."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task
        self.setProperty("row", "true")
        self.setCheckable(True)
        self.setAutoDefault(False)
        title, about = full_title(task), word(TASKS[task].summary)
        self.setAccessibleName(title)
        self.setAccessibleDescription(about)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S3, S1, S3, S1)
        layout.setSpacing(0)
        self.title = PlainLabel(title, bold=True)
        self.about = PlainLabel(about, tone="muted", wrap=True, size=0.92)
        for label in (self.title, self.about):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            layout.addWidget(label)

    def sizeHint(self) -> QSize:
        layout = self.layout()
        assert layout is not None
        return QSize(COLUMN, layout.heightForWidth(COLUMN))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()


class MethodSheet(QFrame):
    """All methods in two columns of families. Signals: chosen(task); left() when it is gone, whatever was chosen."""

    chosen = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("card", "true")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.columns: list[list[MethodRow]] = [[], []]
        layout = QHBoxLayout(self)
        layout.setContentsMargins(S2, S2, S2, S2)
        layout.setSpacing(S3)
        families = by_family()
        for number, names in enumerate(_halves({name: len(keys) for name, keys in families.items()})):
            column = QVBoxLayout()
            column.setSpacing(S1)
            for name in names:
                column.addWidget(self._heading(name))
                for key in families[name]:
                    row = MethodRow(key)
                    row.clicked.connect(partial(self._choose, key))
                    row.installEventFilter(self)
                    column.addWidget(row)
                    self.columns[number].append(row)
            column.addStretch()
            layout.addLayout(column)

    def rows(self) -> list[MethodRow]:
        return [row for column in self.columns for row in column]

    def open_below(self, place: QPoint, task: str) -> None:
        for row in self.rows():
            row.setChecked(row.task == task)
        self.adjustSize()
        self.move(place)
        self.show()
        next((row for row in self.rows() if row.task == task), self.rows()[0]).setFocus()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.left.emit()

    def eventFilter(self, watched: object, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and isinstance(watched, MethodRow):
            return self._key(watched, event)
        return False

    def _key(self, row: MethodRow, event: QKeyEvent) -> bool:
        number = next(number for number, column in enumerate(self.columns) if row in column)
        column, at = self.columns[number], self.columns[number].index(row)
        match event.key():
            case Qt.Key.Key_Down:
                column[(at + 1) % len(column)].setFocus()
            case Qt.Key.Key_Up:
                column[at - 1].setFocus()
            case Qt.Key.Key_Left | Qt.Key.Key_Right:
                other = self.columns[1 - number] or column
                other[min(at, len(other) - 1)].setFocus()
            case Qt.Key.Key_Return | Qt.Key.Key_Enter:
                self._choose(row.task)
            case _:
                return self._jump(row, event.text())
        return True

    def _jump(self, row: MethodRow, letter: str) -> bool:
        """To the next method whose title begins with a letter."""
        if not letter.isalnum():
            return False
        rows = self.rows()
        after = rows[rows.index(row) + 1 :] + rows
        found = next((one for one in after if one.title.text().casefold().startswith(letter.casefold())), None)
        if found is not None:
            found.setFocus()
        return found is not None

    def _choose(self, task: str) -> None:
        self.close()
        self.chosen.emit(task)

    def _heading(self, family: str) -> QWidget:
        made = QWidget()
        layout = QVBoxLayout(made)
        layout.setContentsMargins(S3, S2, S3, 0)
        layout.setSpacing(0)
        layout.addWidget(PlainLabel(word(family) if family else self.tr("Others"), tone="muted", bold=True, size=0.92))
        if family in FAMILIES:
            made.setToolTip("")
            made.setAccessibleDescription(word(FAMILIES[family]))
        return made


class MethodMenu(QWidget):
    """The button. Signal: chosen(task)."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.task = ""
        self.button = button("", self.open, tip=self.tr("Choose the method (Ctrl+M)"))
        self.button.setMinimumWidth(220)
        self.button.setAccessibleName(self.tr("Method"))
        set_icon(self.button, "chevron-down")
        self.button.setLayoutDirection(Qt.LayoutDirection.RightToLeft)  # the arrow stands behind the words
        self.button.installEventFilter(self)  # the arrows open the sheet
        self._sheet: MethodSheet | None = None
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S4)
        layout.addWidget(self.button)
        self.setFocusProxy(self.button)
        shortcut = QShortcut(QKeySequence("Ctrl+M"), self)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(self.open)

    @property
    def sheet(self) -> MethodSheet:
        """Made when it is first wanted."""
        if self._sheet is None:
            self._sheet = MethodSheet(self)
            self._sheet.chosen.connect(self.chosen)
            self._sheet.left.connect(self._take_focus_back)
        return self._sheet

    def _take_focus_back(self) -> None:
        """A sheet that is gone may keep the keys: not every platform gives them back to the window below."""
        self.window().activateWindow()
        self.button.setFocus()

    def show_task(self, task: str) -> None:
        self.task = task
        self.button.setText(full_title(task))

    def open(self) -> None:
        if self.isVisible():
            below = self.button.mapToGlobal(QPoint(0, self.button.height() + S1))
            self.sheet.open_below(below, self.task)

    def eventFilter(self, watched: object, event: QEvent) -> bool:  # noqa: ARG002
        opens = (Qt.Key.Key_Down, Qt.Key.Key_Up)
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and event.key() in opens:
            self.open()
            return True
        return False


def _halves(sizes: dict[str, int]) -> tuple[list[str], list[str]]:
    """Families in two columns, in their order, about equally long (a heading counts as half a method)."""
    names = list(sizes)
    weights = [sizes[name] + 0.5 for name in names]
    cut = min(range(len(names), -1, -1), key=lambda at: abs(sum(weights[:at]) - sum(weights[at:])))
    return names[:cut], names[cut:]
