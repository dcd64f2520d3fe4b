"""What a stored run is called and what was chosen for it, read from its row and its spec."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from rlhf_engine.contract.entries import plain_entries
from rlhf_engine.contract.fields import about, reading_order
from rlhf_engine.tasks import TASKS
from studio.engine_words import task_title, word

if TYPE_CHECKING:
    from rlhf_engine.store.runs import RunRow
    from studio.session import Session


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a spec as a person set it."""

    name: str
    label: str
    value: Any
    default: Any
    group: str
    given: bool = False  # chosen from what the project has

    @property
    def changed(self) -> bool:
        return self.default is not MISSING and self.value != self.default


STATES = {  # the tone of each state's word
    "waiting": "muted",
    "running": "link",
    "paused": "warn",
    "completed": "good",
    "cancelled": "muted",
    "suspended": "warn",
    "interrupted": "warn",
    "failed": "bad",
}


def state_word(state: str) -> str:
    """What a state is called on screen."""
    words = {
        "waiting": QT_TRANSLATE_NOOP("RunState", "Waiting"),
        "running": QT_TRANSLATE_NOOP("RunState", "Running"),
        "paused": QT_TRANSLATE_NOOP("RunState", "Paused"),
        "completed": QT_TRANSLATE_NOOP("RunState", "Completed"),
        "cancelled": QT_TRANSLATE_NOOP("RunState", "Stopped"),
        "suspended": QT_TRANSLATE_NOOP("RunState", "Suspended"),
        "interrupted": QT_TRANSLATE_NOOP("RunState", "Interrupted"),
        "failed": QT_TRANSLATE_NOOP("RunState", "Failed"),
    }
    return QCoreApplication.translate("RunState", str(words.get(state, state)))


def values_of(spec_json: str) -> dict[str, Any]:
    """The settings of a stored spec; empty for one that cannot be read."""
    try:
        body = json.loads(spec_json or "{}")
    except ValueError:
        return {}
    return {name: value for name, value in body.items() if name != "task"} if isinstance(body, dict) else {}


def settings_of(task: str, spec_json: str) -> list[Setting]:
    """Every setting: inputs chosen, then what differs from its default, then the rest, in the order of a form."""
    values = values_of(spec_json)
    if task not in TASKS:
        return [Setting(name, name, value, MISSING, "") for name, value in values.items()]
    found = []
    for f in reading_order(TASKS[task].spec):
        said = about(f)
        if f.name in values:
            default = list(f.default) if isinstance(f.default, tuple) else f.default
            if said is not None and said.entries and isinstance(default, list):
                default = list(plain_entries(said, default))
            label, group = (word(said.label), word(said.group)) if said else (f.name, "")
            given = said is not None and bool(said.picks)
            found.append(Setting(f.name, label, values[f.name], default, group, given))

    def place(setting: Setting) -> int:
        return 0 if setting.given and setting.value else 1 if setting.changed else 2

    return sorted(found, key=place)


def model_of(values: dict[str, Any]) -> str:
    """The model that a run starts from: the parent of what it makes."""
    models = values.get("models")
    first = models[0] if isinstance(models, list) and models else ""
    return str(values.get("policy") or values.get("model") or first or "")


def title_of(row: RunRow) -> str:
    """A run's own name, else its method with a piece of its id."""
    return row.name or f"{method_of(row.task)} {row.id[:4]}"


def titles(session: Session) -> dict[str, str]:
    """What the project's models and datasets are called, by their references."""
    found = {choice.ref: choice.title for choice in session.models()}
    return found | {choice.ref: choice.title for choice in session.datasets()}


def method_of(task: str) -> str:
    """A method in as few words as people use."""
    return word(TASKS[task].name) if task in TASKS else task_title(task)


def short(ref: str, known: dict[str, str]) -> str:
    """A model or dataset reference in few words: its title where it has one, else the end of its path."""
    if ref in known:
        return known[ref]
    kind, _, rest = ref.partition(":")
    if kind in ("dataset", "run"):
        return rest[:8]
    return PurePath(ref).name if "/" in ref else ref
