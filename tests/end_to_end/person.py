"""What a person does at the window: clicks, types, chooses, waits and reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QPoint, Qt, QTimer
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QLineEdit,
    QPushButton,
    QSpinBox,
    QWidget,
)

from studio.frame.questions import Question
from studio.main_window import MainWindow
from studio.widgets import RecordTable

LONG = 120_000  # ms: a shared machine may be slow, and a wait that ends early costs nothing
SHORT = 10_000  # for what only has to be drawn


class Person:
    """Nothing here calls a panel's methods to get something done: only keys and the mouse do."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window = window
        self.session = window.session
        self._qtbot = qtbot

    @property
    def worker(self) -> int | None:
        """The worker's process id."""
        engine: Any = self.session.engine
        return engine._engine.worker_pid if engine is not None else None

    def wait(self, until: Callable[[], object], why: str | Callable[[], str] = "", timeout: int = LONG) -> None:
        """Let the window live until something is so."""
        try:
            self._qtbot.waitUntil(lambda: bool(until()), timeout=timeout)
        except Exception as error:
            said = why if isinstance(why, str) else why()
            raise AssertionError(f"waited in vain: {said or until}") from error

    def go(self, panel: str) -> Any:
        """To a panel, by its place in the rail."""
        self.click(self.window.rail.buttons[panel])
        self.wait(lambda: self.window.current == panel, panel)
        built = self.window.panel(panel)
        assert built is not None, f"{panel} could not be built"
        return built

    def click(self, widget: QWidget) -> None:
        self.wait(lambda: widget.isVisible() and widget.isEnabled(), f"cannot be used: {_name(widget)}", SHORT)
        place = widget.rect().center()
        if isinstance(widget, QCheckBox):
            place = QPoint(10, place.y())
        QTest.mouseClick(widget, Qt.MouseButton.LeftButton, pos=place)

    def choose_method(self, setup: Any, task: str) -> None:
        """The button with the methods, then the row of this one on the sheet that opens."""
        self.click(setup.methods.button)
        self.click(next(row for row in setup.methods.sheet.rows() if row.task == task))
        self.wait(lambda: setup.task == task, f"{task} is chosen", SHORT)

    def press(self, widget: QWidget, *keys: str) -> None:
        """Keys as on a keyboard: "1", "Shift+1", "Backspace". They go to what has the focus, which must be in there."""
        for key in keys:
            focused = QApplication.focusWidget()
            assert focused is not None and (focused is widget or widget.isAncestorOf(focused)), f"focus: {focused}"
            pressed = QKeySequence(key)[0]
            QTest.keyClick(focused, pressed.key(), pressed.keyboardModifiers())

    def button(self, words: str, inside: QWidget | None = None) -> QPushButton:
        """The visible button that begins with these words."""
        buttons = (inside or self.window).findChildren(QPushButton)
        return next(made for made in buttons if made.isVisible() and made.text().startswith(words))

    def type(self, widget: QWidget, text: str) -> None:
        widget.setFocus()
        QTest.keyClicks(widget, text)

    def fill(self, field: QWidget, text: str) -> None:
        """Type over what a field holds, and leave it."""
        line = field.lineEdit() if isinstance(field, QAbstractSpinBox) else field
        assert isinstance(line, QLineEdit)
        line.setFocus()
        line.selectAll()
        QTest.keyClicks(line, text)
        QTest.keyClick(field, Qt.Key.Key_Return)
        if isinstance(field, QSpinBox):
            assert field.cleanText().replace(",", "") == text

    def set_number(self, form: Any, name: str, text: str) -> None:
        """Type a number into a form's field, unfolding what hides it."""
        editor = form.editor(name)
        if not editor.isVisible():
            self.click(form.fold.heading)
        self.fill(editor.spin, text)
        assert float(editor.value()) == float(text)

    def choose(self, combo: QComboBox, ref: str) -> None:
        """Go down the list with the arrow keys until an entry is reached."""
        self.wait(lambda: combo.isVisible() and combo.isEnabled(), f"cannot be used: {_name(combo)}", SHORT)
        assert combo.findData(ref) >= 0, f"{ref} is not among {[combo.itemText(i) for i in range(combo.count())]}"
        combo.setFocus()
        QTest.keyClick(combo, Qt.Key.Key_Home)
        for _ in range(combo.count()):
            if combo.currentData() == ref:
                return
            QTest.keyClick(combo, Qt.Key.Key_Down)
        raise AssertionError(f"could not reach {ref}")

    def pick(self, table: RecordTable, row_id: str, also: bool = False) -> None:
        """Click on a row of a table; `also` adds it to what is selected."""
        rows = range(table.model.rowCount())
        number = next(row for row in rows if (table.model.row(row) or {}).get("id") == row_id)
        place = table.view.visualRect(table.model.index(number, 1)).center()
        held = Qt.KeyboardModifier.ControlModifier if also else Qt.KeyboardModifier.NoModifier
        QTest.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, held, place)

    def when_asked(self, answer: str) -> list[str]:
        """Answer the next question by clicking a button ("leave", "stop" …); its words are in the list afterwards."""
        seen: list[str] = []

        def look() -> None:
            question = QApplication.activeModalWidget()
            if isinstance(question, Question):
                seen.append(question.windowTitle())
                self.click(question.buttons[answer])
            elif not seen:
                QTimer.singleShot(20, self.window, look)

        QTimer.singleShot(20, self.window, look)
        return seen

    def close(self) -> None:
        """As the button of the window's frame does."""
        self.window.close()
        QApplication.processEvents()

    def leave_at_once(self) -> None:
        """End of the test, whatever state it left: nothing is asked, and no run goes on."""
        from shiboken6 import isValid

        if not isValid(self.window):
            return
        if self.window.isVisible():
            for going in self.session.activity.kept():
                self.session.control(going.run_id).cancel()
            self.session.settings.confirm_close = False
            self.window.close()
        self.window.deleteLater()
        self.session.deleteLater()


def _name(widget: QWidget) -> str:
    words = getattr(widget, "text", str)()
    return f"{type(widget).__name__} {words!r}"
