"""PPO. Read `train` top to bottom: it is the whole algorithm.

Answers and their rewards are `rollouts` and `rewards`; the value model is `critic.py`, the arithmetic `loss.py`.
"""

from __future__ import annotations

import torch

from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.rewards.shaping import token_rewards
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.loss import kl_estimate
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.ppo.critic import Critic
from rlhf_engine.tasks.ppo.loss import explained_variance, gae
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tensors import masked_mean, whiten


def train(spec: PPOSpec, run: RunContext) -> None:
    """Write answers, score them, work out which tokens helped, and make those likelier; `spec.updates` times."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    critic = Critic(spec, actors)
    learner = Learner(spec, run, actors, critic)
    practice = Practice(
        spec,
        run,
        actors,
        dataset,
        pipeline_end(spec),
        columns=lambda batch: {"value": critic.values(batch)[0]},
        value=critic.kept,
        policy_optimizer=learner.policy_optimizer,
        value_optimizer=critic.optimizer,
        **learner.kept,
    )

    for update, found in practice.updates():
        beta = practice.beta.value
        scores = practice.shape(found)
        with practice.clock("score"):
            values, after = run.attempt("scoring", critic.measure, found, run)
        paid = beta if spec.kl_in == "reward" else 0.0
        drift = kl_estimate(found.log_ratio, spec.kl_estimator)
        rewards = token_rewards(scores.final, drift, found.mask, paid, spec.whiten_rewards)
        bootstrap = torch.where(found.ended, 0.0, after) if spec.truncated == "bootstrap" else None
        advantages, returns = gae(rewards, values, found.mask, spec.gamma, spec.lam, bootstrap)
        weights = whiten(advantages, found.mask) if spec.whiten_advantages else advantages

        critic.teach(values, returns)
        with practice.clock("update"):
            said = learner.learn(update, found, weights, beta)
        said["value/mean"] = masked_mean(values, found.mask).item()
        said["value/explained_variance"] = explained_variance(values, returns, found.mask).item()
        practice.report(update, found, scores, said, {"advantage": advantages, "value": values})

    practice.produce()


def pipeline_end(spec: PPOSpec) -> str:
    """How a score becomes a reward per token, as the last stages of the line in the log."""
    stages = ["on the last token"]
    stages += [f"minus {spec.kl_coef:g} * {spec.kl_estimator} per token"] if spec.kl_in == "reward" else []
    stages += ["whitened"] if spec.whiten_rewards else []
    stages += [f"GAE with lambda {spec.lam:g}"]
    stages += [f"{spec.kl_coef:g} * {spec.kl_estimator} in the loss"] if spec.kl_in == "loss" else []
    return " → ".join(stages)
