"""How a project is judged is kept in its folder, and a file that somebody wrote by hand cannot break it."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.store.judging_settings import FILE, JudgingSettings, read_judging, write_judging


def test_what_is_written_is_read_and_without_a_file_it_is_as_it_comes(tmp_path):
    assert read_judging(tmp_path) == JudgingSettings()
    said = JudgingSettings("Ann", 0.05, 30, 0.2, ("true", "kind"), True)
    assert write_judging(tmp_path, said) == said == read_judging(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_values_that_cannot_be_are_brought_within_their_limits(tmp_path):
    told = {
        "annotator": "  Ann\n\x00Bee ", "repeats": 3, "apart": -4, "overlap": "much", "attributes": ["x", "x", 7, " "],
        "rubric": "yes", "later": 1,
    }  # fmt: skip
    (tmp_path / FILE).write_text(json.dumps(told))
    assert read_judging(tmp_path) == JudgingSettings("Ann Bee", 0.25, 1, 0.1, ("x",), False)
    (tmp_path / FILE).write_text('{"repeats": NaN}')
    assert read_judging(tmp_path) == JudgingSettings()


@pytest.mark.parametrize("text", ["[]", "{", "\xff"])
def test_a_file_that_says_nothing_is_named(tmp_path, text):
    (tmp_path / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=r"judging\.json cannot be understood"):
        read_judging(tmp_path)
