"""The loss of supervised fine-tuning. Pure functions of tensors."""

from __future__ import annotations

from torch import Tensor

from rlhf_engine.tensors import masked_mean


def nll_loss(logp: Tensor, mask: Tensor, total: Tensor | float | None = None) -> Tensor:
    """Mean negative log-probability, in nats per token, of the tokens under `mask`: those that are to be learned.

    Args:
        logp, mask: (B, T).
        total: tokens of the whole optimiser step, so that micro-batches add up to the same gradient.
    """
    return -masked_mean(logp, mask, total)
