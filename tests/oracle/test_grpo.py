"""GRPO beside trl.GRPOTrainer: given answers, rewards and policies; advantages, loss and gradients compared."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from trl import GRPOConfig, GRPOTrainer

from rlhf_engine.rollouts import loss
from tests.oracle.ours import assert_agree, differ
from tests.oracle.practice import FAR, NEAR, ON_POLICY, our_update
from tests.oracle.their_practice import given
from tests.oracle.theirs import their_step


@pytest.mark.parametrize(
    ("how", "level", "ours", "theirs"),
    [
        ("sequence", "token", {}, {"loss_type": "grpo"}),
        ("token", "token", {}, {"loss_type": "bnpo"}),
        ("token", "token", {"clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ("fixed", "token", {}, {"loss_type": "dr_grpo"}),
        ("sequence", "sequence mean", {}, {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
        ("token", "token", {"dual_clip": 1.3, "clip": 0.05}, {"loss_type": "dapo", "delta": 1.3, "epsilon": 0.05}),
        ("token", "token", {"entropy_coef": 0.1}, {"loss_type": "dapo", "entropy_coef": 0.1}),
    ],
    ids=["GRPO", "BNPO", "DAPO", "Dr. GRPO", "GSPO", "dual clip", "entropy"],
)
@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_loss_and_gradients_agree(folder, tmp_path, how, level, ours, theirs, beta):
    made, advantages = given(
        GRPOTrainer, GRPOConfig, folder, tmp_path, beta=beta, use_bias_correction_kl=False, **theirs
    )
    step = their_step(made)
    kl = {"kl_in": "loss", "kl_estimator": "k3", "kl_coef": beta} if beta else {}
    assert_agree(our_update(folder, tmp_path, advantages[0], how, level, **kl, **ours), step)


def test_their_corrected_kl_is_our_k3_plus_while_the_policy_is_the_one_that_wrote(folder, tmp_path):
    """TRL multiplies k3 by the probability ratio (DeepSeek-V3.2, arXiv:2512.02556), so that its gradient is that of the
    KL. At a ratio of 1 that is d * grad log pi, d = log pi - log pi_ref: the gradient of k2, which is what k3+ takes,
    with k3's value. Later in a batch's passes theirs goes on weighing each token by its ratio, and k3+ does not.
    """
    k3_plus = {"kl_in": "loss", "kl_estimator": "k3+", "kl_coef": 0.3}

    def both(apart):
        made, advantages = given(GRPOTrainer, GRPOConfig, folder, tmp_path, beta=0.3, loss_type="dapo", apart=apart)
        theirs = their_step(made)
        return our_update(folder, tmp_path, advantages[0], "token", apart=apart, **k3_plus), theirs

    assert_agree(*both(ON_POLICY))
    assert differ(*both(NEAR))


def test_our_k3_is_held_where_one_token_would_outweigh_all_others(folder, tmp_path, monkeypatch):
    """Ours is at most 10 per token, with no gradient beyond, as in the reference implementations that clamp it; TRL's
    grows with exp(|d|). Without the bound the two are one.
    """
    about = {"beta": 0.3, "loss_type": "dapo", "use_bias_correction_kl": False, "apart": FAR}
    made, advantages = given(GRPOTrainer, GRPOConfig, folder, tmp_path, **about)
    theirs = their_step(made)
    k3 = {"kl_in": "loss", "kl_estimator": "k3", "kl_coef": 0.3}
    assert differ(our_update(folder, tmp_path, advantages[0], "token", apart=FAR, **k3), theirs)
    monkeypatch.setattr(loss, "k3", lambda d: torch.exp(-d) - 1 + d)
    assert_agree(our_update(folder, tmp_path, advantages[0], "token", apart=FAR, **k3), theirs)


@pytest.mark.parametrize(("kind", "how"), [("grpo", "sequence"), ("dapo", "token"), ("dr_grpo", "fixed")])
def test_the_cut_into_micro_batches_does_not_matter_to_either(folder, tmp_path, kind, how):
    made, advantages = given(GRPOTrainer, GRPOConfig, folder, tmp_path, micro_batch=3, loss_type=kind)
    theirs = their_step(made)
    assert_agree(our_update(folder, tmp_path, advantages[0], how), theirs)


def test_bnpo_alone_depends_on_the_cut(folder, tmp_path):
    """It averages over the tokens of a micro-batch, and then over micro-batches: tokens of short answers that happen to
    stand together count for more. Our token mean is over the whole step, which is DAPO's.
    """
    made, advantages = given(GRPOTrainer, GRPOConfig, folder, tmp_path, micro_batch=3, loss_type="bnpo")
    theirs = their_step(made)
    assert differ(our_update(folder, tmp_path, advantages[0], "token"), theirs)
