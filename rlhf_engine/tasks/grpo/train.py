"""GRPO and its variants. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

from dataclasses import replace

from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.groups import flat_groups, group_advantages, group_metrics, per_token
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.loss import kl_estimate
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.grpo.spec import GRPOSpec


def train(spec: GRPOSpec, run: RunContext) -> None:
    """Write a group of answers to each prompt, and make those likelier that score above their group's mean."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    learner = Learner(spec, run, actors, how=spec.aggregation, level=spec.level)
    practice = Practice(
        spec,
        run,
        actors,
        dataset,
        pipeline_end(spec),
        group=spec.group_size,
        learns_first=spec.kl_in == "loss",
        policy_optimizer=learner.policy_optimizer,
        **learner.kept,
    )

    for update, found in practice.updates():
        beta = practice.beta.value
        scores = practice.shape(found)
        returns = scores.final
        if spec.kl_in == "reward":
            returns = returns - beta * kl_estimate(found.log_ratio, spec.kl_estimator).sum(1)
        advantages = group_advantages(returns, spec.group_size, spec.scale_advantages)
        weights = per_token(advantages, found.mask)
        learned_from = found.mask
        if spec.drop_flat_groups:
            learned_from = learned_from & ~flat_groups(returns, spec.group_size).unsqueeze(1)
        if spec.mask_truncated:
            learned_from = learned_from & found.ended.unsqueeze(1)

        with practice.clock("update"):
            said = learner.learn(update, replace(found, mask=learned_from), weights, beta)
        said |= group_metrics(returns, spec.group_size)
        practice.report(update, found, scores, said, {"advantage": weights})

    practice.produce()


def pipeline_end(spec: GRPOSpec) -> str:
    """What GRPO makes of a score, as the last stages of the line in the log."""
    kl = f"{spec.kl_coef:g} * {spec.kl_estimator}"
    before = [f"minus {kl} summed over the answer"] if spec.kl_in == "reward" else []
    scale = {"group": ", over its deviation", "batch": ", over the deviation of the update"}
    after = [f"{kl} in the loss"] if spec.kl_in == "loss" else []
    return " → ".join([*before, f"minus the mean of the group{scale.get(spec.scale_advantages, '')}", *after])
