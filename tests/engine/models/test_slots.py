"""Shelves hold what they are given, stay within their tokens, and close their gaps."""

from __future__ import annotations

import pytest

from rlhf_engine.models.slots import Shelf, shelves


def sizes(needs, slots=64, tokens=1 << 20):
    return [(shelf.slots, shelf.width) for shelf in shelves(needs, slots, tokens)]


def test_texts_of_about_the_same_need_share_a_shelf_as_wide_as_the_longest_of_them():
    assert sizes([80, 128, 100]) == [(3, 128)]
    assert sizes([5, 9]) == [(2, 9)]


def test_a_long_text_does_not_widen_the_others():
    assert sizes([100] * 15 + [4000]) == [(15, 100), (1, 4000)]


def test_slots_are_shared_out_by_how_many_texts_want_them():
    assert sizes([100] * 75 + [200] * 25, slots=20) == [(15, 100), (5, 200)]


@pytest.mark.parametrize("tokens", [4000, 5000, 10_000])
def test_tokens_bound_the_slots_but_the_longest_text_always_fits(tokens):
    found = shelves([100] * 60 + [900] * 8 + [4000], 64, tokens)
    assert sum(shelf.slots * shelf.width for shelf in found) <= tokens
    assert max(shelf.width for shelf in found) == 4000


def test_one_text_that_is_longer_than_everything_allowed_is_still_written():
    assert sizes([4000, 10], tokens=100) == [(1, 4000)]


def test_no_text_needs_no_shelf():
    assert sizes([]) == []


def test_a_gap_is_closed_by_the_last_text():
    shelf = Shelf(5, 10)
    for answer in (70, 71, 72, 73, 74):
        shelf.enter(answer, answer - 66)
    assert shelf.leave([1, 3]) == [(4, 3, 8), (3, 1, 8)] or shelf.answers == [70, 74, 72]
    assert (shelf.answers, shelf.lengths, shelf.free) == ([70, 74, 72], [4, 8, 6], 2)


def test_the_last_text_leaves_without_a_move():
    shelf = Shelf(2, 10)
    shelf.enter(5, 3)
    shelf.enter(6, 4)
    assert shelf.leave([1]) == []
    assert shelf.leave([0]) == [] and not shelf.answers
