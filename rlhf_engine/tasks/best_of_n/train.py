"""Best of n and rejection-sampling SFT. Read `train` top to bottom: it is the whole algorithm."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlhf_engine.contract.events import Curve, Produced
from rlhf_engine.data.batches import parts
from rlhf_engine.data.chat import answer_text
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.data.questions import Question
from rlhf_engine.data.records import Demonstration, fault_in
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.rollouts.actors import POLICY, Actors
from rlhf_engine.rollouts.groups import best_and_worst, best_of_n_kl, expected_best, group_metrics
from rlhf_engine.rollouts.practice import Practice
from rlhf_engine.rollouts.rollout import Rollout
from rlhf_engine.rollouts.stepping import guarded_step
from rlhf_engine.runtime.context import Means, RunContext, scheduled
from rlhf_engine.tasks.best_of_n.spec import BestOfNSpec
from rlhf_engine.tensors import masked_mean


def train(spec: BestOfNSpec, run: RunContext) -> None:
    """Write n answers to each prompt, keep the best and make it likelier; hand the kept ones over as a dataset."""
    dataset = open_dataset(run.project_root, spec.dataset, "prompts")  # first: it may be wrong, and is quick
    actors = Actors.load(spec, run)
    optimizer = optimizer_for(actors.backbone, POLICY, spec)
    kept = Kept()
    then = f"the best of {spec.group_size} is imitated"
    practice = Practice(
        spec, run, actors, dataset, then, group=spec.group_size, policy_optimizer=optimizer, answers=kept
    )

    for update, found in practice.updates():
        scores = practice.shape(found)
        picked = best_and_worst(scores.final, spec.group_size)
        margins = scores.final[picked.best] - scores.final.view(-1, spec.group_size).mean(1)
        good = margins >= spec.least_margin
        kept.add(actors, practice.asked, found, picked.best[good], margins[good])
        frontier = expected_best(scores.final, spec.group_size)
        with practice.clock("update"):
            said = learn(spec, run, actors, optimizer, update, found, picked.best[good])
        said |= group_metrics(scores.final, spec.group_size)
        said |= {"pairs/margin": margins.mean().item(), "groups/kept": good.float().mean().item()}
        said |= {"groups/best": frontier[-1].item(), "groups/best_kl": best_of_n_kl(spec.group_size)}
        run.emit(frontier_curve(update, frontier))
        practice.report(update, found, scores, said)

    if run.world.leads and kept.rows:
        info = freeze(run.project_root, "demonstrations", kept.records(), f"Best of {spec.group_size}", run.run_id)
        run.emit(Produced("dataset", str(info.path.relative_to(run.project_root)), {"rows": info.rows}))
    practice.produce()


def learn(
    spec: BestOfNSpec,
    run: RunContext,
    actors: Actors,
    optimizer: torch.optim.Optimizer,
    update: int,
    found: Rollout,
    best: Tensor,
) -> dict[str, float]:
    """`spec.epochs` passes over the kept answers: the loss of supervised fine-tuning, nats per token."""
    rate = scheduled(spec.learning_rate, spec.schedule, spec.warmup, update, spec.updates)
    means = Means()
    for epoch in range(spec.epochs):
        order = torch.arange(len(best)) if epoch == 0 else torch.randperm(len(best), generator=run.rng)
        for rows in parts(order, spec.minibatch_size // spec.group_size):
            run.safe_point()
            picked = best[rows.to(run.device)]
            loss = run.attempt("update", gradients, spec, run, actors, found, picked)
            kept = {"old_logp": found.logp[picked], "scores": found.scores[picked]}
            norm = guarded_step(spec, run, optimizer, rate, update, found.batch.rows(picked), kept)
            means.add(policy__loss=loss, policy__grad_norm=norm)
    return {"policy/grad_norm": 0.0, "policy/loss": 0.0, **means.result(), "train/learning_rate": rate}


def gradients(spec: BestOfNSpec, run: RunContext, actors: Actors, found: Rollout, picked: Tensor) -> Tensor:
    """Those of one minibatch, cut into micro-batches that add up to it exactly. Returns its loss, ()."""
    total = found.mask[picked].sum()
    loss = torch.zeros((), device=run.device)
    mine = torch.tensor(run.world.share(picked.tolist()), device=run.device, dtype=torch.int64)
    for part in parts(mine, run.at_once(spec.micro_batch_size, len(picked))):
        logp = actors.logprobs(POLICY, found.batch.rows(part), spec.temperature).logp
        nll = -masked_mean(logp, found.mask[part], total)
        nll.backward()
        loss += nll.detach()
    run.world.sum_([loss])
    return loss


def frontier_curve(update: int, frontier: Tensor) -> Curve:
    """What best of k is worth against what it costs at most, for k = 1 to n."""
    counts = range(1, len(frontier) + 1)
    columns = {
        "kl": tuple(best_of_n_kl(k) for k in counts),
        "score": tuple(frontier.tolist()),
        "n": tuple(float(k) for k in counts),
    }
    return Curve(update, "best_of_n/frontier", columns)


class Kept:
    """The answers that were kept, each once, with how far they stood out. Part of a checkpoint."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def add(self, actors: Actors, asked: list[Question], found: Rollout, best: Tensor, margins: Tensor) -> None:
        tokenizer = actors.backbone.base.tokenizer
        for row, margin in zip(best.tolist(), margins.tolist(), strict=True):
            text = answer_text(tokenizer, found.batch.answer_ids[row][found.mask[row]].tolist())
            record = Demonstration(asked[row].prompt, text)
            if fault_in(record) is None:  # an empty answer can be the best of its prompt, but teaches nothing
                told = {"prompt": asked[row].prompt, "text": text, "margin": margin}
                self.rows.setdefault(self._key(told), told)

    def records(self) -> list[Demonstration]:
        return [Demonstration(row["prompt"], row["text"], f"margin {row['margin']:+.2f}") for row in self.rows.values()]

    def state_dict(self) -> dict[str, Any]:
        return {"rows": list(self.rows.values())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = {self._key(row): row for row in state["rows"]}

    @staticmethod
    def _key(row: dict[str, Any]) -> str:
        return f"{row['prompt']!r}\n{row['text']}"
