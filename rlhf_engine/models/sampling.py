"""One sampler for the playground, rollouts and evaluation: it keeps its slots full, and reports what it drew from.

With temperature alone it draws from exactly the distribution that training measures; top-p and top-k are for reading.
The same state of the generator gives the same answers, however many are written at once and in whichever order they
finish; in fp32 to the bit, unless two sums that differ in their last digits fall to two sides of a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from rlhf_engine.contract.errors import NotFinite
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.decoding import Flow
from rlhf_engine.models.drawing import Noise, Sampler, draw, likeliest
from rlhf_engine.models.fitting import cache_bytes
from rlhf_engine.models.padded import Batches
from rlhf_engine.models.voices import voice_of

__all__ = ["Answer", "Sampler", "Step", "complete", "steps"]

SLOTS = 64  # answers written at once
_ON_CPU, _ON_CUDA = 1 << 30, 0.3  # memory for their cache: bytes, and a share of the device's


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
    prompts: Sequence[list[int]],
    sampler: Sampler,
    generator: torch.Generator,
    alternatives: int = 0,
    stopped: Callable[[int], bool] = lambda _: False,
    limits: Sequence[int] | None = None,
    slots: int = SLOTS,
) -> Iterator[Step]:
    """Write all answers, up to `slots` at once, one token each per step. Finished ones leave, and the next enter.

    Args:
        prompts: token ids, not padded. Answers are numbered as they are.
        generator: on the backbone's device; the only randomness used. It gives one number, whatever is written.
        stopped: asked after each step for each answer; True ends it (a stop text was found).
        limits: by prompt, the most new tokens, where that is fewer than the sampler's. No answer goes on where the
            model has no more room for it.
    Raises:
        NotFinite: the model's logits are NaN or infinite.
    """
    device, base = backbone.device, backbone.base
    most = (
        [sampler.max_new_tokens] * len(prompts) if limits is None else [min(n, sampler.max_new_tokens) for n in limits]
    )
    rooms = [max(0, min(n, base.context - len(prompt))) for n, prompt in zip(most, prompts, strict=True)]
    noise = Noise(len(prompts), generator, device) if sampler.temperature > 0 else None
    voice = voice_of(backbone, role)
    each = cache_bytes(backbone)
    texts = (
        Flow(backbone, voice, prompts, rooms, slots, _memory(device) // each)
        if each
        else Batches(backbone, voice, prompts, rooms, slots)
    )
    written = [0] * len(prompts)
    eos = set(base.eos_ids)
    while texts.busy:
        numbers, hidden = texts.advance()
        with voice():
            logits = backbone.logits(hidden)
        keyed = None
        if noise is not None:
            keyed = noise.at(*torch.tensor([numbers, [written[n] for n in numbers]], device=device))
        drawn = draw(logits, sampler, keyed)
        # One transfer from the device: an id below 2^53 is exact in fp64.
        finite = torch.isfinite(logits).all(-1)
        places, logprobs, fine = torch.stack([drawn.tokens.double(), drawn.logp.double(), finite.double()]).tolist()
        if not all(fine):
            bad = min(n for n, good in zip(numbers, fine, strict=True) if not good)
            raise NotFinite(f"The model's output is not finite for answer {bad} at token {written[bad] + 1}.")
        tokens, top = [int(place) for place in places], likeliest(drawn, alternatives)
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        step = Step(*([column[i] for i in order] for column in (numbers, tokens, logprobs, top)))  # type: ignore[arg-type]
        for number in numbers:
            written[number] += 1
        yield step
        going = {
            number
            for number, token in zip(step.rows, step.tokens, strict=True)
            if not stopped(number) and token not in eos and written[number] < rooms[number]
        }
        texts.take(dict(zip(step.rows, step.tokens, strict=True)), going)


def complete(
    backbone: Backbone,
    role: str,
    prompts: Sequence[list[int]],
    sampler: Sampler,
    generator: torch.Generator,
    between: Callable[[], None] = lambda: None,
    limits: Sequence[int] | None = None,
    slots: int = SLOTS,
) -> list[Answer]:
    """All answers, finished. `between` is called after every token: a safe point. The rest as for `steps`."""
    answers = [Answer() for _ in prompts]
    eos = set(backbone.base.eos_ids)
    for step in steps(backbone, role, prompts, sampler, generator, limits=limits, slots=slots):
        for row, token, logp in zip(step.rows, step.tokens, step.logprobs, strict=True):
            answers[row].tokens.append(token)
            answers[row].logprobs.append(logp)
            if token in eos:
                answers[row].finish = "eos"
        between()
    return answers


def _memory(device: torch.device) -> int:
    """Bytes for the cache. It does not depend on what is free now: a run that goes on must not differ from one that
    was never interrupted."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory * _ON_CUDA)
    return _ON_CPU
