"""Given answers to given prompts with given rewards, so that nothing is left to chance; and our side of learning from
them: the roles "policy" (as it is now), "old" (as it was when it wrote them) and "reference".
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from rlhf_engine.contract.online import GroupFields
from rlhf_engine.data.chat import render
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.rewards.shaping import Moments, Shaped, shaped
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.rollout import Rollout
from tests.oracle.ours import Step, open_ours, our_step

GROUP, LONGEST, TEMPERATURE = 3, 24, 0.7
PROMPTS = ("What colour is the sky?", "Where?")
ANSWERS = (  # three to each prompt; one was cut off
    ("Blue.", True),
    ("Blue, most of the time.", True),
    ("The lamp is on the tab", False),
    ("On the table, or in the old harbour.", True),
    ("I do not know.", True),
    ("Here", True),
)
Apart = tuple[float, float]  # the noise in which the weights of "old" and of "reference" differ from the policy's
NEAR = (0.02, 0.03)  # some ratios are clipped above, others below, others not
FAR = (0.02, 0.2)
ON_POLICY = (0.0, 0.03)
REWARDS = (1.0, 0.25, -1.5, 2.0, -0.5, 0.75)


def prompt_ids(backbone: Backbone) -> list[list[int]]:
    """One per answer."""
    ids = [render(backbone.base.tokenizer, prompt, template="chat").ids for prompt in PROMPTS]
    return [row for row in ids for _ in range(GROUP)]


def answer_ids(tokenizer: Any) -> list[list[int]]:
    return [tokenizer(text).input_ids + [tokenizer.eos_token_id] * ended for text, ended in ANSWERS]


def open_practice(folder: Path, apart: Apart = NEAR) -> Backbone:
    backbone = open_ours(folder, "policy", "old", "reference")
    for role, seed, noise in zip(("old", "reference"), (7, 9), apart, strict=True):
        chance = torch.Generator().manual_seed(seed)
        state = sorted(backbone.state("policy").items())
        backbone.load_state(role, {k: v + noise * torch.randn(v.shape, generator=chance) for k, v in state})
    return backbone


@torch.no_grad()
def our_rollout(backbone: Backbone, temperature: float = TEMPERATURE) -> Rollout:
    actors = Actors(backbone, None, None)  # type: ignore[arg-type]
    batch = Batch.of(backbone, prompt_ids(backbone), answer_ids(backbone.base.tokenizer))
    old, reference = (actors.logprobs(role, batch, temperature) for role in ("old", "reference"))
    scores = torch.tensor(REWARDS)
    ended = torch.tensor([ended for _, ended in ANSWERS])
    return Rollout(batch, old.logp, reference.logp, old.entropy, scores, scores, ended, batch.answer_mask)


def spec_of(kind: type[GroupFields], **changed: Any) -> Any:
    """One optimiser step over all answers, in micro-batches of two; a score is left as it is."""
    count = len(ANSWERS)
    about = {"batch_size": count, "minibatch_size": count, "micro_batch_size": 2, "group_size": GROUP, "epochs": 1}
    about |= {"response_tokens": LONGEST, "temperature": TEMPERATURE, "kl_coef": 0.0, "device": "cpu"}
    return kind(policy="p", reward_model="r", dataset="d", **about | changed)


class Taken(NamedTuple):
    step: Step
    advantages: Tensor  # (B,): what each answer's tokens were pushed by


def our_task(
    task: ModuleType, spec: Any, folder: Path, root: Path, rewards: Any = REWARDS, apart: Apart = NEAR
) -> Taken:
    """A task's own `train`, with one round of the given answers in place of sampling and scoring."""
    backbone = open_practice(folder, apart)
    found = replace(our_rollout(backbone, spec.temperature), scores=torch.tensor(rewards))
    said: dict[str, Any] = {}

    class Given:
        """Stands where `Practice` stands in the loop."""

        beta = SimpleNamespace(value=spec.kl_coef)

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def updates(self) -> Any:
            yield 1, found

        def shape(self, found: Rollout) -> Shaped:
            return shaped(found.scores, Moments(), spec)

        def clock(self, _: str) -> Any:
            return nullcontext()

        def report(self, _update: int, _found: Rollout, _scores: Any, values: dict[str, float], columns: Any) -> None:
            said.update(values, advantages=columns["advantage"][:, 0])

        def produce(self) -> None: ...

    def learn(run: Any, _: Any) -> dict[str, float]:
        with (
            patch.object(task, "open_dataset", lambda *_: None),
            patch.object(task, "Practice", Given),
            patch.object(task.Actors, "load", lambda *_: Actors(backbone, None, None)),  # type: ignore[arg-type]
        ):
            task.train(spec, run)
        loss = said["policy/loss"] - spec.entropy_coef * said["policy/entropy"]
        return {"train/loss": loss + spec.kl_coef * said.get("policy/kl_loss", 0.0)}

    step = our_step(backbone, "policy", root, learn)
    return Taken(step, said["advantages"])
