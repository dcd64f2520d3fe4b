"""RMS norms and gated units as one step of the graph each: fewer passes over memory, and fewer tensors kept.

A module is changed only if, tried on its own weights, it says the same as before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu
from transformers import PreTrainedModel


@torch.no_grad()
def put_on(model: PreTrainedModel) -> None:
    """Let every RMS norm and SwiGLU unit of the model compute itself in one step, where it is an ordinary one."""
    modules: list[Any] = list(model.modules())
    for module in modules:
        new = _Norm(module) if _is_norm(module) else _Gated(module) if _is_gated(module) else None
        if new is None:
            continue
        width = module.weight.shape[0] if isinstance(new, _Norm) else module.gate_proj.in_features
        x = torch.linspace(-2, 3, 3 * width, device=model.device, dtype=model.dtype).view(1, 3, width)
        if torch.allclose(new(x).float(), module(x).float(), rtol=1e-2 if x.dtype == torch.bfloat16 else 1e-5):
            module.forward = new


def _is_norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon")


def _is_gated(module: Any) -> bool:
    parts = [getattr(module, name, None) for name in ("gate_proj", "up_proj", "down_proj")]
    if not all(isinstance(part, nn.Linear) for part in parts) or not hasattr(module, "act_fn"):
        return False
    x = torch.linspace(-4, 4, 33)
    return torch.allclose(module.act_fn(x), silu(x))


class _Norm:
    def __init__(self, module: Any) -> None:
        self._module = module

    def __call__(self, hidden_states: Tensor) -> Tensor:
        out: Tensor = _RMSNorm.apply(hidden_states, self._module.weight, self._module.variance_epsilon)
        return out


class _RMSNorm(torch.autograd.Function):
    """y = w x / rms(x), the mean of squares in fp32. Source: Zhang and Sennrich 2019, arXiv:1910.07467, equation 4."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        out, scale = norm(x, weight, eps)
        ctx.save_for_backward(x, weight, scale)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[1]:
            dw = (grad * (x * scale).to(x.dtype)).flatten(0, -2).sum(0).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            dx = norm_back(grad, x, scale, weight)
        return dx, dw, None


def norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """w x / rms(x), (..., H), and 1 / rms(x), (..., 1) fp32."""
    wide = x.float()
    scale = torch.linalg.vecdot(wide, wide).div_(x.shape[-1]).add_(eps).rsqrt_().unsqueeze(-1)
    return norm_again(x, scale, weight), scale


def norm_again(x: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
    """The same from the scale that `norm` found, which is fp32, as is its product with x until that is rounded."""
    return weight * (x * scale).to(x.dtype)


def norm_back(grad: Tensor, x: Tensor, scale: Tensor, weight: Tensor) -> Tensor:
    """The gradient of x."""
    wide, pull = x.float(), (grad * weight).float()
    along = torch.linalg.vecdot(pull, wide).unsqueeze(-1).mul_(scale * scale).div_(-x.shape[-1])
    return pull.addcmul_(wide, along).mul_(scale).to(x.dtype)


class _Gated:
    def __init__(self, module: Any) -> None:
        self._module = module

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self._module.down_proj(_SwiGLU.apply(self._module.gate_proj(x), self._module.up_proj(x)))
        return out


class _SwiGLU(torch.autograd.Function):
    """silu(g) u, of which only g and u are kept. Source: Shazeer 2020, arXiv:2002.05202, equation 6."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), silu(gate).mul_(grad)
