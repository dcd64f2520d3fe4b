"""Answers to a few fixed held-out prompts, written as training goes on, so that a person sees what changes.

An observer: it draws from a generator of its own and leaves no trace in the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from rlhf_engine.contract.events import Sample
from rlhf_engine.data.chat import answer_text, render
from rlhf_engine.data.records import Prompt, text_of
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.sampling import Answer, Sampler, complete


@dataclass(frozen=True, slots=True)
class Fixed:
    prompt: Prompt
    ids: list[int]
    reference: str  # what to compare with: the demonstration, or the starting model's answer


Explain = Callable[[list[Fixed], list[Answer]], list[tuple[float | None, dict[str, tuple[float, ...]]]]]


class Previews:
    """`explain` gives each answer a score and numbers per token."""

    def __init__(
        self, backbone: Backbone, role: str, sampler: Sampler, seed: int, explain: Explain | None = None
    ) -> None:
        self._backbone, self._role, self._sampler, self._seed, self._explain = backbone, role, sampler, seed, explain
        self.fixed: list[Fixed] = []

    def choose(self, prompts: list[Prompt], references: list[str], template: str, limit: int = 4) -> None:
        """Fix the first `limit` prompts. Empty references are filled with what the role answers now."""
        tokenizer = self._backbone.base.tokenizer
        ids = [render(tokenizer, prompt, template=template).ids for prompt in prompts[:limit]]
        if ids and not references:
            references = [answer_text(tokenizer, a.tokens) for a in self._write(ids)]
        self.fixed = [Fixed(*row) for row in zip(prompts[:limit], ids, references[:limit], strict=True)]

    def samples(self, step: int) -> list[Sample]:
        """What the role answers now. The same random numbers every time: differences come from learning."""
        if not self.fixed:
            return []
        tokenizer = self._backbone.base.tokenizer
        answers = self._write([fixed.ids for fixed in self.fixed])
        explained = self._explain(self.fixed, answers) if self._explain else [(None, {})] * len(answers)
        return [
            Sample(
                step,
                text_of(fixed.prompt),
                answer_text(tokenizer, answer.tokens),
                score,
                fixed.reference,
                tuple(tokenizer.decode([t]) for t in answer.tokens) if per_token else (),
                per_token,
            )
            for fixed, answer, (score, per_token) in zip(self.fixed, answers, explained, strict=True)
        ]

    def _write(self, ids: list[list[int]]) -> list[Answer]:
        rng = torch.Generator(device=self._backbone.device).manual_seed(self._seed)
        return complete(self._backbone, self._role, ids, self._sampler, rng)
