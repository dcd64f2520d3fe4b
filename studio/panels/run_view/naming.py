"""What a stored run is called and what was chosen for it, read from its spec. No Qt here."""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.fields import about
from rlhf_engine.tasks import TASKS

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

    @property
    def changed(self) -> bool:
        return self.default is not MISSING and self.value != self.default


def values_of(spec_json: str) -> dict[str, Any]:
    """The settings of a stored spec; empty for one that cannot be read."""
    try:
        body = json.loads(spec_json or "{}")
    except ValueError:
        return {}
    return {name: value for name, value in body.items() if name != "task"} if isinstance(body, dict) else {}


def settings_of(task: str, spec_json: str) -> list[Setting]:
    """Every setting: inputs first, then those that differ from their default, then the rest in the spec's order."""
    values = values_of(spec_json)
    if task not in TASKS:
        return [Setting(name, name, value, MISSING, "") for name, value in values.items()]
    found = []
    for f in fields(TASKS[task].spec):
        said = about(f)
        if f.name in values:
            default = list(f.default) if isinstance(f.default, tuple) else f.default
            label, group = (said.label, said.group) if said else (f.name, "")
            found.append(Setting(f.name, label, values[f.name], default, group))
    return sorted(found, key=lambda setting: (setting.group != "Inputs", not setting.changed))


def model_of(values: dict[str, Any]) -> str:
    """The model that a run starts from: the parent of what it makes."""
    models = values.get("models")
    first = models[0] if isinstance(models, list) and models else ""
    return str(values.get("policy") or values.get("model") or first or "")


def title_of(row: RunRow) -> str:
    """A run's own name, else its method with a piece of its id."""
    method = TASKS[row.task].title if row.task in TASKS else row.task
    return row.name or f"{method} {row.id[:4]}"


def short_model(session: Session, ref: str, titles: dict[str, str] | None = None) -> str:
    """A model reference in few words."""
    known = titles if titles is not None else {choice.ref: choice.title for choice in session.models()}
    return known.get(ref) or _last(ref)


def short_dataset(ref: str, titles: dict[str, str]) -> str:
    return titles.get(ref) or _last(ref.removeprefix("dataset:"))


def _last(ref: str) -> str:
    return PurePath(ref).name if "/" in ref and not ref.startswith("run:") else ref
