"""Large datasets: rows by number are the rows of the whole file, nothing damaged is read, nothing is loaded."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data import indexed, within
from rlhf_engine.data.at_use import AtUse, Each, Joined
from rlhf_engine.data.datasets import SERVES, freeze, open_dataset
from rlhf_engine.data.indexed import ABOUT, INDEX, ROWS, SECOND_HALF, Rows
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating, half_of
from rlhf_engine.data.within import few_or_at_use

TURNS = [{"role": "user", "content": "caf\u00e9\t\n"}, {"role": "assistant", "content": "b"}]


def prompt(i):
    return f"p{i}" if i % 7 else [*TURNS, {"role": "user", "content": f"{i}"}]


MADE = {
    "prompts": lambda i: PromptRecord(prompt(i // 2), "human" if i % 3 else "rule", f"id{i}"),
    "demonstrations": lambda i: Demonstration(prompt(i // 2), f"a{i % 5}\u2028", "human", f"id{i}"),
    "comparisons": lambda i: Comparison(prompt(i // 3), f"a{i % 4}", f"b{i % 3}", i % 4, "human", f"id{i}"),
    "ratings": lambda i: Rating(prompt(i // 3), f"a{i % 4}", i % 3 == 0, "human", f"id{i}"),
}


def large(tmp_path, monkeypatch, kind, count=300):
    monkeypatch.setattr(indexed, "FROM", 100)
    return freeze(tmp_path, kind, [MADE[kind](i) for i in range(count)], "Large", "test")


@pytest.mark.parametrize(("own", "kind"), [(own, kind) for own in SERVES for kind in SERVES[own]])
@pytest.mark.parametrize("split", [None, "train", "heldout"])
def test_rows_by_number_are_those_of_the_whole_file_in_their_order(tmp_path, monkeypatch, own, kind, split):
    dataset = open_dataset(tmp_path, large(tmp_path, monkeypatch, own).ref)
    dataset.kind = kind
    for ties in (False, True):
        rows = dataset.rows(split, ties)
        assert isinstance(rows, Rows) and list(rows) == dataset.records(split, ties)
        assert rows[3:9:2] == dataset.records(split, ties)[3:9:2]


def test_a_small_dataset_has_no_index_and_the_same_hash_as_before(tmp_path, monkeypatch):
    records = [MADE["comparisons"](i) for i in range(30)]
    info = freeze(tmp_path, "comparisons", records, "Small", "test")
    assert sorted(path.name for path in info.path.iterdir()) == ["README.md", "card.json", "records.parquet"]
    monkeypatch.setattr(indexed, "FROM", 10)
    assert freeze(tmp_path / "other", "comparisons", records, "Small", "test").hash == info.hash


@pytest.mark.parametrize("name", [ROWS, INDEX, ABOUT])
@pytest.mark.parametrize("harm", ["missing", "cut", "other"])
def test_an_index_that_is_missing_or_belongs_to_other_records_is_made_anew(tmp_path, monkeypatch, name, harm):
    info = large(tmp_path, monkeypatch, "comparisons")
    expected = open_dataset(tmp_path, info.ref).records(ties=True)
    file = info.path / name
    body = file.read_bytes()
    if harm == "missing":
        file.unlink()
    elif harm == "cut":
        file.write_bytes(body[: len(body) // 2])
    else:
        other = large(tmp_path / "other", monkeypatch, "comparisons", 299)
        file.write_bytes((other.path / name).read_bytes())
    assert list(open_dataset(tmp_path, info.ref).rows(ties=True)) == expected
    assert file.read_bytes() == body  # the same records, the same index


def test_a_changed_letter_in_a_row_is_noticed_when_the_row_is_read(tmp_path, monkeypatch):
    info = large(tmp_path, monkeypatch, "comparisons")
    body = bytearray((info.path / ROWS).read_bytes())
    body[30] ^= 1
    (info.path / ROWS).write_bytes(body)
    rows = open_dataset(tmp_path, info.ref).rows(ties=True)
    assert rows[1] == MADE["comparisons"](1)
    with pytest.raises(DataError, match=r"Row 1 of .*rows\.bin is not what was written"):
        rows[0]


def test_halves_and_first_rows_of_prompts_are_told_without_reading(tmp_path, monkeypatch):
    rows = open_dataset(tmp_path, large(tmp_path, monkeypatch, "comparisons").ref).rows(ties=True)
    assert isinstance(rows, Rows)
    second = rows.chosen(rows.flagged(SECOND_HALF))
    assert list(second) == [row for row in rows if half_of(row.prompt) == "second"]
    assert [row.id for row in rows.firsts()] == [f"id{i}" for i in range(0, 300, 3)]


def test_in_the_place_of_a_row_that_is_too_long_stands_the_next_that_fits(monkeypatch):
    monkeypatch.setattr(within, "FROM", 3)
    lengths = [1, 9, 9, 2, 3, 9]
    kept, left_out = few_or_at_use(6, lambda i: lengths[i], lambda n: n, 5, 100, "numbers")
    assert list(kept) == [1, 2, 2, 2, 3, 1] and len(kept) == 6
    assert kept[1:3] == [2, 2]
    assert left_out is not None and "About 50 % of 6 numbers are longer than 5 tokens (up to 9" in left_out.text
    few, said = few_or_at_use(3, lambda i: lengths[i], lambda n: n, 5, 100, "numbers")
    assert (few, "2 of 3 numbers" in said.text) == ([1], True)
    with pytest.raises(DataError, match="All of 6 numbers looked at are longer than 5 tokens; the shortest has 9"):
        few_or_at_use(6, lambda _: 9, lambda n: n, 5, 100, "numbers")
    with pytest.raises(IndexError):
        kept[6]


def test_a_large_dataset_is_not_made_into_examples_before_they_are_used(monkeypatch):
    made = []

    def make(number):
        made.append(number)
        return number

    rows = AtUse(1_000_000, make, lambda _: 1, 5, "rows", "")
    assert len(made) < 300
    view = Joined([Each(rows, str), ["end"]])
    made.clear()
    assert (len(view), view[999_999], view[1_000_000], made) == (1_000_001, "999999", "end", [999_999])


@pytest.mark.parametrize("kind", ["comparisons", "ratings"])
def test_examples_of_a_large_dataset_are_those_of_a_small_one(tmp_path, monkeypatch, kind):
    """What is learned from does not depend on whether it was read at once."""
    from types import SimpleNamespace

    from transformers import AutoTokenizer

    from resources import starter
    from rlhf_engine.data.questions import questions_in
    from rlhf_engine.preferences.pairs import read_pairs
    from rlhf_engine.preferences.ratings import liked_among, read_ratings
    from rlhf_engine.tasks.reward.groups import grouped, read
    from rlhf_engine.tasks.reward.spec import RewardSpec

    tokenizer = AutoTokenizer.from_pretrained(starter.MODEL)
    backbone = SimpleNamespace(base=SimpleNamespace(tokenizer=tokenizer, context=512))
    run = SimpleNamespace(stage=lambda *_: None, emit=lambda _: None)
    spec = SimpleNamespace(template="auto", max_tokens=512, seed=3)
    reward = RewardSpec(model="starter", dataset="dataset:0", prompts_from="second half")

    def seen():
        dataset = open_dataset(tmp_path, info.ref)
        asked = list(questions_in(dataset, "train", tokenizer, "auto", 512, 512, 20)[0])
        if kind == "comparisons":
            pairs = read(backbone, dataset, "train", reward, run)
            return asked, *map(list, read_pairs(backbone, dataset, spec, run)), list(grouped(pairs, "", reward, run))
        ratings, heldout = read_ratings(backbone, dataset, spec, run)
        return asked, list(ratings), list(heldout), liked_among(ratings)

    info = large(tmp_path, monkeypatch, kind, 150)
    monkeypatch.setattr(within, "FROM", 10)
    at_use = seen()
    monkeypatch.setattr(within, "FROM", 1000)
    monkeypatch.setattr(indexed, "FROM", 1000)
    assert at_use == seen()
