"""Sums of parts, and what past runs teach."""

from __future__ import annotations

import pytest

from rlhf_engine.runtime.fit import Correction, Fit

PARTS = {
    "load": {"process": 100, "weights": 50},
    "update": {"process": 100, "weights": 50, "activations": 200, "logits": 40},
}


def test_the_largest_phase_and_its_largest_part_are_named():
    fit = Fit(PARTS)
    assert fit.totals == {"load": 150, "update": 390}
    assert (fit.largest, fit.main_part, fit.peak, fit.own) == ("update", "activations", 390, 290)


def test_a_correction_is_the_median_of_what_runs_took_over_what_was_foreseen():
    # (start, peak, foreseen): 150 of 100, 120 of 100, and one beside which something else was going on
    learned = Correction.of([(100.0, 250.0, 100.0), (110.0, 230.0, 100.0), (100.0, 1900.0, 100.0)])
    assert (learned.factor, learned.runs, learned.process) == (pytest.approx(1.5), 3, 100)
    fit = Fit(PARTS).corrected(learned)
    assert fit.phases["update"] == {"process": 100, "weights": 75, "activations": 300, "logits": 60}
    assert fit.own == 435


def test_runs_that_foresaw_nothing_teach_nothing():
    assert Correction.of([(100.0, 250.0, 0.0), (100.0, 90.0, 50.0)]) == Correction()
    assert Fit(PARTS).corrected(Correction()).phases == PARTS


def test_only_the_newest_runs_count():
    old, new = (0.0, 300.0, 100.0), (0.0, 110.0, 100.0)
    assert Correction.of([new] * 9 + [old] * 20).factor == pytest.approx(1.1)
