"""Weights and data that other people published, through the command as a person would type it.

The folder is given by RLHF_REAL_DATA; none of it belongs to this repository.
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from rlhf_engine.cli import main
from rlhf_engine.store.project import Project
from rlhf_engine.store.runs import RunsReader

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("RLHF_REAL_DATA", ROOT.parent / "shared" / "real")).absolute()
STORIES, OTHER = REAL / "weights" / "stories260K", REAL / "weights" / "TinyStories-656K"
HH = REAL / "data" / "hh-rlhf" / "test.jsonl.gz"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real weights and data at {REAL}; set RLHF_REAL_DATA"),
]
TRAINING = {"max_tokens": 512, "device": "cpu", "sample_every": 0, "batch_size": 4, "micro_batch_size": 4}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("real") / "project"
    Project.create(root).close()
    return root


@pytest.fixture(autouse=True)
def _place(project, monkeypatch, tmp_path):
    monkeypatch.setenv("RLHF_PROJECT", str(project))
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def said(capfd):
    def do(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        assert main(words) == code, "".join(capfd.readouterr())
        return capfd.readouterr().out

    return do


def imported(project: Path, out: str) -> tuple[str, dict[str, object]]:
    """The reference that an import told, and the dataset's card."""
    ref = re.search(r"Use it as (dataset:([0-9a-f]{16}))", out)
    assert ref, out
    return ref[1], json.loads((project / "datasets" / ref[2] / "card.json").read_text())


def written(name: str, body: dict[str, object]) -> str:
    Path(name).write_text(json.dumps(body))
    return name


def runs(project: Path):
    reader = RunsReader(project)
    found = {run.name: run for run in reader.runs()}
    reader.close()
    return found


def curves_of(project: Path, run_id: str) -> dict[str, list[tuple[int, float]]]:
    reader = RunsReader(project)
    found = reader.metrics(run_id)
    reader.close()
    return found


# Imports ------------------------------------------------------------------------------------------------------------


def test_hh_is_imported_with_its_nine_odd_rows_named_by_line(said, project):
    out = said("import", str(HH))
    assert re.search(r"2,303 of 2,312 rows are comparisons: 2,084 to train on, 219 held out\.", out)
    assert "Read as hh: chosen from 'chosen', rejected from 'rejected'." in out
    assert "9 rows were left out:" in out
    empty = [f"  line {n}, chosen: ends with an empty answer" for n in (87, 517, 926, 1104)]
    torn = [
        f"  line {n}, rejected: answers another conversation than chosen does" for n in (1255, 1689, 1951, 1953, 2037)
    ]
    assert [line for line in out.splitlines() if line.startswith("  line")] == [*empty, *torn]
    assert imported(project, out)[1]["rows"] == 2303


@pytest.mark.parametrize(
    ("file", "counts", "layout"),
    [
        ("llama-factory-demo/dpo_en_demo.json", "300 of 300 rows are comparisons", "sharegpt"),
        ("llama-factory-demo/dpo_zh_demo.json", "300 of 300 rows are comparisons", "sharegpt"),
        ("llama-factory-demo/kto_en_demo.json", "300 of 300 rows are ratings", "kto"),
        ("natural-instructions/tasks", "8,433 of 8,433 rows are demonstrations", "task"),
        ("bigbench/snarks/task.json", "181 of 181 rows are demonstrations", "task"),
        ("llama-factory-demo/alpaca_en_demo.json", "999 of 999 rows are demonstrations", "alpaca"),
        ("llama-factory-demo/glaive_toolcall_en_demo.json", "300 of 300 rows are demonstrations", "sharegpt"),
        ("raschka-preference/01_main-chapter-code/instruction-data.json", "1,100 of 1,100 rows are demo", "alpaca"),
        ("sst2/train.tsv", "6,920 of 6,920 rows are prompts", "native"),
        ("tinystories/tinystories_val.txt", "4,356 of 4,356 rows are prompts", "text"),
        ("gsm8k/test.jsonl", "1,319 of 1,319 rows are demonstrations", "native"),
    ],
)
def test_published_files_are_imported_without_being_told_how(said, project, file, counts, layout):
    out = said("import", str(REAL / "data" / file))
    assert counts in out and re.search(rf"\b[Rr]ead as {layout}\b", out)
    card = imported(project, out)[1]
    assert card["rows"] == card["train"] + card["heldout"] == int(counts.split()[0].replace(",", ""))


def test_identical_pairs_are_left_out_by_their_lines(said):
    file = REAL / "data/raschka-preference/04_preference-tuning-with-dpo/instruction-data-with-preference.json"
    out = said("import", str(file))
    assert "1,094 of 1,100 rows are comparisons" in out and "6 rows were left out:" in out
    lines = [int(n) for n in re.findall(r"line (\d+), rejected: both answers are the same", out)]
    assert lines == [856, 1584, 2802, 3964, 4398, 4734]


def test_an_import_in_json_counts_the_same_rows(said):
    events = [json.loads(line) for line in said("import", str(HH), "--json").splitlines()]
    assert (events[0]["kind"], events[-1]["kind"]) == ("RunStarted", "RunFinished")
    facts = next(event["facts"] for event in events if event["kind"] == "Produced")
    assert facts["rows"] + facts["rejected"] == facts["total"] == 2312
    assert facts["train"] + facts["heldout"] == facts["rows"]
    assert [row["line"] for row in facts["rejected_rows"]] == [87, 517, 926, 1104, 1255, 1689, 1951, 1953, 2037]


# Weights ------------------------------------------------------------------------------------------------------------


def test_stories_are_told_word_for_word_as_their_author_has_them(said):
    asked = ("--temperature", "0", "--max-new-tokens", "60")
    story = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    assert ("Once upon a time" + said("chat", str(STORIES), "--prompt", "Once upon a time", *asked)).startswith(story)


def test_weights_with_only_the_output_layer_of_a_tied_pair_are_whole(said):
    asked = ("chat", str(OTHER), "--prompt", "Once upon a time", "--max-new-tokens", "300", "--seed", "0")
    events = [json.loads(line) for line in said(*asked, "--json").splitlines()]
    answer = next(event["facts"]["answers"][0] for event in events if event["kind"] == "Produced")
    assert answer["finish"] == "eos", "a story ends"
    assert answer["logprob_sum"] / answer["tokens"] > -4, "random weights would give -7.6, the log of 2,048 tokens"
    assert "<|start_story|>" not in answer["text"]


# All of RLHF --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(project) -> str:
    """A slice of HH, imported once; it has rows that are longer than the model's context."""
    import gzip

    file = project.parent / "hh.jsonl"
    with gzip.open(HH, "rt", encoding="utf-8") as lines:
        file.write_text("".join(line for line, _ in zip(lines, range(160), strict=False)), encoding="utf-8")
    assert main(["import", str(file), "--project", str(project)]) == 0
    return next(
        f"dataset:{p.parent.name}" for p in (project / "datasets").glob("*/card.json") if "hh.jsonl" in p.read_text()
    )


def test_one_import_of_comparisons_feeds_sft_reward_model_and_ppo(said, project, pairs):
    began = time.monotonic()
    sft = {"task": "sft", "model": str(STORIES), "dataset": pairs, "epochs": 0.15, "learning_rate": 2e-3}
    out = said("run", written("sft.json", {**sft, **TRAINING, "checkpoint_every": 2}), "--name", "sft")
    assert re.search(
        r"\d+ of \d+ demonstrations \(train\) are longer than 512 tokens \(up to [\d,]+\) and were left", out
    )
    assert "The model reads no more than 512 tokens" in out

    reward = {"task": "reward", "model": f"run:{runs(project)['sft'].id}", "dataset": pairs, "epochs": 0.12}
    reward |= {"normalise_on": 8, "response_tokens": 8, "evaluate_every": 0}
    out = said("run", written("reward.json", {**reward, **TRAINING}), "--name", "reward")
    assert re.search(r"\d+ of \d+ comparisons \(train\) are longer than 512 tokens", out)

    ppo = {"task": "ppo", "policy": "run:sft", "reward_model": "run:reward", "dataset": pairs, "updates": 4}
    ppo |= {"minibatch_size": 4, "response_tokens": 8, "checkpoint_every": 2, "epochs": 1}
    out = said("run", written("ppo.json", {**ppo, **TRAINING}), "--name", "ppo")
    assert re.search(r"\d+ of \d+ prompts are longer than 504 tokens", out), "an answer of 8 tokens has to fit as well"

    found = runs(project)
    assert {name: found[name].state for name in ("sft", "reward", "ppo")} == dict.fromkeys(
        ("sft", "reward", "ppo"), "completed"
    )
    for name in ("sft", "reward", "ppo"):
        curves = curves_of(project, found[name].id)
        assert all(math.isfinite(value) for curve in curves.values() for _, value in curve), name
    first = {name: curve[0][1] for name, curve in curves_of(project, found["ppo"].id).items()}
    assert first["objective/kl_sequence"] == 0.0, "the policy is its own reference before the first update"
    assert first["policy/ratio_mean"] == pytest.approx(1.0, abs=1e-6)

    assert said("chat", "run:ppo", "--prompt", "Once upon a time", "--max-new-tokens", "8").strip()
    for form in ("merged", "adapter"):
        out = said("export", "run:ppo", "--form", form)
        assert "agreement: 1" in out and re.search(r"compared: Reloaded from disk .* 100\.0% of \d+", out)
    assert "ppo" in said("list") and "objective/kl_sequence" in said("show", "ppo")
    assert time.monotonic() - began < 240  # about 40 s alone on one core; this machine may be shared


def test_sentences_of_a_table_serve_as_prompts(said, project, pairs):
    if "reward" not in runs(project):
        pytest.skip("the chain did not get as far as a reward model")
    ppo = {"task": "ppo", "policy": "run:sft", "reward_model": "run:reward", "updates": 2, "minibatch_size": 4}
    ppo |= {"dataset": str(REAL / "data" / "sst2" / "dev.tsv"), "response_tokens": 8, "epochs": 1}
    out = said("run", written("sst2.json", {**ppo, **TRAINING, "max_tokens": 128}), "--name", "sst2")
    assert "Completed." in out
    assert "20 of 795 prompts are longer than 120 tokens" in out
    assert "Raise the longest example (128 tokens; the model reads up to 512), or lower the response length (8)." in out


@pytest.mark.parametrize(
    ("task", "file", "first"),
    [("dpo", "dpo_en_demo.json", math.log(2)), ("kto", "kto_en_demo.json", 0.5), ("simpo", "dpo_en_demo.json", None)],
)
def test_published_preferences_are_learned_from_where_they_lie(said, project, task, file, first):
    """Conversations with a better and a worse ending, and answers liked or not: most too long for this model."""
    spec = {"task": task, "model": str(STORIES), "dataset": str(REAL / "data" / "llama-factory-demo" / file)}
    spec |= {"epochs": 0.3, "batch_size": 4, "micro_batch_size": 2, "learning_rate": 1e-3, "max_tokens": 512}
    spec |= (
        {"balance": "given"} if task == "kto" else {}
    )  # otherwise the rarer class weighs more, and the loss is higher
    out = said("run", written(f"{task}.json", {**spec, "sample_every": 0, "evaluate_every": 2}), "--name", task)
    assert "are longer than 512 tokens" in out and "Completed." in out
    curves = curves_of(project, runs(project)[task].id)
    assert all(math.isfinite(value) for curve in curves.values() for _, value in curve)
    if first is not None:
        assert curves["train/loss"][0] == (1, pytest.approx(first, abs=1e-6))
        assert curves["train/margin"][0] == (1, 0.0)


def test_a_model_whose_tokenizers_end_token_was_never_trained_learns_to_end_with_its_other_one(said):
    """Id 2, the tokenizer's end, has the same row in the output layer as 168 other tokens; a new story is id 1."""
    names = ("Lily", "Tom", "Ben", "Mia", "Sam", "Anna", "Max", "Sue", "Tim", "Jane", "Spot", "Bob") * 3
    rows = [{"prompt": f"{name} said", "completion": "hi."} for name in names]
    Path("short.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sft = {"task": "sft", "model": str(STORIES), "dataset": "short.jsonl", "epochs": 8, "learning_rate": 5e-3}
    out = said("run", written("short.json", {**sft, **TRAINING, "evaluate_every": 0}), "--name", "short")
    assert "The end token '</s>' was never trained: the model cannot tell it from 168 other tokens." in out
    assert "Answers end with '<s>' instead, its other end token." in out
    asked = ("chat", "run:short", "--prompt", "Lily said", "--temperature", "0", "--max-new-tokens", "20", "--json")
    events = [json.loads(line) for line in said(*asked).splitlines()]
    answer = next(event["facts"]["answers"][0] for event in events if event["kind"] == "Produced")
    assert (answer["text"], answer["finish"]) == ("hi.", "eos")
    last = [event for event in events if event["kind"] == "Text"][-1]["tokens"][-1]
    assert last["text"] == "<s>"


def test_a_killed_run_is_shown_as_interrupted_and_ends_as_if_it_never_was(said, project, pairs, tmp_path):
    sft = {"task": "sft", "model": str(STORIES), "dataset": pairs, "epochs": 0.2, **TRAINING}
    file = written("long.json", {**sft, "checkpoint_every": 1, "evaluate_every": 0})
    said("run", file, "--name", "whole")
    command = [sys.executable, "-m", "rlhf_engine", "run", file, "--name", "cut", "--json"]
    going = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    )
    for line in going.stdout:
        if '"kind": "CheckpointSaved"' in line and json.loads(line)["step"] >= 2:
            break
    going.send_signal(signal.SIGKILL)
    going.communicate()
    assert runs(project)["cut"].state == "interrupted"
    out = said("resume", "cut")
    assert "Completed." in out
    found = runs(project)
    loss = "train/loss"
    assert curves_of(project, found["cut"].id)[loss] == curves_of(project, found["whole"].id)[loss]
