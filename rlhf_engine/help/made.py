"""Pages made from what specs, presets and metrics say of themselves, as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from fnmatch import fnmatchcase
from typing import Any

from rlhf_engine.contract.changes import brief, changes, number, plain_value
from rlhf_engine.contract.fields import EntryKind, Param, about, reading_order
from rlhf_engine.contract.presets import Preset
from rlhf_engine.tasks import TASKS, Task, presets_of
from rlhf_engine.tasks.curve_help import CURVES, CurveHelp
from rlhf_engine.tasks.metric_help import FACTS, FAMILIES, METRICS, MetricHelp

PICKS = {
    "model": "a model",
    "reward_model": "a reward model",
    "dataset": "a dataset",
    "run": "a run",
    "file": "a file",
    "folder": "a folder",
    "code": "a Python file",
}


def task_page(task: Task) -> str:
    """What a task does, what it takes, its settings, its presets and what it measures."""
    doc = inspect.cleandoc(task.spec.__doc__ or task.summary)
    words, _, source = doc.partition("Source:")
    parts = [f"# {plain(task.full_title)}", f"**{plain(task.summary)}**", _paragraphs(words)]
    if source.strip():
        parts.append(f"*Source: {plain(_one_line(source))}*")
    parts.append(_command(task))
    told = [(f, said) for f in reading_order(task.spec) if (said := about(f)) is not None]
    if chosen := [(f, said) for f, said in told if said.group == "Inputs"]:
        parts += ["## Inputs", *(_setting(f, said) for f, said in chosen)]
    parts += ["## Settings", *_groups([(f, said) for f, said in told if said.group != "Inputs"])]
    if task.trains:
        parts += ["## Presets", *(_preset(task, preset) for preset in presets_of(task.key))]
        parts.append("## Metrics")
        parts += [_metric(name, _help(name)) for name in metrics_of(task)]
        parts += [_curve(name, CURVES[name]) for name in curves_of(task)]
        parts.append("What each kind of curve means in general is in [Metrics and curves](metrics).")
    return _joined(parts)


def list_page(name: str, said: Param) -> str:
    """Every kind of entry that a list may hold, with its settings."""
    users = [task for task in TASKS.values() if any(f.name == name and about(f) == said for f in fields(task.spec))]
    used_by = ", ".join(f"[{plain(task.title)}]({task.key})" for task in users)
    parts = [f"# {plain(said.label)}", plain(said.help), f"Used by {used_by}."]
    for kind in said.entries:
        parts += [f"## {plain(kind.title)}", f"`{kind.key}` · {plain(kind.summary)}", *_entry(kind)]
    return _joined(parts)


def metrics_page() -> str:
    """Every metric, curve and fact there is."""
    parts = ["# Metrics and curves", "What every plotted number measures, what is healthy, and what to try."]
    group = ""
    for name in (*METRICS, *FAMILIES):
        if name.partition("/")[0] != group:
            group = name.partition("/")[0]
            parts.append(f"## {plain(group.capitalize())}")
        parts.append(_metric(name, _help(name)))
    parts += ["## Curves", *(_curve(name, drawn) for name, drawn in CURVES.items())]
    parts += ["## Results", *(_metric(name, fact) for name, fact in FACTS.items())]
    return _joined(parts)


def lists() -> dict[str, Param]:
    """The lists of entries that specs hold, by the names of their fields."""
    found: dict[str, Param] = {}
    for task in TASKS.values():
        for f in fields(task.spec):
            said = about(f)
            if said is not None and said.entries:
                found.setdefault(f.name, said)
    return found


def list_key(name: str) -> str:
    return f"list-{name.replace('_', '-')}"


def metrics_of(task: Task) -> list[str]:
    """The metrics that a training task measures, and the beginnings of those named after what a person chose."""
    names = (*METRICS, *FAMILIES)
    found = [name for name in names if any(fnmatchcase(name, pattern) for pattern in task.measures)]
    return sorted(found, key=lambda name: task.charts.index(name) if name in task.charts else len(task.charts))


def curves_of(task: Task) -> list[str]:
    """The curves over something other than steps that a task draws."""
    return [name for name in CURVES if any(fnmatchcase(name, pattern) for pattern in task.measures)]


def anchor_of(name: str) -> str:
    """What a link to the explanation of a metric, curve or fact names: that name, or the beginning of its kind."""
    beginning = next((start for start in FAMILIES if name.startswith(start)), "")
    return name if name in METRICS or not beginning else f"{beginning}…"


def plain(text: str) -> str:
    """Text as Markdown that shows just that text."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text)


# --- parts ------------------------------------------------------------------------------------------------------------


def _groups(told: list[tuple[Field[Any], Param]]) -> Iterator[str]:
    """Settings under the names of their groups, the ordinary ones of a group before its advanced ones."""
    groups: dict[str, list[tuple[Field[Any], Param]]] = {}
    for f, said in told:
        groups.setdefault(said.group, []).append((f, said))
    for group, members in groups.items():
        yield f"### {plain(group)}"
        yield from (_setting(f, said) for f, said in sorted(members, key=lambda one: one[1].advanced))


def _setting(f: Field[Any], said: Param) -> str:
    facts = [f"`{f.name}`", *_facts(f, said)]
    lines = [f"#### {plain(said.label)}", " · ".join(facts), plain(said.help)]
    if said.entries:
        kinds = ", ".join(plain(kind.title) for kind in said.entries)
        lines.append(f"A list; each entry is one of: {kinds}. See [{plain(said.label)}]({list_key(f.name)}).")
    if said.source:
        lines.append(f"*Source: {plain(said.source)}*")
    return _joined(lines)


def _facts(f: Field[Any], said: Param) -> Iterator[str]:
    """Default, range and choices of a setting."""
    default = f.default if f.default_factory is MISSING else f.default_factory()
    unit = f" {plain(said.unit)}" if said.unit else ""
    if default is MISSING:
        yield f"must be chosen: {PICKS.get(said.picks, 'a value')}"
    else:
        yield f"default {plain(brief(plain_value(said, default)))}{unit}"
    low, high = said.between
    if low is not None:
        yield f"from {_end(low)} to {_end(high)}{unit}"
    if said.choices:
        yield f"one of {plain(', '.join(said.choices))}"
    if said.kind:
        yield f"of {plain(said.kind)}"
    if said.advanced:
        yield "advanced"


def _end(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else number(value)


def _entry(kind: EntryKind) -> Iterator[str]:
    words, _, source = inspect.cleandoc(kind.type.__doc__ or "").partition("Source:")
    yield _paragraphs(words)
    if source.strip():
        yield f"*Source: {plain(_one_line(source))}*"
    for f in fields(kind.type):
        if (said := about(f)) is not None:
            yield f"- **{plain(said.label)}** (`{f.name}`, {', '.join(_facts(f, said))}): {plain(said.help)}"


def _preset(task: Task, preset: Preset) -> str:
    told = [change.text() for change in changes(task.spec, preset.values)]
    lines = [f"#### {plain(preset.title)}", f"`{preset.key}` · {plain(preset.summary)}"]
    if preset.source:
        lines.append(f"*Source: {plain(preset.source)}*")
    if told:
        lines.append("\n".join(f"- {plain(change)}" for change in told))
    return _joined(lines)


def _help(name: str) -> MetricHelp:
    return METRICS.get(name) or FAMILIES.get(name) or FACTS[name]


def _metric(name: str, told: MetricHelp) -> str:
    unit = f" · in {plain(told.unit)}" if told.unit else ""
    shown = f"{name}…" if name in FAMILIES else name
    return _joined([f"#### {plain(told.label)}", f"`{shown}`{unit}", *_advice(told)])


def _curve(name: str, drawn: CurveHelp) -> str:
    columns = ", ".join(f"{plain(label)} (`{column}`)" for column, label in drawn.columns.items())
    return _joined([f"#### {plain(drawn.label)}", f"`{name}` · {columns}", *_advice(drawn)])


def _advice(told: MetricHelp | CurveHelp) -> Iterator[str]:
    yield plain(told.measures)
    if told.healthy:
        yield f"*Healthy:* {plain(told.healthy)}"
    if told.remedy:
        yield f"*What to try:* {plain(told.remedy)}"


def _command(task: Task) -> str:
    if not task.trains:
        return ""
    needed = [f'"{f.name}": …' for f in fields(task.spec) if f.default is MISSING and f.default_factory is MISSING]
    body = ", ".join([f'"task": "{task.key}"', *needed])
    return f"In a terminal: `rlhf run spec.json` with `{{{body}}}`; `rlhf presets {task.key}` lists the presets."


def _paragraphs(text: str) -> str:
    return "\n\n".join(plain(_one_line(part)) for part in text.split("\n\n") if part.strip())


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _joined(parts: Iterable[str]) -> str:
    return "\n\n".join(part for part in parts if part)
