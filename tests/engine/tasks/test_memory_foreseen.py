"""What was foreseen of the memory is what a run takes, where tensors and not the interpreter take most of it."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.bench_memory import WITHIN, compare


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the constants are those of Linux's resident set")
def test_two_runs_take_what_was_foreseen():
    for name, found, fit in compare(["reward", "sft, padded"]):
        assert fit.largest == "update", name
        assert fit.peak / 1e6 == pytest.approx(found["memory/peak"], rel=WITHIN), name
