"""Masked arithmetic on (batch, time) tensors. A mask is True where a real response token is; nothing else counts."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(x: Tensor, mask: Tensor, total: Tensor | float | None = None) -> Tensor:
    """Sum of `x` where `mask` is True, divided by `total` (by default how many are True). Shapes: (B, T) x 2 -> ().

    Give `total` the number of tokens of the whole optimiser step, and micro-batches add up to the same gradient
    however the step was cut. An empty mask gives 0. Masked-out values may be anything, also NaN.
    """
    count = mask.sum().clamp(min=1) if total is None else total
    return torch.where(mask, x, x.new_zeros(())).sum() / count


def masked_variance(x: Tensor, mask: Tensor, unbiased: bool = True) -> Tensor:
    """Variance over the masked positions; 0 when fewer than two count."""
    count = mask.sum()
    centred = (x - masked_mean(x, mask)) ** 2
    total = torch.where(mask, centred, x.new_zeros(())).sum()
    return total / (count - (1 if unbiased else 0)).clamp(min=1)


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True) -> Tensor:
    """Scale `x` to variance 1 over the masked positions and, with `shift_mean`, to mean 0; 0 elsewhere.

    Uses the unbiased variance plus 1e-8. Constant input gives zeros with `shift_mean`, never NaN.
    """
    mean = masked_mean(x, mask)
    white = (x - mean) * torch.rsqrt(masked_variance(x, mask) + 1e-8)
    if not shift_mean:
        white = white + mean
    return torch.where(mask, white, x.new_zeros(()))


def last_index(mask: Tensor) -> Tensor:
    """Index of the last True in each row; -1 for a row without any. Shapes: (B, T) -> (B,)."""
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    return torch.where(mask, positions, -1).amax(dim=1)


def position_ids(attention_mask: Tensor) -> Tensor:
    """Positions counted from each row's first real token, so that left padding changes nothing. (B, T) -> (B, T)."""
    return (attention_mask.long().cumsum(-1) - 1).clamp(min=0)


def segment_position_ids(segments: Tensor) -> Tensor:
    """Positions counted from 0 within each run of equal numbers, and 0 on padding (number 0). (B, T) -> (B, T)."""
    index = torch.arange(segments.shape[1], device=segments.device).expand_as(segments)
    begins = torch.ones_like(segments, dtype=torch.bool)
    begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
    return torch.where(segments > 0, index - torch.where(begins, index, 0).cummax(dim=1).values, 0)
