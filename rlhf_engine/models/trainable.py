"""How many numbers a choice of adapter trains, counted from the headers of a model's files before anything is loaded.

No torch in this file: the window says it while a person chooses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rlhf_engine.models.folders import read_json, tensors_of

ALL_LINEAR = "all-linear"
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_TURNED = ("gpt2", "openai-gpt", "imagegpt")  # keep their weights (in, out)
_EMBEDDING = re.compile(r"embed(?!_out)|^wte$|^wpe$|^shared$")
_OUTPUT = re.compile(r"^(lm_head|embed_out)$")
_BUFFER = re.compile(r"(\.attn|\.attention)\.(masked_)?bias$|inv_freq$")  # old files of GPT-2 and GPT-NeoX hold them


@dataclass(frozen=True, slots=True)
class Trainable:
    """Parameters that are trained, and that there are. `layers` are the names that may be chosen as targets; `missing`
    those that were chosen and that this model does not have."""

    trained: int
    total: int
    layers: tuple[str, ...]
    missing: tuple[str, ...] = ()


def trainable(folder: Path, settings: Mapping[str, Any]) -> Trainable | None:
    """What training with these settings (of `TrainingFields`) would train of the model in a folder.

    None where the files do not say: no weights, or a mixture of experts, whose matrices are put together on loading.
    """
    config, tensors = read_json(folder / "config.json"), tensors_of(folder)
    text_config = config.get("text_config")
    inner = text_config if isinstance(text_config, dict) else config
    if not tensors or any(inner.get(name) for name in _EXPERTS):
        return None
    shapes = {name: shape for name, (_, shape) in tensors.items() if not _BUFFER.search(name)}
    output = [name for name in shapes if _OUTPUT.match(_layer(name))]
    tied = bool(config.get("tie_word_embeddings", inner.get("tie_word_embeddings", not output)))
    if tied and any(_EMBEDDING.search(_layer(name)) for name in shapes):
        for name in output:  # the same numbers, written twice
            del shapes[name]
    linear = {
        name.removesuffix(".weight"): tuple(reversed(shape)) if config.get("model_type") in _TURNED else shape
        for name, shape in shapes.items()
        if name.endswith(".weight") and len(shape) == 2 and not _EMBEDDING.search(_layer(name))
    }
    inside = {name: shape for name, shape in linear.items() if not _OUTPUT.match(_layer(f"{name}.weight"))}
    total = sum(map(prod, shapes.values()))
    layers = tuple(dict.fromkeys(name.rpartition(".")[2] for name in inside))
    if settings.get("trained") == "all-weights":
        return Trainable(total, total, layers)
    targets = str(settings.get("lora_targets", ALL_LINEAR))
    wanted = [name.strip() for name in targets.split(",") if name.strip()]
    if targets == ALL_LINEAR:
        chosen, missing = inside, []
    else:
        offered = inside if tied else linear
        chosen = {name: s for name, s in offered.items() if any(_is(name, target) for target in wanted)}
        missing = [target for target in wanted if not any(_is(name, target) for name in offered)]
    rank, magnitudes = int(settings.get("lora_rank", 16)), settings.get("lora_variant") == "dora"
    trained = sum(rank * (out + into) + (out if magnitudes else 0) for out, into in chosen.values())
    return Trainable(trained, total, layers, tuple(missing))


def _layer(name: str) -> str:
    """The last module in a tensor's name: q_proj of model.layers.0.self_attn.q_proj.weight."""
    return name.rpartition(".")[0].rpartition(".")[2]


def _is(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")
