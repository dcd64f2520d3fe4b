"""RLOO. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.groups import group_metrics, leave_one_out, per_token
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.loss import kl_estimate
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.rloo.spec import RLOOSpec


def train(spec: RLOOSpec, run: RunContext) -> None:
    """Write some answers to each prompt, and make those likelier that beat the mean of the others."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    learner = Learner(spec, run, actors, how="sequence" if spec.level == "sequence" else "token", level=spec.level)
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
        returns = scores.final
        if spec.kl_in == "reward":  # of a whole answer: it is one action here
            returns = returns - beta * kl_estimate(found.log_ratio, spec.kl_estimator).sum(1)
        advantages = leave_one_out(returns, spec.group_size)
        if spec.normalise_advantages:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        weights = per_token(advantages, found.mask)

        with practice.clock("update"):
            said = learner.learn(update, found, weights, beta)
        said |= group_metrics(returns, spec.group_size)
        practice.report(update, found, scores, said, {"advantage": weights})

    practice.produce()


def pipeline_end(spec: RLOOSpec) -> str:
    """What RLOO makes of a score, as the last stages of the line in the log."""
    kl = f"{spec.kl_coef:g} * {spec.kl_estimator}"
    before = [f"minus {kl} summed over the answer"] if spec.kl_in == "reward" else []
    after = [f"{kl} in the loss"] if spec.kl_in == "loss" else []
    return " → ".join([*before, f"minus the mean of the other {spec.group_size - 1}", *after])
