"""The few questions that stop one: closing while a run is going, and before something is destroyed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from studio.theme.tokens import S2, S4, S6
from studio.widgets.buttons import button
from studio.widgets.labels import PlainLabel


class Question(QDialog):
    """A sentence, an explanation, and one button per answer; `answer` is the key chosen, "" for none.

    An answer is (key, words, role, what it means); the first one is what Enter does.
    """

    def __init__(self, title: str, text: str, answers: Sequence[tuple[str, str, str, str]], parent: QWidget) -> None:
        super().__init__(parent)
        self.answer = ""
        self.setWindowTitle(title)
        self.setMinimumWidth(460)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S6, S6, S6, S4)
        layout.setSpacing(S4)
        layout.addWidget(PlainLabel(title, bold=True, size=1.15, wrap=True))
        layout.addWidget(PlainLabel(text, wrap=True))
        long = any(about for *_, about in answers)
        row = QVBoxLayout() if long else QHBoxLayout()
        row.setSpacing(S2)
        if isinstance(row, QHBoxLayout):
            row.addStretch()
        self.buttons = {}
        for key, words, role, about in answers:
            made = button(words, partial(self._choose, key), role=role)
            self.buttons[key] = made
            if not long:
                row.addWidget(made)
                continue
            made.setFixedWidth(200)
            line = QHBoxLayout()
            line.setSpacing(S4)
            line.addWidget(made)
            line.addWidget(PlainLabel(about, tone="muted", wrap=True), 1)
            row.addLayout(line)
        layout.addLayout(row)
        first = self.buttons[answers[0][0]]
        first.setDefault(True)
        first.setFocus()

    def _choose(self, key: str) -> None:
        self.answer = key
        self.accept()


def ask_before_closing(runs: Sequence[str], parent: QWidget) -> str:
    """What is to become of runs that are going: "leave", "suspend", "stop", or "" for not closing."""

    translate = QCoreApplication.translate
    question = Question(
        translate("Closing", "A run is going"),
        translate("Closing", "{0} is still running. What should happen to it?").format(", ".join(runs)),
        (
            (
                "leave",
                translate("Closing", "Keep it running"),
                "primary",
                translate("Closing", "It goes on in the background. Open the studio to see it."),
            ),
            (
                "suspend",
                translate("Closing", "Pause it"),
                "",
                translate("Closing", "It saves a checkpoint and can be resumed later."),
            ),
            (
                "stop",
                translate("Closing", "Stop it"),
                "danger",
                translate("Closing", "It ends here, with what it has reached."),
            ),
            ("", translate("Closing", "Do not close"), "", ""),
        ),
        parent,
    )
    question.exec()
    return question.answer


def confirm(title: str, text: str, do: str, parent: QWidget, danger: bool = True) -> bool:
    """Whether to go on with something that cannot be taken back. `do` names it on the button."""
    cancel = QCoreApplication.translate("Questions", "Cancel")
    answers = (("no", cancel, "", ""), ("yes", do, "danger" if danger else "primary", ""))
    question = Question(title, text, answers, parent)
    question.exec()
    return question.answer == "yes"
