"""How good a reward model is on prompts it was never trained on, and against what anyone could do without one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from rlhf_engine.contract.events import Curve
from rlhf_engine.data.records import Comparison, content_of
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.tasks.reward.groups import Pair
from rlhf_engine.tasks.reward.loss import bradley_terry_loss, win_log_probability

EVALUATED = 512  # held-out pairs measured each time
FEWEST = 10  # pairs that a figure on some of them must rest on
BINS = 10  # of the reliability curve, equally wide from a half to one


@dataclass(frozen=True, slots=True)
class Scored:
    """Held-out pairs with their scores in nats, before normalising. N pairs, H heads; ties are among them.

    `longer` (N,) is by how many tokens the chosen answer is longer, `first` (N,) whether it is on side one, `lengths`
    (N, 2) are tokens of the answers alone, `spread` (N,) is the deviation of the heads' margins.
    """

    chosen: Tensor
    rejected: Tensor
    strength: Tensor
    lengths: Tensor
    first: Tensor
    spread: Tensor
    heads: int
    log_theta: float = 0.0  # of Rao-Kupper

    @property
    def apart(self) -> Tensor:
        return self.chosen - self.rejected

    @property
    def longer(self) -> Tensor:
        return self.lengths[:, 0] - self.lengths[:, 1]

    @property
    def decided(self) -> Tensor:
        return self.strength > 0


def shown_first(record: Comparison) -> bool:
    """Whether the chosen answer is on side one. Datasets do not say on which side people saw it, so this is a coin
    that always falls the same way for the same comparison."""
    return bool(hashlib.sha256(content_of(record).encode("utf-8")).digest()[0] & 1)


@torch.no_grad()
def score_pairs(
    backbone: Backbone, role: str, pairs: Sequence[Pair], micro_batch: int, log_theta: float = 0.0
) -> Scored:
    """The scores of both answers of each pair, from one forward pass over both."""
    parts = []
    for start in range(0, len(pairs), micro_batch):
        part = pairs[start : start + micro_batch]
        both = backbone.each_score(role, [p.chosen for p in part] + [p.rejected for p in part], 2 * micro_batch)
        parts.append(both.unflatten(0, (2, len(part))))
    each = torch.cat(parts, 1)  # (2, N, H)
    head = cast(ScalarHead, backbone.heads[role])
    chosen, rejected = head.together(each)

    def numbers(values: Sequence[float]) -> Tensor:
        return torch.tensor(values, device=each.device, dtype=torch.float32)

    return Scored(
        chosen,
        rejected,
        numbers([p.record.strength for p in pairs]),
        torch.stack([numbers([len(getattr(p, side)) - p.prompt for p in pairs]) for side in ("chosen", "rejected")], 1),
        numbers([shown_first(p.record) for p in pairs]) > 0,
        (each[0] - each[1]).std(-1, correction=0),
        head.count,
        log_theta,
    )


def figures(scored: Scored) -> dict[str, float]:
    """All that is plotted of the held-out pairs. What rests on fewer than `FEWEST` pairs is left out, not guessed."""
    found = _decided_figures(scored) if bool(scored.decided.any()) else {}
    tied = ~scored.decided
    if int(tied.sum()) >= FEWEST:
        found["heldout/tie_margin"] = scored.apart[tied].abs().mean().item()
    found |= _correlation(torch.cat([scored.chosen, scored.rejected]), scored.lengths.T.flatten())
    if scored.heads > 1:
        found["heldout/disagreement"] = scored.spread.mean().item()
    return found


def _decided_figures(scored: Scored) -> dict[str, float]:
    decided = scored.decided
    apart, strength, longer, first = (x[decided] for x in (scored.apart, scored.strength, scored.longer, scored.first))
    if scored.log_theta:
        loss = -win_log_probability(apart, scored.log_theta)
    else:
        loss = bradley_terry_loss(scored.chosen[decided], scored.rejected[decided])
    right = (apart > 0).float()
    found = {
        "heldout/loss": loss.mean().item(),
        "heldout/accuracy": right.mean().item(),
        "heldout/margin": apart.mean().item(),
        "heldout/longer_wins": ((longer > 0).float() + 0.5 * (longer == 0).float()).mean().item(),
        "heldout/calibration_error": calibration_error(*reliability(scored)),
        "heldout/confidence": apart.abs().mean().item(),
        "heldout/first_wins": first.float().mean().item(),
    }
    some = {
        "heldout/accuracy_slight": strength == 1,
        "heldout/accuracy_clear": strength == 2,
        "heldout/accuracy_much": strength == 3,
        "heldout/accuracy_longer": longer > 0,
        "heldout/accuracy_shorter": longer < 0,
        "heldout/accuracy_same_length": longer == 0,
        "heldout/accuracy_first": first,
        "heldout/accuracy_second": ~first,
    }
    return found | {name: right[rows].mean().item() for name, rows in some.items() if int(rows.sum()) >= FEWEST}


def reliability(scored: Scored) -> tuple[Tensor, Tensor, Tensor]:
    """How sure the model is and how often it is right, in bins: predicted, observed and number of pairs, (bins,) each.

    A pair and its mirror image are one: the answer that scores higher wins with a probability from a half to one, and
    equal scores are half right. Empty bins are not there.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    apart = scored.apart[scored.decided].double()
    sure = win_log_probability(apart.abs(), scored.log_theta).exp()
    right = (apart > 0).double() + 0.5 * (apart == 0).double()
    place = ((sure - 0.5) * 2 * BINS).long().clamp(max=BINS - 1)
    count = torch.zeros(BINS, dtype=torch.float64, device=apart.device).index_add_(0, place, torch.ones_like(sure))
    predicted = torch.zeros_like(count).index_add_(0, place, sure) / count.clamp(min=1)
    observed = torch.zeros_like(count).index_add_(0, place, right) / count.clamp(min=1)
    filled = count > 0
    return predicted[filled], observed[filled], count[filled]


def calibration_error(predicted: Tensor, observed: Tensor, count: Tensor) -> float:
    """Expected calibration error: the mean distance between predicted and observed, over pairs. 0..0.5."""
    return float((count * (predicted - observed).abs()).sum() / count.sum())


def calibration_noise(predicted: Tensor, count: Tensor) -> float:
    """The calibration error that a perfectly calibrated model shows by chance, in bins of so many pairs: the mean
    distance of a share from its probability p is about sqrt(2 p (1 - p) / (pi n))."""
    return float((2 / math.pi * predicted * (1 - predicted) * count).clamp(min=0).sqrt().sum() / count.sum())


def curve(step: int, scored: Scored) -> Curve:
    """The reliability curve as something to draw: on the diagonal a model knows how sure it may be."""
    columns = (tuple(column.tolist()) for column in reliability(scored))
    return Curve(step, "heldout/reliability", dict(zip(("predicted", "observed", "count"), columns, strict=True)))


def _correlation(scores: Tensor, lengths: Tensor) -> dict[str, float]:
    """Pearson's, over all answers; nothing where one of the two is constant."""
    x, y = (column.double() - column.double().mean() for column in (scores, lengths))
    scale = float(x.norm() * y.norm())
    return {"heldout/length_correlation": float(x @ y) / scale} if len(x) >= FEWEST and scale > 0 else {}
