"""Scalar heads: one number read off a hidden state. Rewards and values are the same head on different adapters.

A reward head may be several read off the same state, an ensemble; what it says is then one number made of theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RULES = ("mean", "min", "lower")  # how the scores of an ensemble become one; the head's file keeps the place in here


def aggregate(scores: Tensor, rule: str, k: float = 1.0) -> Tensor:
    """One score from those of several models or heads. (K, ...) -> (...).

    "mean"; "min", the most doubtful of them; "lower", the mean less `k` standard deviations. The deviation is that of
    the K themselves (divisor K), so that a single one has none.

    Source: Coste et al. 2023, "Reward Model Ensembles Help Mitigate Overoptimization"; Eisenstein et al. 2023,
    "Helping or Herding?", section 4.
    """
    if rule == "mean":
        return scores.mean(0)
    if rule == "min":
        return scores.amin(0)
    if rule == "lower":
        return scores.mean(0) - k * scores.std(0, correction=0)
    raise KeyError(rule)


class ScalarHead(nn.Module):
    """A linear map from a hidden state to a number, in fp32 whatever the base is in; or `count` of them.

    Initialised with standard deviation 1 / sqrt(hidden + 1), as in Stiennon et al. 2020 and the N+ details, or with
    zeros. `mean` and `std` normalise the score; they belong to the head, are saved with it and are not trained. An
    ensemble's file also holds its rule and `k`; that of a single head is as it always was.
    """

    mean: Tensor
    std: Tensor
    rule: Tensor  # place in RULES; of ensembles only
    k: Tensor

    def __init__(self, hidden: int, zero: bool = False, count: int = 1, rule: str = "mean", k: float = 1.0) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, count, dtype=torch.float32)
        nn.init.zeros_(self.linear.bias)
        if zero:
            nn.init.zeros_(self.linear.weight)
        else:
            nn.init.normal_(self.linear.weight, std=(hidden + 1) ** -0.5)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        if count > 1:
            self.register_buffer("rule", torch.tensor(RULES.index(rule)))
            self.register_buffer("k", torch.tensor(float(k)))

    @classmethod
    def like(cls, tensors: dict[str, Tensor]) -> ScalarHead:
        """The head that was saved as these. Raises ValueError when they are no head's."""
        weight = tensors.get("linear.weight")
        if weight is None or weight.ndim != 2 or not len(weight):
            raise ValueError("linear.weight is missing or has another shape")
        head = cls(weight.shape[1], count=len(weight))
        try:
            head.load_state_dict(tensors)
        except RuntimeError as error:  # names or shapes that are not a head's
            raise ValueError(str(error)) from error
        if head.count > 1 and not 0 <= int(head.rule) < len(RULES):
            raise ValueError(f"rule is {int(head.rule)}, but must be between 0 and {len(RULES) - 1}")
        return head

    @property
    def count(self) -> int:
        return self.linear.out_features

    @property
    def ensemble(self) -> tuple[str, float]:
        """How the scores of several heads become one: the rule and its k. A single head is its own mean."""
        return (RULES[int(self.rule)], float(self.k)) if self.count > 1 else ("mean", 0.0)

    @property
    def formula(self) -> str:
        """The score before normalising, in terms of `each`, for whoever computes it elsewhere."""
        rule, k = self.ensemble
        if self.count == 1:
            return "each[0]"
        return {"mean": "each.mean()", "min": "each.min()"}.get(rule, f"each.mean() - {k:g} * each.std(correction=0)")

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., H) -> (...), one score for each state, normalised."""
        return self.combine(self.each(hidden))

    def each(self, hidden: Tensor) -> Tensor:
        """What each of the heads says, as it was learned. (..., H) -> (..., K)."""
        raw: Tensor = self.linear(hidden.float())
        return raw

    def together(self, each: Tensor) -> Tensor:
        """What the heads say as one, before normalising. (..., K) -> (...)."""
        return each.squeeze(-1) if self.count == 1 else aggregate(each.movedim(-1, 0), *self.ensemble)

    def combine(self, each: Tensor) -> Tensor:
        """(..., K) -> (...), normalised."""
        return (self.together(each) - self.mean) / self.std

    @torch.no_grad()
    def normalise(self, each: Tensor) -> Tensor:
        """Give what the heads say of N answers mean 0 and deviation 1, from (N, K); what they now say of them, (N,).

        The heads of an ensemble are first put on one level: a score's zero is arbitrary, and each learned its own. Its
        unit is not: a difference of scores is a log-odds.
        """
        if self.count > 1:
            self.linear.bias.sub_(each.mean(0))
            each = each - each.mean(0)
        raw = self.together(each)
        self.mean.copy_(raw.mean())
        self.std.copy_(raw.std().clamp(min=1e-6))
        return self.combine(each)

    @torch.no_grad()
    def mean_of(self, other: ScalarHead) -> None:
        """Become a copy of another head; of an ensemble, one head that says the mean of what they say."""
        self.linear.weight.copy_(other.linear.weight.mean(0, keepdim=True))
        self.linear.bias.copy_(other.linear.bias.mean(0, keepdim=True))
        self.mean.copy_(other.mean)
        self.std.copy_(other.std)
