"""Win rates over the steps of a run, from blind verdicts."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.choosing.win_rates import meta_of_run, win_rates


def said(winner, step=10, policy="a", run="r", source="human"):
    return {"winner": winner, "source": source, "meta": json.dumps(meta_of_run(run, step, policy))}


def test_a_win_rate_counts_ties_half_and_has_wilsons_interval():
    rows = [said("a"), said("a"), said("b", policy="b"), said("tie"), said("b"), said("a", 20)]
    first, second = win_rates(rows, "r")
    assert (first.step, first.share, first.count) == (10, 0.7, 5)
    # z = 1.96, p = 0.7, n = 5: middle (0.7 + 0.38416) / 1.76832 = 0.613101;
    # half 1.96 / 1.76832 sqrt(0.21 / 5 + 3.8416 / 100) = 1.108397 * 0.283577 = 0.314316
    assert (first.low, first.high) == (pytest.approx(0.298785, abs=1e-5), pytest.approx(0.927417, abs=1e-5))
    assert (second.step, second.share, second.count) == (20, 1.0, 1)


def test_only_people_only_this_run_and_only_verdicts_count():
    rows = [
        said("a", source="rule"),
        said("skip"),
        said("both_bad"),
        said("a", run="other"),
        {"winner": "a", "source": "human", "meta": "{}"},
        {"winner": "a", "source": "human", "meta": "rotten"},
        {"winner": "a", "source": "human", "meta": '{"from": "run", "run": "r", "step": "x"}'},
    ]
    assert win_rates(rows, "r") == []
