"""Comparisons as our preference tasks read them, and one of their steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rlhf_engine.data.chat import render
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.preferences.answers import GivenAnswer
from rlhf_engine.preferences.learning import learn
from rlhf_engine.preferences.pairs import Pair
from tests.oracle.ours import Step, our_step


def as_pairs(backbone: Backbone, rows: Sequence[tuple[str, str, str, int]]) -> list[Pair]:
    def given(prompt: str, answer: str) -> GivenAnswer:
        return GivenAnswer.of(render(backbone.base.tokenizer, prompt, answer, "chat"))

    return [Pair(given(p, chosen), given(p, rejected)) for p, chosen, rejected, _ in rows]


def step_on_pairs(backbone: Backbone, root: Path, losses: Callable[..., Any], spec: Any, rows: Sequence) -> Step:
    """`losses` is the task's own, (backbone, pairs, spec, pairs per token) -> (loss per pair, measures)."""
    pairs = as_pairs(backbone, rows)

    def measured(part: Sequence[Pair], per_token: float) -> Any:
        return losses(backbone, part, spec, per_token)

    return our_step(backbone, "policy", root, lambda run, optimizer: learn(measured, pairs, spec, run, optimizer, 1e-5))
