"""Supervised fine-tuning beside trl.SFTTrainer: from text to gradients, each side with its own tokenising and cutting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from rlhf_engine.data.chat import Rendered, render
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tasks.sft.train import learn
from tests.oracle.ours import Step, assert_agree, open_ours, our_step
from tests.oracle.theirs import open_theirs, settings, their_step

ROWS = (
    ("What colour is the sky?", "Blue, most of the time."),
    ("Where is the lamp?", "On the table."),
    ("Write about the harbour.", "The old harbour is quiet. A heron stood in the shallow water."),
    ("1 + 2", "3"),
    ("Who knows?", "I do not know, but we can find out together."),
)
CHAT = [
    {"prompt": [{"role": "user", "content": p}], "completion": [{"role": "assistant", "content": c}]} for p, c in ROWS
]


def trainer(folder: Path, out: Path, rows: list[dict], micro_batch: int, **more) -> SFTTrainer:
    weights = open_ours(folder, "policy").state("policy")
    return SFTTrainer(
        model=open_theirs(folder, weights),
        args=SFTConfig(**settings(out, len(rows), micro_batch, **more)),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )


def our_sft(folder: Path, root: Path, rows: list[Rendered], micro_batch: int) -> Step:
    backbone = open_ours(folder, "policy")
    spec = SFTSpec(model="m", dataset="d", batch_size=len(rows), micro_batch_size=micro_batch, device="cpu")
    return our_step(backbone, "policy", root, lambda run, optimizer: learn(backbone, rows, spec, run, optimizer, 1e-4))


@pytest.mark.parametrize(("ours", "theirs"), [(5, 5), (2, 3)])
def test_loss_and_gradients_agree_however_the_step_is_cut(folder, tmp_path, ours, theirs):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [render(tokenizer, p, c, "chat") for p, c in ROWS]
    assert_agree(
        our_sft(folder, tmp_path, rows, micro_batch=ours),
        their_step(trainer(folder, tmp_path, CHAT, micro_batch=theirs)),
    )


def test_a_chat_becomes_the_same_tokens_and_the_same_mask(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    theirs = trainer(folder, tmp_path, CHAT, 5).train_dataset
    for (prompt, answer), row in zip(ROWS, theirs, strict=True):
        ours = render(tokenizer, prompt, answer, "chat")
        assert ours.ids == row["input_ids"]
        assert [i if on else -100 for i, on in zip(ours.ids, ours.completion_mask, strict=True)] == row["labels"]
