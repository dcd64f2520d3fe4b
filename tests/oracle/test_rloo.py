"""RLOO beside trl.RLOOTrainer: given answers, rewards and policies; advantages, loss and gradients compared."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from trl import RLOOConfig, RLOOTrainer

from rlhf_engine.tasks.rloo import train as rloo
from rlhf_engine.tasks.rloo.spec import RLOOSpec
from tests.oracle.ours import assert_agree, differ
from tests.oracle.practice import our_task, spec_of
from tests.oracle.their_practice import given
from tests.oracle.theirs import their_step

# TRL subtracts two summed log-probabilities, which at -64 to -32 nats are 4e-6 apart in fp32, where we sum differences.
SUMMED = 5e-5


def both(folder: Any, out: Any, ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Any, Any, torch.Tensor]:
    made, advantages = given(RLOOTrainer, RLOOConfig, folder, out, epsilon=0.4, **theirs)
    step = their_step(made)
    return our_task(rloo, spec_of(RLOOSpec, clip=0.4, **ours), folder, out), step, advantages[0]


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("micro_batch", [6, 3])
def test_advantages_loss_and_gradients_agree(folder, tmp_path, beta, micro_batch):
    """The KL is paid for by the reward of a whole answer, and the ratio is that of the whole answer."""
    ours, theirs, advantages = both(folder, tmp_path, {"kl_coef": beta}, {"beta": beta, "micro_batch": micro_batch})
    torch.testing.assert_close(ours.advantages, advantages, rtol=0, atol=1e-5)
    assert_agree(ours.step, theirs, SUMMED)


def test_normalised_advantages_differ_by_what_is_added_to_the_deviation(folder, tmp_path):
    """TRL divides by the deviation plus 1e-4, we by the deviation: ours have variance 1 however small it was."""
    ours, theirs, advantages = both(
        folder, tmp_path, {"kl_coef": 0.0, "normalise_advantages": True}, {"beta": 0.0, "normalize_advantages": True}
    )
    assert ours.advantages.std().item() == pytest.approx(1.0, abs=1e-6)
    raw = both(folder, tmp_path, {"kl_coef": 0.0}, {"beta": 0.0})[2].std()
    torch.testing.assert_close(ours.advantages * raw / (raw + 1e-4), advantages, rtol=0, atol=1e-5)
    assert not differ(ours.step, theirs)
