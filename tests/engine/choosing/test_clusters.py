"""Prompts by what they are about."""

from __future__ import annotations

import math

import pytest

from rlhf_engine.choosing.clusters import clusters, vectors

HARBOUR = ["Where is the harbour boat?", "Which boat leaves the harbour?", "Is the harbour boat late?"]
BREAD = ["Bake bread with flour", "How much flour does bread need?", "Why does bread rise with flour?"]


def test_a_vector_weighs_words_by_rarity_and_has_length_one():
    first, second, empty = vectors(["sea sea boat", "boat", "?!"])
    # sea: (1 + ln 2) ln(1 + 3/1); boat: 1 ln(1 + 3/2)
    sea, boat = (1 + math.log(2)) * math.log(4), math.log(2.5)
    length = math.hypot(sea, boat)
    assert sorted(first[first > 0].tolist()) == pytest.approx([boat / length, sea / length])
    assert second.max() == pytest.approx(1.0) and not empty.any()


def test_prompts_about_the_same_things_are_together():
    found = clusters(HARBOUR + BREAD, count=2)
    assert found == [0, 0, 0, 1, 1, 1]
    mixed = [text for two in zip(HARBOUR, BREAD, strict=True) for text in two]
    assert clusters(mixed, count=2) == [0, 1, 0, 1, 0, 1]


def test_the_edges_are_no_trouble():
    assert clusters([]) == []
    assert clusters(["one"]) == [0]
    assert clusters(["", "", ""], count=2) == [0, 0, 0]
    assert clusters(["same text"] * 9, count=3) == [0] * 9
    assert clusters(HARBOUR + BREAD, seed=3) == clusters(HARBOUR + BREAD, seed=3)
