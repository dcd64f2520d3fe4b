"""The presets of a method: the published ones, and those that a person has saved."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.fields import about
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.presets import Preset, presets_of

if TYPE_CHECKING:
    from studio.session import Session

OWN = "own:"  # before the key of a preset that a person saved


def all_presets(session: Session, task: str) -> list[Preset]:
    saved = session.recall(_place(task), {})
    own = [Preset(OWN + title, title, "", dict(values)) for title, values in saved.items() if isinstance(values, dict)]
    return [*presets_of(task), *own]


def save_preset(session: Session, task: str, title: str, values: dict[str, Any]) -> Preset:
    """Keep settings under a title; the same title again replaces them. Models and data are left out."""
    kept = {name: value for name, value in values.items() if name not in inputs_of(task)}
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


def differs(task: str, preset: Preset, changed: dict[str, Any]) -> bool:
    """Whether settings that differ from their defaults are others than the preset's."""
    inputs = inputs_of(task)
    defaults = {f.name: f.default for f in fields(TASKS[task].spec)}
    wanted = {name: value for name, value in preset.values.items() if value != defaults.get(name)}
    return wanted != {name: value for name, value in changed.items() if name not in inputs}


def _place(task: str) -> str:
    return f"presets.{task}"
