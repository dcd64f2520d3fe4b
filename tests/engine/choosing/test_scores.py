"""Scores of pairs: the file they are kept in, and the probability they stand for."""

from __future__ import annotations

import math

import pytest

from rlhf_engine.choosing.scores import PairScore, read_scores, write_scores
from rlhf_engine.contract.errors import DataError


def test_a_difference_of_scores_is_a_log_odds():
    assert PairScore("x", 1.0, 1.0).probability == 0.5
    assert PairScore("x", math.log(3), 0.0).probability == pytest.approx(0.75)
    assert PairScore("x", -2000.0, 0.0).probability == 0.0 and PairScore("x", 2000.0, 0.0).probability == 1.0


def test_what_is_written_is_read(tmp_path):
    scores = [PairScore("x", 0.1, -2.5, 0.3), PairScore("ä", 0.0, 1.0)]
    assert write_scores(tmp_path / "scores.jsonl", scores) == 2
    assert list(read_scores(tmp_path / "scores.jsonl").values()) == scores


@pytest.mark.parametrize("line", ["{", "[]", '{"pair": "x"}', '{"pair": "x", "a": NaN, "b": 0, "spread": 0}'])
def test_a_damaged_line_is_said_with_its_number(tmp_path, line):
    (tmp_path / "s").write_text('{"pair": "x", "a": 1, "b": 0, "spread": 0}\n' + line + "\n")
    with pytest.raises(DataError, match="Line 2"):
        read_scores(tmp_path / "s")
    with pytest.raises(DataError, match="cannot be read"):
        read_scores(tmp_path / "missing")
