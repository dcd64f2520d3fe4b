"""Log-probabilities of the tokens of an answer, without ever holding a (batch, time, vocabulary) tensor."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rlhf_engine.models.backbone import Backbone

CHUNK = 1 << 24  # logits held at once: 64 MB in fp32


class TokenLogprobs(NamedTuple):
    """Zero where the mask is False. Everything in nats, fp32."""

    logp: Tensor  # (B, T): of token t given what is before it; column 0 is never counted
    entropy: Tensor  # (B, T): of the distribution that token t was drawn from
    best: Tensor  # (B, T) bool: the token was the likeliest one


def token_logprobs(
    backbone: Backbone,
    ids: Tensor,
    attention_mask: Tensor,
    mask: Tensor,
    temperature: float = 1.0,
    segments: Tensor | None = None,
) -> TokenLogprobs:
    """Log-probability of `ids` where `mask` is True, under the active role.

    Args:
        ids, attention_mask, mask: (B, T). `mask` marks the tokens to measure; it must be False in column 0.
        temperature: logits are divided by it, as they were when the tokens were drawn.
        segments: (B, T), which examples share a row, if any do. `mask` must then be False where one begins: what is
            before it belongs to another.
    """
    return logprobs_of_hidden(backbone, backbone.hidden(ids, attention_mask, segments), ids, mask, temperature)


def logprobs_of_hidden(
    backbone: Backbone, hidden: Tensor, ids: Tensor, mask: Tensor, temperature: float = 1.0
) -> TokenLogprobs:
    """The same from last hidden states (B, T, H), for whoever needs them for something else too. The role whose states
    they are must still be active: its output layer may be its own."""
    wanted = mask[:, 1:]
    rows, targets = hidden[:, :-1][wanted], ids[:, 1:][wanted]
    size = max(1, CHUNK // int(backbone.base.model.config.vocab_size))
    parts = []
    for start in range(0, len(targets), size):
        chunk = (backbone, rows[start : start + size], targets[start : start + size], temperature)
        again = len(targets) > size and torch.is_grad_enabled()
        parts.append(
            checkpoint(_measure, *chunk, use_reentrant=False, context_fn=backbone.as_now) if again else _measure(*chunk)
        )
    flat = [torch.cat(column) for column in zip(*parts, strict=True)] if parts else [rows.new_zeros(0).float()] * 3
    full = [torch.zeros(ids.shape, dtype=column.dtype, device=ids.device) for column in flat]
    out = [whole.masked_scatter(mask, column) for whole, column in zip(full, flat, strict=True)]
    return TokenLogprobs(out[0], out[1], out[2].bool())


def _measure(backbone: Backbone, rows: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    logits = backbone.logits(rows) / temperature
    logp = logits.log_softmax(-1)
    chosen = logp.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return chosen, entropy, (logits.argmax(-1) == targets).float()
