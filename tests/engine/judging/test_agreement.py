"""Coefficients of agreement, against published examples and tables worked by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from rlhf_engine.judging.agreement import (
    cohen_kappa,
    estimated,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
)

# Krippendorff 2011, example C: four observers, twelve units, values missing.
OBSERVERS = {
    "A": "1 2 3 3 2 1 4 1 2 . . .",
    "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .",
    "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}
UNITS = [
    {who: int(said) for who, said in zip(OBSERVERS, column, strict=True) if said != "."}
    for column in zip(*(row.split() for row in OBSERVERS.values()), strict=True)
]
# Ten subjects, fourteen raters, five categories: the worked example of Fleiss' kappa in reference works.
FOURTEEN = """0 0 0 0 14, 0 2 6 4 2, 0 0 3 5 6, 0 3 9 2 0, 2 2 8 1 1,
              7 7 0 0 0, 3 2 6 3 0, 2 5 3 2 2, 6 5 2 1 0, 0 2 2 3 7"""
SUBJECTS = [dict(enumerate(map(int, row.split()))) for row in FOURTEEN.split(",")]


def test_krippendorffs_alpha_is_as_published():
    assert krippendorff_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(UNITS, lambda a, b: (a - b) ** 2) == pytest.approx(0.849, abs=5e-4)


def test_krippendorffs_alpha_by_hand():
    # ab, aa, bb: n = 6 with three of each. D_o = 1/6 * 2, D_e = 2 * 9 / 30; alpha = 1 - (1/3) / (3/5) = 4/9
    items = [{"x": "a", "y": "b"}, {"x": "a", "y": "a"}, {"x": "b", "y": "b"}, {"x": "a"}]
    assert krippendorff_alpha(items) == pytest.approx(4 / 9)
    assert krippendorff_alpha([{"x": "a", "y": "a"}]) is None  # nothing varies
    assert krippendorff_alpha([{"x": "a"}]) is None


def test_fleiss_kappa_is_as_published():
    assert fleiss_kappa(SUBJECTS) == pytest.approx(0.210, abs=5e-4)


def test_fleiss_kappa_by_hand():
    # two raters: ab, aa, bb. P = 2/3, P_e = 1/4 + 1/4; (2/3 - 1/2) / (1/2) = 1/3
    assert fleiss_kappa([{"a": 1, "b": 1}, {"a": 2}, {"b": 2}]) == pytest.approx(1 / 3)
    assert fleiss_kappa([]) is None and fleiss_kappa([{"a": 2}]) is None
    with pytest.raises(ValueError, match="equally many"):
        fleiss_kappa([{"a": 2}, {"a": 3}])
    with pytest.raises(ValueError, match="at least two"):
        fleiss_kappa([{"a": 1}])


def test_cohens_kappa_by_hand():
    # 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: p_o = 0.7, p_e = 0.5 * 0.6 + 0.5 * 0.4 = 0.5, kappa = 0.4
    table = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(table) == pytest.approx(0.4)
    # 45 15 / 25 15: p_o = 0.6, p_e = 0.6 * 0.7 + 0.4 * 0.3 = 0.54, kappa = 0.06 / 0.46
    table = [("y", "y")] * 45 + [("y", "n")] * 15 + [("n", "y")] * 25 + [("n", "n")] * 15
    assert cohen_kappa(table) == pytest.approx(0.1304, abs=5e-5)
    assert cohen_kappa([]) is None and cohen_kappa([("y", "y")]) is None


def test_percent_agreement_by_hand():
    # ab: 0; aab: 1 of 3 pairs; aa: 1; a alone is no pair
    items = [
        {"x": "a", "y": "b"},
        {"x": "a", "y": "a", "z": "b"},
        {"x": "a", "y": "a"},
        {"x": "a"},
    ]
    assert percent_agreement(items) == pytest.approx((0 + 1 / 3 + 1) / 3)
    assert percent_agreement([]) is None


def test_the_names_of_annotators_and_verdicts_do_not_matter():
    other = [{who.lower(): f"v{said}" for who, said in reversed(unit.items())} for unit in reversed(UNITS)]
    assert krippendorff_alpha(other) == pytest.approx(krippendorff_alpha(UNITS))
    turned = [(two, one) for one, two in [("y", "n")] * 3 + [("y", "y")] * 9 + [("n", "n")] * 4]
    assert cohen_kappa(turned) == pytest.approx(cohen_kappa([(b, a) for a, b in turned]))


def test_an_estimate_has_an_interval_around_it_and_is_the_same_each_time():
    items = [{"x": "a", "y": "a"}] * 40 + [{"x": "b", "y": "b"}] * 40 + [{"x": "a", "y": "b"}] * 20
    made = estimated(items, percent_agreement)
    assert made == estimated(items, percent_agreement)
    assert made.value == 0.8 and made.count == 100
    assert 0.70 < made.low < 0.75 and 0.85 < made.high < 0.90  # the standard error is 0.04
    assert estimated([], percent_agreement).value is None
    assert Counter(item["x"] for item in items) == {"a": 60, "b": 40}
