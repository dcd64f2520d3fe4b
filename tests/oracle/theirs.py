"""TRL's side: the same weights as a PeftModel, and one optimiser step of a trainer's own `train`. Imports TRL."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel, TrainerCallback

from tests.oracle.ours import ALPHA, RANK, TARGETS, Step


def open_theirs(folder: Path, weights: dict[str, Tensor]) -> PeftModel:
    """The model with an adapter of these weights under PEFT's own default name."""
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return adapted(base, weights, task_type="CAUSAL_LM")


def adapted(base: PreTrainedModel, weights: dict[str, Tensor], **about: Any) -> PeftModel:
    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS.split(","), **about)
    model = get_peft_model(base, config)
    put(model, weights)
    return model


def put(model: PeftModel, weights: dict[str, Tensor]) -> None:
    """Give the adapter these weights; every one of its tensors must be among them."""
    mine = {n.replace(".default", ""): p for n, p in model.named_parameters() if ".default." in n and ".lora_" in n}
    assert mine.keys() == weights.keys()
    with torch.no_grad():
        for name, parameter in mine.items():
            parameter.copy_(weights[name])


def settings(folder: Path, rows: int, micro_batch: int, **more: Any) -> dict[str, Any]:
    """Arguments for a config class of TRL: one optimiser step over `rows`, in order, in micro-batches, on the CPU."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": -(-rows // micro_batch),
        "max_steps": 1,
        "max_grad_norm": 0.0,  # not clipped
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
        "report_to": "none",
        "save_strategy": "no",
        "logging_strategy": "no",
        "disable_tqdm": True,
        **more,
    }


class _Keep(TrainerCallback):
    def __init__(self, model: torch.nn.Module) -> None:
        self._model = model
        self.gradients: dict[str, Tensor] = {}

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.gradients = gradients_of(self._model.named_parameters())


def gradients_of(named: Iterable[tuple[str, torch.nn.Parameter]]) -> dict[str, Tensor]:
    """By the names that our side uses."""
    return {name.replace(".default", ""): p.grad.clone() for name, p in named if p.grad is not None}


def their_step(trainer: Any) -> Step:
    """What `trainer.train()` was about to do with its first optimiser step; TRL's own loop cuts and adds it up."""
    keep = _Keep(trainer.model)
    trainer.add_callback(keep)
    losses: list[float] = []
    training_step = trainer.training_step

    def watched(*args: Any, **kwargs: Any) -> Tensor:
        loss: Tensor = training_step(*args, **kwargs)
        losses.append(float(loss))
        return loss

    trainer.training_step = watched
    trainer.train()
    return Step(sum(losses), keep.gradients)
