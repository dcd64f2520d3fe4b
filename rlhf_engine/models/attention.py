"""Causal attention within each sequence of a layout, by plain products or by torch's blockwise kernel."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rlhf_engine.models.layout import Layout, Piece


class Attention(torch.autograd.Function):
    """softmax(q k' * scale) v, sequence by sequence, as one step of the graph."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: list[Piece], scale: float, window: int) -> Tensor:
        """(heads, N, D), (groups, N, D) twice -> (N, heads, D)."""
        out = weigh(q, k, v, pieces, scale, window)
        ctx.save_for_backward(q, k, v, out)
        ctx.about = pieces, scale, window
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *weigh_back(grad, *ctx.saved_tensors, *ctx.about), None, None, None


def weigh(q: Tensor, k: Tensor, v: Tensor, pieces: list[Piece], scale: float, window: int) -> Tensor:
    """softmax(q k' * scale) v, sequence by sequence, so that the scores of one stay in the processor's cache.

    (heads, M, D), (groups, N, D) twice -> (M, heads, D); M are those that ask. In fp32, also for half precision: there
    torch makes a kernel for every length and keeps it, which takes more memory than a model of this size.
    """
    out = q.new_empty(q.shape[1], q.shape[0], q.shape[2])
    q, k, v = q.float(), k.float(), v.float()
    for piece in pieces:
        weights = _weights(q, k, piece, scale, window)
        out[piece.queries] = _each_head(weights, _seen(v, piece), len(q)).transpose(0, 1)
    return out


def weigh_back(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, pieces: list[Piece], scale: float, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values, in their shapes, from that of the output (M, heads, D).

    Nothing of size T x T was kept: the scores are computed again.
    Source: Dao et al. 2022, "FlashAttention", arXiv:2205.14135, section 3.1 and appendix B (the backward formulas).
    """
    heads, groups, dtype = len(q), len(k), q.dtype
    grad, q, k, v, out = (x.float() for x in (grad, q, k, v, out))
    # In the memory order of the linear layers, so that going back to (N, heads * D) costs nothing.
    dq, dk, dv = (x.new_empty(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1) for x in (q, k, v))
    if pieces[0].asks_at is not None:  # a piece that nobody asks in is not gone through
        dk.zero_()
        dv.zero_()
    for piece in pieces:
        weights = _weights(q, k, piece, scale, window)
        g = grad[piece.queries].transpose(0, 1)
        # sum_j w_ij dw_ij of the softmax's derivative is also g_i . out_i.
        inner = torch.linalg.vecdot(g, out[piece.queries].transpose(0, 1)).view(*weights.shape[:2], 1)
        g_ = g.reshape(groups, -1, g.shape[-1])
        _add(dv, piece, weights.transpose(1, 2) @ g_)
        ds = (g_ @ _seen(v, piece).transpose(1, 2)).sub_(inner).mul_(weights).mul_(scale)
        dq[:, piece.queries] = _each_head(ds, _seen(k, piece), heads)
        _add(dk, piece, ds.transpose(1, 2) @ q[:, piece.queries].reshape(groups, -1, q.shape[-1]))
    return dq.to(dtype), dk.to(dtype), dv.to(dtype)


def _seen(x: Tensor, piece: Piece) -> Tensor:
    """What a piece's queries may see of keys or values, the shared beginning first."""
    own = x[:, piece.own]
    return torch.cat([x[:, piece.shared], own], 1) if piece.shared_length else own


def _add(total: Tensor, piece: Piece, gradient: Tensor) -> None:
    """Gradients of what `_seen` gave. The beginning's own piece came first, and has set its part."""
    total[:, piece.own] = gradient[:, piece.shared_length :]
    if piece.shared_length:
        total[:, piece.shared] += gradient[:, : piece.shared_length]


def _weights(q: Tensor, k: Tensor, piece: Piece, scale: float, window: int) -> Tensor:
    """(heads, N, D), (groups, N, D) -> (groups, heads / groups * T, S + T) fp32; each row adds up to 1.

    The queries of the heads that share their keys stand below one another: no key is copied.
    """
    queries, groups = q[:, piece.queries], len(k)
    seen = piece.shared_length + piece.length
    bias = _bias(queries.shape[1], seen, min(window, seen), len(q) // groups)
    if len(q) != groups:
        queries = queries.reshape(groups, -1, q.shape[-1])
    return torch.baddbmm(bias, queries, _seen(k, piece).transpose(1, 2), alpha=scale).softmax(-1)


def _each_head(weights: Tensor, values: Tensor, heads: int) -> Tensor:
    """(groups, heads / groups * T, T), (groups, T, D) -> (heads, T, D)."""
    return (weights @ values).view(heads, -1, values.shape[-1])


@lru_cache(maxsize=256)
def _bias(length: int, seen: int, window: int, times: int) -> Tensor:
    """(1, times * T, S + T): what is added to the scores, minus infinity where nothing is seen."""
    unseen = _unseen(length, seen, window, torch.device("cpu"))
    bias = torch.zeros(length, seen).masked_fill_(unseen, -torch.inf)
    return bias.repeat(times, 1).unsqueeze(0)


def _unseen(length: int, seen: int, window: int, device: torch.device) -> Tensor:
    """(T, S + T), True where a query must not see a key: what comes after it, and what is `window` or more before."""
    place = torch.arange(seen, device=device)
    ago = place[seen - length :].unsqueeze(1) - place
    return (ago < 0) | (ago >= window)


def blockwise(q: Tensor, k: Tensor, v: Tensor, layout: Layout, scale: float, window: int) -> Tensor:
    """torch's own kernel, on one sequence to a row. What stands at the end of a shorter row is seen by nobody."""
    count, longest = len(layout.pieces), layout.longest
    within = torch.tensor([n * longest - piece.start for n, piece in enumerate(layout.pieces)], device=q.device)
    within = within.repeat_interleave(torch.tensor([p.length for p in layout.pieces], device=q.device))
    within += torch.arange(q.shape[1], device=q.device)

    def rectangle(x: Tensor) -> Tensor:  # (heads, N, D) -> (sequences, heads, longest, D)
        flat = x.transpose(0, 1)
        if count * longest != len(flat):
            flat = flat.new_zeros(count * longest, *flat.shape[1:]).index_copy(0, within, flat)
        return flat.view(count, longest, *flat.shape[1:]).transpose(1, 2)

    seen = None if window >= longest else ~_unseen(longest, longest, window, q.device)
    out = scaled_dot_product_attention(
        rectangle(q),
        rectangle(k),
        rectangle(v),
        attn_mask=seen,
        is_causal=seen is None,
        scale=scale,
        enable_gqa=len(q) != len(k),
    )
    flat: Tensor = out.transpose(1, 2).flatten(0, 1)
    return flat[within]
