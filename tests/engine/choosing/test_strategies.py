"""The order in which pairs are asked, worked out by hand."""

from __future__ import annotations

import math

import pytest

from rlhf_engine.choosing.orders import STRATEGIES
from rlhf_engine.choosing.scores import PairScore
from rlhf_engine.choosing.strategies import Candidate, Turn, arrange

WORDS = ["harbour", "bread", "violin", "mountain", "orchard", "lantern"]


def pair(n: int, margin: float | None = None, spread: float = 0.0, prompt: str = "", winner: str = "") -> Candidate:
    score = None if margin is None else PairScore(f"p{n}", margin, 0.0, spread)
    word = WORDS[n % len(WORDS)]
    return Candidate(f"p{n}", prompt or f"About the {word}", f"{word} {n} yes", f"{word} {n} no", score, winner)


def order(turns: list[Turn]) -> list[str]:
    return [turn.id for turn in turns]


def test_uncertain_asks_what_the_model_cannot_tell_first_and_unscored_pairs_last():
    pairs = [pair(0, 2.0), pair(1), pair(2, -0.5), pair(3, 0.0), pair(4, 0.7)]
    turns = arrange(pairs, "uncertain")
    assert order(turns) == ["p3", "p2", "p4", "p0", "p1"]
    assert turns[0].value == 0.5 and turns[1].value == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert [turn.why for turn in turns] == ["uncertain"] * 4 + ["unscored"]


def test_an_ensemble_is_asked_about_where_its_heads_disagree_first():
    turns = arrange([pair(0, 1, 0.1), pair(1, 0, 0.9), pair(2, 3, 0.4)], "ensemble")
    assert order(turns) == ["p1", "p2", "p0"] and turns[0].value == 0.9


def test_the_widest_pair_of_each_prompt_comes_before_any_prompt_has_a_second_one():
    pairs = [pair(0, 3.0, prompt="x"), pair(1, -4.0, prompt="x"), pair(2, 0.5, prompt="y"), pair(3, 1.0, prompt="y")]
    assert order(arrange(pairs, "best_worst")) == ["p1", "p3", "p0", "p2"]


def test_coverage_goes_round_the_clusters_and_begins_with_the_least_judged():
    sea = [pair(n, prompt=f"harbour boat sea {n}") for n in range(2)]
    bread = [pair(n, prompt=f"bread flour oven {n}") for n in range(2, 4)]
    turns = arrange(sea + bread, "coverage", judged=["harbour boat sea 7", "harbour boat sea 8"])
    assert order(turns) == ["p2", "p3", "p0", "p1"]
    assert [turn.value for turn in turns] == [0, 1, 2, 3]  # how many its cluster had


def test_near_duplicates_go_to_the_end_whatever_the_strategy_but_the_oldest():
    same = [Candidate(f"s{n}", "The same long question", "The same long answer", f"another {n}") for n in range(3)]
    turns = arrange([*same, pair(0), pair(1)], "coverage")
    assert [turn.why for turn in turns] == ["coverage"] * 3 + ["duplicate"] * 2
    assert {turn.id for turn in turns[:3]} >= {"p0", "p1"}
    assert order(arrange([*same, pair(0)], "oldest")) == ["s0", "s1", "s2", "p0"]


def test_random_is_the_same_for_the_same_seed_and_another_for_another():
    pairs = [pair(n) for n in range(6)]
    assert order(arrange(pairs, "random", seed=1)) == order(arrange(pairs, "random", seed=1))
    assert order(arrange(pairs, "random", seed=1)) != order(arrange(pairs, "random", seed=2))


def test_only_pairs_where_you_and_the_model_disagree_are_in_that_queue_the_surest_first():
    pairs = [
        pair(0, 2.0, winner="a"),
        pair(1, 0.5, winner="b"),
        pair(2, -3.0, winner="a"),
        pair(3, 1.0, winner="tie"),
        pair(4, winner="a"),
    ]
    turns = arrange(pairs, "disagree")
    assert order(turns) == ["p2", "p1"] and turns[0].value == pytest.approx(1 / (1 + math.exp(-3.0)))


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != "disagree"])
def test_every_strategy_asks_every_pair_once(strategy):
    pairs = [pair(n, None if n % 3 == 0 else n - 4.0, n / 7) for n in range(12)]
    assert sorted(order(arrange(pairs, strategy))) == sorted(p.id for p in pairs)
    assert arrange([], strategy) == []
