"""REINFORCE++ with or without baseline. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.rewards.shaping import token_rewards
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.groups import group_advantages, group_metrics, returns_to_go
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.loss import kl_estimate
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.reinforce.spec import ReinforceSpec
from rlhf_engine.tensors import whiten


def train(spec: ReinforceSpec, run: RunContext) -> None:
    """Write answers, compare their scores within each prompt, and push every token by what still came after it."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    learner = Learner(spec, run, actors)
    practice = Practice(
        spec,
        run,
        actors,
        dataset,
        pipeline_end(spec),
        group=spec.group_size,
        policy_optimizer=learner.policy_optimizer,
        **learner.kept,
    )

    for update, found in practice.updates():
        beta = practice.beta.value
        scores = practice.shape(found)
        compared = scores.final
        if spec.baseline == "group":
            compared = group_advantages(compared, spec.group_size, scale="none")
        paid = beta if spec.kl_in == "reward" else 0.0
        rewards = token_rewards(compared, kl_estimate(found.log_ratio, spec.kl_estimator), found.mask, paid)
        advantages = returns_to_go(rewards, found.mask, spec.gamma)
        weights = whiten(advantages, found.mask) if spec.whiten_advantages else advantages

        with practice.clock("update"):
            said = learner.learn(update, found, weights, beta)
        said |= group_metrics(scores.final, spec.group_size)
        practice.report(update, found, scores, said, {"advantage": advantages})

    practice.produce()


def pipeline_end(spec: ReinforceSpec) -> str:
    """What REINFORCE++ makes of a score, as the last stages of the line in the log."""
    kl = f"{spec.kl_coef:g} * {spec.kl_estimator}"
    stages = ["minus the mean of the group"] if spec.baseline == "group" else []
    stages += ["on the last token"]
    stages += [f"minus {kl} per token"] if spec.kl_in == "reward" else []
    stages += ["what is still to come"]
    stages += ["whitened"] if spec.whiten_advantages else []
    stages += [f"{kl} in the loss"] if spec.kl_in == "loss" else []
    return " → ".join(stages)
