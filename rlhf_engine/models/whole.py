"""Roles that own a copy of all weights instead of an adapter: full fine-tuning on a base that others share."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from rlhf_engine.contract.errors import ModelError

Slots = dict[str, list[tuple[nn.Module, str]]]


class WholeWeights:
    """Copies of a model's parameters, by role. Acting as one puts its parameters into the modules: pointers, no copy.

    A copy is fp32 whatever the base is: at the usual rates a step is smaller than what bf16 can tell apart. With a base
    in bf16 the forward pass rounds to bf16 as it goes (see `Backbone.hidden`).
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._slots = slots_of(model)
        self._base = {name: getattr(*places[0]) for name, places in self._slots.items()}
        self._copies: dict[str, dict[str, nn.Parameter]] = {}
        self._acting = ""

    def __contains__(self, name: str) -> bool:
        return name in self._copies

    def add(self, name: str, trainable: bool, source: str = "") -> None:
        """A copy of another role's weights, or of the base's for ""."""
        weights: dict[str, nn.Parameter] = self._copies[source] if source else self._base
        self._copies[name] = {
            key: nn.Parameter(p.detach().to(torch.float32, copy=True), requires_grad=trainable)
            for key, p in weights.items()
        }

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """By the names they have in the model's own files; a tied parameter once."""
        return self._copies[name]

    def state(self, name: str) -> dict[str, Tensor]:
        return {key: p.detach().clone() for key, p in self._copies[name].items()}

    @torch.no_grad()
    def load_state(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Raises ModelError unless names and shapes are exactly the model's."""
        mine = self._copies[name]
        wrong = sorted(mine.keys() ^ tensors.keys()) or [k for k in mine if mine[k].shape != tensors[k].shape]
        if wrong:
            raise ModelError(
                f"The weights do not fit this model: {len(wrong)} of {len(mine)} tensors differ, first {wrong[0]}.",
                "Load them into the model they were trained from.",
            )
        for key, parameter in mine.items():
            parameter.copy_(tensors[key])

    def activate(self, name: str) -> None:
        """Put a role's parameters into the modules, or the base's for ""."""
        if name == self._acting:
            return
        self._acting = name
        for key, parameter in (self._copies[name] if name else self._base).items():
            for module, attribute in self._slots[key]:
                setattr(module, attribute, parameter)


def slots_of(model: PreTrainedModel) -> Slots:
    """Where each parameter of a model sits, by its first name; tied ones sit in several places."""
    names: dict[int, str] = {}
    slots: Slots = {}
    modules: Iterable[tuple[str, nn.Module]] = model.named_modules()
    for prefix, module in modules:
        for attribute, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            name = names.setdefault(id(parameter), f"{prefix}.{attribute}" if prefix else attribute)
            slots.setdefault(name, []).append((module, attribute))
    return slots
