"""The seven steps from a base model to one's own, and the rows that show them on Home."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication, Qt
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine.tasks import ONLINE, PREFERENCES, REWARD
from studio.session import Session
from studio.theme.tokens import S3
from studio.widgets import Icon, PlainLabel, ghost_button


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the work: what it says, the panel to do it in, and whether the facts say that it is done."""

    text: str
    about: str
    panel: str
    hints: dict[str, Any]
    done: Callable[[dict[str, int]], bool]


STEPS = (
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Meet a model")),
        str(QT_TRANSLATE_NOOP("HomePanel", "Ask the starter model something in the Playground.")),
        "playground",
        {},
        lambda facts: facts["asked"] > 0 or facts["trained"] > 0,
    ),
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Collect prompts")),
        str(QT_TRANSLATE_NOOP("HomePanel", "Questions that the model should learn to answer.")),
        "data",
        {"kind": "prompts"},
        lambda facts: facts["prompts"] > 0,
    ),
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Show good answers")),
        str(QT_TRANSLATE_NOOP("HomePanel", "Demonstrations, for supervised fine-tuning.")),
        "data",
        {"kind": "demonstrations"},
        lambda facts: facts["demonstrations"] > 0,
    ),
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Judge 20 pairs")),
        str(QT_TRANSLATE_NOOP("HomePanel", "Say which of two answers is better.")),
        "compare",
        {},
        lambda facts: facts["comparisons"] >= 20,
    ),
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Train a reward model")),
        str(QT_TRANSLATE_NOOP("HomePanel", "It learns your taste from the comparisons.")),
        "train",
        {"family": REWARD},
        lambda facts: facts[REWARD] > 0,
    ),
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Train a policy")),
        str(QT_TRANSLATE_NOOP("HomePanel", "It makes the answers that you prefer more likely.")),
        "train",
        {"family": ONLINE},
        lambda facts: facts[ONLINE] + facts[PREFERENCES] > 0,
    ),
    Step(
        str(QT_TRANSLATE_NOOP("HomePanel", "Export it")),
        str(QT_TRANSLATE_NOOP("HomePanel", "A folder that others can load.")),
        "export",
        {},
        lambda facts: facts["export"] > 0,
    ),
)


class StepRow(QWidget):
    """One step with a tick or its number; clicking its words leads there."""

    def __init__(self, number: int, step: Step, session: Session) -> None:
        super().__init__()
        self.step = step
        self.done = False
        self._number = number
        self.icon = Icon(f"numeric-{number}-circle-outline", 22)
        self.title = PlainLabel(said(step.text))
        self.about = PlainLabel(said(step.about), tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.link = ghost_button(self.tr("Go"), lambda: session.go(step.panel, **step.hints), icon="arrow-right")
        self.link.setAccessibleName(said(step.text))
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S3)
        row.addWidget(self.icon)
        words = QVBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.title)
        words.addWidget(self.about)
        row.addLayout(words, 1)
        row.addWidget(self.link)

    def show_state(self, done: bool, following: bool, enabled: bool) -> None:
        self.done = done
        name = "check-circle" if done else f"numeric-{self._number}-circle{'' if following else '-outline'}"
        self.icon.set_icon(name, "good" if done else "link" if following else "muted")
        self.title.set_bold(following)
        self.link.setEnabled(enabled)


def said(text: str) -> str:
    """A step's words in the language of the window."""
    return QCoreApplication.translate("HomePanel", text)
