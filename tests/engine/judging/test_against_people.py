"""Judges against people, by hand: what counts as agreement, and of which pairs."""

from __future__ import annotations

import pytest

from rlhf_engine.judging.against_people import judges_against, majority
from rlhf_engine.judging.judgement import Judgement
from rlhf_engine.store.judgement_meta import pack_meta


def human(pair, winner, author="ann"):
    return Judgement(f"{pair}{author}", pair, author, winner, seconds=2.0)


def model(pair, winner, **principles):
    meta = {"model": "m", "template": "full 1", "attributes": principles}
    return {"pair_id": pair, "winner": winner, "author": "m", "judgement_meta": pack_meta(meta)}


def test_even_splits_and_both_bad_are_no_measure():
    said = [human("1", "a"), human("1", "b", "bob"), human("2", "both_bad"), human("3", "tie"), human("4", "a")]
    assert majority(said) == {"3": "tie", "4": "a"}


def test_agreement_is_over_decided_pairs_and_kappa_over_all():
    people = [human(str(n), winner) for n, winner in enumerate("aaabbb")] + [human("6", "tie")]
    winners = ["a", "a", "b", "b", "b", "tie", "tie", "a"]
    rows = [model(str(n), winner, honesty="a") for n, winner in enumerate(winners)]
    (report,) = judges_against(people, rows)
    overall = report.overall
    assert (report.labels, report.ties) == (8, 2)
    assert (overall.hits, overall.count, overall.same, overall.total) == (4, 5, 5, 7)
    # Wilson by hand: p = 0.8, n = 5, z = 1.96
    assert overall.interval == (pytest.approx(0.3755, abs=2e-4), pytest.approx(0.9638, abs=2e-4))
    # observed 5/7; by chance (3*2 + 3*3 + 1*2) / 49 = 17/49
    assert overall.kappa == pytest.approx((5 / 7 - 17 / 49) / (1 - 17 / 49))
    (honesty,) = report.principles
    assert (honesty.name, honesty.hits, honesty.count) == ("honesty", 3, 6)


def test_the_last_word_of_a_judge_counts_and_templates_are_apart():
    rows = [model("1", "b"), model("1", "a")]
    rows.append({**model("1", "b"), "judgement_meta": pack_meta({"model": "m", "template": "short 2"})})
    found = {report.template: report.overall.hits for report in judges_against([human("1", "a")], rows)}
    assert found == {"full 1": 1, "short 2": 0}
