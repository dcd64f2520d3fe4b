"""The threshold of Rao and Kupper: where it begins, and that it finds the theta that made the data."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf_engine.runtime.context import adamw
from rlhf_engine.tasks.reward.groups import Group
from rlhf_engine.tasks.reward.loss import rao_kupper_loss
from rlhf_engine.tasks.reward.ties import TieThreshold


def said(*strengths):
    return [Group([[1], [2]], [(0, 1, strength)], (1.0,)) for strength in strengths]


def test_without_rao_kupper_it_is_exactly_one(small):
    for ties in ("leave out", "split"):
        threshold = TieThreshold.of(small.reward(ties=ties), said(1, 0))
        assert threshold.log_theta.item() == 0.0 and not threshold.learned


def test_it_is_as_chosen_or_begins_from_the_share_of_ties(small):
    chosen = TieThreshold.of(small.reward(ties="rao-kupper", tie_theta=2.5), said(1, 0))
    assert chosen.log_theta.exp().item() == pytest.approx(2.5) and not chosen.learned
    begun = TieThreshold.of(small.reward(ties="rao-kupper"), said(1, 0, 2, 3))
    assert begun.log_theta.exp().item() == pytest.approx(5 / 3) and begun.learned  # (1 + 1/4) / (1 - 1/4)
    none = TieThreshold.of(small.reward(ties="rao-kupper"), said(1, 2))
    assert none.log_theta.exp().item() == pytest.approx(1.01 / 0.99)


def test_it_learns_the_theta_that_made_the_data_whatever_the_adapters_rate():
    torch.manual_seed(0)
    apart, theta = torch.randn(4000), 2.0
    win = torch.sigmoid(apart - math.log(theta))
    loss = torch.sigmoid(-apart - math.log(theta))
    u = torch.rand(4000)
    tied = (u >= win) & (u < 1 - loss)
    better = torch.where(u < win, apart, torch.where(tied, apart, -apart))
    threshold = TieThreshold(1.1, learned=True)
    optimizer = adamw([torch.nn.Parameter(torch.zeros(1))])
    threshold.join(optimizer, 1e-5)
    for _ in range(200):
        rao_kupper_loss(better, torch.zeros(4000), tied, threshold.log_theta).mean().backward()
        for group in optimizer.param_groups:
            group["lr"] = 1e-5 * group.get("scale", 1.0)
        optimizer.step()
        optimizer.zero_grad()
    assert threshold.log_theta.exp().item() == pytest.approx(2.0, abs=0.1)
