"""The presets of a method: the published ones, and those that a person has saved."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.changes import Change, changes, defaults
from rlhf_engine.contract.entries import without_places
from rlhf_engine.contract.fields import about
from rlhf_engine.contract.presets import Preset
from rlhf_engine.tasks import TASKS, presets_of

if TYPE_CHECKING:
    from studio.session import Session

OWN = "own:"  # before the key of a preset that a person saved


def all_presets(session: Session, task: str) -> list[Preset]:
    saved = session.recall(_place(task), {})
    own = [Preset(OWN + title, title, "", dict(values)) for title, values in saved.items() if isinstance(values, dict)]
    return [*presets_of(task), *own]


def save_preset(session: Session, task: str, title: str, values: dict[str, Any]) -> Preset:
    """Keep settings under a title; the same title again replaces them. Models and data are left out."""
    kept = settings_only(task, values)
    session.remember(_place(task), {**session.recall(_place(task), {}), title: kept})
    session.keep_settings()
    return Preset(OWN + title, title, "", kept)


def remove_preset(session: Session, task: str, title: str) -> None:
    saved = dict(session.recall(_place(task), {}))
    saved.pop(title, None)
    session.remember(_place(task), saved)
    session.keep_settings()


def inputs_of(task: str) -> set[str]:
    """The fields that are chosen from what the project has."""
    return {f.name for f in fields(TASKS[task].spec) if (said := about(f)) is not None and said.picks}


def settings_only(task: str, values: dict[str, Any]) -> dict[str, Any]:
    """`values` as plain JSON without what is chosen from the project, in fields and in the entries of lists."""
    told = {f.name: said for f in fields(TASKS[task].spec) if (said := about(f)) is not None}
    return {
        name: without_places(told[name], value) if told[name].entries else value
        for name, value in values.items()
        if name in told and not told[name].picks
    }


def changed_by(task: str, preset: Preset) -> list[Change]:
    """What a preset sets, against the defaults."""
    return changes(TASKS[task].spec, settings_only(task, preset.values))


def changed_since(task: str, preset: Preset, changed: dict[str, Any]) -> list[Change]:
    """How a form differs from its preset. `changed` are the settings that differ from their defaults."""
    wanted = settings_only(task, preset.values)
    now = defaults(TASKS[task].spec) | settings_only(task, changed)
    return changes(TASKS[task].spec, now, wanted)


def _place(task: str) -> str:
    return f"presets.{task}"
