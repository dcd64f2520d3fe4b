"""The trunk run on real tokens only: sequences end to end in one row, and an attention that keeps them apart.

No product is ever taken over padding, neither in the linear layers nor in attention. transformers hands queries, keys
and values to a function of ours (its `AttentionInterface`), which knows where each sequence begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

NAME = "unpadded"
WORTH = 8  # tokens that a beginning must have to be shared
LONG = 512  # tokens of a sequence above which the blockwise kernel wins in every format


class Piece(NamedTuple):
    """Tokens in a row that see one another from left to right, and before them a beginning they share with others."""

    start: int
    length: int
    shared_start: int = 0
    shared_length: int = 0

    @property
    def own(self) -> slice:
        return slice(self.start, self.start + self.length)

    @property
    def shared(self) -> slice:
        return slice(self.shared_start, self.shared_start + self.shared_length)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the sequences of a rectangle lie when they are laid end to end.

    Sequences that begin alike, such as the answers to one prompt, may share their beginning: it is then laid once.
    """

    shape: tuple[int, int]
    rows: Tensor  # (R,) places of the real tokens in the flattened rectangle
    chosen: Tensor  # (N,) those of them that are computed, in the order in which they lie
    source: Tensor  # (R,) which of the N stands for each real token
    positions: Tensor  # (N,) counted from 0 in each sequence
    pieces: list[Piece]  # a shared beginning comes before what shares it

    @classmethod
    def of(cls, segments: Tensor, ids: Tensor | None = None) -> Layout:
        """From the number of the sequence at each place, 0 for padding. Neighbours of equal number are one. (B, T).

        Given the tokens, (B, T) as well, sequences share their beginnings.
        """
        rows = segments.flatten().nonzero().squeeze(1)
        # A sequence never runs over the end of its row: two of the same number in two rows are two.
        number = segments.flatten()[rows] + (rows // segments.shape[1]) * (int(segments.max()) + 1)
        _, member, counts = number.unique_consecutive(return_inverse=True, return_counts=True)
        begins = counts.cumsum(0) - counts
        index = torch.arange(len(rows), device=rows.device)
        positions = index - begins[member]
        lengths: list[int] = counts.tolist()
        starts: list[int] = begins.tolist()
        groups = [] if ids is None else alike(_texts(ids.flatten()[rows], lengths))
        if not groups:
            pieces = [Piece(*piece) for piece in zip(starts, lengths, strict=True)]
            return cls((*segments.shape,), rows, index, index, positions, pieces)
        alone = set(range(len(lengths))) - {i for group, _ in groups for i in group}
        chosen, source, pieces, end = [], torch.empty_like(index), [], 0
        for group, shared in [*groups, *(([i], 0) for i in sorted(alone))]:
            first = end
            if shared:
                pieces.append(Piece(first, shared))
                chosen.append(index[starts[group[0]] : starts[group[0]] + shared])
                end += shared
            for i in group:
                own = slice(starts[i] + shared, starts[i] + lengths[i])
                length = lengths[i] - shared
                pieces.append(Piece(end, length, first, shared))
                chosen.append(index[own])
                source[own] = torch.arange(end, end + length)
                source[starts[i] : own.start] = torch.arange(first, first + shared)
                end += length
        order = torch.cat(chosen)
        return cls((*segments.shape,), rows, order, source, positions[order], pieces)

    @property
    def places(self) -> Tensor:
        """Of the N tokens in the flattened rectangle."""
        return self.rows[self.chosen]

    @property
    def longest(self) -> int:
        return max(piece.length for piece in self.pieces)

    def spread(self, states: Tensor) -> Tensor:
        """(N, H) -> (B, T, H), zero on padding."""
        height, width = self.shape
        real = states if self.source is self.chosen else states[self.source]
        if len(self.rows) == height * width:
            return real.view(height, width, -1)
        return real.new_zeros(height * width, real.shape[-1]).index_copy(0, self.rows, real).view(*self.shape, -1)


def alike(texts: list[list[int]]) -> list[tuple[list[int], int]]:
    """Groups of sequences that begin alike, by index, with the number of tokens that all of a group share.

    At least `WORTH` tokens, and never a whole sequence. No sequence is in two groups, and none joins a group that would
    lose half of what it shares by that. Always the same answer.
    """
    order = sorted(range(len(texts)), key=texts.__getitem__)
    groups: list[tuple[list[int], int]] = []
    for before, this in itertools.pairwise(order):
        both = _begin_alike(texts[before], texts[this])
        members, shared = groups[-1] if groups and groups[-1][0][-1] == before else ([], 0)
        if members and min(both, shared) >= max(WORTH, shared // 2):
            groups[-1] = ([*members, this], min(both, shared))
        elif not members and both >= WORTH:
            groups.append(([before, this], both))
    return groups


def _begin_alike(a: list[int], b: list[int]) -> int:
    most = min(len(a), len(b)) - 1
    return next((i for i in range(most) if a[i] != b[i]), max(0, most))


def _texts(ids: Tensor, lengths: list[int]) -> list[list[int]]:
    return [part.tolist() for part in ids.split(lengths)]


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
    window = sliding_window or q.shape[1]
    if plain_wins(_layout, v):
        out = _Attention.apply(q, k, v, _layout.pieces, scale, window)
    else:
        out = _blockwise(q, k, v, _layout, scale, window)
    return out.unsqueeze(0), None


AttentionInterface.register(NAME, attend)


def plain_wins(layout: Layout, values: Tensor) -> bool:
    """Whether plain products, sequence by sequence, are the attention here: on a processor, unless sequences are long.

    In bf16 they are the faster one there. In fp32 the blockwise kernel would be faster by a fifth, a few per cent of a
    whole step, but only where sequences are of one length; and what is learned would then depend, in its last bits, on
    how a batch is cut. Measured by tests/benchmarks/bench_attention.py. Only plain products know shared beginnings.
    """
    shares = any(piece.shared_length for piece in layout.pieces)
    return shares or (values.device.type == "cpu" and layout.longest <= LONG)


class _Attention(torch.autograd.Function):
    """softmax(q k' * scale) v, sequence by sequence, so that the scores of one stay in the processor's cache.

    Nothing of size T x T is kept: the scores are computed again in the backward pass from the log of their sum.
    Source: Dao et al. 2022, "FlashAttention", arXiv:2205.14135, section 3.1 and appendix B (the backward formulas).
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, pieces: list[Piece], scale: float, window: int) -> Tensor:
        """(heads, N, D), (groups, N, D) twice -> (N, heads, D)."""
        out = q.new_empty(q.shape[1], q.shape[0], q.shape[2])
        for piece in pieces:
            weights = _weights(q, k, piece, scale, window)
            out[piece.own] = _each_head(weights.to(v.dtype), _seen(v, piece), len(q)).transpose(0, 1)
        ctx.save_for_backward(q, k, v, out)
        ctx.about = pieces, scale, window
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out = ctx.saved_tensors
        pieces, scale, window = ctx.about
        heads, groups = len(q), len(k)
        # In the memory order of the linear layers, so that going back to (N, heads * D) costs nothing.
        dq, dk, dv = (x.new_empty(x.shape[1], x.shape[0], x.shape[2]).transpose(0, 1) for x in (q, k, v))
        for piece in pieces:
            weights = _weights(q, k, piece, scale, window)
            g = grad[piece.own].transpose(0, 1)
            # sum_j w_ij dw_ij of the softmax's derivative is also g_i . out_i.
            inner = torch.linalg.vecdot(g.float(), out[piece.own].transpose(0, 1).float()).view(*weights.shape[:2], 1)
            g_ = g.reshape(groups, -1, g.shape[-1])
            _add(dv, piece, weights.to(g.dtype).transpose(1, 2) @ g_)
            ds = (g_ @ _seen(v, piece).transpose(1, 2)).to(weights.dtype)
            ds = ds.sub_(inner).mul_(weights).mul_(scale).to(q.dtype)
            dq[:, piece.own] = _each_head(ds, _seen(k, piece), heads)
            _add(dk, piece, ds.transpose(1, 2) @ q[:, piece.own].reshape(groups, -1, q.shape[-1]))
        return dq, dk, dv, None, None, None


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
    queries, groups = q[:, piece.own], len(k)
    seen = piece.shared_length + piece.length
    bias = _bias(piece.length, seen, min(window, seen), len(q) // groups, q.dtype)
    if len(q) != groups:
        queries = queries.reshape(groups, -1, q.shape[-1])
    return torch.baddbmm(bias, queries, _seen(k, piece).transpose(1, 2), alpha=scale).float().softmax(-1)


def _each_head(weights: Tensor, values: Tensor, heads: int) -> Tensor:
    """(groups, heads / groups * T, T), (groups, T, D) -> (heads, T, D)."""
    return (weights @ values).view(heads, -1, values.shape[-1])


@lru_cache(maxsize=256)
def _bias(length: int, seen: int, window: int, times: int, dtype: torch.dtype) -> Tensor:
    """(1, times * T, S + T): what is added to the scores, minus infinity where nothing is seen."""
    unseen = _unseen(length, seen, window, torch.device("cpu"))
    bias = torch.zeros(length, seen, dtype=dtype).masked_fill_(unseen, -torch.inf)
    return bias.repeat(times, 1).unsqueeze(0)


def _unseen(length: int, seen: int, window: int, device: torch.device) -> Tensor:
    """(T, S + T), True where a query must not see a key: what comes after it, and what is `window` or more before."""
    place = torch.arange(seen, device=device)
    ago = place[seen - length :].unsqueeze(1) - place
    return (ago < 0) | (ago >= window)


def _blockwise(q: Tensor, k: Tensor, v: Tensor, layout: Layout, scale: float, window: int) -> Tensor:
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
