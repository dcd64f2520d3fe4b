"""A rollout in hand, without a run around it: what a test measures, bends and learns from."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch

from rlhf_engine.data.chat import render
from rlhf_engine.data.questions import Question
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.batch import micro_batches
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.rollout import rollout
from rlhf_engine.runtime.context import Clock, Means
from rlhf_engine.tasks.ppo.critic import VALUE, Critic

RM = "run:rm"
LENGTHS = (1, 10, 3, 7, 2, 10, 5, 9)  # of eight answers, as unequal as they come


class Hand:
    """Of a policy that starts from an SFT result trained with dropout. `reward_model` may be changed like any other."""

    def __init__(self, small, inside, **changed):
        self.spec = small.ppo(**{"reward_model": RM, "policy": "run:sft", "response_tokens": 8, **changed})
        self.hand = inside(self.spec)
        self.run = self.hand.run
        self.actors = Actors.load(self.spec, self.run)
        self.critic = Critic(self.spec, self.actors)
        self.rows = micro_batches(self.spec.batch_size, self.spec.minibatch_size, self.spec.micro_batch_size)
        tokenizer = self.actors.backbone.base.tokenizer
        asked = [f"What is {i}?" + " And then?" * (i % 3) for i in range(self.spec.batch_size)]
        self.questions = [Question(prompt, render(tokenizer, prompt).ids) for prompt in asked]

    def roll(self):
        return rollout(self.actors, self.spec, self.run, self.questions, Clock())

    def bent(self):
        """A rollout of unequal answers whose policy has moved since, and is not its reference; weights that pull in
        both directions; and a critic that has something to learn. Rollout and weights."""
        found = self.roll()
        torch.manual_seed(1)
        mask = found.mask & (torch.arange(found.mask.shape[1]) < torch.tensor(LENGTHS)[:, None])
        found.batch.mask[:, found.batch.prompt_width :] = mask
        moved = {
            "logp": found.logp - 0.3 * torch.rand_like(found.logp),
            "ref_logp": found.ref_logp + 0.5 * torch.randn_like(found.logp),
        }
        found = dataclasses.replace(found, mask=mask, **{k: torch.where(mask, v, 0.0) for k, v in moved.items()})
        head = self.actors.backbone.heads[VALUE]
        torch.nn.init.normal_(head.linear.weight, std=0.1)  # a zero one would teach no adapter
        values, _ = self.critic.measure(found, self.run)
        self.critic.teach(values, torch.randn_like(values))
        return found, torch.randn_like(values)

    def gradients(self, found, weights, beta: float = 0.0, how: str = "token", level: str = "token", **changed: Any):
        """Those of one step on all answers: the policy's, then the value model's; and what the step says."""
        self.run.rng.manual_seed(3)  # the order of demonstrations, where there are any
        self.hand.keep_gradients()
        self.hand.gradients.clear()
        spec = dataclasses.replace(self.spec, **changed)
        learner, means = Learner(spec, self.run, self.actors, self.critic, how, level), Means()
        learner._minibatch(5, torch.arange(len(found.logp)), found, weights, beta, [1e-3, 1e-3], means)
        return list(self.hand.gradients), means.result()
