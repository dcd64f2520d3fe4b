"""The optimiser of a role: which of its weights learn at which rate, and which of them decay."""

from __future__ import annotations

import torch

from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.runtime.context import adamw


def optimizer_for(backbone: Backbone, role: str, spec: TrainingFields) -> torch.optim.Optimizer:
    """AdamW over all that a role trains: its adapter or all weights, and its head if it has one.

    Where all weights are trained, vectors (norms and biases) do not decay. With LoRA+ the B matrices form a group of
    their own, whose "scale" `RunContext.step` multiplies into the rate.
    Source: Hayou et al. 2024, "LoRA+: Efficient Low Rank Adaptation of Large Models", section 5.
    """
    own = backbone.parameters_of(role)
    if role in backbone.wholes and spec.weight_decay:
        return adamw(
            [
                {"params": [p for p in own if p.ndim > 1], "weight_decay": spec.weight_decay},
                {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0},
            ]
        )
    if spec.lora_plus_ratio == 1.0 or role not in backbone.adapters:
        return adamw(own, spec.weight_decay)
    second = {id(parameter) for parameter in backbone.b_matrices_of(role)}
    groups = [
        {"params": [p for p in own if id(p) not in second], "scale": 1.0},
        {"params": [p for p in own if id(p) in second], "scale": spec.lora_plus_ratio},
    ]
    return adamw(groups, spec.weight_decay)
