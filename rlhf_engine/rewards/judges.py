"""Reward models as judges of answers: on the policy's own base where they share it, beside it where they do not."""

from __future__ import annotations

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.data.chat import answer_text, prompt_format, render
from rlhf_engine.data.questions import Question
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import ModelSource, resolve
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.sampling import Answer
from rlhf_engine.runtime.context import RunContext


class Judge:
    """One reward model. `backbone` may be the policy's; then it reads token ids, and otherwise text."""

    def __init__(self, backbone: Backbone, policy: Backbone, role: str, source: ModelSource) -> None:
        self.backbone, self.role, self.source = backbone, role, source
        self._policy = policy
        self._template = str(source.about.get("template", "auto"))
        self.facts: dict[str, float] = source.about.get("facts", {})

    @torch.no_grad()
    def __call__(self, asked: list[Question], answers: list[Answer], micro_batch: int) -> Tensor:
        """Scores (B,), normalised. It was trained on ended answers, so it reads an end token in any case."""
        if self.backbone is self._policy:
            end = self.backbone.base.eos_ids[0]
            room = self.backbone.base.context - 1  # an answer cut off by the context gives its last token for the end
            sequences = [
                [*(question.ids + answer.ended_by(end)[:-1])[:room], end]
                for question, answer in zip(asked, answers, strict=True)
            ]
        else:
            mine, theirs = self._policy.base.tokenizer, self.backbone.base.tokenizer
            texts = [answer_text(mine, answer.tokens) for answer in answers]
            sequences = [
                render(theirs, question.prompt, text, self._template).ids
                for question, text in zip(asked, texts, strict=True)
            ]
        return self.backbone.score(self.role, sequences, micro_batch)


class Bench:
    """All judges of a run. Each reward model is loaded once, and those of one base share it."""

    def __init__(self, policy: Backbone, source: ModelSource, run: RunContext, spec: TrainingFields) -> None:
        self._policy, self._source, self._run, self._spec = policy, source, run, spec
        self._others: dict[str, Backbone] = {}
        self._judges: dict[str, Judge] = {}

    def judge(self, ref: str, role: str) -> Judge:
        """The judge that `ref` names, under `role` unless it is there already.

        Raises:
            ModelError: it is no reward model, has no head, or would read prompts written otherwise than those it was
            trained on.
        """
        if ref not in self._judges:
            source = resolve(ref, self._run.project_root)
            if source.about.get("task") != "reward":
                raise ModelError(f"{ref} is not a reward model.", "Choose the result of a reward run.")
            shared = source.base == self._source.base
            backbone = self._policy if shared else self._other(ref, source)
            require_same_format(backbone, source, self._spec.template if shared else "")
            load_adapter(backbone, role, source)
            if role not in backbone.heads:
                raise ModelError(f"{ref} has no head: its head.safetensors is missing.", "Train it again.")
            self._judges[ref] = Judge(backbone, self._policy, role, source)
        return self._judges[ref]

    def _other(self, ref: str, source: ModelSource) -> Backbone:
        if source.base not in self._others:
            self._others[source.base] = open_backbone(ref, self._run, self._spec)[0]
        return self._others[source.base]

    @property
    def device(self) -> torch.device:
        return self._policy.device

    @property
    def judges(self) -> dict[str, Judge]:
        """All that were opened, by their references."""
        return dict(self._judges)


def require_same_format(judge: Backbone, scorer: ModelSource, template: str) -> None:
    """The reward model must read prompts written as they were when it was trained, or its scores mean nothing.

    `template` is how this run writes prompts, "" where the reward model's own words are rendered anew for it.

    Raises:
        ModelError: they would be written otherwise.
    """
    tokenizer, own = judge.base.tokenizer, str(scorer.about.get("template", "auto"))
    now = prompt_format(tokenizer, own)
    if now != (then := str(scorer.about.get("prompt_format", now))):
        raise ModelError(
            f"{scorer.ref} was trained with another chat template than {scorer.base} has now ({then}, now {now}).",
            "Put the old chat template back, or train the reward model again.",
        )
    if template and prompt_format(tokenizer, template) != now:
        raise ModelError(
            f'{scorer.ref} was trained on prompts in the format "{own}", and this run writes them as "{template}".',
            f'Set "Prompt format" to {own}, or train a reward model with the other format.',
        )


def disjoint(a: ModelSource, b: ModelSource) -> bool:
    """Whether two reward models say that they were trained on different halves of the prompts."""
    halves = {str(source.about.get("prompts_from", "all")) for source in (a, b)}
    return len(halves) == 2 and "all" not in halves
