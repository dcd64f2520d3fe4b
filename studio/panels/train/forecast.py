"""What can be said of a run before it starts: steps, time and memory, as far as files and earlier runs tell.

No torch here: sizes are read from config.json and from the length of the weight files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QCoreApplication

from rlhf_engine.contract.fields import about
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
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


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


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What config.json and the weight files say about a base model."""

    weights: int  # bytes on disk
    stored_as: str
    vocabulary: int
    hidden: int
    layers: int

    @property
    def parameters(self) -> int:
        return self.weights // _BYTES.get(self.stored_as, 2)


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


def memory(task: str, values: dict[str, Any], model: ModelSize, on_gpu: bool) -> int:
    """Bytes that the run may need at its peak, when every example is as long as allowed; an upper bound, roughly.

    Weights once (adapters share them), logits with their gradient (they dominate for small models), activations
    after Korthikanti et al. 2022 (34 bytes per token, layer and hidden unit in half precision), adapters with AdamW.
    Where all weights are trained, each role is a copy in fp32, and 12 bytes more per parameter if it learns. Recomputed
    activations are one block's, and the inputs of all. A base in 4 bits keeps its embeddings.
    """
    wanted = values.get("dtype", "auto")
    half = wanted == "bf16" or (wanted == "auto" and on_gpu)
    tokens = int(values.get("micro_batch_size", 16)) * int(values.get("max_tokens", 256))
    learned = {f.name for f in fields(TASKS[task].spec) if (said := about(f)) and said.kind == "comparisons"}
    tokens *= 2 if learned else 1  # both answers of a pair go through at once
    embeddings = min(model.parameters, model.vocabulary * model.hidden)
    weights = model.parameters * (2 if half else 4)
    if values.get("quantise") == "4bit":
        weights = embeddings * 2 + (model.parameters - embeddings) * 5 // 9  # 4 bits, and scales for blocks of 64
    logits = 0 if TASKS[task].scores else tokens * model.vocabulary * 4 * 3
    unit, size = tokens * model.hidden, 2 if half else 4
    again = bool(values.get("activation_checkpointing"))
    activations = unit * 17 * size if again else unit * model.layers * 17 * size
    activations += unit * model.layers * size if again else 0
    if values.get("trained") == "all-weights":
        learning = 1 + ("value_learning_rate" in values)
        copies = model.parameters * (4 * TASKS[task].adapters + 12 * learning)
        return weights + logits + activations + copies
    lora = 7 * 2 * model.hidden * int(values.get("lora_rank", 16)) * model.layers * 16 * TASKS[task].adapters
    return weights + logits + activations + lora


def memory_sentence(
    task: str, values: dict[str, Any], model: ModelSize | None, device: dict[str, Any]
) -> tuple[str, bool]:
    """One sentence, and whether it is a warning."""
    if model is None:
        return tr("Forecast", "Memory: not known before the model has been downloaded."), False
    free, name = int(device.get("memory_free") or 0), str(device.get("device") or "")
    need = memory(task, values, model, bool(name) and not name.startswith("CPU") and values.get("device") != "cpu")
    if not free:
        return tr("Forecast", "Memory: at most about {0}.").format(gigabytes(need)), False
    if need > free:
        text = tr("Forecast", "Memory: at most about {0}, but only {1} are free. Lower the micro-batch size.")
        return text.format(gigabytes(need), gigabytes(free)), True
    return tr("Forecast", "Memory: at most about {0} of {1} free.").format(gigabytes(need), gigabytes(free)), False


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


def model_size(root: Path, ref: str) -> ModelSize | None:
    """The base under a model reference, read from its folder; None for a Hub model or an unreadable one."""
    folder = _folder(root, ref)
    if folder is None:
        return None
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
        config = config.get("text_config", config)
        stored = str(config.get("dtype") or config.get("torch_dtype") or "bfloat16")
        numbers = (int(config[name]) for name in ("vocab_size", "hidden_size", "num_hidden_layers"))
        return ModelSize(weights, stored, *numbers) if weights else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
