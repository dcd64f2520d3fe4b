"""Words that come from the engine, in the window's language.

The engine speaks English and knows no Qt; its labels, help texts and titles are looked up here, where they are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from PySide6.QtCore import QCoreApplication

from rlhf_engine.contract.fields import about
from rlhf_engine.contract.findings import FINDINGS
from rlhf_engine.tasks import FAMILIES, TASKS, presets_of
from rlhf_engine.tasks.curve_help import CURVES, CurveHelp, about_curve
from rlhf_engine.tasks.metric_help import FACTS, METRICS, MetricHelp, about_metric

CONTEXT = "Engine"


def word(text: str) -> str:
    """A label, help text or title of the engine as it is shown."""
    return QCoreApplication.translate(CONTEXT, text) if text else ""


def task_title(task: str) -> str:
    """What a task is called; one that this version does not know is called by its key."""
    return word(TASKS[task].title) if task in TASKS else task


def full_title(task: str) -> str:
    """What a method is called where it is chosen: with its short name behind the title."""
    short = word(TASKS[task].short)
    return f"{task_title(task)} ({short})" if short else task_title(task)


def metric(name: str) -> MetricHelp:
    """What a metric measures and what is healthy."""
    said = about_metric(name)
    label, measures, healthy, remedy = map(word, (said.label, said.measures, said.healthy, said.remedy))
    return replace(said, label=label, measures=measures, healthy=healthy, remedy=remedy)


def curve(name: str) -> CurveHelp:
    """What a curve over something other than steps shows."""
    said = about_curve(name)
    label, measures, healthy, remedy = map(word, (said.label, said.measures, said.healthy, said.remedy))
    columns = {column: word(text) for column, text in said.columns.items()}
    return CurveHelp(label, measures, healthy, remedy, columns, said.diagonal)


def all_words() -> Iterator[str]:
    """Every text that `word` may be asked for: what a translation of the engine has to cover."""
    for task in TASKS.values():
        yield from filter(None, (task.title, task.short, task.summary, *task.beside))
        yield from _words_of(task.spec)
    for family, about_it in FAMILIES.items():
        yield from (family, about_it)
    for preset in (preset for key in TASKS for preset in presets_of(key)):
        yield from (preset.title, preset.summary)
    for words in FINDINGS.values():
        yield from words
    for drawn in CURVES.values():
        yield from filter(None, (drawn.label, drawn.measures, drawn.healthy, drawn.remedy, *drawn.columns.values()))
    for known in (*METRICS.values(), *FACTS.values()):
        yield from filter(None, (known.label, known.measures, known.healthy, known.remedy))


def _words_of(spec_type: type[Any]) -> Iterator[str]:
    """What the fields of a spec say, and those of the entries that its lists may hold."""
    for said in (about(f) for f in fields(spec_type)):
        if said is not None:
            yield from filter(None, (said.label, said.help, said.group, said.unit))
            for kind in said.entries:
                yield from (kind.title, kind.summary)
                yield from _words_of(kind.type)
