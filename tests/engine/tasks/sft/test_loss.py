import pytest
import torch

from rlhf_engine.tasks.sft.loss import nll_loss


def test_the_mean_over_completion_tokens_only():
    logp = torch.tensor([[-9.0, -1.0, -2.0], [-9.0, -3.0, float("nan")]])
    mask = torch.tensor([[False, True, True], [False, True, False]])
    assert nll_loss(logp, mask).item() == pytest.approx((1 + 2 + 3) / 3)


def test_micro_batches_add_up():
    logp = torch.tensor([[-1.0, -2.0], [-3.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False]])
    parts = [nll_loss(logp[i : i + 1], mask[i : i + 1], mask.sum()) for i in range(2)]
    assert sum(parts).item() == pytest.approx(2.0)
