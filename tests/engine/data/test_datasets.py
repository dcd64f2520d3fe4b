"""Datasets: named by their content, whole or not there at all, and split by prompt."""

from __future__ import annotations

import hashlib
import json

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data import datasets
from rlhf_engine.data.datasets import freeze, from_file, list_datasets, open_dataset, resolve
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating, split_of

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
PAIRS = [Comparison(f"prompt {i % 60}", "good", f"bad {i}", 1 + i % 3, "rule", f"id{i}") for i in range(100)]


def test_records_come_back_as_they_were_in_their_order(tmp_path):
    for kind, records in {
        "comparisons": PAIRS,
        "demonstrations": [Demonstration(TURNS, "Yes.", "human", "1"), Demonstration("Hi", " No. ")],
        "prompts": [PromptRecord(TURNS), PromptRecord("a\u2028b")],
        "ratings": [Rating(TURNS, "Yes.", True, "human", "1"), Rating("Hi", " No. ", False)],
    }.items():
        info = freeze(tmp_path, kind, records, "Mine", "labels")
        assert open_dataset(tmp_path, info.ref).records() == records
        assert (info.rows, info.kind, info.name, info.train + info.heldout) == (
            len(records),
            kind,
            "Mine",
            len(records),
        )


def test_the_same_records_are_the_same_dataset_and_others_are_another(tmp_path):
    first = freeze(tmp_path, "comparisons", PAIRS, "First", "labels")
    assert freeze(tmp_path, "comparisons", iter(PAIRS), "Second", "file") == first
    assert freeze(tmp_path, "comparisons", PAIRS[::-1], "Third", "labels").hash != first.hash
    assert len(list_datasets(tmp_path)) == 2


def test_a_prompt_is_on_one_side_only_and_on_the_same_side_everywhere(tmp_path):
    dataset = open_dataset(tmp_path, freeze(tmp_path, "comparisons", PAIRS, "x", "y").ref)
    train, heldout = dataset.records("train"), dataset.records("heldout")

    assert (len(train), len(heldout)) == (dataset.info.train, dataset.info.heldout)
    assert heldout and not {record.prompt for record in train} & {record.prompt for record in heldout}
    assert all(split_of(record.prompt) == "heldout" for record in heldout)


def test_pages_cross_the_groups_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_BATCH", 7)
    dataset = open_dataset(tmp_path, freeze(tmp_path, "comparisons", PAIRS, "x", "y").ref)
    assert dataset.page(0, 5) == PAIRS[:5]
    assert dataset.page(5, 20) == PAIRS[5:25]
    assert dataset.page(95, 20) == PAIRS[95:]
    assert dataset.page(200, 20) == []


def test_a_damaged_file_is_refused_and_freezing_again_mends_it(tmp_path):
    info = freeze(tmp_path, "comparisons", PAIRS, "x", "y")
    file = info.path / "records.parquet"
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DataError, match=r"records\.parquet is not what was written"):
        open_dataset(tmp_path, info.ref).records()

    again = freeze(tmp_path, "comparisons", PAIRS, "x", "y")
    assert again.hash == info.hash
    assert open_dataset(tmp_path, again.ref).records() == PAIRS


def test_a_failed_freeze_leaves_nothing_behind(tmp_path):
    for kind, records, said in [
        ("prompts", [], "no prompts to freeze"),
        ("prompts", [PromptRecord("a"), PromptRecord(" ")], "Record 2 cannot be used: its prompt is empty"),
        ("prompts", [Demonstration("a", "b")], "Record 1 belongs to the demonstrations"),
        ("opinions", [PromptRecord("a")], "no kind of record 'opinions'"),
    ]:
        with pytest.raises(DataError, match=said):
            freeze(tmp_path, kind, records, "x", "y")
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize("ref", ["dataset:0123456789abcdef", "dataset:../../etc", "dataset:"])
def test_a_dataset_that_is_not_there_is_named(tmp_path, ref):
    with pytest.raises(DataError, match="has no dataset"):
        open_dataset(tmp_path, ref)


def test_a_card_of_a_newer_version_or_none_at_all_is_refused_by_name(tmp_path):
    info = freeze(tmp_path, "prompts", [PromptRecord("a")], "x", "y")
    card = info.path / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "format": 99}))
    with pytest.raises(DataError, match="newer version"):
        open_dataset(tmp_path, info.ref)
    card.write_text("{")
    with pytest.raises(DataError, match=r"card\.json cannot be understood"):
        open_dataset(tmp_path, info.ref)
    assert list_datasets(tmp_path) == []


def test_a_file_is_read_and_frozen_and_another_kind_is_refused(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": ""}\n{"prompt": "b"}\n')
    dataset = resolve(tmp_path, str(file), "prompts")

    assert dataset.records() == [PromptRecord("a", "import"), PromptRecord("b", "import")]
    assert dataset.info.facts["rejected"] == 1
    assert resolve(tmp_path, dataset.info.ref, "prompts").info == dataset.info
    with pytest.raises(DataError, match="holds prompts, but comparisons are needed"):
        resolve(tmp_path, dataset.info.ref, "comparisons")
    with pytest.raises(DataError, match=r"mine\.jsonl needs to hold comparisons"):
        resolve(tmp_path, str(file), "comparisons")


def test_a_name_of_the_hub_is_told_to_be_imported_first(tmp_path):
    with pytest.raises(DataError, match="owner/words is on the Hub, not in this project") as caught:
        resolve(tmp_path, "hub:owner/words", "prompts")
    assert caught.value.hint == "Import it first: rlhf import owner/words."


def test_a_file_is_frozen_without_keeping_its_rows_and_the_card_counts_what_was_left_out(tmp_path):
    file = tmp_path / "rows.jsonl"
    good = [json.dumps({"prompt": f"p{n}", "completion": "a"}) for n in range(100)]
    file.write_text("\n".join(["no json", *good, json.dumps({"prompt": "p", "completion": " "})]) + "\n")
    info = from_file(tmp_path, file).info
    assert (info.kind, info.rows, info.facts["rejected"], info.facts["layout"]) == ("demonstrations", 100, 2, "native")


def test_a_file_without_one_good_row_is_refused_with_the_first_reason(tmp_path):
    file = tmp_path / "bad.jsonl"
    file.write_text('{"prompt": ""}\n')
    with pytest.raises(
        DataError, match=r"None of the 1 rows of .*bad\.jsonl can be used as prompts\. Line 1, prompt: is empty"
    ):
        resolve(tmp_path, str(file), "prompts")


def test_richer_records_also_serve_as_plainer_ones(tmp_path):
    pairs = [
        Comparison("Why?", "Because.", "No."),
        Comparison("Why?", "Because.", "Hm."),
        Comparison("How?", "So.", "No."),
    ]
    ref = freeze(tmp_path, "comparisons", pairs, "pairs", "test", {}).ref

    shown = resolve(tmp_path, ref, "demonstrations").records()
    asked = resolve(tmp_path, ref, "prompts").records()
    rated = resolve(tmp_path, ref, "ratings").records()

    assert [(d.prompt, d.completion) for d in shown] == [("Why?", "Because."), ("How?", "So.")]
    assert [p.prompt for p in asked] == ["Why?", "How?"]
    assert [(r.prompt, r.completion, r.liked) for r in rated] == [
        ("Why?", "Because.", True),
        ("Why?", "No.", False),
        ("Why?", "Hm.", False),
        ("How?", "So.", True),
        ("How?", "No.", False),
    ]


def test_of_ratings_the_liked_ones_are_demonstrations_and_all_have_prompts(tmp_path):
    ratings = [Rating("Why?", "Because.", True, "human", "1"), Rating("How?", "No.", False, "human", "2")]
    info = freeze(tmp_path, "ratings", ratings, "r", "test")

    assert info.facts == {"liked": 1}
    assert (
        "2 ratings" in (info.path / "README.md").read_text()
        and "1 of them liked" in (info.path / "README.md").read_text()
    )
    assert resolve(tmp_path, info.ref, "demonstrations").records() == [Demonstration("Why?", "Because.", "human", "1")]
    assert [p.prompt for p in resolve(tmp_path, info.ref, "prompts").records()] == ["Why?", "How?"]
    with pytest.raises(DataError, match="holds ratings, but comparisons are needed"):
        resolve(tmp_path, info.ref, "comparisons")


@pytest.mark.parametrize("kind", ["comparisons", "ratings"])
def test_plainer_records_do_not_serve_as_richer_ones(tmp_path, kind):
    ref = freeze(tmp_path, "demonstrations", [Demonstration("Why?", "Because.")], "d", "test", {}).ref
    with pytest.raises(DataError, match=f"holds demonstrations, but {kind} are needed"):
        resolve(tmp_path, ref, kind)


def test_a_tie_is_kept_and_counted_but_never_taken_for_a_preference(tmp_path):
    pairs = [Comparison("Why?", "Because.", "No."), Comparison("How?", "So.", "Thus.", 0, "human", "7")]
    info = freeze(tmp_path, "comparisons", pairs, "pairs", "test")
    dataset = open_dataset(tmp_path, info.ref)

    assert (info.rows, info.facts) == (2, {"ties": 1})
    assert "1 of them is a tie" in (info.path / "README.md").read_text()
    assert dataset.records() == pairs[:1]
    assert dataset.records(ties=True) == dataset.page(0, 9) == pairs
    assert [d.prompt for d in resolve(tmp_path, info.ref, "demonstrations").records()] == ["Why?"]
    assert [r.prompt for r in resolve(tmp_path, info.ref, "ratings").records()] == ["Why?", "Why?"]
    assert [p.prompt for p in resolve(tmp_path, info.ref, "prompts").records()] == ["Why?", "How?"]


def test_datasets_made_before_there_were_ties_keep_their_names(tmp_path):
    # sha256 of the kind and then the records' lines of JSON, worked out with hashlib alone on lines written by hand
    pair = '{"chosen":"a","kind":"comparisons","prompt":"p","rejected":"b","source":"s","strength":2}'
    expected = hashlib.sha256(f"comparisons\n{pair}\n".encode()).hexdigest()[:16]
    info = freeze(tmp_path, "comparisons", [Comparison("p", "a", "b", 2, "s", "id")], "x", "y")
    assert (info.hash, info.facts) == (expected, {})


def test_a_file_of_comparisons_serves_where_ratings_are_needed_and_one_of_demonstrations_does_not(tmp_path):
    pairs, shown = tmp_path / "pairs.jsonl", tmp_path / "shown.jsonl"
    pairs.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    shown.write_text('{"prompt": "a", "completion": "b"}\n')

    rated = resolve(tmp_path, str(pairs), "ratings")
    assert rated.records() == [Rating("a", "b", True, "import"), Rating("a", "c", False, "import")]
    assert rated.info.kind == "comparisons"
    with pytest.raises(DataError, match=r"shown\.jsonl holds demonstrations, but ratings are needed"):
        resolve(tmp_path, str(shown), "ratings")
    assert len(list_datasets(tmp_path)) == 1
