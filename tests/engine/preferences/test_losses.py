"""The losses on values worked by hand, at their limits, and in their relations to each other."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf_engine.contract.preference import DPO_LOSSES
from rlhf_engine.preferences.losses import (
    dpo_loss,
    dpo_loss_at_start,
    kto_baseline,
    kto_loss,
    log1mexp,
    log_odds,
    orpo_odds_loss,
    simpo_loss,
)

BETA = 0.1
CHOSEN, REJECTED = torch.tensor([-10.0, -8.0]), torch.tensor([-12.0, -7.0])  # summed log-probabilities of the policy
REF_CHOSEN, REF_REJECTED = torch.tensor([-10.5, -8.2]), torch.tensor([-11.0, -7.5])  # and of the reference
LONG_CHOSEN, LONG_REJECTED = torch.tensor([5.0, 4.0]), torch.tensor([6.0, 5.0])  # tokens
UP, DOWN = CHOSEN - REF_CHOSEN, REJECTED - REF_REJECTED  # log-ratios: .5, .2 and -1, .5
APART = UP - DOWN


def test_how_far_the_pairs_are_apart():
    assert APART.tolist() == pytest.approx([1.5, -0.3])


@pytest.mark.parametrize(
    ("kind", "smoothing", "mean"),
    [("sigmoid", 0.0, 0.664608), ("conservative", 0.1, 0.670608), ("robust", 0.1, 0.657108), ("hinge", 0.0, 0.94)],
)
def test_dpo_and_its_kin_on_two_pairs(kind, smoothing, mean):
    assert dpo_loss(APART, BETA, kind, smoothing).mean().item() == pytest.approx(mean, abs=1e-6)


def test_ipo_on_sums_and_on_means_per_token():
    assert dpo_loss(APART, BETA, "ipo").mean().item() == pytest.approx(20.17, abs=1e-5)
    per_token = UP / LONG_CHOSEN - DOWN / LONG_REJECTED
    assert dpo_loss(per_token, BETA, "ipo").mean().item() == pytest.approx(23.953472, abs=1e-5)


def test_the_pairs_one_by_one():
    # -log sigma(.15) = .620957, -log sigma(-.03) = .708260
    assert dpo_loss(APART, BETA).tolist() == pytest.approx([0.620957, 0.708260], abs=1e-6)
    assert dpo_loss(APART, BETA, "hinge").tolist() == pytest.approx([0.85, 1.03])
    assert dpo_loss(torch.tensor([11.0]), BETA, "hinge").item() == 0.0  # far enough apart


@pytest.mark.parametrize("kind", DPO_LOSSES)
def test_a_policy_that_is_its_own_reference(kind):
    smoothing = 0.2 if kind in ("conservative", "robust") else 0.0
    found = dpo_loss(torch.zeros(3), 0.3, kind, smoothing)
    assert found.tolist() == pytest.approx([dpo_loss_at_start(0.3, kind)] * 3, abs=1e-6)
    if kind not in ("hinge", "ipo"):
        assert found[0].item() == pytest.approx(math.log(2), abs=1e-6)


def test_robust_is_unbiased_and_conservative_is_not():
    """Over labels of which a share e is flipped, the robust loss has the mean of the plain loss on the right ones."""
    share, plain = 0.3, dpo_loss(APART, BETA)
    robust, conservative = (
        (1 - share) * dpo_loss(APART, BETA, kind, share) + share * dpo_loss(-APART, BETA, kind, share)
        for kind in ("robust", "conservative")
    )
    torch.testing.assert_close(robust, plain)
    assert not torch.allclose(conservative, plain, atol=1e-3)


def test_conservative_is_lowest_where_the_odds_are_those_of_a_wrong_label():
    apart = torch.tensor([math.log(0.9 / 0.1) / BETA], requires_grad=True)
    dpo_loss(apart, BETA, "conservative", 0.1).sum().backward()
    assert apart.grad.item() == pytest.approx(0.0, abs=1e-7)


def test_an_unknown_loss_is_a_bug():
    with pytest.raises(ValueError, match="none of sigmoid"):
        dpo_loss(APART, BETA, "other")


def test_far_apart_stays_finite_with_a_bounded_gradient():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    for kind, smoothing in (("sigmoid", 0.0), ("conservative", 0.1), ("robust", 0.1)):
        loss = dpo_loss(far, 1.0, kind, smoothing)
        (gradient,) = torch.autograd.grad(loss.sum(), far)
        assert torch.isfinite(loss).all() and gradient.abs().max() <= 1.2
    assert dpo_loss(far, 1.0)[0].item() == pytest.approx(1e4)


# KTO ----------------------------------------------------------------------------------------------------------------


def test_kto_on_liked_and_disliked_answers():
    ratio, liked = torch.cat([UP, DOWN]), torch.tensor([True, True, False, False])
    found = kto_loss(ratio, liked, torch.tensor(0.3), BETA)
    assert found.tolist() == pytest.approx([0.495, 0.5025, 0.467546, 0.505], abs=1e-6)
    weighed = kto_loss(ratio, liked, torch.tensor(0.3), BETA, desirable=2.0, undesirable=0.5)
    assert weighed.tolist() == pytest.approx([0.99, 1.005, 0.233773, 0.2525], abs=1e-5)


def test_kto_lifts_what_is_liked_and_lowers_what_is_not():
    ratio = torch.zeros(2, requires_grad=True)
    kto_loss(ratio, torch.tensor([True, False]), torch.tensor(0.0), BETA).sum().backward()
    assert ratio.grad.tolist() == pytest.approx([-BETA / 4, BETA / 4])


def test_the_baseline_is_never_below_zero_and_has_no_gradient():
    mean = torch.tensor(0.7, requires_grad=True)
    assert kto_baseline(mean).item() == pytest.approx(0.7) and not kto_baseline(mean).requires_grad
    assert kto_baseline(torch.tensor(-0.7)).item() == 0.0
    ratio = torch.zeros(1, requires_grad=True)
    kto_loss(ratio, torch.tensor([True]), mean, BETA).sum().backward()
    assert mean.grad is None and ratio.grad is not None


# ORPO and SimPO -----------------------------------------------------------------------------------------------------


def test_orpo_on_mean_log_probabilities():
    chosen, rejected = CHOSEN / LONG_CHOSEN, REJECTED / LONG_REJECTED  # -2, -2 and -2, -1.4
    ratio = log_odds(chosen) - log_odds(rejected)
    assert ratio.tolist() == pytest.approx([0.0, -0.737741], abs=1e-6)
    assert 0.1 * orpo_odds_loss(chosen, rejected).mean().item() == pytest.approx(0.091085, abs=1e-6)


def test_log_odds_is_exact_where_the_naive_form_fails():
    x = torch.tensor([-1e-5, -1e-3, -0.5, -math.log(2), -3.0, -30.0, -200.0])
    p = x.double().exp()
    torch.testing.assert_close(
        log_odds(x).double(), x.double() - torch.log(-torch.expm1(x.double())), rtol=1e-6, atol=1e-6
    )
    assert log_odds(x)[3].item() == pytest.approx(0.0, abs=1e-6) and p[3].item() == pytest.approx(0.5)
    assert log1mexp(torch.tensor([-200.0])).item() == 0.0


def test_log1mexp_and_its_gradient_where_exp_rounds_to_one():
    x = torch.tensor([-1e-8, -1e-3, -5.0], requires_grad=True)
    found = log1mexp(x)
    found.sum().backward()
    assert found.tolist() == pytest.approx([math.log(-math.expm1(v)) for v in x.tolist()], rel=1e-6)
    assert x.grad.tolist() == pytest.approx([math.exp(v) / math.expm1(v) for v in x.tolist()], rel=1e-5)


def test_certain_answers_have_finite_odds_and_gradients():
    for chosen, rejected in ((0.0, -1.0), (-1.0, 0.0), (0.0, 0.0), (-1e-7, -80.0), (-80.0, -1e-7)):
        sides = torch.tensor([chosen, rejected], requires_grad=True)
        loss = orpo_odds_loss(sides[:1], sides[1:])
        loss.sum().backward()
        assert torch.isfinite(loss).all() and torch.isfinite(sides.grad).all(), (chosen, rejected)


@pytest.mark.parametrize("at", [-1e-3, -0.6, -0.8, -20.0])
def test_the_gradient_of_the_log_odds_on_both_sides_of_its_seam(at):
    x = torch.tensor([at], requires_grad=True)
    log_odds(x).sum().backward()
    assert x.grad.item() == pytest.approx(1 / -math.expm1(at), rel=1e-5)  # d/dx log(p/(1-p)) = 1/(1-p)


def test_simpo_on_mean_log_probabilities():
    chosen, rejected = CHOSEN / LONG_CHOSEN, REJECTED / LONG_REJECTED
    assert simpo_loss(chosen, rejected, 2.0, 0.5).mean().item() == pytest.approx(1.420932, abs=1e-6)


def test_simpo_without_a_margin_is_dpo_with_a_flat_reference():
    chosen, rejected = CHOSEN / LONG_CHOSEN, REJECTED / LONG_REJECTED
    torch.testing.assert_close(simpo_loss(chosen, rejected, 2.0, 0.0), dpo_loss(chosen - rejected, 2.0))


def test_a_pair_is_its_own_business():
    """No loss looks at its neighbours: the order of a batch and how it is cut are nobody's concern."""
    other = torch.tensor([1, 0])
    for kind in DPO_LOSSES:
        assert torch.equal(dpo_loss(APART, BETA, kind, 0.1)[other], dpo_loss(APART[other], BETA, kind, 0.1))
    liked, z = torch.tensor([True, False]), torch.tensor(0.1)
    assert torch.equal(kto_loss(UP, liked, z, BETA)[other], kto_loss(UP[other], liked[other], z, BETA))
