"""Near-duplicates and the shares of shingles they are found by."""

from __future__ import annotations

import random

import pytest

from rlhf_engine.choosing.likeness import least_alike, likeness, near_duplicates, shingles, signatures


def test_likeness_is_the_share_of_common_shingles():
    # "abcdef" has abcd bcde cdef, "abcdeX" has abcd bcde cdex: two of four
    assert likeness(shingles("abcdef"), shingles("abcdeX")) == 0.5
    assert likeness(shingles("A  b\nc d"), shingles("a b c d")) == 1.0
    assert likeness(shingles("ab"), shingles("ab")) == 1.0 and likeness(shingles("ab"), shingles("cd")) == 0.0
    assert likeness(shingles(""), shingles("")) == 1.0


def test_signatures_agree_as_often_as_their_sets_are_alike():
    rng = random.Random(0)
    common, mine, theirs = ({rng.getrandbits(32) for _ in range(200)} for _ in range(3))
    a, b = signatures([frozenset(common | mine), frozenset(common | theirs)])
    # 64 places of probability 1/3: a deviation of 0.06 each side, so four of them
    assert float((a == b).mean()) == pytest.approx(1 / 3, abs=0.24)


def test_a_near_duplicate_points_at_the_first_of_its_kind():
    long = "The lighthouse keeper of the island lights the lamp every evening, rain or shine, since forty years."
    texts = [long, "Something else entirely about bread and butter.", long + "!", long.upper(), "bread"]
    assert near_duplicates(texts) == {2: 0, 3: 0}
    assert near_duplicates([]) == {}


def test_near_duplicates_are_those_that_comparing_all_would_find():
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefgh", k=5)) for _ in range(60)]
    texts = [" ".join(rng.choices(words, k=30)) for _ in range(60)]
    texts += [text + " end" for text in texts[:20]]
    sets = [shingles(text) for text in texts]
    expected = {j: i for j in range(60, 80) for i in range(j) if likeness(sets[i], sets[j]) >= 0.8}
    assert near_duplicates(texts) == expected and len(expected) == 20


def test_the_two_least_alike_are_found():
    assert least_alike(["one two three", "one two three!", "quite another"]) == (0, 2)
    assert least_alike(["same", "same"]) == (0, 1)
