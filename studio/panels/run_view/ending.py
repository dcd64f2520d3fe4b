"""What is said when a run has ended: how, with what, and what to do next."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from rlhf_engine.tasks.metric_help import METRICS
from studio.engine_words import metric
from studio.panels.run_view.story import RunStory
from studio.theme.tokens import S2, S8
from studio.widgets import Card, ErrorCard, PlainLabel, button, primary_button

Action = tuple[str, Callable[[], object]]
MOST_FACTS = 8


def ending(story: RunStory, name: str, actions: list[Action]) -> QWidget:
    """A card for a run that has ended; the first action is the main one."""
    title, cause, hint = words(story, name)
    if story.state == "failed":
        trace = story.end.traceback if story.end else ""
        return ErrorCard(title, cause or title, hint, trace, actions)
    looks = {"completed": "check-circle-outline", "interrupted": "flash-alert-outline"}
    card = Card(title, icon=looks.get(story.state, "stop-circle-outline"))
    for text, tone in ((cause, ""), (hint, "muted")):
        if text:
            card.add(PlainLabel(text, wrap=True, tone=tone, selectable=True))
    if facts := story.facts():
        card.add(_facts(facts))
    row = QHBoxLayout()
    row.setSpacing(S2)
    for number, (text, do) in enumerate(actions):
        row.addWidget(primary_button(text, do) if number == 0 else button(text, do))
    row.addStretch()
    card.body.addLayout(row)
    return card


def words(story: RunStory, name: str) -> tuple[str, str, str]:
    """Title, cause and hint of an ending."""
    tr = QCoreApplication.translate
    at = (
        tr("Ending", "step {0} of {1}").format(story.step, story.total)
        if story.total
        else tr("Ending", "step {0}").format(story.step)
    )
    message, hint = (story.end.message, story.end.hint) if story.end else ("", "")
    saved = max(story.checkpoints, default=0)
    kept = (
        tr("Ending", "The checkpoint of step {0} is safe: Resume goes on exactly from there.").format(saved)
        if saved
        else tr("Ending", "There is no checkpoint: it would start again from the beginning.")
    )
    match story.state:
        case "completed":
            return tr("Ending", "{0} is done").format(name), message, ""
        case "suspended":
            return tr("Ending", "Suspended at {0}").format(at), kept, ""
        case "cancelled":
            return tr("Ending", "Stopped at {0}").format(at), message, kept
        case "interrupted":
            return tr("Ending", "Interrupted at {0}").format(at), message, kept
    if not story.step:
        return tr("Ending", "{0} failed before its first step").format(name), message, hint
    return tr("Ending", "{0} failed at {1}").format(name, at), message, hint


def written(value: object) -> str:
    """A fact's value as a person reads it."""
    if isinstance(value, bool):
        translate = QCoreApplication.translate
        return translate("Ending", "yes") if value else translate("Ending", "no")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)[:80]


def _facts(facts: dict[str, object]) -> QWidget:
    made = QWidget()
    grid = QGridLayout(made)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(S8)
    grid.setVerticalSpacing(2)
    shown = [(name, value) for name, value in facts.items() if isinstance(value, str | int | float)]
    shown.sort(key=lambda fact: fact[0] not in METRICS)  # how good it is comes before how it was made
    for number, (name, value) in enumerate(shown[:MOST_FACTS]):
        column, row = number % 4, number // 4 * 2
        grid.addWidget(PlainLabel(metric(name).title, tone="muted"), row, column)
        grid.addWidget(PlainLabel(written(value), size=1.15, bold=True, selectable=True), row + 1, column)
    grid.setColumnStretch(4, 1)
    return made
