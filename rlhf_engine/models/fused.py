"""A frozen linear layer and its LoRA adapter as one step of the graph.

PEFT's own forward makes seven: each keeps a tensor for the backward pass, and with a base in bf16 casts what flows
through it to fp32 and back. Here the adapter adds into the layer's own output, and the products are in the base's
format, as under autocast; its weights and their gradients stay fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import linear


def put_on(layer: LoraLayer) -> None:
    """Let a layer compute its adapter in one step wherever that is the same as what PEFT computes."""
    module = cast(nn.Module, layer)
    if not isinstance(module.forward, _Fused):
        module.forward = _Fused(layer, module.forward)


class _Fused:
    """A layer's forward: one step for one ordinary adapter, few for several, PEFT's for all else."""

    def __init__(self, layer: LoraLayer, usual: Callable[..., Tensor]) -> None:
        self._layer, self._usual = layer, usual

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        layer = self._layer
        names = [] if layer.merged else active(layer)
        if not names or not all(ordinary(layer, name) for name in names):
            return self._usual(x, *args, **kwargs)
        base = layer.get_base_layer()
        if len(names) == 1:
            a, b, scale = weights_of(layer, names[0])
            out: Tensor = _LoraLinear.apply(x, base.weight, base.bias, a, b, scale)
            return out
        # What a start adds and its counterweight takes away come to exactly nothing, if they meet before the rest
        added = [
            linear(linear(x, a.to(x.dtype)), b.to(x.dtype)) * s for a, b, s in (weights_of(layer, n) for n in names)
        ]
        return cast(Tensor, base(x)) + sum(added[1:], added[0])


def active(layer: LoraLayer) -> list[str]:
    """The adapters of the layer that have a say now."""
    return [] if layer.disable_adapters else [name for name in layer.active_adapters if name in layer.lora_A]


def weights_of(layer: LoraLayer, name: str) -> tuple[Tensor, Tensor, float]:
    """A, B and the scaling of one adapter."""
    return layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]  # type: ignore[return-value]


def ordinary(layer: LoraLayer, name: str) -> bool:
    """Whether it is a plain layer with a plain adapter, and no dropout at work."""
    return (
        type(layer.get_base_layer()) is nn.Linear
        and name not in layer.lora_variant
        and layer.lora_B[name].bias is None
        and not (cast(nn.Module, layer).training and isinstance(layer.lora_dropout[name], nn.Dropout))
    )


class _LoraLinear(torch.autograd.Function):
    """y = x W' + c + s (x A') B'. W does not learn. Source: Hu et al. 2021, arXiv:2106.09685, equation 3."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        low = rows @ a.to(x.dtype).T
        out = linear(rows, weight, bias).addmm_(low, b.to(x.dtype).T, alpha=scale)
        ctx.save_for_backward(rows, low, weight, a, b)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, low, weight, a, b = ctx.saved_tensors
        g = grad.reshape(-1, grad.shape[-1])
        back = g @ b.to(g.dtype)
        wanted = ctx.needs_input_grad
        dx = (g @ weight).addmm_(back, a.to(g.dtype), alpha=ctx.scale).view(ctx.shape) if wanted[0] else None
        da = (back.T @ rows).to(a.dtype).mul_(ctx.scale) if wanted[3] else None
        db = (g.T @ low).to(b.dtype).mul_(ctx.scale) if wanted[4] else None
        return dx, None, None, da, db, None
