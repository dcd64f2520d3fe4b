"""Log-probabilities of the tokens of an answer, without ever holding a (batch, time, vocabulary) tensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from rlhf_engine.models.backbone import Backbone

CHUNK = 1 << 24  # logits held at once: 64 MB in fp32
CACHED = 1 << 19  # logits worked on at once on a processor: 2 MB in fp32, which its cache holds


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
    before = mask.roll(-1, 1)  # what a token follows from; column 0 is never measured, so none comes round
    hidden = backbone.hidden(ids, attention_mask, segments, wanted=before)
    return logprobs_of_hidden(backbone, hidden, ids, mask, temperature)


def logprobs_of_hidden(
    backbone: Backbone, hidden: Tensor, ids: Tensor, mask: Tensor, temperature: float = 1.0
) -> TokenLogprobs:
    """The same from last hidden states (B, T, H), for whoever needs them for something else too. The role whose states
    they are must still be active: its output layer may be its own."""
    wanted = mask[:, 1:]
    rows, targets = hidden[:, :-1][wanted], ids[:, 1:][wanted]
    flat = _plain(backbone, rows, targets, temperature) or _any(backbone, rows, targets, temperature)
    full = [torch.zeros(ids.shape, dtype=column.dtype, device=ids.device) for column in flat]
    out = [whole.masked_scatter(mask, column) for whole, column in zip(full, flat, strict=True)]
    return TokenLogprobs(out[0], out[1], out[2].bool())


def _plain(backbone: Backbone, rows: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, ...] | None:
    """By `_Measured`, where the output layer is a product with a matrix and nothing more."""
    if (weight := backbone.output_matrix()) is None:
        return None
    out: tuple[Tensor, ...] = _Measured.apply(rows.to(weight.dtype), weight, targets, temperature)
    return out


class _Measured(torch.autograd.Function):
    """Log-probability, entropy and whether it is the likeliest, of one token after each of N states.

    A few rows at a time, on a piece of memory small enough for the cache. Log-probabilities over the vocabulary are
    kept for the backward pass while they are few, else computed again there.

    With p the probabilities, l their logs and H the entropy:  dl_t/dz = 1_t - p  and  dH/dz = -p (l + H).
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, ...]:
        """(N, H), (V, H), (N,) -> (N,) three times, fp32."""
        count, size = len(rows), _rows_at_once(rows, weight)
        logp, entropy, best = (torch.empty(count, dtype=torch.float32, device=rows.device) for _ in range(3))
        keep = count * len(weight) <= CHUNK and any(ctx.needs_input_grad)
        kept = linear(rows, weight).float() if keep else rows.new_empty(0)  # the larger a product, the faster
        for start in range(0, count, size):
            part = slice(start, start + size)
            logs = _log_probabilities(kept[part] if keep else linear(rows[part], weight).float(), temperature)
            logp[part] = logs.gather(-1, targets[part].unsqueeze(-1)).squeeze(-1)
            best[part] = logp[part] == logs.amax(-1)
            entropy[part] = torch.linalg.vecdot(logs.exp(), logs).neg_()
        ctx.save_for_backward(rows, weight, targets, entropy, kept)
        ctx.temperature, ctx.kept = temperature, keep
        ctx.mark_non_differentiable(best)
        ctx.set_materialize_grads(False)
        return logp, entropy, best

    @staticmethod
    def backward(ctx: Any, d_logp: Tensor | None, d_entropy: Tensor | None, _: Tensor | None) -> tuple[Any, ...]:
        rows, weight, targets, entropy, kept = ctx.saved_tensors
        of_rows, of_weight = ctx.needs_input_grad[:2]
        d_rows = torch.empty_like(rows) if of_rows else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if of_weight else None
        size = _rows_at_once(rows, weight)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            logs = kept[part] if ctx.kept else _log_probabilities(linear(rows[part], weight).float(), ctx.temperature)
            d_logits = logs.exp()
            if d_entropy is not None:
                pull = (logs + entropy[part].unsqueeze(1)).mul_(d_entropy[part].unsqueeze(1))
                pull = pull.add_(d_logp[part].unsqueeze(1)) if d_logp is not None else pull
                d_logits.mul_(pull.neg_())
            elif d_logp is not None:
                d_logits.mul_(d_logp[part].neg().unsqueeze(1))
            if d_logp is not None:
                d_logits.scatter_add_(1, targets[part].unsqueeze(1), d_logp[part].unsqueeze(1))
            d_logits = (
                d_logits.div_(ctx.temperature).to(rows.dtype) if ctx.temperature != 1.0 else d_logits.to(rows.dtype)
            )
            if d_rows is not None:
                torch.mm(d_logits, weight, out=d_rows[part])
            if d_weight is not None:
                d_weight += d_logits.T @ rows[part]
        return d_rows, None if d_weight is None else d_weight.to(weight.dtype), None, None


def _log_probabilities(logits: Tensor, temperature: float) -> Tensor:
    """In place: of the vocabulary, from logits in fp32."""
    logits = logits if temperature == 1.0 else logits.div_(temperature)
    return torch.log_softmax(logits, -1, out=logits)


def _rows_at_once(rows: Tensor, weight: Tensor) -> int:
    return max(16, (CACHED if rows.device.type == "cpu" else CHUNK) // len(weight))


def _any(backbone: Backbone, rows: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, ...]:
    """By autograd, whatever the output layer does: with an adapter on it, or a cap on its logits."""
    size = max(1, CHUNK // int(backbone.base.model.config.vocab_size))
    parts = []
    for start in range(0, len(targets), size):
        chunk = (backbone, rows[start : start + size], targets[start : start + size], temperature)
        again = len(targets) > size and torch.is_grad_enabled()
        parts.append(
            checkpoint(_measure, *chunk, use_reentrant=False, context_fn=backbone.as_now) if again else _measure(*chunk)
        )
    return (
        tuple(torch.cat(column) for column in zip(*parts, strict=True)) if parts else (rows.new_zeros(0).float(),) * 3
    )


def _measure(backbone: Backbone, rows: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    logits = backbone.logits(rows) / temperature
    logp = logits.log_softmax(-1)
    chosen = logp.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    entropy = -(logp.exp() * logp).sum(-1)
    return chosen, entropy, (logits.argmax(-1) == targets).float()
