"""A dataset is searched and sorted by numbers of its rows, as a reader of all of them would."""

from __future__ import annotations

import random

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data import searching
from rlhf_engine.data.datasets import Dataset, freeze, open_dataset
from rlhf_engine.data.records import Comparison, PromptRecord, Rating, split_of

WORDS = ("Lamp", "lamp.", "Äpfel", "apple", "100%", "[x]", "river", "灯")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(searching, "_BATCH", 16)


def some(rng: random.Random) -> str:
    return " ".join(rng.choices(WORDS, k=3))


@pytest.fixture
def pairs(tmp_path) -> Dataset:
    rng = random.Random(0)
    records = [
        Comparison(
            f"{some(rng)} {n}", f"{some(rng)} a", f"{some(rng)} b", rng.randrange(4), rng.choice(("human", "rule"))
        )
        for n in range(100)
    ]
    info = freeze(tmp_path, "comparisons", records, "Pairs", "test")
    return open_dataset(tmp_path, info.ref)


@pytest.mark.parametrize(
    "text", ["lamp", "LAMP äpfel", "100% [x]", "rule apple", "灯 river lamp. human", "nothing", ""]
)
def test_rows_are_found_that_hold_every_word_somewhere(pairs, text):
    records = pairs.records(ties=True)
    wanted = [
        number
        for number, record in enumerate(records)
        if all(
            word in f"{record.prompt}\n{record.chosen}\n{record.rejected}\n{record.source}".lower()
            for word in text.lower().split()
        )
    ]
    assert list(pairs.find(text)) == wanted
    assert bool(wanted) == (text != "nothing")


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("text", ["", "lamp"])
def test_rows_are_sorted_by_a_column_and_equal_ones_stay_in_order(pairs, text, descending):
    records = pairs.records(ties=True)
    there = list(pairs.find(text))
    for sort, key in (
        ("prompt", lambda record: record.prompt.lower()),
        ("chosen", lambda record: record.chosen.lower()),
        ("strength", lambda record: record.strength),
        ("split", lambda record: split_of(record.prompt)),
    ):
        # Python's own sort is stable both ways; the numbers of equal rows rise
        wanted = sorted(there, key=lambda number, key=key: key(records[number]), reverse=descending)
        assert list(pairs.find(text, sort, descending)) == wanted


def test_ratings_are_sorted_by_whether_they_were_liked(tmp_path):
    info = freeze(tmp_path, "ratings", [Rating(f"p{n}", "a", n % 2 == 0) for n in range(6)], "R", "test")
    assert list(open_dataset(tmp_path, info.ref).find("", "liked", True)) == [0, 2, 4, 1, 3, 5]


def test_turns_of_a_conversation_are_searched_as_they_are_shown(tmp_path):
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A lamp?"}]
    info = freeze(tmp_path, "prompts", [PromptRecord("x"), PromptRecord(turns)], "P", "test")
    assert list(open_dataset(tmp_path, info.ref).find("brief LAMP")) == [1]


def test_a_file_that_has_gone_wrong_is_one_sentence(tmp_path):
    file = tmp_path / "records.parquet"
    file.write_bytes(b"PAR1 but not really PAR1")
    with pytest.raises(DataError, match="cannot be searched"):
        searching.find(file, ("prompt",), "x")
