"""The trunk run on real tokens only: sequences end to end in one row, and an attention that keeps them apart.

No product is ever taken over padding, neither in the linear layers nor in attention. transformers hands queries, keys
and values to a function of ours (its `AttentionInterface`), which knows where each sequence begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "unpadded"
LONG = 512  # from here on the blockwise kernel wins; below it, plain products do (tests/benchmarks/bench_attention.py)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the sequences of a rectangle lie when they are laid end to end.

    `rows` are the places of the real tokens in the flattened rectangle, in order. `within` says where a token is in a
    rectangle of one sequence to a row, each from the left.
    """

    shape: tuple[int, int]
    rows: Tensor  # (N,)
    positions: Tensor  # (N,) counted from 0 in each sequence
    lengths: list[int]  # of each sequence; they add up to N
    within: Tensor  # (N,)

    @classmethod
    def of(cls, segments: Tensor) -> Layout:
        """From the number of the sequence at each place, 0 for padding. Neighbours of equal number are one. (B, T)."""
        rows = segments.flatten().nonzero().squeeze(1)
        width = segments.shape[1]
        # A sequence never runs over the end of its row: two of the same number in two rows are two.
        number = segments.flatten()[rows] + (rows // width) * (int(segments.max()) + 1)
        _, member, counts = number.unique_consecutive(return_inverse=True, return_counts=True)
        begins = counts.cumsum(0) - counts
        positions = torch.arange(len(rows), device=rows.device) - begins[member]
        lengths: list[int] = counts.tolist()
        within = member * max(lengths, default=0) + positions
        return cls((segments.shape[0], width), rows, positions, lengths, within)

    def spread(self, states: Tensor) -> Tensor:
        """(N, H) -> (B, T, H), zero on padding."""
        height, width = self.shape
        if len(self.rows) == height * width:
            return states.view(height, width, -1)
        return states.new_zeros(height * width, states.shape[-1]).index_copy(0, self.rows, states).view(*self.shape, -1)


_layout: Layout | None = None


@contextmanager
def laid_out(model: PreTrainedModel, layout: Layout | None) -> Iterator[None]:
    """Until the block ends, `model`'s attention keeps the sequences of `layout` apart; nothing for None."""
    global _layout
    if layout is None:
        yield
        return
    before, _layout = _layout, layout
    usual, model.config._attn_implementation = model.config._attn_implementation, NAME
    try:
        yield
    finally:
        _layout, model.config._attn_implementation = before, usual


def now() -> Layout | None:
    """The layout in force."""
    return _layout


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of the layout. A key or value may be shared by a group of heads.

    (1, heads, N, D), (1, groups, N, D) twice -> (1, N, heads, D).

    Raises:
        NotImplementedError: the layer wants something that is not computed here; the model is then run with padding.
    """
    if _layout is None or softcap is not None or s_aux is not None or not getattr(module, "is_causal", True):
        raise NotImplementedError("this attention is causal, without soft caps and sinks")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    v = value[0]
    q, k = query[0].to(v.dtype), key[0].to(v.dtype)  # rotary embeddings may have left them in fp32
    window = sliding_window or max(_layout.lengths)
    if query.device.type == "cpu" and max(_layout.lengths) <= LONG:
        out = _Attention.apply(q, k, v, _layout.lengths, scale, window)
    else:
        out = _blockwise(q, k, v, _layout, scale, window)
    return out.unsqueeze(0), None


AttentionInterface.register(NAME, attend)


class _Attention(torch.autograd.Function):
    """softmax(q k' * scale) v, sequence by sequence, so that the scores of one stay in the processor's cache.

    Nothing of size T x T is kept: the scores are computed again in the backward pass from the log of their sum.
    Source: Dao et al. 2022, "FlashAttention", arXiv:2205.14135, section 3.1 and appendix B (the backward formulas).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, lengths: list[int], scale: float, window: int) -> Tensor:
        """(heads, N, D), (groups, N, D) twice -> (N, heads, D)."""
        out = q.new_empty(q.shape[1], q.shape[0], q.shape[2])
        start = 0
        for length in lengths:
            part = slice(start, start + length)
            scores = _scores(q[:, part], k[:, part], scale, window)
            weights = scores.softmax(-1)
            out[part] = _each_head(weights.to(v.dtype), v[:, part], len(q)).transpose(0, 1)
            start += length
        ctx.save_for_backward(q, k, v, out)
        ctx.about = lengths, scale, window
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out = ctx.saved_tensors
        lengths, scale, window = ctx.about
        heads, groups = len(q), len(k)
        # In the memory order of the linear layers, so that going back to (N, heads * D) costs nothing.
        dq, dk, dv = (x.new_empty(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1) for x in (q, k, v))
        start = 0
        for length in lengths:
            part = slice(start, start + length)
            weights = _scores(q[:, part], k[:, part], scale, window).softmax(-1)
            g = grad[part].transpose(0, 1)
            # sum_j w_ij dw_ij of the softmax's derivative is also g_i . out_i.
            inner = torch.linalg.vecdot(g.float(), out[part].transpose(0, 1).float()).view(*weights.shape[:2], 1)
            g_ = g.reshape(groups, -1, g.shape[-1])
            dv[:, part] = weights.to(g.dtype).transpose(1, 2) @ g_
            ds = (g_ @ v[:, part].transpose(1, 2)).to(weights.dtype)
            ds = ds.sub_(inner).mul_(weights).mul_(scale).to(q.dtype)
            dq[:, part] = _each_head(ds, k[:, part], heads)
            dk[:, part] = ds.transpose(1, 2) @ q[:, part].reshape(groups, -1, q.shape[-1])
            start += length
        return dq, dk, dv, None, None, None


def _scores(q: Tensor, k: Tensor, scale: float, window: int) -> Tensor:
    """(heads, T, D), (groups, T, D) -> (groups, heads / groups * T, T) fp32, minus infinity where nothing is seen.

    The queries of the heads that share their keys stand below one another: no key is copied.
    """
    groups, length = k.shape[:2]
    unseen = _bias(length, min(window, length), len(q) // groups, q.dtype)
    queries = q if len(q) == groups else q.reshape(groups, -1, q.shape[-1])
    return torch.baddbmm(unseen, queries, k.transpose(1, 2), alpha=scale).float()


def _each_head(weights: Tensor, values: Tensor, heads: int) -> Tensor:
    """(groups, heads / groups * T, T), (groups, T, D) -> (heads, T, D)."""
    return (weights @ values).view(heads, -1, values.shape[-1])


def _unseen(length: int, window: int, device: torch.device) -> Tensor:
    """(T, T), True where a query must not see a key: what comes after it, and what is `window` or more before."""
    place = torch.arange(length, device=device)
    ago = place.unsqueeze(1) - place
    return (ago < 0) | (ago >= window)


@lru_cache(maxsize=256)
def _bias(length: int, window: int, times: int, dtype: torch.dtype) -> Tensor:
    """(1, times * T, T): what is added to the scores, minus infinity where nothing is seen."""
    bias = torch.zeros(length, length, dtype=dtype).masked_fill_(
        _unseen(length, window, torch.device("cpu")), -torch.inf
    )
    return bias.repeat(times, 1).unsqueeze(0)


def _blockwise(q: Tensor, k: Tensor, v: Tensor, layout: Layout, scale: float, window: int) -> Tensor:
    """torch's own kernel, on one sequence to a row. What stands at the end of a shorter row is seen by nobody."""
    count, longest = len(layout.lengths), max(layout.lengths)

    def rectangle(x: Tensor) -> Tensor:  # (heads, N, D) -> (sequences, heads, longest, D)
        flat = x.transpose(0, 1)
        if count * longest != len(flat):
            flat = flat.new_zeros(count * longest, *flat.shape[1:]).index_copy(0, layout.within, flat)
        return flat.view(count, longest, *flat.shape[1:]).transpose(1, 2)

    seen = None if window >= longest else ~_unseen(longest, window, q.device)
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
    return flat[layout.within]
