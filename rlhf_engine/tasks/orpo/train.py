"""ORPO. Read `train` top to bottom: it is the whole algorithm.

The arithmetic is `preferences/losses.py`, one optimiser step is `preferences/learning.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from rlhf_engine.data.datasets import resolve as open_dataset
from rlhf_engine.models.adapters import new_lora, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.course import Course
from rlhf_engine.models.opening import open_backbone
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.preferences.learning import EVALUATED, evaluate, learn, nll, pair_measures, watch
from rlhf_engine.preferences.losses import log_odds, orpo_odds_loss
from rlhf_engine.preferences.pairs import Pair, pair_logprobs, read_pairs
from rlhf_engine.preferences.previews import previews_of
from rlhf_engine.preferences.reference import POLICY
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.orpo.spec import ORPOSpec


def train(spec: ORPOSpec, run: RunContext) -> None:
    """Imitate the chosen answers and raise their odds over those of the rejected ones, one batch at a time."""
    dataset = open_dataset(run.project_root, spec.dataset, "comparisons")  # first: it may be wrong, and is quick
    backbone, source = open_backbone(spec.model, run, spec)
    start_adapter(backbone, POLICY, source, new_lora(spec))
    pairs, heldout = read_pairs(backbone, dataset, spec, run)
    heldout = heldout[:EVALUATED]

    def measured(part: Sequence[Pair], per_token: float) -> tuple[Tensor, Tensor]:
        return losses(backbone, part, spec, per_token)

    previews = previews_of(backbone, dataset, spec, run)
    before = run.attempt("scoring", evaluate, measured, heldout, spec, run)
    optimizer = optimizer_for(backbone, POLICY, spec)
    course = Course(spec, run, backbone, POLICY, optimizer, len(pairs), dataset, source)

    for step, rate, rows in course.steps():
        if step == 1:
            course.begins_at(before)
        values = run.attempt("update", learn, measured, [pairs[i] for i in rows], spec, run, optimizer, rate)
        if course.evaluates(step):
            values |= run.attempt("scoring", evaluate, measured, heldout, spec, run)
        course.report(step, rate, values)
        watch(values, before, step, run)
        if course.shows(step):
            for sample in previews.samples(step):
                run.emit(sample)

    course.produce("adapter", run.attempt("scoring", evaluate, measured, heldout, spec, run))


def losses(backbone: Backbone, pairs: Sequence[Pair], spec: ORPOSpec, per_token: float) -> tuple[Tensor, Tensor]:
    """The loss of each pair (N,), and what is plotted of it (see `pair_measures`)."""
    chosen, rejected = pair_logprobs(backbone, POLICY, pairs)
    loss = nll(chosen, per_token) + spec.odds_weight * orpo_odds_loss(chosen.mean, rejected.mean)
    return loss, pair_measures(loss, log_odds(chosen.mean), log_odds(rejected.mean), chosen, rejected)
