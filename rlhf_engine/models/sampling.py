"""One sampler for the playground, rollouts and evaluation: batched, cached, and reporting what it drew from.

With temperature alone it draws from exactly the distribution that training measures; top-p and top-k are for reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache

from rlhf_engine.contract.errors import NotFinite
from rlhf_engine.data.batches import left_pad
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.tensors import position_ids


@dataclass(frozen=True, slots=True)
class Sampler:
    """How tokens are drawn. temperature 0 always takes the likeliest. `top_k` 0 and `top_p` 1 change nothing."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One new token for some of the answers, in order of `rows`. All lists have the same length."""

    rows: list[int]
    tokens: list[int]
    logprobs: list[float]  # nats, under the distribution the token was drawn from
    top: list[list[tuple[int, float]]]  # likeliest tokens with their log-probabilities


@dataclass(slots=True)
class Answer:
    """`tokens` end with the end token if the model wrote one. `finish` is "eos" or "length"."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str = "length"

    def ended_by(self, end: int) -> list[int]:
        """The tokens with `end` as their last, whichever end token the model wrote, or none: reward models are trained
        on one end token, and some models know several."""
        return [*(self.tokens[:-1] if self.finish == "eos" else self.tokens), end]


@torch.no_grad()
def steps(
    backbone: Backbone,
    role: str,
    prompts: list[list[int]],
    sampler: Sampler,
    generator: torch.Generator,
    alternatives: int = 0,
    stopped: Callable[[int], bool] = lambda _: False,
) -> Iterator[Step]:
    """Write all answers at once, one token per step; finished ones leave the batch.

    Args:
        prompts: token ids, not padded. Answers are numbered as they are.
        generator: on the backbone's device; the only randomness used.
        stopped: asked after each step for each answer; True ends it (a stop text was found).
    Raises:
        NotFinite: the model's logits are NaN or infinite.
    """
    device, base = backbone.device, backbone.base
    ids, mask = (t.to(device) for t in left_pad(prompts, base.pad_id))
    rows = torch.arange(len(prompts), device=device)
    mask = mask.long()
    positions = position_ids(mask)
    eos = torch.tensor(base.eos_ids, device=device)
    cache = DynamicCache(config=base.model.config)
    limit = min(sampler.max_new_tokens, base.context - ids.shape[1])
    for written in range(1, limit + 1):
        with backbone.acting_as(role):
            hidden, cache = backbone.decode(ids, mask, positions, cache)
        logits = backbone.logits(hidden[:, -1])
        if not bool(torch.isfinite(logits).all()):
            bad = rows[~torch.isfinite(logits).all(-1)].tolist()
            raise NotFinite(f"The model's output is not finite for answer {bad[0]} at token {written}.")
        tokens, logp = _draw(logits, sampler, generator)
        top = _likeliest(logp, alternatives)
        chosen = logp.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        numbers = rows.tolist()
        yield Step(numbers, tokens.tolist(), chosen.tolist(), top)

        going = ~torch.isin(tokens, eos)
        going &= torch.tensor([not stopped(n) for n in numbers], device=device)
        if not bool(going.any()):
            return
        ids, positions = tokens.unsqueeze(1), positions[:, -1:] + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        if bool((~going).any()):
            left = going.nonzero().squeeze(1)
            cache.batch_select_indices(left)
            ids, positions, mask, rows = ids[left], positions[left], mask[left], rows[left]


def complete(
    backbone: Backbone,
    role: str,
    prompts: list[list[int]],
    sampler: Sampler,
    generator: torch.Generator,
    between: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """All answers, finished. `between` is called after every token: a safe point."""
    answers = [Answer() for _ in prompts]
    eos = set(backbone.base.eos_ids)
    for step in steps(backbone, role, prompts, sampler, generator):
        for row, token, logp in zip(step.rows, step.tokens, step.logprobs, strict=True):
            answers[row].tokens.append(token)
            answers[row].logprobs.append(logp)
            if token in eos:
                answers[row].finish = "eos"
        between()
    return answers


def _draw(logits: Tensor, sampler: Sampler, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens (B,) and the log-probabilities (B, V) they were drawn from."""
    if sampler.temperature == 0:
        return logits.argmax(-1), logits.log_softmax(-1)
    logits = logits / sampler.temperature
    if sampler.top_k and sampler.top_k < logits.shape[-1]:
        least = logits.topk(sampler.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampler.top_p < 1:
        ordered, places = logits.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        drop = torch.zeros_like(before, dtype=torch.bool).scatter(-1, places, before >= sampler.top_p)
        logits = logits.masked_fill(drop, -torch.inf)
    logp = logits.log_softmax(-1)
    return torch.multinomial(logp.exp(), 1, generator=generator).squeeze(-1), logp


def _likeliest(logp: Tensor, count: int) -> list[list[tuple[int, float]]]:
    if not count:
        return [[] for _ in logp]
    values, places = logp.topk(min(count, logp.shape[-1]))
    rows = zip(places.tolist(), values.tolist(), strict=True)
    return [[(t, v) for t, v in zip(*row, strict=True) if v > -float("inf")] for row in rows]
