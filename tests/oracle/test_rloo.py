"""RLOO beside trl.RLOOTrainer: given answers, rewards and policies; advantages, loss and gradients compared."""

from __future__ import annotations

import pytest

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from trl import RLOOConfig, RLOOTrainer

from tests.oracle.ours import assert_agree
from tests.oracle.practice import our_update
from tests.oracle.their_practice import given
from tests.oracle.theirs import their_step

# TRL subtracts two summed log-probabilities, which at -64 to -32 nats are 4e-6 apart in fp32, where we sum differences.
SUMMED = 5e-5


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_loss_and_gradients_agree(folder, tmp_path, beta):
    made, advantages = given(RLOOTrainer, RLOOConfig, folder, tmp_path, beta=beta, epsilon=0.4)
    theirs = their_step(made)
    assert_agree(our_update(folder, tmp_path, advantages[0], "sequence", "sequence", clip=0.4), theirs, SUMMED)
