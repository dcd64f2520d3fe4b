"""Online DPO beside TRL's trainer of it, which it keeps among its experiments: two given answers to each prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoTokenizer
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.groups import best_and_worst
from rlhf_engine.runtime.context import Means
from rlhf_engine.tasks.online_dpo.spec import OnlineDPOSpec
from rlhf_engine.tasks.online_dpo.train import minibatch
from tests.oracle.ours import Step, assert_agree, open_ours, our_step
from tests.oracle.practice import GROUP, LONGEST, PROMPTS, answer_ids, our_rollout, prompt_ids
from tests.oracle.texts import said
from tests.oracle.theirs import open_theirs, settings, their_step

TAKEN = [0, 1, GROUP, GROUP + 1]  # the first two answers to each prompt
SCORES = [0.5, 2.0, 1.0, -1.0]


def our_online(folder: Path, root: Path, **loss: Any) -> Step:
    backbone = open_ours(folder, "policy", "old", "reference")
    actors = Actors(backbone, None, None)  # type: ignore[arg-type]
    found = our_rollout(backbone, temperature=1.0)
    rows = torch.tensor(TAKEN)
    found = replace(found, batch=found.batch.rows(rows), ref_logp=found.ref_logp[rows], mask=found.mask[rows])
    pairs = best_and_worst(torch.tensor(SCORES), 2)
    about = {"group_size": 2, "batch_size": 4, "minibatch_size": 4, "micro_batch_size": 2, "temperature": 1.0}
    spec = OnlineDPOSpec(policy="p", reward_model="r", dataset="d", device="cpu", **about | loss)

    def learn(run: Any, optimizer: Any) -> dict[str, float]:
        means = Means()
        assert minibatch(spec, run, actors, found, pairs, torch.arange(2), means)
        run.step(optimizer, 0.0, 1.0)
        return {"train/loss": means.result()["policy/loss"]}

    return our_step(backbone, "policy", root, learn)


def their_online(folder: Path, out: Path, **loss: Any) -> Step:
    ours = open_ours(folder, "policy", "old", "reference")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = answer_ids(tokenizer)
    given = [0, GROUP, 1, GROUP + 1]  # all first answers, then all second ones
    worth = {tuple(answers[i]): score for i, score in zip(TAKEN, SCORES, strict=True)}

    def reward(completion_ids: list[list[int]], **_: Any) -> list[float]:
        ends = [ids.index(tokenizer.eos_token_id) + 1 for ids in completion_ids]
        return [worth[tuple(ids[:end])] for ids, end in zip(completion_ids, ends, strict=True)]

    made = OnlineDPOTrainer(
        model=open_theirs(folder, ours.state("policy")),
        ref_model=open_theirs(folder, ours.state("reference")),
        reward_funcs=reward,
        args=OnlineDPOConfig(**settings(out, 2, 2, max_new_tokens=LONGEST, max_length=200, **loss)),
        train_dataset=Dataset.from_list([{"prompt": said("user", prompt)} for prompt in PROMPTS]),
        processing_class=tokenizer,
    )
    prompts = prompt_ids(ours)
    batch = Batch.of(ours, [prompts[i] for i in given], [answers[i] for i in given])
    split = batch.prompt_width
    parts = (batch.ids[:, :split], batch.attention[:, :split], batch.answer_ids, batch.attention[:, split:])
    made._generate = lambda *_: (*parts, None)
    return their_step(made)


def test_the_better_answer_is_raised_over_the_other_by_both(folder, tmp_path):
    assert_agree(our_online(folder, tmp_path, beta=0.4), their_online(folder, tmp_path, beta=0.4))


def test_ipo_of_sums_agrees(folder, tmp_path):
    """Here TRL's experiment takes sums, where its DPO trainer takes means; ours takes means in both unless told."""
    theirs = their_online(folder, tmp_path, beta=0.4, loss_type="ipo")
    assert_agree(our_online(folder, tmp_path, beta=0.4, loss="ipo", lengths="sum"), theirs)
