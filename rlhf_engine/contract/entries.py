"""Lists of entries as plain JSON values: the one form in which forms, presets and commands compare and keep them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from rlhf_engine.contract.fields import EntryKind, Param, about

PLACES = ("model", "reward_model", "dataset", "run")  # picks that mean something in one project only


def kind_of(said: Param, entry: Any) -> EntryKind | None:
    """The kind of an entry, given as a dataclass or as JSON; None for one that the field does not know."""
    key = entry.get("kind") if isinstance(entry, dict) else getattr(entry, "kind", None)
    return next((kind for kind in said.entries if kind.key == key), None)


def plain_entries(said: Param, entries: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """Entries with all their settings, those left out at their defaults; entries of an unknown kind are left aside."""
    return tuple(_plain(kind, entry) for entry in entries if (kind := kind_of(said, entry)) is not None)


def without_places(said: Param, entries: Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """The same without models, datasets and runs, which another project does not have."""
    found = []
    for entry in plain_entries(said, entries):
        kind = kind_of(said, entry)
        assert kind is not None
        gone = {f.name for f in fields(kind.type) if (told := about(f)) is not None and told.picks in PLACES}
        found.append({name: value for name, value in entry.items() if name not in gone})
    return tuple(found)


def _plain(kind: EntryKind, entry: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": kind.key}
    for f in fields(kind.type):
        if about(f) is None:
            continue
        default = f.default if f.default_factory is MISSING else f.default_factory()
        value = getattr(entry, f.name) if is_dataclass(entry) else entry.get(f.name, default)
        if value is not MISSING:
            made[f.name] = list(value) if isinstance(value, tuple) else value
    return made
