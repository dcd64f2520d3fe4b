"""What matmul alone would allow: the multiplications of an update, counted, at the speed that they have here.

A layer's weights are frozen, so a learned token costs each of them one product forwards and one backwards; the adapter
beside it costs three. Attention is counted under its causal mask. Both are taken at the speed of the largest layer, and
everything that is no product at nothing: the bound cannot be reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.benchmarks.against_trl.works import RANK, Size, Work

Shape = tuple[int, int]  # inputs and outputs of a linear layer


@dataclass(frozen=True, slots=True)
class Passes:
    """Tokens that go through a model in the update phase of one step. `learned` ones go forwards and back, `read` ones
    forwards only; `spoken` and `heard` are those of them that go on through the head. `length` is a sequence's mean."""

    learned: float
    spoken: float
    length: float
    read: float = 0.0
    heard: float = 0.0


def passes_of(work: Work, tokens: float, answers: float) -> Passes:
    """`tokens` and `answers` are what one step learns from, and how many of those belong to answers: as `ours` says.

    PPO's value model learns from the same tokens and has no words to choose; DPO's reference only reads.
    """
    length = tokens / (work.epochs * work.examples * (2 if work.kind in ("dpo", "reward") else 1))
    if work.kind == "ppo":
        return Passes(2 * tokens, answers, length)
    if work.kind == "dpo":
        return Passes(tokens, answers, length, tokens, answers)
    return Passes(tokens, 0.0 if work.kind == "reward" else answers, length)


def layers_of(size: Size) -> dict[Shape, int]:
    """How often each shape of linear layer is met by a token, the head left out."""
    narrow = size.hidden * size.key_value_heads // size.heads
    shapes = [(size.hidden, size.hidden)] * 2 + [(size.hidden, narrow)] * 2
    shapes += [(size.hidden, size.intermediate)] * 2 + [(size.intermediate, size.hidden)]
    return {shape: shapes.count(shape) * size.layers for shape in dict.fromkeys(shapes)}


def shapes_of(size: Size) -> list[Shape]:
    return [*layers_of(size), (size.hidden, size.vocabulary)]


def work_in(size: Size, passes: Passes) -> dict[Shape, float]:
    """Floating-point operations by the shape at whose speed they are taken."""
    token = 2 * passes.learned + passes.read  # products with each weight
    done = {shape: 2.0 * shape[0] * shape[1] * count * token for shape, count in layers_of(size).items()}
    adapters = sum(2.0 * RANK * sum(shape) * count for shape, count in layers_of(size).items())
    attention = 2.0 * size.layers * size.hidden * passes.length  # forwards: half of QK and of PV
    done[size.hidden, size.intermediate] += (3 * passes.learned + passes.read) * (adapters + attention)
    done[size.hidden, size.vocabulary] = 2.0 * size.hidden * size.vocabulary * (2 * passes.spoken + passes.heard)
    return done


def seconds_at(done: Mapping[Shape, float], rates: Mapping[Shape, float]) -> float:
    """`rates` in operations per second."""
    return sum(operations / rates[shape] for shape, operations in done.items())


def bytes_read(size: Size, prompts: list[int], limits: list[int], width: int = 2) -> float:
    """What decoding must at least fetch from memory, in bytes: all weights once a step for all answers together, and
    for each token of an answer what was kept of those before it. `width` is the bytes of a number."""
    weights = sum(a * b * count for (a, b), count in layers_of(size).items()) + size.hidden * size.vocabulary
    kept = 2 * size.layers * size.hidden * size.key_value_heads / size.heads
    tokens = sum(limit * prompt + limit * (limit - 1) / 2 for prompt, limit in zip(prompts, limits, strict=True))
    return float(width * (max(limits) * weights + kept * tokens))
