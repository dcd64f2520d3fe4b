"""Answers to a few fixed held-out prompts, written as training goes on, so that a person sees what changes.

An observer: it draws from a generator of its own and leaves no trace in the run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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


AT_ONCE = 4  # answers written and explained at a time, however many there are: so much memory is foreseen
Explain = Callable[[list[Fixed], list[Answer]], list[tuple[float | None, dict[str, tuple[float, ...]]]]]


class Previews:
    """`explain` gives each answer a score and numbers per token."""

    def __init__(
        self, backbone: Backbone, role: str, sampler: Sampler, seed: int, explain: Explain | None = None
    ) -> None:
        self._backbone, self._role, self._sampler, self._seed, self._explain = backbone, role, sampler, seed, explain
        self.fixed: list[Fixed] = []

    def choose(self, prompts: list[Prompt], references: list[str], template: str, limit: int = 4) -> None:
        """Fix the first `limit` prompts that leave room for an answer. Empty references are filled with what the
        role answers now."""
        tokenizer = self._backbone.base.tokenizer
        room = self._backbone.base.context - self._sampler.max_new_tokens
        rendered = [Fixed(p, render(tokenizer, p, template=template).ids, "") for p in prompts]
        fitting = [i for i, fixed in enumerate(rendered) if len(fixed.ids) <= room][:limit]
        self.fixed = [rendered[i] for i in fitting]
        if self.fixed:
            said = [references[i] for i in fitting] if references else self._answers()
            self.fixed = [replace(fixed, reference=text) for fixed, text in zip(self.fixed, said, strict=True)]

    def samples(self, step: int) -> list[Sample]:
        """What the role answers now. The same random numbers every time: differences come from learning."""
        if not self.fixed:
            return []
        tokenizer = self._backbone.base.tokenizer
        answers = self._write([fixed.ids for fixed in self.fixed])
        explained: list[tuple[float | None, dict[str, tuple[float, ...]]]] = []
        for start in range(0, len(answers), AT_ONCE):
            part, said = self.fixed[start:][:AT_ONCE], answers[start:][:AT_ONCE]
            explained += self._explain(part, said) if self._explain else [(None, {})] * len(said)
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

    def _answers(self) -> list[str]:
        tokenizer = self._backbone.base.tokenizer
        return [answer_text(tokenizer, a.tokens) for a in self._write([fixed.ids for fixed in self.fixed])]

    def _write(self, ids: list[list[int]]) -> list[Answer]:
        rng = torch.Generator(device=self._backbone.device).manual_seed(self._seed)
        parts = (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
        return [one for part in parts for one in complete(self._backbone, self._role, part, self._sampler, rng)]
