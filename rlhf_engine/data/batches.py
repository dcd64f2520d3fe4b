"""Rows of different lengths as one rectangle, and the order in which rows are visited."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rlhf_engine.data.chat import Rendered


def right_pad(rows: Sequence[Sequence[int]], pad: int, width: int = 0) -> tuple[Tensor, Tensor]:
    """Rows start at column 0 and are filled up to the longest row, or to `width` where that is more.

    Returns ids int64 (rows, width) and a bool mask of the same shape, True on what was there: it goes by position,
    so a pad id that also occurs in a row does no harm.
    """
    ids, mask = _blank(rows, pad, width)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
        mask[i, : len(row)] = True
    return ids, mask


def left_pad(rows: Sequence[Sequence[int]], pad: int, width: int = 0) -> tuple[Tensor, Tensor]:
    """Like `right_pad`, but all rows end at the last column, which is what generation needs."""
    ids, mask = _blank(rows, pad, width)
    wide = ids.shape[1]
    for i, row in enumerate(rows):
        ids[i, wide - len(row) :] = torch.tensor(row, dtype=torch.int64)
        mask[i, wide - len(row) :] = True
    return ids, mask


def shuffled(n: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every index below `n` once, in an order drawn from `generator`, `size` at a time; the last may be shorter."""
    yield from torch.randperm(n, generator=generator).split(size)


def parts(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """`rows` cut into pieces of at most `size`; none of nothing, where `split` would give an empty one."""
    return rows.split(size) if len(rows) else ()


def padded_with_answers(rows: Sequence[Rendered], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask (both int64) and the mask of what is trained, each (B, T); padding is on the right."""
    ids, attention = right_pad([row.ids for row in rows], pad)
    mask = torch.zeros_like(attention)
    for i, row in enumerate(rows):
        mask[i, : len(row.ids)] = torch.tensor(row.completion_mask)
    return ids, attention.long(), mask


def _blank(rows: Sequence[Sequence[int]], pad: int, width: int) -> tuple[Tensor, Tensor]:
    wide = max([width, *(len(row) for row in rows)])
    return torch.full((len(rows), wide), pad, dtype=torch.int64), torch.zeros((len(rows), wide), dtype=torch.bool)
