"""Every set that other people published is imported whole, with the rows left out that are known to be odd."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Produced, RunFinished
from rlhf_engine.data.datasets import open_dataset
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks.import_data.spec import ImportSpec

ROOT = Path(__file__).parents[4]
REAL = Path(os.environ.get("RLHF_REAL_DATA", ROOT.parent / "shared" / "real")) / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real data at {REAL}; set RLHF_REAL_DATA"),
]
TASKS = "natural-instructions/tasks"
# What is imported, what it holds, how many rows it has, and which of them are left out, by field and reason.
SETS: list[tuple[str, str, int, dict[tuple[str, str], int]]] = [
    (
        "hh-rlhf/test.jsonl.gz",
        "comparisons",
        2312,
        {
            ("chosen", "ends with an empty answer"): 4,
            ("rejected", "answers another conversation than chosen does"): 5,
        },
    ),
    ("llama-factory-demo/dpo_en_demo.json", "comparisons", 300, {}),
    ("llama-factory-demo/dpo_zh_demo.json", "comparisons", 300, {}),
    ("llama-factory-demo/kto_en_demo.json", "ratings", 300, {}),
    ("llama-factory-demo/glaive_toolcall_en_demo.json", "demonstrations", 300, {}),
    ("llama-factory-demo/alpaca_en_demo.json", "demonstrations", 999, {}),
    (
        "raschka-preference/04_preference-tuning-with-dpo/instruction-data-with-preference.json",
        "comparisons",
        1100,
        {("rejected", "both answers are the same"): 6},
    ),
    (TASKS, "demonstrations", -7, {}),
    ("natural-instructions/early-schema", "demonstrations", -1, {}),
    ("bigbench/causal_judgment/task.json", "demonstrations", 190, {}),
    ("bigbench/disambiguation_qa/task.json", "demonstrations", 258, {}),
    ("bigbench/gender_inclusive_sentences_german/task.json", "demonstrations", 200, {}),
    ("bigbench/operators/task.json", "demonstrations", 211, {}),
    ("bigbench/snarks/task.json", "demonstrations", 181, {}),
    ("bigbench/sports_understanding/task.json", "demonstrations", 1000, {}),
    ("bigbench/tense/task.json", "demonstrations", 286, {}),
    ("gsm8k/test.jsonl", "demonstrations", 1319, {}),
    ("truthfulqa/TruthfulQA.csv", "demonstrations", 817, {}),
    ("sst2/train.tsv", "prompts", 6920, {}),
    ("sst2/dev.tsv", "prompts", 872, {}),
]


def imported(root: Path, path: Path, **about: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the import said it had made, and its whole report of what was left out."""
    said: list[Any] = []
    spec = ImportSpec(path=str(path), **about)
    execute("aaaaaaaaaaaa", spec, lambda envelope: said.append(envelope.event), RunControl(), root)
    assert said[-1] == RunFinished("completed")
    (made,) = [event for event in said if isinstance(event, Produced)]
    report = (root / made.facts["report"]).read_text(encoding="utf-8")
    return made.facts, [json.loads(line) for line in report.splitlines()]


@pytest.mark.parametrize(("name", "kind", "total", "odd"), SETS, ids=[name for name, *_ in SETS])
def test_a_published_set_is_imported_whole(
    tmp_path: Path, name: str, kind: str, total: int, odd: dict[tuple[str, str], int]
) -> None:
    if total < 0:  # so many files, each a task with its own number of instances
        tasks = [json.loads(file.read_text(encoding="utf-8")) for file in (REAL / name).glob("*.json")]
        assert len(tasks) == -total
        total = sum(len(task["Instances"]) for task in tasks)
    facts, left_out = imported(tmp_path, REAL / name)
    assert (facts["kind"], facts["total"], facts["rows"]) == (kind, total, total - sum(odd.values()))
    assert Counter((row["field"], row["reason"]) for row in left_out) == odd
    assert facts["rejected"] == len(left_out)
    records = open_dataset(tmp_path, facts["ref"]).records(ties=True)
    assert len(records) == facts["rows"] == facts["train"] + facts["heldout"]


def test_the_stories_are_read_line_by_line_with_the_opening_of_each(tmp_path: Path) -> None:
    facts, left_out = imported(tmp_path, REAL / "tinystories" / "tinystories_val.txt")
    assert (facts["kind"], facts["rows"], left_out) == ("prompts", 4356, [])  # the lines of the file that are not blank
    prompts = [str(record.prompt) for record in open_dataset(tmp_path, facts["ref"]).records()]
    assert sum(prompt.startswith(("Once upon a time", "One day")) for prompt in prompts) == 988  # about 1,000 stories


def test_the_wrong_answers_of_truthfulqa_make_comparisons(tmp_path: Path) -> None:
    facts, left_out = imported(tmp_path, REAL / "truthfulqa" / "TruthfulQA.csv", kind="comparisons")
    assert facts["rows"] + len(left_out) == facts["total"] == 817
    assert facts["rows"] >= 810
