"""What to judge by, in the words of whoever runs the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QDialog, QVBoxLayout, QWidget

from studio.theme.tokens import S3, S4
from studio.widgets import PlainLabel, PlainText, button

if TYPE_CHECKING:
    from studio.session import Session

FILE = "guidelines.md"


class Guidelines(QDialog):
    """The project's guidelines.md, else the one that comes with the sample project; H or Esc closes it."""

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("How to judge"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(660, 540)
        own, text = found(session)
        where = self.tr("From {0}") if own else self.tr("An example. Write your own as {0}")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S4, S4, S4, S4)
        layout.setSpacing(S3)
        layout.addWidget(PlainText(text), 1)
        place = str(session.root / FILE) if session.root is not None else FILE
        layout.addWidget(PlainLabel(where.format(place), tone="muted", wrap=True, selectable=True))
        layout.addWidget(button(self.tr("Close   H"), self.accept), 0, Qt.AlignmentFlag.AlignRight)
        QShortcut(QKeySequence("H"), self).activated.connect(self.accept)


def found(session: Session) -> tuple[bool, str]:
    """Whether the guidelines are the project's own, and their text."""
    from resources.starter import PROJECT

    own = session.root / FILE if session.root is not None else Path()
    for file in (own, PROJECT / FILE):
        if file.is_file():
            return file is own, file.read_text(encoding="utf-8", errors="replace")
    return False, ""
