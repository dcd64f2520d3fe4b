"""One editor for each kind of value a spec may hold. The wheel scrolls the page unless the editor has the focus."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, cast

from PySide6.QtCore import QEvent, QLocale, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPaintEvent, QPalette, QValidator, QWheelEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from rlhf_engine.contract.changes import number
from rlhf_engine.contract.fields import Param
from studio.engine_words import word
from studio.theme.tokens import S2

WIDEST = 1e12  # a range without ends


class Editor(QWidget):
    """Holds one value: `value()`, `set_value()`, and `changed` when it is another. `inner` is what gets marked."""

    changed = Signal()
    inner: QWidget
    tall = False  # wants the whole width of the form, under its label

    def value(self) -> Any:
        raise NotImplementedError

    def set_value(self, value: Any) -> None:
        raise NotImplementedError

    def missing(self) -> bool:
        """Whether nothing has been chosen or typed."""
        return False

    def _hold(self, inner: QWidget, stretch: int = 1, rest: int = 0) -> None:
        self.inner = inner
        layout = self.layout()
        if layout is None:
            layout = QHBoxLayout(self)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(S2)
        assert isinstance(layout, QHBoxLayout)
        layout.addWidget(inner, stretch)
        if rest:
            layout.addStretch(rest)
        self.setFocusProxy(inner)


class Spin(QSpinBox):
    """A whole number."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lineEdit().setTextMargins(6, 0, 0, 0)  # the style sheet's padding does not reach it
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)

    def wheelEvent(self, event: QWheelEvent) -> None:
        super().wheelEvent(event) if self.hasFocus() else event.ignore()


WALKING = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class Combo(QComboBox):
    ROOM = 8  # the style asks for a few pixels less than its own label leaves out: the longest entry would be elided

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def event(self, event: QEvent) -> bool:
        """The keys that walk through the list are its own, also where the page has given them another meaning."""
        if event.type() == QEvent.Type.ShortcutOverride and cast(QKeyEvent, event).key() in WALKING:
            event.accept()
            return True
        return super().event(event)

    def sizeHint(self) -> QSize:
        return super().sizeHint() + QSize(self.ROOM, 0)

    def minimumSizeHint(self) -> QSize:
        return super().minimumSizeHint() + QSize(self.ROOM, 0)

    def wheelEvent(self, event: QWheelEvent) -> None:
        super().wheelEvent(event) if self.hasFocus() else event.ignore()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        """As Qt does it, but what has no room is elided, not cut in the middle of a letter."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        if self.currentIndex() < 0 and self.placeholderText():
            option.palette.setBrush(QPalette.ColorRole.ButtonText, option.palette.placeholderText())
            option.currentText = self.placeholderText()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        place = QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, place, self).width() - 4
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideRight, room)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)


class FloatSpin(QDoubleSpinBox):
    """Understands 2e-4 and writes small numbers that way; with `log_scale` the arrows go 1, 2, 5, 10."""

    def __init__(self, log_scale: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._log = log_scale
        self.lineEdit().setTextMargins(6, 0, 0, 0)
        self.setDecimals(16)
        self.setLocale(QLocale.c())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setKeyboardTracking(False)

    def wheelEvent(self, event: QWheelEvent) -> None:
        super().wheelEvent(event) if self.hasFocus() else event.ignore()

    def textFromValue(self, value: float) -> str:
        return number(value, 1e-2 if self._log else 1e-4)

    def valueFromText(self, text: str) -> float:
        try:
            return float(self._bare(text))
        except ValueError:
            return self.value()

    def validate(self, text: str, at: int) -> tuple[QValidator.State, str, int]:
        bare = self._bare(text)
        try:
            inside = self.minimum() <= float(bare) <= self.maximum()
        except ValueError:
            partial = re.fullmatch(r"[-+]?\d*[.,]?\d*(e[-+]?\d*)?", bare, re.IGNORECASE)
            return (QValidator.State.Intermediate if partial else QValidator.State.Invalid), text, at
        return (QValidator.State.Acceptable if inside else QValidator.State.Intermediate), text, at

    def stepBy(self, steps: int) -> None:
        for _ in range(abs(steps)):
            self.setValue(self._next(self.value(), 1 if steps > 0 else -1))

    def _next(self, value: float, way: int) -> float:
        if not self._log or value <= 0:
            size = abs(value)
            unit = 10.0 ** math.floor(math.log10(size) - 1) if size > 0 else 0.01
            return float(f"{value + way * max(unit, 1e-4):.12g}")
        decade = math.floor(math.log10(value) + 1e-9)
        ladder = [m * 10.0**d for d in (decade - 1, decade, decade + 1) for m in (1, 2, 5)]
        if way > 0:
            near = min(step for step in ladder if step > value * 1.0001)
        else:
            near = max(step for step in ladder if step < value * 0.9999)
        return float(f"{near:.6g}")

    def _bare(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip().replace(",", ".")


def mark_wrong(widget: QWidget, yes: bool) -> None:
    """Draw what does not hold with a border that says so."""
    widget.setProperty("wrong", "true" if yes else "false")
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class IntEditor(Editor):
    def __init__(self, about: Param) -> None:
        super().__init__()
        self.spin = Spin()
        low, high = about.between
        self.spin.setRange(*(max(-(2**31), min(2**31 - 1, end)) for end in (_or(low, -(2**31)), _or(high, 2**31 - 1))))
        self.spin.setKeyboardTracking(False)
        _suffix(self.spin, about)
        self.spin.valueChanged.connect(lambda _: self.changed.emit())
        self._hold(self.spin, 0, 1)

    def value(self) -> int:
        return self.spin.value()

    def set_value(self, value: Any) -> None:
        self.spin.setValue(int(value))


class FloatEditor(Editor):
    def __init__(self, about: Param) -> None:
        super().__init__()
        self.spin = FloatSpin(about.log_scale)
        low, high = about.between
        self.spin.setRange(_or(low, -WIDEST), _or(high, WIDEST))
        _suffix(self.spin, about)
        self.spin.valueChanged.connect(lambda _: self.changed.emit())
        self._hold(self.spin, 0, 1)

    def value(self) -> float:
        return self.spin.value()

    def set_value(self, value: Any) -> None:
        self.spin.setValue(float(value))


class BoolEditor(Editor):
    def __init__(self) -> None:
        super().__init__()
        self.box = QCheckBox()
        self.box.setMinimumHeight(28)
        self.box.toggled.connect(lambda _: self.changed.emit())
        self._hold(self.box)

    def value(self) -> bool:
        return self.box.isChecked()

    def set_value(self, value: Any) -> None:
        self.box.setChecked(bool(value))


class ChoiceEditor(Editor):
    def __init__(self, choices: Sequence[str]) -> None:
        super().__init__()
        self.combo = Combo()
        self.combo.addItems(list(choices))
        self.combo.currentIndexChanged.connect(lambda _: self.changed.emit())
        self._hold(self.combo)

    def value(self) -> str:
        return self.combo.currentText()

    def set_value(self, value: Any) -> None:
        self.combo.setCurrentIndex(self.combo.findText(str(value)))


class TextEditor(Editor):
    def __init__(self) -> None:
        super().__init__()
        self.line = QLineEdit()
        self.line.textChanged.connect(lambda _: self.changed.emit())
        self._hold(self.line)

    def value(self) -> str:
        return self.line.text()

    def set_value(self, value: Any) -> None:
        self.line.setText(str(value))

    def missing(self) -> bool:
        return not self.line.text().strip()


class LongTextEditor(Editor):
    """Several lines of text; with `as_list`, one entry a line."""

    def __init__(self, as_list: bool = False) -> None:
        super().__init__()
        self._as_list = as_list
        self.box = QPlainTextEdit()
        self.box.setTabChangesFocus(True)
        self.box.setFixedHeight(96)
        self.box.textChanged.connect(self.changed)
        self._hold(self.box)

    def value(self) -> Any:
        text = self.box.toPlainText()
        return tuple(line for line in text.split("\n") if line) if self._as_list else text

    def set_value(self, value: Any) -> None:
        self.box.setPlainText("\n".join(map(str, value)) if self._as_list else str(value))

    def missing(self) -> bool:
        return not self.box.toPlainText().strip()


class OptionalEditor(Editor):
    """A value that may be left open: a box to tick, then the editor."""

    def __init__(self, editor: Editor) -> None:
        super().__init__()
        self._editor = editor
        self.box = QCheckBox()
        self.box.toggled.connect(editor.setEnabled)
        self.box.toggled.connect(lambda _: self.changed.emit())
        editor.changed.connect(self.changed)
        editor.setEnabled(False)
        self._hold(self.box, 0)
        self._hold(editor)
        self.inner = editor.inner

    def value(self) -> Any:
        return self._editor.value() if self.box.isChecked() else None

    def set_value(self, value: Any) -> None:
        self.box.setChecked(value is not None)
        if value is not None:
            self._editor.set_value(value)


def editor_for(kind: type[Any], optional: bool, about: Param) -> Editor:
    """The editor for a value that is typed rather than picked."""
    made: Editor
    if about.choices:
        made = ChoiceEditor(about.choices)
    elif kind is bool:
        made = BoolEditor()
    elif kind is int:
        made = IntEditor(about)
    elif kind is float:
        made = FloatEditor(about)
    elif kind is tuple:
        made = LongTextEditor(as_list=True)
    else:
        made = LongTextEditor() if about.multiline else TextEditor()
    return OptionalEditor(made) if optional else made


def _suffix(spin: QSpinBox | QDoubleSpinBox, about: Param) -> None:
    if about.unit:
        spin.setSuffix(f" {word(about.unit)}")
    spin.setFixedWidth(176)


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value
