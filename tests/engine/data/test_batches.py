"""Rows of different lengths as one rectangle, and the order in which rows are visited."""

from __future__ import annotations

import itertools

import torch

from rlhf_engine.data.batches import left_pad, right_pad, shuffled


def test_right_padding_keeps_rows_at_the_left_and_masks_by_position():
    ids, mask = right_pad([[5, 0, 7], [8]], pad=0)  # the pad id also occurs in a row

    assert ids.tolist() == [[5, 0, 7], [8, 0, 0]]
    assert mask.tolist() == [[True, True, True], [True, False, False]]


def test_left_padding_lets_all_rows_end_at_the_last_column():
    ids, mask = left_pad([[5, 6, 7], [8]], pad=1)

    assert ids.tolist() == [[5, 6, 7], [1, 1, 8]]
    assert mask.tolist() == [[True, True, True], [False, False, True]]


def test_a_wanted_width_is_a_least_width():
    assert right_pad([[1]], pad=0, width=3)[0].tolist() == [[1, 0, 0]]
    assert left_pad([[1, 2, 3, 4]], pad=0, width=3)[0].tolist() == [[1, 2, 3, 4]]


def test_shuffling_visits_every_row_once_and_the_generator_alone_decides_the_order():
    first = [batch.tolist() for batch in shuffled(10, 4, torch.Generator().manual_seed(1))]
    torch.manual_seed(99)
    again = [batch.tolist() for batch in shuffled(10, 4, torch.Generator().manual_seed(1))]

    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(itertools.chain(*first)) == list(range(10))
    assert first == again
