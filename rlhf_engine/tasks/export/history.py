"""What may be told to strangers about a model: picked one by one, so that no path, user or host can slip through."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.data.datasets import open_dataset
from rlhf_engine.data.records import Record
from rlhf_engine.models.folders import folder_on_disk
from rlhf_engine.models.load import ModelSource, resolve

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_INPUTS = {"task", "model", "models", "policy", "reward_model", "dataset", "prompts", "folder", "path", "repo", "name"}
_WORD = re.compile(r"[a-z0-9_-]+(,[a-z0-9_-]+)*")
_CHOICES = {  # settings of two words
    "assistant turns", "all tokens", "by weight", "by size", "leave out", "first half", "second half",
}  # fmt: skip
_SOURCES = {"human", "rule", "import", "model"}  # who made a label; what a file says of itself is not repeated


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """A dataset as the card names it. `labels` counts records by who made them; `weight` is its own in a mixture."""

    name: str
    hash: str
    kind: str
    rows: int
    labels: dict[str, int]
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One training run on the way to the model."""

    task: str
    settings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    datasets: tuple[DatasetFacts, ...] = ()
    reward: tuple[RunFacts, ...] = ()  # how the reward model of a PPO run came about


def history_of(source: ModelSource, project_root: Path, depth: int = 12) -> tuple[RunFacts, ...]:
    """The runs that led from the base to this model, the first one first. What cannot be found is left out."""
    if source.folder is None or depth == 0:
        return ()
    about = source.about
    spec = _spec(source.folder.parent / "spec.json")
    reward_ref = about.get("reward_model") or spec.get("reward_model") or ""
    here = RunFacts(
        task=_word(about.get("task")) or _word(spec.get("task")) or "adapter",
        settings=settings_of(spec),
        metrics=_metrics(project_root, str(about.get("run", "")), about.get("facts")),
        datasets=_datasets(project_root, about, spec),
        reward=_parents(reward_ref, project_root, depth) if reward_ref else (),
    )
    parent = about.get("parent") or ""
    return (*_parents(parent, project_root, depth), here)


def settings_of(spec: dict[str, Any]) -> dict[str, Any]:
    """Numbers, switches and single words of a run's spec; never a text, a path or an input."""
    return {
        key: value
        for key, value in spec.items()
        if key not in _INPUTS
        and (isinstance(value, bool | int | float) or (isinstance(value, str) and (_word(value) or value in _CHOICES)))
    }


def public_base(base: str, folder: Path) -> str:
    """How others may call the base: its Hub id, "starter", or the hash of its weights, but never where it lies."""
    if base == "starter":
        return base
    if HUB_ID.fullmatch(base) and not Path(base).expanduser().is_dir():
        return base
    files = sorted(folder.glob("*.safetensors"))
    hashes = [_sha256(file) for file in files]
    if len(hashes) == 1:
        return f"local folder, sha256 {hashes[0]}"
    return f"local folder, sha256 {hashlib.sha256(' '.join(hashes).encode()).hexdigest()} of {len(hashes)} parts"


def public_origin(source: ModelSource, project_root: Path) -> str:
    """How others may call the model from elsewhere that this one was trained from, over any number of results that are
    complete models themselves; "" where that is just its base, or is not known any more."""
    ref, under = source.base, source
    for _ in range(12):
        try:
            under = resolve(ref, project_root)
        except EngineError:  # a run that was deleted
            return ""
        if not under.about:
            break
        ref = str(under.about["base"]) if under.adapter is None else under.base
    folder = folder_on_disk(ref)
    if ref == source.base or under.about:
        return ""
    return public_base(ref, folder) if folder is not None else ref if HUB_ID.fullmatch(ref) else ""


def heldout_records(source: ModelSource, project_root: Path) -> list[Record]:
    """Records that the model was never trained on, of those of its datasets that are still there."""
    found: list[Record] = []
    for ref, _ in _refs(source.about, {}):
        try:
            found += open_dataset(project_root, ref).records("heldout")
        except EngineError:
            continue
    return found


def _parents(ref: str, project_root: Path, depth: int) -> tuple[RunFacts, ...]:
    try:
        return history_of(resolve(ref, project_root), project_root, depth - 1)
    except EngineError:  # a run that was deleted: its part of the story is lost
        return ()


def _spec(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _metrics(project_root: Path, run_id: str, facts: Any) -> dict[str, float]:
    """The last value of each curve, over those that the run wrote beside its result."""
    from rlhf_engine.store.runs import RunsReader

    values: dict[str, Any] = dict(facts) if isinstance(facts, dict) else {}
    reader = RunsReader(project_root)
    try:
        row = reader.run(run_id) if run_id else None
    finally:
        reader.close()
    values |= row.metrics if row is not None else {}
    return {
        name: float(value)
        for name, value in sorted(values.items())
        if isinstance(value, int | float)
        and math.isfinite(value)
        and re.fullmatch(r"[\w/.@-]+", name)
        and not name.startswith(("time/", "memory/"))
    }


def _refs(about: dict[str, Any], spec: dict[str, Any]) -> list[tuple[str, float | None]]:
    """The datasets of a run, the first one first, with their weights where there are several."""
    first = str(about.get("dataset") or spec.get("dataset") or "")
    mixture = about.get("mixture")
    further = [
        (entry["dataset"], float(entry["weight"]))
        for entry in (mixture if isinstance(mixture, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("dataset"), str)
        and isinstance(entry.get("weight"), int | float)
    ]
    return [(ref, weight) for ref, weight in ((first, 1.0 if further else None), *further) if ref]


def _datasets(project_root: Path, about: dict[str, Any], spec: dict[str, Any]) -> tuple[DatasetFacts, ...]:
    found = (_dataset(project_root, ref, weight) for ref, weight in _refs(about, spec))
    return tuple(facts for facts in found if facts is not None)


def _dataset(project_root: Path, ref: str, weight: float | None) -> DatasetFacts | None:
    try:
        dataset = open_dataset(project_root, ref)
        labels = Counter(_label_source(record.source) for record in dataset.records(ties=True))
    except EngineError:
        return None
    info = dataset.info
    name = re.split(r"[/\\]", info.name)[-1]
    return DatasetFacts(" ".join(name.split()), info.hash, info.kind, info.rows, dict(sorted(labels.items())), weight)


def _label_source(source: str) -> str:
    first = source.split(":")[0].strip().lower()
    return first if first in _SOURCES else "other" if source else "not stated"


def _word(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= 80 and _WORD.fullmatch(value) else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
