"""Supervised fine-tuning beside trl.SFTTrainer: from text to gradients, each side tokenising and cutting by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from rlhf_engine.data.chat import render
from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.turns import ALL, TURNS, Example, example
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tasks.sft.train import learn
from tests.oracle.ours import CPU, Step, assert_agree, open_ours, our_step
from tests.oracle.texts import said
from tests.oracle.theirs import open_theirs, settings, their_step

ROWS = (
    ("What colour is the sky?", "Blue, most of the time."),
    ("Where is the lamp?", "On the table."),
    ("Write about the harbour.", "The old harbour is quiet. A heron stood in the shallow water."),
    ("1 + 2", "3"),
    ("Who knows?", "I do not know, but we can find out together."),
)
CHAT = [{"prompt": said("user", p), "completion": said("assistant", c)} for p, c in ROWS]


def trainer(
    folder: Path, out: Path, rows: list[dict], micro_batch: int, tokenizer=None, model=None, **more
) -> SFTTrainer:
    return SFTTrainer(
        model=model or open_theirs(folder, open_ours(folder, "policy").state("policy")),
        args=SFTConfig(**settings(out, len(rows), micro_batch, **more)),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer or AutoTokenizer.from_pretrained(folder),
    )


def our_sft(folder: Path, root: Path, rows: list[Example], micro_batch: int, **changed: Any) -> Step:
    backbone = open_ours(folder, "policy")
    about = {"batch_size": len(rows), "micro_batch_size": micro_batch, "device": "cpu", **changed}
    spec = SFTSpec(model="m", dataset="d", **about)
    return our_step(backbone, "policy", root, lambda run, optimizer: learn(backbone, rows, spec, run, optimizer, 1e-4))


@pytest.mark.parametrize(("ours", "theirs"), [(5, 5), (2, 3)])
def test_loss_and_gradients_agree_however_the_step_is_cut(folder, tmp_path, ours, theirs):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [example(tokenizer, Demonstration(p, c), "chat") for p, c in ROWS]
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


def test_plain_text_gets_the_same_tokens_once_the_space_is_written(folder, tmp_path):
    """We put a space between a prompt and its answer where neither has one; TRL joins the two as they are.

    Ours is right for files whose answers do not begin with a space: "Answer:" and "Blue" are two words.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    spaced = [{"prompt": p, "completion": f" {c}"} for p, c in ROWS]
    theirs = trainer(folder, tmp_path, spaced, 5).train_dataset
    for (prompt, answer), row in zip(ROWS, theirs, strict=True):
        ours = render(tokenizer, prompt, answer, "plain")
        assert ours.ids == row["input_ids"]
        assert ours.prompt_length == row["labels"].count(-100)


NEWLINE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_what_a_template_writes_after_the_end_token_is_trained_by_them_alone(folder, tmp_path):
    """ChatML and its kin write a newline after the end token. TRL's mask runs to the end of the text, so it also
    trains what follows the end, which no sampler ever gets to write. Our answer ends with its end token, once.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = NEWLINE
    theirs = trainer(folder, tmp_path, CHAT, 5, tokenizer=tokenizer).train_dataset
    for (prompt, answer), row in zip(ROWS, theirs, strict=True):
        ours = render(tokenizer, prompt, answer, "chat")
        assert row["input_ids"] == [*ours.ids, *tokenizer("\n").input_ids]
        assert ours.ids[-1] == tokenizer.eos_token_id and row["labels"][-1] != -100


UNENDED = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_a_template_without_an_end_token_teaches_to_stop_only_here(folder, tmp_path):
    """TRL adds an end token to plain text but not to a chat; we add it to both, or no answer would ever end."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = UNENDED
    theirs = trainer(folder, tmp_path, CHAT, 5, tokenizer=tokenizer).train_dataset
    for (prompt, answer), row in zip(ROWS, theirs, strict=True):
        assert [*row["input_ids"], tokenizer.eos_token_id] == render(tokenizer, prompt, answer, "chat").ids


def test_packed_rows_agree(folder, tmp_path):
    """Both lay examples end to end where none sees another: ours by a mask, theirs by positions that begin again."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [example(tokenizer, Demonstration(p, c), "chat") for p, c in ROWS]
    theirs = trainer(folder, tmp_path, CHAT, 1, packing=True, max_length=80)
    assert 1 < len(theirs.train_dataset) < len(ROWS)
    assert_agree(our_sft(folder, tmp_path, rows, 1, packing=True, max_tokens=80), their_step(theirs))


def test_training_on_all_tokens_agrees(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [example(tokenizer, Demonstration(p, c), "chat", ALL) for p, c in ROWS]
    theirs = their_step(trainer(folder, tmp_path, CHAT, 2, completion_only_loss=False))
    assert_agree(our_sft(folder, tmp_path, rows, 2), theirs)


MARKED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|assistant|>{% generation %}"
    "{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def test_every_turn_of_the_assistant_is_trained_by_both(folder, tmp_path):
    """TRL asks the template where they are; we read it off the ids, so that no template need be marked."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    turns = [
        [*said("system", "Be brief."), *said("user", "Who?"), *said("assistant", "Me."), *said("user", "Where?")],
        [*said("user", ROWS[0][0]), *said("assistant", ROWS[0][1]), *said("user", ROWS[1][0])],
    ]
    answers = ["On the table.", ROWS[1][1]]
    rows = [example(tokenizer, Demonstration(t, a), "chat", TURNS) for t, a in zip(turns, answers, strict=True)]
    whole = [{"messages": [*t, *said("assistant", a)]} for t, a in zip(turns, answers, strict=True)]
    marked = AutoTokenizer.from_pretrained(folder)
    marked.chat_template = MARKED
    made = trainer(folder, tmp_path, whole, 2, tokenizer=marked, assistant_only_loss=True)
    for ours, theirs in zip(rows, made.train_dataset, strict=True):
        assert ours.ids == theirs["input_ids"]
        assert [i if on else -100 for i, on in zip(ours.ids, ours.trained, strict=True)] == theirs["labels"]
    assert_agree(our_sft(folder, tmp_path, rows, 1), their_step(made))


def test_the_gradient_of_every_weight_agrees_where_all_are_trained(folder, tmp_path):
    """Embeddings, norms and output layer too: our role with a copy of all weights beside their bare model."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [example(tokenizer, Demonstration(p, c), "chat") for p, c in ROWS]
    backbone = Backbone(load_base(str(folder), CPU, torch.float32))
    backbone.add("policy", None, trainable=True)
    spec = SFTSpec(model="m", dataset="d", batch_size=5, micro_batch_size=2, device="cpu")
    ours = our_step(backbone, "policy", tmp_path, lambda run, opt: learn(backbone, rows, spec, run, opt, 1e-5))
    theirs = their_step(trainer(folder, tmp_path, CHAT, 3, model=AutoModelForCausalLM.from_pretrained(folder)))
    assert {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"} < ours.gradients.keys()
    assert_agree(ours, theirs)
