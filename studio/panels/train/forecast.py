"""What can be said of a run before it starts: steps, time and memory, as far as files and earlier runs tell.

No torch here: the engine foresees the memory from config.json and the headers of the weight files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication

from rlhf_engine.launch.forecast import advise, forecast
from rlhf_engine.models.folders import adapter_facts
from rlhf_engine.models.trainable import ALL_LINEAR, trainable
from rlhf_engine.tasks import TASKS
from studio.panels.models.words import parameters
from studio.panels.run_view.naming import model_of, values_of
from studio.widgets import duration

if TYPE_CHECKING:
    from rlhf_engine.data.datasets import DatasetInfo
    from rlhf_engine.store.runs import RunRow

tr = QCoreApplication.translate


@dataclass(frozen=True, slots=True)
class Size:
    """How many records of a dataset are trained on, and how many only measured. `exact` is False for a guess."""

    train: int
    heldout: int
    exact: bool = True


def size_as(info: DatasetInfo, kind: str) -> Size:
    """How large a dataset is when it is read as `kind`.

    A comparison makes two ratings. Ties may be left out, and of records that are equal in the plainer kind one is kept:
    how many that leaves is known once they are read.
    """
    times = 2 if (info.kind, kind) == ("comparisons", "ratings") else 1
    exact = kind in ("", info.kind) and not info.facts.get("ties")
    return Size(info.train * times, info.heldout * times, exact)


def planned(task: str, values: dict[str, Any]) -> int:
    """How many updates the settings themselves ask for; 0 for a method that goes through a set of examples."""
    draft = object.__new__(TASKS[task].spec)  # unchecked: a form that is not complete yet has its number already
    for name, value in values.items():
        object.__setattr__(draft, name, value)
    return int(draft.total_steps)


def steps(task: str, values: dict[str, Any], size: Size | None) -> int:
    """How many optimiser steps or updates a run takes; 0 while the number of examples is not known."""
    if updates := planned(task, values):
        return updates
    if size is None or size.train < 1:
        return 0
    per_epoch = max(1, size.train // min(int(values["batch_size"]), size.train))
    return max(1, round(float(values["epochs"]) * per_epoch))


def pace(task: str, values: dict[str, Any], past: Sequence[RunRow]) -> float | None:
    """Seconds a step, from the newest run of the same kind on the same model; None when there was none.

    Another batch size is allowed for in proportion. Loading and evaluation count, as they will again.
    """
    model, batch = model_of(values), float(values.get("batch_size") or 1)
    for row in past:
        before = values_of(row.spec_json)
        if row.task == task and row.ended and row.step > 2 and row.state == "completed" and model_of(before) == model:
            seconds = max(0.0, row.ended - row.created) / row.step
            return seconds * batch / float(before.get("batch_size") or batch)
    return None


def time_sentence(task: str, values: dict[str, Any], total: int, past: Sequence[RunRow]) -> str:
    found = pace(task, values, past)
    if not found or not total:
        return tr("Forecast", "First run of this kind on this model: its speed is not known yet.")
    text = tr("Forecast", "About {0}, going by the last such run ({1} s a step).")
    return text.format(duration(found * total), f"{found:.2g}")


def memory_sentences(root: Path, task: str, values: dict[str, Any], device: dict[str, Any]) -> list[tuple[str, str]]:
    """(sentence, tone): what the run will take and what of it is the most, whether that fits, and what would lower it.

    Reads files: not for Qt's thread.
    """
    name, free = str(device.get("device") or ""), int(device.get("memory_free") or 0)
    on_gpu = bool(name) and not name.startswith("CPU") and values.get("device") != "cpu"
    fit = forecast(root, task, values, on_gpu, name)
    if fit is None:
        return [(tr("Forecast", "Memory: not known before the model has been downloaded."), "muted")]
    tight = bool(free) and fit.own > free
    most = tr("Forecast", "Most of it in the {0}: {1}.").format(_phases()[fit.largest], _parts()[fit.main_part])
    if tight:
        text = tr("Forecast", "Memory: will not fit. It needs about {0}, and only {1} are free.")
    elif free:
        text = tr("Forecast", "Memory: about {0} of {1} free.")
    else:
        text = tr("Forecast", "Memory: about {0}.")
    text = f"{text.format(gigabytes(fit.own), gigabytes(free))} {most}"
    if fit.correction.runs:
        text += " " + tr("Forecast", "From {0} such runs on this machine.").format(fit.correction.runs)
    if not tight:
        return [(text, "muted")]
    lower = [one for one in advise(root, task, values, on_gpu, fit) if one.own < fit.own]
    enough = [one for one in lower if one.own <= free] or lower
    ways = "; ".join(f"{one.text} ({gigabytes(one.own)})" for one in enough[:3])
    help_ = (
        tr("Forecast", "What would lower it: {0}.").format(ways) if ways else tr("Forecast", "Take a smaller model.")
    )
    return [(text, "bad"), (help_, "warn")]


def _phases() -> dict[str, str]:
    return {
        "load": tr("Forecast", "loading"),
        "rollout": tr("Forecast", "writing of answers"),
        "scoring": tr("Forecast", "scoring"),
        "update": tr("Forecast", "learning"),
    }


def _parts() -> dict[str, str]:
    return {
        "kernels": tr("Forecast", "kernels"),
        "weights": tr("Forecast", "the base's weights"),
        "others": tr("Forecast", "the reward models' bases"),
        "adapters": tr("Forecast", "what is trained, and its copies"),
        "optimizer": tr("Forecast", "the optimiser"),
        "gradients": tr("Forecast", "gradients"),
        "activations": tr("Forecast", "activations"),
        "cache": tr("Forecast", "keys and values of the answers"),
        "laid_out": tr("Forecast", "weights laid out for writing"),
        "logits": tr("Forecast", "logits"),
    }


def trained_sentence(root: Path, ref: str, values: dict[str, Any]) -> tuple[str, bool]:
    """How many parameters are trained of how many, and whether it is a warning; "" where the files do not say."""
    folder = _folder(root, ref)
    found = trainable(folder, values) if folder is not None else None
    if found is None:
        return "", False
    layers = ", ".join(found.layers)
    if values.get("trained") == "all-weights":
        return tr("Forecast", "Trains all {0} parameters.").format(parameters(found.total)), False
    own = adapter_facts(root / "runs" / ref.removeprefix("run:") / "adapter") if ref.startswith("run:") else None
    if own is not None and own.rank:  # it goes on with that adapter, whatever the form says
        text = tr("Forecast", "Trains {0} of {1} parameters: the model's own adapter, rank {2}.")
        return text.format(parameters(own.parameters), parameters(found.total), own.rank), False
    if found.missing:
        text = tr("Forecast", "This model has no layer {0} to adapt. It has {1}.")
        return text.format(", ".join(found.missing), layers), True
    text = tr("Forecast", "Trains {0} of {1} parameters: rank {2} in {3}.")
    chosen = layers if values["lora_targets"] == ALL_LINEAR else values["lora_targets"]
    return text.format(parameters(found.trained), parameters(found.total), values["lora_rank"], chosen), False


def gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{max(1, round(size / 1e6))} MB"


def _folder(root: Path, ref: str) -> Path | None:
    for _ in range(8):  # a run on a run on a base
        if ref == "starter":
            from resources.starter import MODEL

            return MODEL
        if not ref.startswith("run:"):
            folder = Path(ref).expanduser()
            return folder if ref and folder.is_dir() else None
        run = root / "runs" / ref.removeprefix("run:")
        if adapter_facts(run / "adapter").whole:  # a base of its own
            return run / "adapter"
        spec = run / "spec.json"
        try:
            ref = model_of(json.loads(spec.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None
    return None
