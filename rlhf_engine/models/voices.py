"""A role's weights in the form that writes fastest, for as long as it writes: merged, rounded or packed copies.

A scratch copy costs memory and some milliseconds, and saves time at every token. It is made when a rollout begins and
gone when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_engine.models.backbone import PLAIN, Backbone

_LARGEST = 1 << 30  # bytes of a scratch copy; a larger one costs more memory than the time it saves is worth
_ROWS = 64  # for which oneDNN lays out a packed weight; others are as fast on it

Voice = Callable[[], AbstractContextManager[Any]]
Weights = dict[nn.Module, nn.Parameter]


@torch.no_grad()
def voice_of(backbone: Backbone, role: str) -> Voice:
    """What makes the model answer as `role` while a `with` block lasts. Weights that change later are not noticed.

    In fp32 an adapter is added into copies of the layers it changes, which saves 42 pairs of small products per token
    for six layers. In bf16 the sum would be rounded, and the answers be those of another model than the one that is
    trained: there the adapter stays beside its base. A copy of all weights on a base in bf16 is rounded once instead of
    at every token. On a CPU, products of a few rows read weights in the layout that the processor wants: 1.2 to 4 times
    as fast from 64 rows to 4, on a 384 x 8192 matrix.
    """
    acts, weights = role, dict[nn.Module, nn.Parameter]()
    if role in backbone.adapters and backbone.dtype == torch.float32:
        layers = backbone.adapters.layers_of(role)
        if _bytes(layers, torch.float32) <= _LARGEST:
            acts, weights = PLAIN, _with_adapter(backbone, role, layers)
    with backbone.acting_as(role):
        linear = [m for m in backbone.base.model.modules() if type(m) is nn.Linear]
        small = _bytes(linear, backbone.dtype) <= _LARGEST
        if role in backbone.wholes and backbone.dtype != torch.float32 and small:
            weights = {m: nn.Parameter(m.weight.to(backbone.dtype), requires_grad=False) for m in linear}
        packed: dict[nn.Module, Callable[[Tensor], Tensor]] = {}
        if backbone.device.type == "cpu" and small:
            packed = {m: p for m in linear if (p := _packed(weights.get(m, m.weight), m.bias)) is not None}
    return _swapped(backbone, acts, {m: w for m, w in weights.items() if m not in packed}, packed)


def _with_adapter(backbone: Backbone, role: str, layers: list[nn.Module]) -> Weights:
    with backbone.acting_as(PLAIN):
        before = {layer: layer._parameters["weight"] for layer in layers}
        try:
            for layer, weight in before.items():
                assert weight is not None
                layer._parameters["weight"] = nn.Parameter(weight.detach().clone(), requires_grad=False)
            backbone.adapters.merge_into_base(role)
            return {layer: layer._parameters["weight"] for layer in layers}  # type: ignore[misc]
        finally:
            for layer, weight in before.items():
                layer._parameters["weight"] = weight


def _packed(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor] | None:
    """What a linear layer computes, from a weight that was laid out once; None where this torch cannot do that."""
    if weight.dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():
        return None
    try:
        reordered = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS)
        product = torch.ops.mkldnn._linear_pointwise
        product(weight.new_zeros(1, weight.shape[1]), reordered, bias, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    plain = weight.dtype

    def forward(x: Tensor) -> Tensor:
        if x.dtype != plain:  # autocast, which knows nothing of this product, would have done it
            x = x.to(plain)
        out: Tensor = product(x, reordered, bias, "none", [], "")
        return out

    return forward


def _swapped(
    backbone: Backbone, role: str, weights: Weights, packed: dict[nn.Module, Callable[[Tensor], Tensor]]
) -> Voice:
    @contextmanager
    def speaking() -> Iterator[None]:
        with backbone.acting_as(role):
            before = {layer: layer._parameters["weight"] for layer in weights}
            try:
                for layer, weight in weights.items():
                    layer._parameters["weight"] = weight  # not setattr: this happens twice for every token
                for layer, forward in packed.items():
                    layer.__dict__["forward"] = forward
                yield
            finally:
                for layer, original in before.items():
                    layer._parameters["weight"] = original
                for layer in packed:
                    layer.__dict__.pop("forward", None)

    return speaking


def _bytes(layers: list[Any], dtype: torch.dtype) -> int:
    return sum(int(layer.weight.numel()) for layer in layers) * dtype.itemsize
