"""What a finished reward model is warned about, and what it is not."""

from __future__ import annotations

import math

import pytest

from rlhf_engine.tasks.reward.evaluate import figures
from rlhf_engine.tasks.reward.verdict import facts_of, warnings
from tests.engine.tasks.reward.test_evaluate import scored

MARGIN = math.log(0.75 / 0.25)  # sure to 75 %


def told(found):
    return [alert.text for alert in warnings(found, figures(found))]


def with_accuracy(right, wrong, margin=MARGIN, **more):
    return scored([margin] * right + [-margin] * wrong, **more)


def test_a_good_one_is_left_in_peace():
    lengths = [[6.0, 5.0]] * 200 + [[5.0, 6.0]] * 200
    assert told(with_accuracy(300, 100, lengths=lengths)) == []


@pytest.mark.parametrize("found", [None, scored([1.0, 2.0], strength=[0.0, 0.0])], ids=["none", "only ties"])
def test_nothing_held_out_is_said(found):
    (alert,) = warnings(found, figures(found) if found else {})
    assert alert.text.startswith("There are no held-out comparisons") and alert.hint


@pytest.mark.parametrize(("long", "which"), [(320, "longer"), (80, "shorter")])
def test_one_that_only_counts_is_told_so(long, which):
    lengths = [[6.0, 5.0]] * long + [[5.0, 6.0]] * (400 - long)
    (text,) = told(with_accuracy(300, 100, lengths=lengths))
    assert text == (
        f'It is right on 75% of 400 held-out pairs (95 % interval 71% to 79%); "the {which} answer wins" would be '
        "right on 80%."
    )


def test_few_pairs_are_said_to_be_few():
    (text,) = told(with_accuracy(9, 3))
    assert text == "Its accuracy is hardly known: it is right on 75% of 12 held-out pairs (95 % interval 47% to 91%)."


@pytest.mark.parametrize(
    ("right", "margin", "words"),
    [
        (240, 5.0, "It expects to be right on 99% of the held-out pairs, and is on 60%: it is overconfident"),
        (380, 0.1, "It expects to be right on 52% of the held-out pairs, and is on 95%: it is underconfident"),
    ],
)
def test_one_that_does_not_know_how_sure_it_may_be_is_told_so(right, margin, words):
    (text,) = told(with_accuracy(right, 400 - right, margin))
    assert text.startswith(words)


def test_chance_is_not_taken_for_bad_calibration():
    # 13 of 20 where 75 % were expected is one deviation off, and an error of exactly 0.1
    texts = told(with_accuracy(13, 7))
    assert len(texts) == 1 and "hardly known" in texts[0]


def test_the_facts_say_what_the_figures_rest_on():
    found = scored([1.0] * 5 + [-1.0] * 5 + [0.3] * 2, strength=[2.0] * 10 + [0.0] * 2)
    facts = facts_of(found)
    assert (facts["heldout_pairs"], facts["heldout_ties"]) == (10, 2)
    assert (facts["accuracy_low"], facts["accuracy_high"]) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert facts_of(scored([1.0], strength=[0.0])) == {"heldout_pairs": 0, "heldout_ties": 1}
