"""Masked arithmetic against numbers worked by hand."""

import pytest
import torch

from rlhf_engine.tensors import last_index, masked_mean, masked_variance, position_ids, segment_position_ids, whiten

MASK = torch.tensor([[True, True, False]])


def test_a_masked_mean_does_not_look_at_padding_even_when_it_is_nan():
    assert masked_mean(torch.tensor([[1.0, 3.0, float("nan")]]), MASK).item() == 2.0


def test_an_empty_mask_gives_zero():
    assert masked_mean(torch.ones(1, 3), torch.zeros(1, 3, dtype=torch.bool)).item() == 0.0


def test_a_total_makes_micro_batches_add_up():
    x, mask = torch.tensor([[1.0, 2.0], [6.0, 0.0]]), torch.tensor([[True, True], [True, False]])
    parts = [masked_mean(x[i : i + 1], mask[i : i + 1], total=mask.sum()) for i in range(2)]
    assert sum(parts).item() == pytest.approx(3.0)  # (1 + 2 + 6) / 3


def test_variance_is_unbiased_over_the_masked_values():
    # values 1 and 3: mean 2, squares 1 + 1, divided by 2 - 1
    assert masked_variance(torch.tensor([[1.0, 3.0, 99.0]]), MASK).item() == pytest.approx(2.0)


def test_whitening_shifts_the_mean_only_when_asked():
    x = torch.tensor([[1.0, 3.0, 50.0]])
    root2 = 2**0.5
    assert whiten(x, MASK)[0].tolist() == pytest.approx([-1 / root2, 1 / root2, 0.0])
    assert whiten(x, MASK, shift_mean=False)[0].tolist() == pytest.approx([2 - 1 / root2, 2 + 1 / root2, 0.0])


def test_whitening_a_constant_or_a_single_value_gives_zeros():
    assert whiten(torch.full((1, 3), 7.0), MASK)[0].tolist() == [0.0, 0.0, 0.0]
    assert whiten(torch.tensor([[7.0]]), torch.tensor([[True]])).item() == 0.0


def test_last_index_finds_the_last_real_token():
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, True]])
    assert last_index(mask).tolist() == [1, -1, 2]


def test_positions_start_at_the_first_real_token():
    assert position_ids(torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])).tolist() == [[0, 0, 0, 1], [0, 1, 2, 2]]


def test_positions_begin_again_with_every_example_of_a_row():
    segments = torch.tensor([[3, 3, 1, 1, 1, 0], [2, 5, 5, 0, 0, 0]])
    assert segment_position_ids(segments).tolist() == [[0, 1, 0, 1, 2, 0], [0, 0, 1, 0, 0, 0]]
