"""Rules by hand: length, format, repetition, exact answers and word lists."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.rewards import BAD_WORDS, GOOD_WORDS, EnsembleReward, FormatReward, PythonReward, WordsReward
from rlhf_engine.rewards.rules import (
    final_answer,
    format_reward,
    length_of,
    length_reward,
    repeated_share,
    same_answer,
    word_balance,
)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [("near", [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]), ("longer", [0.0, 0.5, 1, 1, 1, 1]), ("shorter", [1, 0.5, 0, 0, 0, 0])],
)
def test_lengths(wanted, numbers):
    assert [length_reward(n, 10, wanted) for n in (0, 5, 10, 15, 20, 99)] == numbers


def test_what_a_length_is_counted_in():
    text = "Good  day,\nMara."
    assert [length_of(text, 7, unit) for unit in ("tokens", "words", "characters")] == [7, 3, 16]


def test_a_format_is_found_or_fits_the_whole():
    assert format_reward("She lives in Oke.", r"[.!?]$", False) == 1.0
    assert format_reward("She lives in Oke", r"[.!?]$", False) == 0.0
    assert format_reward("Yes. No.", r"Yes\.", True) == 0.0
    assert format_reward("Yes.", r"Yes\.", True) == 1.0


def test_a_pattern_that_runs_away_is_stopped_and_named():
    with pytest.raises(SpecError, match=r"took longer than 1 s on an answer of 41 characters") as error:
        format_reward("a" * 40 + "!", r"(a|a|aa)+$", False)
    assert error.value.field == "rewards" and error.value.hint


def test_repetition_counts_what_was_said_before():
    assert repeated_share([1, 2, 3, 1, 2, 3], 3) == 0.25  # 123 231 312 123: one of four
    assert repeated_share([1, 1, 1, 1], 2) == pytest.approx(2 / 3)
    assert repeated_share([1, 2], 3) == 0.0


@pytest.mark.parametrize(
    ("text", "reference", "same"),
    [
        ("6 + 6 = 12\n#### 12", "so she has 12.\n#### 12", 1.0),
        ("#### 1,200.0", "#### 1200", 1.0),
        ("#### $-3.50", "#### -3.5", 1.0),
        ("#### 13", "#### 12", 0.0),
        ("12", "#### 12", 0.0),  # without the mark it is no final answer
        ("#### 5\n#### 12", "#### 12", 1.0),  # the last one counts
        ("#### twelve", "#### 12", 0.0),
        ("####", "#### 12", 0.0),
        ("#### 12 apples of 20", "#### 20", 1.0),  # the last number
    ],
)
def test_final_answers_as_numbers(text, reference, same):
    assert same_answer(text, reference, "####", True) == same


def test_final_answers_as_text():
    assert same_answer("Answer:  New   york\nbecause", "Answer: New York", "Answer:", False) == 1.0
    assert same_answer("New York", "new york ", "", False) == 1.0
    assert same_answer("Boston", "New York", "", False) == 0.0
    assert final_answer("", "####") is None and final_answer("#### ", "####") == ""


def test_word_balance():
    good, bad = frozenset(GOOD_WORDS), frozenset(BAD_WORDS)
    assert word_balance("A good, GOOD and bad day", good, bad) == pytest.approx(1 / 3)
    assert word_balance("goodness", good, bad) == 0.0  # whole words only
    assert word_balance("Nothing.", good, bad) == 0.0
    assert not good & bad


@pytest.mark.parametrize(
    ("make", "field", "sentence"),
    [
        (lambda: FormatReward(pattern="("), "pattern", "is no regular expression"),
        (lambda: FormatReward(), "pattern", "has no pattern"),
        (lambda: WordsReward(good=(), bad=(" ",)), "good", "no word to look for"),
        (lambda: EnsembleReward(models=("run:a", "run:a")), "models", "two different reward models or more"),
        (lambda: PythonReward(file="x.py", function="a b"), "function", "not the name of a Python function"),
    ],
)
def test_a_component_that_does_not_hold_is_named(make, field, sentence):
    with pytest.raises(SpecError, match=sentence) as error:
        make()
    assert error.value.field == field
