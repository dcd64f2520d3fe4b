"""What a panel is laid out with: header, cards, pills, and what is shown in place of nothing and after an error."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from studio.theme import colors, icon, theme
from studio.theme.tokens import CONTROL, S1, S2, S3, S4, S6
from studio.widgets.buttons import button, ghost_button, primary_button
from studio.widgets.labels import PlainLabel
from studio.widgets.plain_text import PlainText

Action = tuple[str, Callable[[], object]]  # the words on a button, and what it does


class Icon(QLabel):
    """An icon in one of the palette's colours, painted again when the theme changes."""

    def __init__(self, name: str, size: int = 20, role: str = "muted", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name, self._role, self._size = name, role, size
        self.setFixedSize(size, size)
        self.setProperty("themeIcon", name)
        self.refresh_icon()
        theme().changed.connect(self.refresh_icon)

    def set_icon(self, name: str, role: str = "") -> None:
        self._name, self._role = name, role or self._role
        self.refresh_icon()

    def refresh_icon(self) -> None:
        self.setPixmap(icon(self._name, self._role).pixmap(QSize(self._size, self._size)))


class Line(QFrame):
    """A thin line between two parts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("line", "true")
        self.setFixedHeight(1)


class PanelHeader(QWidget):
    """A panel's title, a line about it, and its actions at the right: `add(widget)`."""

    def __init__(self, title: str, about: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = PlainLabel(title, size=1.35, bold=True)
        self.about = PlainLabel(about, tone="muted", elide=Qt.TextElideMode.ElideRight)
        words = QVBoxLayout()
        words.setSpacing(2)
        words.addWidget(self.title)
        words.addWidget(self.about)
        if not about:  # showing it here would make a window of it: it has no parent yet
            self.about.hide()
        self._actions = QHBoxLayout()
        self._actions.setSpacing(S2)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(S6, S4, S6, S3)
        layout.setSpacing(S4)
        layout.addLayout(words, 1)
        layout.addLayout(self._actions)

    def add_before(self, widget: QWidget) -> None:
        """Put something before the title."""
        layout = self.layout()
        assert isinstance(layout, QHBoxLayout)
        layout.insertWidget(0, widget)

    def add(self, widget: QWidget) -> QWidget:
        self._actions.addWidget(widget, 0, Qt.AlignmentFlag.AlignVCenter)
        return widget


class Card(QFrame):
    """A surface with a border; `body` is its layout. A title and `add_action()` make a heading row."""

    def __init__(self, title: str = "", parent: QWidget | None = None, *, icon: str = "") -> None:
        super().__init__(parent)
        self.setProperty("card", "true")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(S4, S2, S4, S4)
        outer.setSpacing(S2)
        self._heading = QHBoxLayout()
        self._heading.setSpacing(S2)
        self.title = PlainLabel(title, bold=True)
        if icon:
            self._heading.addWidget(Icon(icon, 18))
        self.title.setMinimumHeight(CONTROL)
        self._heading.addWidget(self.title, 1)
        if title:
            outer.addLayout(self._heading)
        self.body = QVBoxLayout()
        self.body.setSpacing(S2)
        outer.addLayout(self.body)

    def add(self, widget: QWidget, stretch: int = 0) -> QWidget:
        self.body.addWidget(widget, stretch)
        return widget

    def add_action(self, widget: QWidget) -> QWidget:
        self._heading.addWidget(widget)
        return widget


class Pill(QLabel):
    """A word in a rounded frame; `tone` is muted, good, warn, bad or link. Never colour alone: the word says it too."""

    def __init__(self, text: str = "", tone: str = "muted", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setContentsMargins(S2, 2, S2, 2)
        self._tone = tone
        self.setText(text)

    def set(self, text: str, tone: str = "") -> None:
        self._tone = tone or self._tone
        self.setText(text)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        color = QColor(getattr(colors(), self._tone))
        painter.setPen(color)
        area = self.rect().adjusted(0, 0, -1, -1)
        radius = area.height() / 2
        painter.drawRoundedRect(area, radius, radius)
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self.text())


class EmptyState(QWidget):
    """What belongs here and how to get it: an icon, a sentence, one main action and at most two others."""

    def __init__(
        self,
        icon: str,
        sentence: str,
        primary: Action | None = None,
        secondary: Sequence[Action] | Action = (),
        parent: QWidget | None = None,
        *,
        detail: str = "",
    ) -> None:
        super().__init__(parent)
        self.sentence = PlainLabel(sentence, wrap=True, size=1.1)
        self.detail = PlainLabel(detail, tone="muted", wrap=True)
        buttons = QHBoxLayout()
        buttons.setSpacing(S2)
        buttons.addStretch()
        self.primary: QPushButton | None = None
        if primary:
            self.primary = primary_button(primary[0], primary[1])
            buttons.addWidget(self.primary)
        others: list[Action] = [secondary] if secondary and isinstance(secondary[0], str) else list(secondary)  # type: ignore[list-item, arg-type]
        self.secondary = [button(text, do) for text, do in others]
        for made in self.secondary:
            buttons.addWidget(made)
        buttons.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S6, S6, S6, S6)
        layout.setSpacing(S3)
        layout.addStretch(1)
        layout.addWidget(Icon(icon, 44), 0, Qt.AlignmentFlag.AlignHCenter)
        for label in (self.sentence, self.detail):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            label.setMinimumWidth(240)
            layout.addWidget(label)
        self.detail.setVisible(bool(detail))
        layout.addLayout(buttons)
        layout.addStretch(2)


class ErrorCard(Card):
    """What failed, why, what to try; details folded away. `of(error)` words any exception."""

    def __init__(
        self,
        title: str,
        cause: str,
        hint: str = "",
        details: str = "",
        buttons: Sequence[Action] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(title, parent, icon="alert-circle-outline")
        self.setProperty("card", "bad")
        self.cause = PlainLabel(cause, wrap=True, selectable=True)
        self.hint = PlainLabel(hint, wrap=True, tone="muted", selectable=True)
        self.add(self.cause)
        self.add(self.hint)
        self.hint.setVisible(bool(hint))
        row = QHBoxLayout()
        row.setSpacing(S2)
        for text, do in buttons:
            row.addWidget(button(text, do))
        self.copy = ghost_button(self.tr("Copy"), self.copy_text, icon="content-copy")
        row.addWidget(self.copy)
        self.details = PlainText(redacted(details), mono=True)
        self.details.setFixedHeight(180)
        self.details.hide()
        if details:
            fold = ghost_button(self.tr("Details"))
            fold.setCheckable(True)
            fold.toggled.connect(self.details.setVisible)
            row.addWidget(fold)
        row.addStretch()
        self.body.addSpacing(S1)
        self.body.addLayout(row)
        self.add(self.details)

    @classmethod
    def of(cls, error: BaseException, title: str = "", buttons: Sequence[Action] = ()) -> ErrorCard:
        translate = QCoreApplication.translate
        if isinstance(error, EngineError):
            return cls(title or translate("ErrorCard", "This did not work"), str(error), error.hint, "", buttons)
        trace = "".join(traceback.format_exception(error))
        title = title or translate("ErrorCard", "Something went wrong")
        bug = translate("ErrorCard", "This is a bug in the studio.")
        return cls(title, f"{type(error).__name__}: {error}", bug, trace, buttons)

    def text(self) -> str:
        parts = (self.title.text(), self.cause.text(), self.hint.text(), self.details.text())
        return "\n".join(part for part in parts if part)

    def copy_text(self) -> None:
        QGuiApplication.clipboard().setText(redacted(self.text()))


def redacted(text: str) -> str:
    """Without Hub tokens, and with the home folder written as ~."""
    text = re.sub(r"hf_[A-Za-z0-9]{4,}", "hf_…", text)
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text
