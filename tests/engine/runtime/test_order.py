"""The order of the examples: everyone's turn comes, and a saved place is found again."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_engine.runtime.order import Mixture, Order


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


def mixture(counts, shares, size, seed=0):
    return Mixture(counts, shares, size, torch.Generator().manual_seed(seed))


def set_of(found, i):
    return next(n for n in range(len(found.counts)) if i < sum(found.counts[: n + 1]))


def test_every_batch_holds_the_shares_and_what_rounding_owes_comes_later():
    found = mixture([100, 50, 10], [1.0, 1.0, 2.0], 6)
    batches = [[set_of(found, i) for i in found.next()] for _ in range(20)]
    # 1.5, 1.5 and 3 of 6: the first two take turns in getting the odd one
    assert {tuple(batch.count(n) for n in range(3)) for batch in batches} == {(2, 1, 3), (1, 2, 3)}
    assert [sum(batch.count(n) for batch in batches) for n in range(3)] == [30, 30, 60]


@given(
    sets=st.lists(st.tuples(st.integers(1, 30), st.floats(0.01, 100.0)), min_size=1, max_size=6),
    size=st.integers(1, 12),
)
def test_over_a_run_the_proportions_are_those_of_the_shares(sets, size):
    counts, shares = [count for count, _ in sets], [share for _, share in sets]
    found = mixture(counts, shares, size)
    for _ in range(40):
        batch = found.next()
        assert len(batch) == found.size and all(0 <= i < sum(counts) for i in batch)
    for passes, count, share in zip(found.passes, counts, shares, strict=True):
        assert abs(passes * count - 40 * found.size * share / sum(shares)) < 2


def test_a_set_that_is_used_up_begins_again_in_a_new_order_while_the_others_go_on():
    found = mixture([4, 40], [1.0, 1.0], 8)
    drawn = [i for _ in range(10) for i in found.next()]
    small, large = [i for i in drawn if i < 4], [i for i in drawn if i >= 4]
    rounds = [small[i : i + 4] for i in range(0, 40, 4)]
    assert all(sorted(one) == [0, 1, 2, 3] for one in rounds) and len({tuple(one) for one in rounds}) > 3
    assert sorted(large) == list(range(4, 44))
    assert found.passes == [10.0, 1.0]


def test_an_epoch_is_as_many_examples_as_all_sets_hold():
    assert mixture([30, 10], [1.0, 5.0], 8).batches_per_epoch == 5
    small = mixture([2, 1], [1.0, 1.0], 8)
    assert small.batches_per_epoch == 1 and len(small.next()) == 3


@pytest.mark.parametrize("after", [0, 1, 3, 7])
def test_a_saved_place_in_a_mixture_goes_on_with_the_same_batches(after):
    rng = torch.Generator().manual_seed(0)
    found = Mixture([7, 5, 30], [1.0, 0.3, 2.0], 4, rng)
    for _ in range(after):
        found.next()
    place, random = json.loads(json.dumps(found.state_dict())), rng.get_state()
    rest = [found.next() for _ in range(9)]
    other = torch.Generator()
    other.set_state(random)
    again = Mixture([7, 5, 30], [1.0, 0.3, 2.0], 4, other)
    again.load_state_dict(place)
    assert [again.next() for _ in range(9)] == rest and again.passes == found.passes
