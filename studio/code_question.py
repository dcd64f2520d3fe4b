"""Asking before code of a person's own is run: once for its content, which is shown, and again when it has changed."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine import consent
from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.tasks import spec_from_json
from studio.theme.tokens import S2, S4, S6
from studio.widgets import PlainLabel, PlainText, button

if TYPE_CHECKING:
    from studio.session import Session


@dataclass(frozen=True, slots=True)
class Code:
    """A file as it was read: what is shown is what the hash is of."""

    path: str
    sha256: str
    text: str


class CodeQuestion(QDialog):
    """The file's path, hash and content; accepted when it may be run. Enter does not agree by accident."""

    def __init__(self, code: Code, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(self.tr("Run this code?"))
        self.resize(760, 560)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S6, S6, S6, S4)
        layout.setSpacing(S2)
        layout.addWidget(PlainLabel(self.tr("Run this code?"), bold=True, size=1.15))
        about = self.tr(
            "The run calls a function in this file. It is run in the training process, with your rights: it can read "
            "and change what you can. You are asked once for this content, and again when any of it has changed."
        )
        layout.addWidget(PlainLabel(about, wrap=True))
        self.path = PlainLabel(code.path, selectable=True, wrap=True)
        self.hash = PlainLabel(f"SHA-256 {code.sha256}", tone="muted", selectable=True, wrap=True, size=0.92)
        layout.addWidget(self.path)
        layout.addWidget(self.hash)
        self.content = PlainText(visible(code.text), mono=True)
        layout.addWidget(self.content, 1)
        self.yes = button(self.tr("Run this code"), self.accept, role="primary")
        self.no = button(self.tr("Cancel"), self.reject)
        row = QHBoxLayout()
        row.setContentsMargins(0, S4, 0, 0)
        row.setSpacing(S2)
        row.addStretch()
        row.addWidget(self.no)
        row.addWidget(self.yes)
        layout.addLayout(row)
        self.no.setDefault(True)
        self.no.setFocus()


def agree_then(session: Session, spec: Any, parent: QWidget, then: Callable[[], object]) -> None:
    """Do `then` once everybody has agreed to the code that a spec runs: at once for one that runs none.

    Files are read on another thread; one that cannot be read is told by the session.
    """
    files = list(dict.fromkeys(path for _, path in consent.code_in(spec)))
    if not files:
        then()
        return

    def ask(waiting: list[Code]) -> None:
        if not waiting:
            then()
            return
        first, *rest = waiting
        question = CodeQuestion(first, parent)
        question.accepted.connect(lambda: _agreed(session, first, lambda: ask(rest)))
        question.open()

    session.in_background(lambda: _not_agreed(files), ask, session.say)


def resume_then(session: Session, run_id: str, parent: QWidget, then: Callable[[], object]) -> None:
    """`agree_then` for a run that is to go on: its file may have changed since it was agreed to."""
    row = session.runs.run(run_id)
    try:
        spec = spec_from_json(row.spec_json) if row is not None else None
    except SpecError:
        spec = None  # of another version: the engine says so
    if spec is None:
        then()
    else:
        agree_then(session, spec, parent, then)


def visible(text: str) -> str:
    """Code with what cannot be seen written out: marks that turn or hide text would show it as something else."""
    return "".join(
        f"⟨U+{ord(c):04X}⟩" if unicodedata.category(c) in ("Cf", "Cc", "Zl", "Zp") and c not in "\n\t" else c
        for c in text.replace("\r\n", "\n")
    )


def _not_agreed(files: list[str]) -> list[Code]:
    found = []
    for path in files:
        content, digest = consent.read(path)
        if not consent.agreed(digest):
            found.append(Code(path, digest, content.decode("utf-8", errors="replace")))
    return found


def _agreed(session: Session, code: Code, then: Callable[[], object]) -> None:
    """Remember it, then go on."""

    def kept(_: None) -> None:
        then()

    def failed(error: BaseException) -> None:
        reason = error.strerror if isinstance(error, OSError) else error
        session.say(EngineError(f"The agreement to run {code.path} cannot be kept: {reason}."))

    session.in_background(lambda: consent.agree(code.path, code.sha256), kept, failed)
