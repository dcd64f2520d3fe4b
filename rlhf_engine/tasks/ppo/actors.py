"""The four roles of PPO on one base, and what they say about a batch of answers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.batches import left_pad, right_pad
from rlhf_engine.data.chat import answer_text, prompt_format, render
from rlhf_engine.data.records import Prompt
from rlhf_engine.models.adapters import load_adapter, new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import ModelSource, resolve
from rlhf_engine.models.logprobs import TokenLogprobs, token_logprobs
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.sampling import Answer
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tensors import last_index

POLICY, REFERENCE, REWARD, VALUE = "policy", "reference", "reward", "value"


@dataclass(frozen=True, slots=True)
class Batch:
    """Prompts on the left, answers on the right, each (B, P + R). `mask` is True on answer tokens with their end."""

    ids: Tensor
    attention: Tensor
    mask: Tensor
    prompt_width: int

    def rows(self, index: Tensor | slice) -> Batch:
        return Batch(self.ids[index], self.attention[index], self.mask[index], self.prompt_width)

    @property
    def answer_mask(self) -> Tensor:
        """(B, R)"""
        return self.mask[:, self.prompt_width :]

    @property
    def answer_ids(self) -> Tensor:
        return self.ids[:, self.prompt_width :]


class Actors:
    """Policy (trained), reference (its frozen copy), reward (frozen) and value (trained), each by name.

    The reward model may sit on another base: then it has a backbone of its own, and reads text instead of token ids.
    """

    def __init__(self, backbone: Backbone, judge: Backbone, source: ModelSource, scorer: ModelSource) -> None:
        self.backbone, self.judge, self.source, self.scorer = backbone, judge, source, scorer
        self._template = str(scorer.about.get("template", "auto"))
        self.judge_facts: dict[str, float] = scorer.about.get("facts", {})

    @classmethod
    def load(cls, spec: PPOSpec, run: RunContext) -> Actors:
        """Raises ModelError when the reward model is none, would read prompts written otherwise than those it was
        trained on, or cannot be what the value model starts from."""
        backbone, source = open_backbone(spec.policy, run, spec)
        start_adapter(backbone, POLICY, source, new_lora(spec))
        backbone.copy(POLICY, REFERENCE)
        scorer = resolve(spec.reward_model, run.project_root)
        if scorer.about.get("task") != "reward":
            raise ModelError(f"{spec.reward_model} is not a reward model.", "Choose the result of a reward run.")
        shared = scorer.base == source.base
        judge = backbone if shared else open_backbone(spec.reward_model, run, spec)[0]
        require_same_format(judge, scorer, spec.template if shared else "")
        load_adapter(judge, REWARD, scorer)
        if REWARD not in judge.heads:
            raise ModelError(f"{spec.reward_model} has no head: its head.safetensors is missing.", "Train it again.")
        if spec.value_init == "reward" and not shared:
            raise ModelError(
                f"The value model cannot start from {spec.reward_model}: it sits on {scorer.base}, the policy on "
                f"{source.base}.",
                'Set "Value starts from" to zero.',
            )
        backbone.copy(REWARD if spec.value_init == "reward" else POLICY, VALUE, trainable=True)
        if spec.value_init == "reward":
            backbone.add_head(VALUE, like=REWARD, trainable=True)
        else:
            backbone.add_head(VALUE, zero=True, trainable=True)
        return cls(backbone, judge, source, scorer)

    def collate(self, prompts: list[list[int]], answers: list[list[int]], prompt_width: int, width: int) -> Batch:
        """One rectangle of fixed size, so that every process of a run has the same."""
        pad, device = self.backbone.base.pad_id, self.backbone.device
        left, left_mask = left_pad(prompts, pad, prompt_width)
        right, right_mask = right_pad(answers, pad, width)
        attention = torch.cat([left_mask, right_mask], 1).long()
        mask = torch.cat([torch.zeros_like(left_mask), right_mask], 1)
        ids = torch.cat([left, right], 1)
        return Batch(ids.to(device), attention.to(device), mask.to(device), left.shape[1])

    def logprobs(self, role: str, batch: Batch, temperature: float) -> TokenLogprobs:
        """Of the answers' tokens under a role; every field (B, R)."""
        with self.backbone.acting_as(role):
            measured = token_logprobs(self.backbone, batch.ids, batch.attention, batch.mask, temperature)
        return TokenLogprobs(*(column[:, batch.prompt_width :] for column in measured))

    def values(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The value before each answer token (B, R), and after the last one (B,)."""
        with self.backbone.acting_as(VALUE):
            hidden = self.backbone.hidden(batch.ids, batch.attention)[:, batch.prompt_width - 1 :]
        values = self.backbone.heads[VALUE](hidden)
        after = values.gather(1, (last_index(batch.answer_mask) + 1).unsqueeze(1)).squeeze(1)
        return values[:, :-1], after

    @torch.no_grad()
    def scores(self, prompts: list[Prompt], prompt_ids: list[list[int]], answers: list[Answer], micro: int) -> Tensor:
        """What the reward model says, (B,), normalised. It was trained on ended answers, so it reads an end token."""
        if self.judge is self.backbone:
            end = self.backbone.base.eos_ids[0]
            room = self.backbone.base.context - 1  # an answer cut off by the context gives its last token for the end
            sequences = [
                [*(ids + answer.ended_by(end)[:-1])[:room], end]
                for ids, answer in zip(prompt_ids, answers, strict=True)
            ]
        else:
            mine, theirs = self.backbone.base.tokenizer, self.judge.base.tokenizer
            texts = [answer_text(mine, answer.tokens) for answer in answers]
            sequences = [
                render(theirs, prompt, text, self._template).ids for prompt, text in zip(prompts, texts, strict=True)
            ]
        return self.judge.score(REWARD, sequences, micro)

    @torch.no_grad()
    def refresh_reference(self, share: float) -> None:
        """Move the reference towards the policy: reference = share * policy + (1 - share) * reference."""
        policy, reference = self.backbone.state(POLICY), self.backbone.state(REFERENCE)
        mixed = {key: share * policy[key] + (1 - share) * reference[key] for key in policy}
        self.backbone.load_state(REFERENCE, mixed)


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
