"""GRPO beside trl.GRPOTrainer: given answers, rewards and policies; advantages, loss and gradients compared."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from torch import Tensor
from trl import GRPOConfig, GRPOTrainer

from rlhf_engine.rollouts import loss
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.groups import group_advantages
from rlhf_engine.tasks.grpo import train as grpo
from rlhf_engine.tasks.grpo.spec import GRPOSpec
from tests.oracle.ours import assert_agree, differ, scaled
from tests.oracle.practice import (
    FAR,
    GROUP,
    NEAR,
    ON_POLICY,
    TEMPERATURE,
    open_practice,
    our_rollout,
    our_task,
    spec_of,
)
from tests.oracle.their_practice import given
from tests.oracle.theirs import their_step


def both(folder: Any, out: Any, ours: dict[str, Any], theirs: dict[str, Any], **shared: Any) -> tuple[Any, Any, Tensor]:
    """Our task's step, theirs, and their advantages."""
    made, advantages = given(GRPOTrainer, GRPOConfig, folder, out, **theirs, **shared)
    step = their_step(made)
    return our_task(grpo, spec_of(GRPOSpec, **ours), folder, out, **shared), step, advantages[0]


def test_the_given_policies_are_clipped_on_both_sides(folder):
    """Or else nothing below would say anything of clipping."""
    backbone = open_practice(folder)
    found = our_rollout(backbone)
    now = Actors(backbone, None, None).logprobs("policy", found.batch, TEMPERATURE).logp.detach()
    ratio = (now - found.logp)[found.mask].exp()
    push = group_advantages(found.scores, GROUP, "group").unsqueeze(1).expand_as(found.mask)[found.mask]
    good, bad = ratio[push > 0], ratio[push < 0]
    assert ((good > 1.2) & (good < 1.28)).any() and (good > 1.28).any() and (bad < 0.8).any()
    assert (bad > 1.3).any()  # for the dual clip


def k3(beta: float, estimator: str = "k3") -> dict[str, Any]:
    return {"kl_coef": beta, "kl_estimator": estimator}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {"loss_type": "grpo"}),
        ({"aggregation": "token"}, {"loss_type": "bnpo"}),
        ({"aggregation": "token", "clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ({"aggregation": "fixed", "scale_advantages": "none"}, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
        ({"scale_advantages": "batch"}, {"loss_type": "grpo", "scale_rewards": "batch"}),
        ({"level": "sequence mean"}, {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
        (
            {"aggregation": "token", "dual_clip": 1.3, "clip": 0.05},
            {"loss_type": "dapo", "delta": 1.3, "epsilon": 0.05},
        ),
        ({"aggregation": "token", "entropy_coef": 0.1}, {"loss_type": "dapo", "entropy_coef": 0.1}),
    ],
    ids=["GRPO", "BNPO", "DAPO", "Dr. GRPO", "deviation of the batch", "GSPO", "dual clip", "entropy"],
)
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_advantages_loss_and_gradients_agree(folder, tmp_path, ours, theirs, beta):
    uncorrected = {"beta": beta, "use_bias_correction_kl": False}
    mine, step, advantages = both(folder, tmp_path, ours | k3(beta), theirs | uncorrected)
    torch.testing.assert_close(mine.advantages, advantages, rtol=0, atol=1e-6)
    assert_agree(mine.step, step)


def test_their_corrected_kl_is_our_k3_plus_while_the_policy_is_the_one_that_wrote(folder, tmp_path):
    """TRL multiplies k3 by the probability ratio (DeepSeek-V3.2, arXiv:2512.02556), so that its gradient is that of the
    KL. At a ratio of 1 that is d * grad log pi, d = log pi - log pi_ref: the gradient of k2, which is what k3+ takes,
    with k3's value. Later in a batch's passes theirs goes on weighing each token by its ratio, and k3+ does not.
    """
    kl = {"beta": 0.3, "loss_type": "grpo"}
    ours, theirs, _ = both(folder, tmp_path, k3(0.3, "k3+"), kl, apart=ON_POLICY)
    assert_agree(ours.step, theirs)
    ours, theirs, _ = both(folder, tmp_path, k3(0.3, "k3+"), kl, apart=NEAR)
    assert differ(ours.step, theirs)


def test_our_k3_is_held_where_one_token_would_outweigh_all_others(folder, tmp_path, monkeypatch):
    """At most 10 per token, with no gradient beyond; TRL's grows with exp(|d|). Without the bound they agree."""
    kl = {"beta": 0.3, "loss_type": "grpo", "use_bias_correction_kl": False}
    ours, theirs, _ = both(folder, tmp_path, k3(0.3), kl, apart=FAR)
    assert differ(ours.step, theirs)
    monkeypatch.setattr(loss, "k3", lambda d: torch.exp(-d) - 1 + d)
    ours, theirs, _ = both(folder, tmp_path, k3(0.3), kl, apart=FAR)
    assert_agree(ours.step, theirs)


@pytest.mark.parametrize(("kind", "how"), [("grpo", "sequence"), ("dapo", "token"), ("dr_grpo", "fixed")])
def test_the_cut_into_micro_batches_matters_to_neither(folder, tmp_path, kind, how):
    ours, theirs, _ = both(folder, tmp_path, {"aggregation": how} | k3(0.0), {"micro_batch": 3, "loss_type": kind})
    assert_agree(ours.step, theirs)


def test_bnpo_alone_depends_on_the_cut(folder, tmp_path):
    """It averages over the tokens of a micro-batch, and then over micro-batches: tokens of short answers that happen to
    stand together count for more. Our token mean is over the whole step, which is DAPO's.
    """
    theirs = {"micro_batch": 3, "loss_type": "bnpo"}
    ours, step, _ = both(folder, tmp_path, {"aggregation": "token"} | k3(0.0), theirs)
    assert differ(ours.step, step)


@pytest.mark.parametrize(
    ("kind", "how", "share"), [("grpo", "sequence", 5 / 6), ("dapo", "token", 1), ("dr_grpo", "fixed", 5 / 6)]
)
def test_cut_off_answers_are_left_out_by_both(folder, tmp_path, kind, how, share):
    """They keep their part in the comparison. Where answers are what a mean is over, TRL goes on dividing by all six;
    we divide by the five that are learned from, so that leaving out is leaving out, and no smaller learning rate.
    """
    ours = {"aggregation": how, "mask_truncated": True} | k3(0.2)
    theirs = {"loss_type": kind, "mask_truncated_completions": True, "beta": 0.2, "use_bias_correction_kl": False}
    mine, step, advantages = both(folder, tmp_path, ours, theirs)
    torch.testing.assert_close(mine.advantages, advantages, rtol=0, atol=1e-6)
    assert_agree(scaled(mine.step, share), step)


def test_a_group_without_differences_pushes_nothing_in_either(folder, tmp_path):
    flat = (1.0, 1.0, 1.0, 2.0, -0.5, 0.75)
    mine, step, advantages = both(folder, tmp_path, k3(0.0), {"loss_type": "grpo"}, rewards=flat)
    assert advantages[:3].tolist() == mine.advantages[:3].tolist() == [0.0, 0.0, 0.0]
    assert_agree(mine.step, step)
