"""The order of the examples: everyone's turn comes, and a saved place is found again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_engine.runtime.order import Order


def order(count, size, seed=0):
    return Order(count, size, torch.Generator().manual_seed(seed))


@given(count=st.integers(1, 40), size=st.integers(1, 12), seed=st.integers(0, 5))
def test_within_an_epoch_nobody_comes_twice_and_every_batch_is_full(count, size, seed):
    found = order(count, size, seed)
    for _ in range(2):
        batches = [found.next() for _ in range(found.batches_per_epoch)]
        flat = [i for batch in batches for i in batch]
        assert all(len(batch) == min(size, count) for batch in batches)
        assert len(set(flat)) == len(flat) == found.batches_per_epoch * min(size, count)
        assert set(flat) <= set(range(count))


def test_when_batches_divide_the_data_every_epoch_is_all_of_it_in_another_order():
    found = order(12, 4)
    epochs = [[i for _ in range(3) for i in found.next()] for _ in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_who_was_skipped_at_the_end_of_an_epoch_is_not_skipped_for_ever():
    found = order(10, 4)
    assert {i for _ in range(40) for i in found.next()} == set(range(10))


def test_the_seed_decides():
    assert [order(20, 5, 1).next()] == [order(20, 5, 1).next()]
    assert order(20, 5, 1).next() != order(20, 5, 2).next()


@pytest.mark.parametrize("after", [0, 1, 3, 4, 7])
def test_a_saved_place_goes_on_with_the_same_batches(after):
    rng = torch.Generator().manual_seed(0)
    found = Order(10, 3, rng)
    for _ in range(after):
        found.next()
    place, random = found.state_dict(), rng.get_state()
    rest = [found.next() for _ in range(6)]
    other = torch.Generator()
    other.set_state(random)
    again = Order(10, 3, other)
    again.load_state_dict(place)
    assert [again.next() for _ in range(6)] == rest
