"""Runs on weights and data that other people published: conversations, and tasks as a mixture."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from resources import starter
from rlhf_engine.contract.events import Alert
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.reading import read
from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.turns import example
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.small_project import curve, ended_well

ROOT = Path(__file__).parents[4]
REAL = Path(os.environ.get("RLHF_REAL_DATA", ROOT.parent / "shared" / "real"))
pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real data at {REAL}; set RLHF_REAL_DATA"),
]
STORIES = str(REAL / "weights" / "stories260K")
QUICK = {"device": "cpu", "sample_every": 0, "evaluate_every": 0, "micro_batch_size": 4, "learning_rate": 1e-2}


def first_and_last(said):
    assert ended_well(said)
    steps = curve(said)
    return steps[1], steps[max(steps)]


def beginnings(tokenizer, longest):
    """Real conversations up to the last answer of the assistant with which they still fit."""
    rows = []
    for whole in read(REAL / "data/llama-factory-demo/glaive_toolcall_en_demo.json").records:
        talk = [*whole.prompt, {"role": "assistant", "content": whole.completion}]
        ends = [n for n, turn in enumerate(talk) if turn["role"] == "assistant" and talk[n - 1]["role"] == "user"]
        cut = [Demonstration(talk[:n], talk[n]["content"]) for n in ends]
        rows += [row for row in cut if len(example(tokenizer, row).ids) <= longest][-1:]
    return rows


@pytest.mark.parametrize(("model", "longest"), [("starter", 256), (STORIES, 384)])
def test_conversations_teach_every_turn_whatever_lies_beside_them(small, model, longest):
    tokenizer = AutoTokenizer.from_pretrained(starter.MODEL if model == "starter" else model)
    rows = sorted(beginnings(tokenizer, longest), key=lambda row: -len(row.prompt))[:24]  # those of several turns first
    assert sum(len(row.prompt) > 2 for row in rows) > 5
    dataset = freeze(small.root, "demonstrations", rows, "conversations", "test").ref
    common = {"model": model, "dataset": dataset, "batch_size": 8, "max_tokens": longest, "epochs": 2.0, **QUICK}
    turns, packed, answer = (
        first_and_last(small.run(f"{longest}-{n}", SFTSpec(**common | settings)))
        for n, settings in enumerate(
            ({"trained_on": "assistant turns"}, {"trained_on": "assistant turns", "packing": True}, {})
        )
    )
    assert turns[0]["train/tokens"] > 1.05 * answer[0]["train/tokens"]
    assert turns[1]["train/loss"] < 0.95 * turns[0]["train/loss"]
    assert packed[0]["train/loss"] == pytest.approx(turns[0]["train/loss"], abs=1e-5)
    assert packed[1]["train/loss"] == pytest.approx(turns[1]["train/loss"], abs=1e-2)
    assert packed[0]["train/padding"] < turns[0]["train/padding"]


def test_tasks_are_a_mixture(small):
    tasks = REAL / "data" / "natural-instructions" / "tasks"
    names = ("task1146_country_capital", "task1509_evalution_antonyms", "task868_mawps_singleop_question_answering")
    refs = []
    for name in names:
        reading = read(tasks / f"{name}.json", examples=1)
        refs.append(freeze(small.root, reading.kind, reading.records[:100], name, "test").ref)
    mixture = [{"kind": "dataset", "dataset": ref} for ref in refs[1:]]
    spec = SFTSpec(
        model=STORIES,
        dataset=refs[0],
        mixture=mixture,
        batch_size=12,
        max_tokens=512,
        epochs=0.7,
        packing=True,
        **QUICK,
    )
    said = small.run("tasks", spec)
    first, last = first_and_last(said)
    for name in names:
        assert last[f"train/loss/{name}"] < 0.9 * first[f"train/loss/{name}"]
        assert 0.3 < last[f"train/epoch/{name}"] < 1.5
    assert last["train/padding"] < 0.2
    assert not [e for e in said if isinstance(e.event, Alert) and "country" in e.event.text]
