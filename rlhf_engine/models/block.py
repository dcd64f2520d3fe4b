"""A decoder block of Llama's kind as one step of the graph: norm, attention, norm, gated unit, and their adapters.

The graph of its parts would keep more for the backward pass, add what it could accumulate, and take each small product
of an adapter by itself. Here queries, keys and values share one product with their adapters' first factors, gate and up
share another, and in the last block only what is asked for is computed.
It learns through its adapters only; all else is left to the model's own block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from torch.nn.functional import linear, silu
from transformers import PreTrainedModel

from rlhf_engine.models import unpadded
from rlhf_engine.models.attention import weigh, weigh_back
from rlhf_engine.models.elementwise import norm, norm_again, norm_back
from rlhf_engine.models.fused import active, ordinary, weights_of
from rlhf_engine.models.layout import Layout

_ATTENTION, _UNIT = ("q_proj", "k_proj", "v_proj", "o_proj"), ("gate_proj", "up_proj", "down_proj")


def put_on(model: PreTrainedModel) -> list[Block]:
    """Let every block of Llama's kind compute itself in one step where that is what it would compute. Returns what
    does so, which can be switched `off`."""
    layers = getattr(model.base_model, "layers", None) if model.device.type == "cpu" else None  # there it was measured
    if not isinstance(layers, nn.ModuleList) or not all(map(_is_llamas, layers)) or _has_windows(model.config):
        return []
    blocks = [Block(layer, layer.forward, last=layer is layers[-1]) for layer in layers]
    for layer, block in zip(layers, blocks, strict=True):
        layer.forward = block
    return blocks


def _is_llamas(layer: nn.Module) -> bool:
    """Whether it consists of these parts and no other. Whether they are put together as here is found by trying."""
    children = dict(layer.named_children())
    if set(children) != {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}:
        return False
    attention, unit = dict(children["self_attn"].named_children()), dict(children["mlp"].named_children())
    return (
        set(attention) == set(_ATTENTION)
        and {*unit} - {"act_fn"} == set(_UNIT)
        and hasattr(children["input_layernorm"], "variance_epsilon")
        and hasattr(children["self_attn"], "scaling")
    )


def _has_windows(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None) or ()
    return bool(getattr(config, "sliding_window", None)) or any(kind != "full_attention" for kind in kinds)


class Linear(NamedTuple):
    """A layer that does not learn, and the adapter on it, if any. Shapes: (out, in), (out,), (r, in), (out, r)."""

    weight: Tensor
    bias: Tensor | None
    a: Tensor | None = None
    b: Tensor | None = None
    scale: float = 0.0


def _linear_of(module: Any) -> Linear | None:
    """How a layer computes now; None if it takes more than this to say it."""
    names: list[str] = []
    base = module
    if isinstance(module, LoraLayer):
        base = module.get_base_layer()
        if module.merged:
            return None
        names = active(module)
    if type(base) is not nn.Linear or base.weight.requires_grad:
        return None
    if not names:
        return Linear(base.weight, base.bias)
    if len(names) != 1 or not ordinary(module, names[0]):
        return None
    return Linear(base.weight, base.bias, *weights_of(module, names[0]))


@dataclass(frozen=True, slots=True)
class _How:
    """What a block computes with in one pass."""

    linears: dict[str, Linear]
    norms: tuple[tuple[Tensor, float], tuple[Tensor, float]]  # weight and epsilon
    cos: Tensor  # (N, D)
    sin: Tensor
    dim: int
    scale: float
    layout: Layout
    narrow: bool  # only those that are asked for go on


class Block:
    """A block's forward: one step where it can be, else `usual`."""

    def __init__(self, layer: nn.Module, usual: Any, last: bool) -> None:
        self._layer, self._usual, self._last = layer, usual, last
        self.off = False

    def __call__(self, hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        how = self._how(hidden_states, kwargs.get("position_embeddings"))
        if how is None:
            return self._usual(hidden_states, *args, **kwargs)
        learned = [factor for one in how.linears.values() for factor in (one.a, one.b)]
        out: Tensor = _LlamaBlock.apply(hidden_states[0], how, *learned)
        return out.unsqueeze(0)

    def _how(self, hidden: Tensor, rotary: tuple[Tensor, Tensor] | None) -> _How | None:
        layout, layer = unpadded.now(), self._layer
        if self.off or layout is None or rotary is None or not unpadded.plain_wins(layout, hidden):
            return None
        norms: list[Any] = [layer.input_layernorm, layer.post_attention_layernorm]
        attention: Any = layer.self_attn
        if rotary[0].shape[-1] != attention.head_dim or torch.is_autocast_enabled(hidden.device.type):
            return None
        if any(one.weight.requires_grad for one in norms):
            return None
        linears = {}
        for name in (*_ATTENTION, *_UNIT):
            one = _linear_of(getattr(attention if name in _ATTENTION else layer.mlp, name))
            if one is None or one.weight.dtype != hidden.dtype:
                return None
            linears[name] = one
        return _How(
            linears,
            tuple((one.weight, one.variance_epsilon) for one in norms),  # type: ignore[arg-type]
            rotary[0][0],
            rotary[1][0],
            attention.head_dim,
            attention.scaling,
            layout,
            self._last and layout.asked is not None,
        )


class _LlamaBlock(torch.autograd.Function):
    """y = u + unit(norm(u)), u = x + attention(norm(x)). Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2.

    Kept are what enters, the queries, keys and values as they meet, what attention gives, u, and gate and up.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, how: _How, *_: Tensor | None) -> Tensor:
        """(N, H) -> (N, H), or of those that are asked for, (M, H)."""
        q_, k_, v_, o_, gate_, up_, down_ = how.linears.values()
        asked = how.layout.asked if how.narrow else None
        pieces = how.layout.pieces if asked is None else asked.pieces
        normed, rms = norm(x, *how.norms[0])
        if asked is None:
            (q, k, v), low = _project(normed, q_, k_, v_)
            low_q, residual, cos, sin = None, x, how.cos, how.sin
        else:
            (k, v), low = _project(normed, k_, v_)
            (q,), low_q = _project(normed[asked.tokens], q_)
            residual, cos, sin = x[asked.tokens], how.cos[asked.tokens], how.sin[asked.tokens]
        q, k = _rotated(q, cos, sin, how.dim), _rotated(k, how.cos, how.sin, how.dim)
        by_head = [_heads(part, how.dim) for part in (q, k, v)]
        out = weigh(by_head[0], by_head[1], by_head[2], pieces, how.scale, len(x)).flatten(1)
        (u,), low_o = _project(out, o_, add=residual)
        normed, rms_u = norm(u, *how.norms[1])
        (gate, up), low_u = _project(normed, gate_, up_)
        (y,), low_d = _project(silu(gate).mul_(up), down_, add=u)
        ctx.save_for_backward(x, rms, q, k, v, out, u, rms_u, gate, up, low, low_q, low_o, low_u, low_d)
        ctx.how = how
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        x, rms, q, k, v, out, u, rms_u, gate, up, low, low_q, low_o, low_u, low_d = ctx.saved_tensors
        how: _How = ctx.how
        q_, k_, v_, o_, gate_, up_, down_ = how.linears.values()
        asked = how.layout.asked if how.narrow else None
        pieces = how.layout.pieces if asked is None else asked.pieces

        act = silu(gate)
        d_act, of_down = _project_back(act * up, low_d, [down_], [grad])
        d_gate = torch.ops.aten.silu_backward(d_act * up, gate)
        d_normed, of_unit = _project_back(
            norm_again(u, rms_u, how.norms[1][0]), low_u, [gate_, up_], [d_gate, act.mul_(d_act)]
        )
        d_u = norm_back(d_normed, u, rms_u, how.norms[1][0]).add_(grad)

        d_out, of_o = _project_back(out, low_o, [o_], [d_u])
        by_head = [_heads(part, how.dim) for part in (q, k, v)]
        shape, about = (len(q), -1, how.dim), (pieces, how.scale, len(x))
        ways = weigh_back(d_out.view(shape), by_head[0], by_head[1], by_head[2], out.view(shape), *about)
        dq, dk, dv = (way.transpose(0, 1).flatten(1) for way in ways)
        normed = norm_again(x, rms, how.norms[0][0])
        through = ctx.needs_input_grad[0]
        dk = _rotated_back(dk, how.cos, how.sin, how.dim)
        if asked is None:
            dq = _rotated_back(dq, how.cos, how.sin, how.dim)
            d_normed, of_qkv = _project_back(normed, low, [q_, k_, v_], [dq, dk, dv], through)
        else:
            dq = _rotated_back(dq, how.cos[asked.tokens], how.sin[asked.tokens], how.dim)
            d_asked, of_q = _project_back(normed[asked.tokens], low_q, [q_], [dq], through)
            d_normed, of_kv = _project_back(normed, low, [k_, v_], [dk, dv], through)
            of_qkv = of_q + of_kv
            if through:
                d_normed.index_add_(0, asked.tokens, d_asked)
        dx = None
        if through:
            dx = norm_back(d_normed, x, rms, how.norms[0][0])
            dx = dx.add_(d_u) if asked is None else dx.index_add_(0, asked.tokens, d_u)
        return dx, None, *of_qkv, *of_o, *of_unit, *of_down


def _heads(x: Tensor, dim: int) -> Tensor:
    """(N, heads * D) -> (heads, N, D)"""
    return x.view(len(x), -1, dim).transpose(0, 1)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor, dim: int) -> Tensor:
    """Rotary embeddings of (N, heads * D): halves of a head turn against each other.

    Source: Su et al. 2021, "RoFormer", arXiv:2104.09864, equation 34, with pairs (i, i + D/2) as Llama's weights have.
    """
    x, cos, sin, half = x.view(len(x), -1, dim), cos.unsqueeze(1), sin.unsqueeze(1), dim // 2
    out = x * cos
    out[..., :half].sub_(x[..., half:] * sin[..., :half])
    out[..., half:].add_(x[..., :half] * sin[..., half:])
    return out.flatten(1)


def _rotated_back(grad: Tensor, cos: Tensor, sin: Tensor, dim: int) -> Tensor:
    grad, cos, sin, half = grad.view(len(grad), -1, dim), cos.unsqueeze(1), sin.unsqueeze(1), dim // 2
    out = grad * cos
    out[..., :half].addcmul_(grad[..., half:], sin[..., half:])
    out[..., half:].addcmul_(grad[..., :half], sin[..., :half], value=-1)
    return out.flatten(1)


def _project(x: Tensor, *linears: Linear, add: Tensor | None = None) -> tuple[list[Tensor], Tensor | None]:
    """What layers of one input give, (N, out) each, added to `add`; and what is inside their adapters, (N, all r)."""
    factors = [one.a.to(x.dtype) for one in linears if one.a is not None]
    low = x @ _beside(factors, 0).T if factors else None
    outs, start = [], 0
    for one in linears:
        out = linear(x, one.weight, one.bias)
        if one.b is not None and low is not None:
            rank = one.b.shape[1]
            out.addmm_(low[:, start : start + rank], one.b.to(x.dtype).T, alpha=one.scale)
            start += rank
        outs.append(out if add is None else out.add_(add))
    return outs, low


def _project_back(
    x: Tensor, low: Tensor | None, linears: Sequence[Linear], grads: Sequence[Tensor], through: bool = True
) -> tuple[Tensor, list[Tensor | None]]:
    """The gradient of the input, (N, in), empty unless it goes on `through` it; and of every a and b in turn."""
    dx = x.new_empty(0)
    if through:
        dx = grads[0] @ linears[0].weight
        for one, grad in zip(linears[1:], grads[1:], strict=True):
            dx.addmm_(grad, one.weight)
    if low is None:
        return dx, [None, None] * len(linears)
    adapted = [(one, grad) for one, grad in zip(linears, grads, strict=True) if one.b is not None]
    back = _beside([(grad @ cast(Tensor, one.b).to(grad.dtype)).mul_(one.scale) for one, grad in adapted], 1)
    if through:
        dx.addmm_(back, _beside([cast(Tensor, one.a).to(x.dtype) for one, _ in adapted], 0))
    da, start = back.T @ x, 0
    found: list[Tensor | None] = []
    for one, grad in zip(linears, grads, strict=True):
        if one.a is None or one.b is None:
            found += [None, None]
            continue
        rank = slice(start, start + one.b.shape[1])
        found += [da[rank].to(one.a.dtype), (grad.T @ low[:, rank]).to(one.b.dtype).mul_(one.scale)]
        start = rank.stop
    return dx, found


def _beside(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
