"""Examples end to end: none cut, none lost, none twice, and the same rows every time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_engine.data.packing import lay, share_rows


def test_the_longest_come_first_and_each_goes_into_the_first_row_with_room():
    # rows of 8 are enough for three: 7 opens one (1 left), 6 opens one (2 left), 4 opens one, 3 joins it, 2 joins 6,
    # 1 joins 7. In rows of 7, 1 and 2 would find no room; rows of 10 would be 7 3, 6 4, 2 1.
    assert share_rows([3, 6, 2, 7, 4, 1], 10) == share_rows([3, 6, 2, 7, 4, 1], 8) == [[3, 5], [1, 2], [4, 0]]
    assert len(share_rows([3, 6, 2, 7, 4, 1], 7)) == 4
    assert share_rows([5, 5, 5], 10) == [[0, 1], [2]]  # of equals, the earlier one first
    assert share_rows([4, 4, 4, 4], 13) == [[0, 1], [2, 3]]  # not 12 and 4
    assert share_rows([], 10) == []


@given(st.lists(st.integers(1, 20), max_size=40), st.integers(20, 60))
def test_every_example_is_in_one_row_and_no_row_is_too_long(lengths, width):
    rows = share_rows(lengths, width)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in row) <= width for row in rows)
    assert rows == share_rows(list(lengths), width)
    held = sorted(sum(lengths[i] for i in row) for row in rows)
    assert len(held) < 2 or held[0] + held[1] > width  # else the two would be one


def test_an_example_longer_than_a_row_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="11 tokens does not fit a row of 10"):
        share_rows([3, 11], 10)


def test_rows_hold_their_examples_and_say_where():
    laid = lay([[2, 0], [1]], [[5, 6], [7], [8, 9]], pad=0)
    assert laid.ids.tolist() == [[8, 9, 5, 6], [7, 0, 0, 0]]
    assert laid.segments.tolist() == [[3, 3, 1, 1], [2, 0, 0, 0]]
    assert laid.real.tolist() == [[True] * 4, [True, False, False, False]]
    assert laid.ids.dtype == laid.segments.dtype == torch.int64
