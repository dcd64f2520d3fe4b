"""What a run will take of the memory, before it starts: from its spec, the files of its models and the data's lengths.

No torch here: the window and `rlhf fit` ask, and nothing is loaded. What past runs of this project took corrects it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from resources import starter
from rlhf_engine.contract.fields import about
from rlhf_engine.contract.online import RolloutFields
from rlhf_engine.contract.preference import ReferenceFields
from rlhf_engine.contract.rewards import EnsembleReward, ModelReward
from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.data.lengths import Lengths, lengths_of
from rlhf_engine.machine import processor
from rlhf_engine.models.folders import read_json
from rlhf_engine.models.footprint import Footprint, footprint
from rlhf_engine.runtime.fit import NEWEST, Advice, Correction, Fit
from rlhf_engine.store.runs import RunsReader
from rlhf_engine.tasks import TASKS

SMALL = 10_000_000  # of `runtime/device.py`, which needs torch
WRITING, BF16 = 100_000_000, 140_000_000  # bytes that stay with kernels on a processor, once they have been used
PROCESS = 380_000_000  # bytes of a process that has imported torch, transformers and peft, where no past run says
SLOTS = 64  # of `models/sampling.py`: answers written side by side
PREVIEWED = 4, 64  # answers, and tokens of each, that runs without a rollout of their own write as samples


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model reference leads without loading anything: the folder of its base, and its adapter if it has one."""

    base: Path
    adapter: Path | None = None


def place_of(root: Path, ref: str) -> Place | None:
    """None for a Hub model that may not be here yet, and for what is not there."""
    if ref == "starter":
        return Place(starter.MODEL)
    folder = root / "runs" / ref[4:] / "adapter" if ref.startswith("run:") else Path(ref).expanduser()
    if not ref or not folder.is_dir():
        return None
    told = read_json(folder / "model.json")
    if not told or told.get("weights") == "whole":
        return Place(folder)
    base = str(told.get("base") or "")
    under = place_of(root, base) if base != ref else None
    return Place(under.base, folder) if under else None


def foresee(
    root: Path, task: str, values: Mapping[str, Any], on_gpu: bool, lengths: Lengths | None = None
) -> Fit | None:
    """The memory of each phase, without what past runs teach; None where the files of the model do not say.

    `values` are those of the spec; what is missing has its default. Without `lengths` every example is as long as the
    settings allow.
    """
    if not issubclass(TASKS[task].spec, TrainingFields):
        return None
    settings = _defaults(task) | dict(values)
    place = place_of(root, str(settings.get("model") or settings.get("policy") or ""))
    adapter = place.adapter if place and settings["trained"] == "adapter" else None
    model = footprint(place.base, settings, adapter) if place else None
    if place is None or model is None:
        return None
    half = is_half(settings, on_gpu, model.parameters)
    size = _Sizes(task, settings, model, lengths)
    trained = model.adapter or model.trained
    learners, copies = _learners(settings), _copies(task, settings)
    laid_out = 0 if on_gpu else model.laid_out(half)
    held = {
        "process": 0 if on_gpu else PROCESS,
        "kernels": 0 if on_gpu else WRITING * bool(size.answers) + BF16 * half,
        "weights": model.weights(half, settings["quantise"] == "4bit"),
        "others": _others(root, settings, place.base, half),
        "adapters": 4 * trained * (learners + copies),
    }
    learnt = {"optimizer": 8 * trained * learners}
    phases = {"load": held | ({"laid_out": laid_out} if size.answers else {})}  # the first samples are written there
    if size.answers:
        width = size.prompt + size.response
        phases["rollout"] = held | learnt
        phases["rollout"] |= {
            "activations": model.at_work(size.answers * size.prompt, half),
            "cache": model.cache(size.answers, width, half),
            "laid_out": laid_out,
            "logits": size.answers * model.vocabulary * 4 * 4,
        }
    scored = model.logits(size.measured, on_gpu, keeps=False) if not TASKS[task].scores else 0
    phases["scoring"] = held | learnt | {"activations": model.at_work(size.tokens, half), "logits": scored}
    head = model.logits(size.measured, on_gpu, keeps=True) if not TASKS[task].scores else 0
    phases["update"] = held | learnt
    phases["update"] |= {
        "gradients": 4 * trained * learners,
        "activations": model.activations(size.tokens, half, settings),
        "logits": head,
    }
    return Fit(phases)


def forecast(root: Path, task: str, values: Mapping[str, Any], on_gpu: bool, hardware: str = "") -> Fit | None:
    """`foresee` with the dataset's own lengths, corrected by past runs of the same task and format on this machine."""
    raw = foresee(root, task, values, on_gpu, dataset_lengths(root, task, values))
    return raw and raw.corrected(learned(root, task, values, on_gpu, hardware))


def learned(root: Path, task: str, values: Mapping[str, Any], on_gpu: bool, hardware: str = "") -> Correction:
    """What the project's completed runs of this task, in this number format and on `hardware`, took over what was
    foreseen for them."""
    reader = RunsReader(root)
    half, past = _half(root, task, values, on_gpu), list[tuple[float, float, float]]()
    try:
        for row in reader.runs():
            numbers = [row.metrics.get(f"memory/{name}", 0.0) for name in ("start", "peak", "predicted")]
            if row.task != task or row.state != "completed" or not all(numbers[1:]):
                continue
            there = reader.hardware(row.id)
            alike = there == (hardware or there) and len(past) < NEWEST
            if alike and _half(root, task, row.spec_values, not there.startswith("CPU")) == half:
                past.append((numbers[0] * 1e6, numbers[1] * 1e6, numbers[2] * 1e6))
    finally:
        reader.close()
    return Correction.of(past)


def dataset_lengths(root: Path, task: str, values: Mapping[str, Any]) -> Lengths | None:
    """Of the data that a spec names; None where it is not frozen yet, or its model has no tokenizer.json."""
    place = place_of(root, str(values.get("model") or values.get("policy") or ""))
    ref = str(values.get("dataset") or "")
    if place is None or not ref.startswith("dataset:"):
        return None
    card = read_json(root / "datasets" / ref[8:] / "card.json")
    kind = next((said.kind for f in fields(TASKS[task].spec) if f.name == "dataset" and (said := about(f))), "")
    kind = str(card.get("kind") or kind) if kind != "prompts" else "prompts"
    return lengths_of(root / "datasets" / ref[8:], kind, place.base / "tokenizer.json")


def advise(root: Path, task: str, values: Mapping[str, Any], on_gpu: bool, fit: Fit) -> list[Advice]:
    """Single changes that lower the peak by a twentieth or more, the best first."""
    settings, lengths = _defaults(task) | dict(values), dataset_lengths(root, task, values)
    rows = int(settings["micro_batch_size"])
    tries: list[tuple[dict[str, Any], str]] = []
    if rows > 1:
        tries += [({"micro_batch_size": rows // 2}, f"micro-batch {rows // 2} instead of {rows}")]
    if rows > 2:
        tries += [({"micro_batch_size": 1}, "micro-batch 1")]
    if not settings["activation_checkpointing"]:
        tries += [({"activation_checkpointing": True}, "recompute activations")]
    if not _half(root, task, settings, on_gpu):
        tries += [({"dtype": "bf16"}, "base in bf16")]
    if on_gpu and settings["quantise"] == "none" and settings["trained"] == "adapter":
        tries += [({"quantise": "4bit"}, "base in 4 bits")]
    if settings["trained"] == "all-weights":
        tries += [({"trained": "adapter"}, "train an adapter instead of all weights")]
    if (response := int(settings.get("response_tokens", 0))) > 16 and issubclass(TASKS[task].spec, RolloutFields):
        tries += [({"response_tokens": response // 2}, f"responses of {response // 2} tokens")]
    if lengths is None or lengths.example > int(settings["max_tokens"]) // 2:
        most = int(settings["max_tokens"])
        tries += [({"max_tokens": most // 2}, f"longest example {most // 2} tokens")] if most >= 64 else []
    found = []
    for changes, text in tries:
        raw = foresee(root, task, settings | changes, on_gpu, lengths)
        if raw is not None:
            then = raw.corrected(fit.correction)
            if then.peak < 0.95 * fit.peak or then.own < 0.95 * fit.own:
                found.append(Advice(changes, text, then.peak, then.own))
    return sorted(found, key=lambda advice: advice.own)


def is_half(settings: Mapping[str, Any], on_gpu: bool, parameters: int) -> bool:
    """Whether the base is in two bytes a number: what "auto" stands for is as `choose_dtype` of `runtime/device.py`."""
    if settings.get("dtype", "auto") != "auto":
        return bool(settings["dtype"] == "bf16")
    return on_gpu or (parameters >= SMALL and bool(processor().flags & {"amx_bf16", "avx512_bf16"}))


def _half(root: Path, task: str, values: Mapping[str, Any], on_gpu: bool) -> bool:
    settings = _defaults(task) | dict(values)
    place = place_of(root, str(settings.get("model") or settings.get("policy") or ""))
    model = footprint(place.base, settings) if place else None
    return is_half(settings, on_gpu, model.parameters if model else 0)


class _Sizes:
    """How much goes through at once. `tokens` are those of a micro-batch, `measured` those of them that have a
    probability taken; `answers` are written side by side, of `response` tokens behind up to `prompt`."""

    def __init__(self, task: str, settings: Mapping[str, Any], model: Footprint, lengths: Lengths | None) -> None:
        spec = TASKS[task].spec
        most = min(int(settings["max_tokens"]), model.context)
        found = (lengths or Lengths(most, most, most, most)).within(most)
        rows = int(settings["micro_batch_size"])
        batch = int(settings.get("minibatch_size", settings["batch_size"]))
        rows = max(1, min(rows, batch))
        self.prompt, (self.answers, self.response) = found.prompt, (0, 0)
        if issubclass(spec, RolloutFields):
            self.answers, self.response = min(SLOTS, int(settings["batch_size"])), int(settings["response_tokens"])
            self.prompt = min(found.prompt, model.context - self.response)
            self.tokens = _most(rows, found.mean_prompt + self.response, self.prompt + self.response)
            self.measured = rows * self.response
            return
        if settings.get("sample_every") and not TASKS[task].scores:
            self.answers, self.response = PREVIEWED
        elif settings.get("normalise_on"):
            self.answers, self.response = 32, int(settings["response_tokens"])
        pairs = any(said.kind == "comparisons" for f in fields(spec) if (said := about(f)) is not None)
        sides = 2 if pairs else 1
        self.tokens = _most(rows * sides, found.mean, found.example)
        if settings.get("packing"):
            self.tokens = min(rows * most, _most(batch, found.mean, found.example))
        self.measured = round(self.tokens * (1 - found.mean_prompt / found.mean)) if found.mean else self.tokens
        self.measured = self.measured or self.tokens  # nothing is known of the answers' share


def _most(rows: int, mean: float, longest: int) -> int:
    """About the most tokens of so many rows, drawn again and again: padding is not computed. Two deviations above the
    mean, where the longest is two above it."""
    return round(min(rows * longest, rows * mean + math.sqrt(rows) * (longest - mean)))


def _defaults(task: str) -> dict[str, Any]:
    return {f.name: f.default for f in fields(TASKS[task].spec)}


def _learners(settings: Mapping[str, Any]) -> int:
    """Adapters (or copies of all weights) that are trained."""
    return 1 + (settings.get("critic") == "adapter")


def _copies(task: str, settings: Mapping[str, Any]) -> int:
    """Those that are held besides: a reference, and reward models on the same base."""
    spec = TASKS[task].spec
    if issubclass(spec, RolloutFields):
        return 1 + bool(settings.get("reward_model")) + bool(settings.get("gold_model"))
    return int(issubclass(spec, ReferenceFields) and not settings.get("precompute_reference"))


def _others(root: Path, settings: Mapping[str, Any], base: Path, half: bool) -> int:
    """Bytes of the bases that reward models need beside the policy's own."""
    refs = [str(settings.get("reward_model") or ""), str(settings.get("gold_model") or "")]
    for entry in settings.get("rewards") or ():
        body = entry if isinstance(entry, dict) else asdict(entry)
        refs += [body["model"]] if body.get("kind") == ModelReward.__dataclass_fields__["kind"].default else []
        refs += list(body["models"]) if body.get("kind") == EnsembleReward.__dataclass_fields__["kind"].default else []
    places = {found.base for ref in refs if ref and (found := place_of(root, ref)) is not None}
    models = [footprint(place, settings) for place in places if place.resolve() != base.resolve()]
    return sum(model.weights(half) for model in models if model is not None)
