"""What is known of a judgement beside its verdict is kept like the verdict, and changes nothing that was there."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.reading import read
from rlhf_engine.data.records import Comparison
from rlhf_engine.data.writing import write
from rlhf_engine.store.judgement_meta import pack_meta, unpack_meta
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from rlhf_engine.store.schema import row_hash

META = {"session": "Ann 1", "layout": "stacked", "attributes": {"honest": "tie", "helpful": "b"}}
# The hash that a row got before there was the column.
OLD = {
    "id": "c1", "pair_id": "p1", "winner": "b", "strength": 3, "left_side": "a", "seconds": 2.5, "comment": "é",
    "undoes": "", "source": "human", "author": "ann", "created": 1700000000.25,
}  # fmt: skip
OLD_HASH = "381dcd7f45cb32955ed0d94d8ee01eba"


def test_a_judgement_keeps_what_is_known_of_it(tmp_path):
    labels = Labels(tmp_path / "labels.db")
    pair = labels.add_pair("p", "x", "y", {"step": 1})
    said = labels.judge(pair, "b", left="a", seconds=3.0, author="ann", meta=META)
    row = labels.get("comparisons", said)
    assert unpack_meta(row["judgement_meta"]) == META
    assert json.loads(row["meta"]) == {"step": 1}  # the pair's own
    assert labels.page("comparisons")[0]["judgement_meta"] == row["judgement_meta"]
    assert list(labels.records("comparisons")) == [
        Comparison("p", "y", "x", 2, "human", said, "rejected", "ann", "Ann 1")
    ]
    again = labels.edit("comparisons", said, author="ann", winner="a")
    assert unpack_meta(labels.get("comparisons", again)["judgement_meta"]) == {"attributes": META["attributes"]}
    labels.close()


def test_rows_from_before_keep_their_hash_and_rows_that_say_more_get_another():
    assert row_hash("comparisons", OLD) == row_hash("comparisons", {**OLD, "meta": ""}) == OLD_HASH
    assert row_hash("comparisons", {**OLD, "meta": '{"session":"x"}'}) != OLD_HASH


def test_a_rotten_or_lost_meta_is_found_and_comes_back_from_the_journal(tmp_path):
    with Project.create(tmp_path / "mine") as project:
        pair = project.labels.add_pair("p", "x", "y")
        said = project.labels.judge(pair, "a", meta=META)
        project.labels._db.execute("UPDATE comparisons SET meta = ''")
        assert project.check().damaged == [("comparisons", 1)]
    assert Project.repair(tmp_path / "mine").restored == 1
    with Project.open(tmp_path / "mine") as project:
        assert unpack_meta(project.labels.get("comparisons", said)["judgement_meta"]) == META
        assert project.check().healthy


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ({"session": 3}, "'session' of a judgement cannot be 3"),
        ({"attributes": {"helpful": "left"}}, "'helpful' of a judgement is 'left', not one of a, b, tie"),
        ({"probability": float("nan")}, "JSON values"),
        ({"mine": object()}, "JSON values"),
        ({"mine": "\ud800"}, "JSON values"),
        ({"mine": "x" * 100_001}, "characters long"),
    ],
)
def test_what_cannot_be_kept_is_refused(meta, why):
    with pytest.raises(DataError, match=why):
        pack_meta(meta)


def test_keys_that_say_nothing_are_left_out_and_unknown_ones_are_kept():
    assert pack_meta(None) == pack_meta({"session": "", "both_bad": False, "attributes": {}, "x": None}) == ""
    assert unpack_meta(pack_meta({"zeta": 1, "probability": 0.0})) == {"probability": 0.0, "zeta": 1}
    assert unpack_meta("[1]") == unpack_meta("{") == unpack_meta(None) == {}


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_who_judged_goes_into_files_and_datasets_and_comes_back(tmp_path, format):
    said = [
        Comparison("p", "x", "y", 3, "human", "", "rejected", "=Ann", "Monday"),
        Comparison("q", "x", "y", 2, "import"),
    ]
    file = tmp_path / f"out.{format}"
    write(said, file)
    assert read(file).records == said
    info = freeze(tmp_path, "comparisons", said, "d", "labels")
    assert open_dataset(tmp_path, info.ref).records() == said

    labels = Labels(tmp_path / "labels.db")
    labels.add_many("comparisons", read(file).records)
    row = labels.page("comparisons")[0]
    assert (row["author"], row["left_side"], unpack_meta(row["judgement_meta"])) == ("=Ann", "b", {"session": "Monday"})
    labels.close()


def test_a_dataset_without_the_columns_reads_as_before(tmp_path):
    import pyarrow.parquet as parquet

    from rlhf_engine.data import datasets

    info = freeze(tmp_path, "comparisons", [Comparison("p", "x", "y", 1, "rule", "i")], "d", "labels")
    assert info.hash == "7de5476d0e498f4c"  # what these records were named before
    file = info.path / "records.parquet"
    parquet.write_table(parquet.read_table(file).drop_columns(["first", "annotator", "session"]), file)
    card = json.loads((info.path / "card.json").read_text())
    card["sha256"] = datasets._sha256(file)
    (info.path / "card.json").write_text(json.dumps(card))
    assert open_dataset(tmp_path, info.ref).records() == [Comparison("p", "x", "y", 1, "rule", "i")]
