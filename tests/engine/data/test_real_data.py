"""Files that other people published, row by row: what is read, what is left out, and where."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.reading import read

ROOT = Path(__file__).parents[3]
REAL = Path(os.environ.get("RLHF_REAL_DATA", ROOT.parent / "shared" / "real")) / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real data at {REAL}; set RLHF_REAL_DATA"),
]


def test_the_harmless_test_set_of_hh_has_nine_bad_rows(tmp_path):
    reading = read(REAL / "hh-rlhf" / "test.jsonl.gz")

    assert (reading.kind, reading.layout, reading.total, len(reading.records)) == ("comparisons", "hh", 2312, 2303)
    assert Counter((row.field, row.reason) for row in reading.rejected) == {
        ("rejected", "answers another conversation than chosen does"): 5,
        ("chosen", "ends with an empty answer"): 4,
    }
    assert [row.line for row in reading.rejected] == [87, 517, 926, 1104, 1255, 1689, 1951, 1953, 2037]
    info = freeze(tmp_path, reading.kind, reading.records, "hh", "file")
    assert open_dataset(tmp_path, info.ref).records() == reading.records
    assert 0.07 < info.heldout / info.rows < 0.13


@pytest.mark.parametrize(
    ("name", "kind", "layout", "records", "rejected"),
    [
        ("llama-factory-demo/dpo_en_demo.json", "comparisons", "sharegpt", 300, 0),
        ("llama-factory-demo/dpo_zh_demo.json", "comparisons", "sharegpt", 300, 0),
        ("llama-factory-demo/kto_en_demo.json", "ratings", "kto", 300, 0),
        ("llama-factory-demo/alpaca_en_demo.json", "demonstrations", "alpaca", 999, 0),
        ("llama-factory-demo/glaive_toolcall_en_demo.json", "demonstrations", "sharegpt", 300, 0),
        ("raschka-preference/01_main-chapter-code/instruction-data.json", "demonstrations", "alpaca", 1100, 0),
        ("sst2/dev.tsv", "prompts", "native", 872, 0),
        ("sst2/train.tsv", "prompts", "native", 6920, 0),
        ("gsm8k/test.jsonl", "demonstrations", "native", 1319, 0),
        ("truthfulqa/TruthfulQA.csv", "demonstrations", "native", 817, 0),
        ("natural-instructions/tasks/task1146_country_capital.json", "demonstrations", "task", 231, 0),
        ("bigbench/operators/task.json", "demonstrations", "task", 211, 0),
        ("bigbench/disambiguation_qa/task.json", "demonstrations", "task", 258, 0),
        ("bigbench/gender_inclusive_sentences_german/task.json", "demonstrations", "task", 200, 0),
    ],
)
def test_published_files_are_understood_without_being_told_how(name, kind, layout, records, rejected):
    reading = read(REAL / name)
    assert (reading.kind, reading.layout) == (kind, layout)
    assert (len(reading.records), len(reading.rejected), reading.total) == (records, rejected, records + rejected)


def test_half_of_the_published_ratings_like_the_answer_and_can_be_read_as_demonstrations():
    file = REAL / "llama-factory-demo" / "kto_en_demo.json"
    assert Counter(record.liked for record in read(file).records) == {True: 150, False: 150}
    shown = read(file, kind="demonstrations")
    assert (len(shown.records), {row.field for row in shown.rejected}) == (150, {"label"})


def test_a_folder_of_natural_instructions_becomes_one_set_of_demonstrations():
    folder = REAL / "natural-instructions" / "tasks"
    reading = read(folder)
    instances = {file.stem: len(json.loads(file.read_text())["Instances"]) for file in folder.glob("*.json")}
    assert Counter(record.source for record in reading.records) == instances
    assert (len(instances), reading.layout, reading.rejected) == (7, "task", [])
    assert all(record.prompt.count("\nOutput: ") >= 2 for record in reading.records)


def test_the_early_schema_of_natural_instructions_reads_like_the_later_one():
    reading = read(next((REAL / "natural-instructions" / "early-schema").glob("*.json")), examples=1)
    assert (reading.layout, reading.total, reading.rejected) == ("task", 6500, [])
    assert reading.records[0].prompt == (
        "Definition: Given a set of five words, generate the word from the set that does not belong (i.e. is the least "
        "relevant) with the other words. Words are separated by commas.\n\n"
        "Example 1\nInput: excavator, crane, pelican, hoist, upraise\nOutput: pelican\n\n"
        "Now answer this one\nInput: waste away, dumpling, misuse, fritter, waste\nOutput:"
    )
    assert reading.records[0].completion == "dumpling"


def test_answers_of_gsm8k_keep_the_number_that_they_end_with():
    reading = read(REAL / "gsm8k" / "test.jsonl")
    finals = [re.search(r"\n#### (-?[\d,.]+)$", record.completion) for record in reading.records]
    assert len(finals) == 1319 and all(finals)
    assert [final.group(1) for final in finals[:3]] == ["18", "3", "70000"]  # as published, by reading the file


def test_the_six_identical_pairs_of_the_preference_file_are_named():
    reading = read(
        REAL / "raschka-preference" / "04_preference-tuning-with-dpo" / "instruction-data-with-preference.json"
    )
    assert (reading.kind, len(reading.records), reading.total) == ("comparisons", 1094, 1100)
    assert {(row.field, row.reason) for row in reading.rejected} == {("rejected", "both answers are the same")}
    assert [row.line for row in reading.rejected] == [856, 1584, 2802, 3964, 4398, 4734]


def test_stories_are_read_as_one_prompt_a_line():
    reading = read(REAL / "tinystories" / "tinystories_val.txt")
    text = (REAL / "tinystories" / "tinystories_val.txt").read_bytes()
    assert (reading.kind, reading.rejected) == ("prompts", [])
    assert reading.total == sum(bool(line.strip()) for line in text.split(b"\n"))


def test_a_file_that_is_no_list_of_rows_is_refused_by_name():
    from rlhf_engine.contract.errors import DataError

    with pytest.raises(DataError, match=r"dataset_info\.json holds no list of rows"):
        read(REAL / "llama-factory-demo" / "dataset_info.json")
