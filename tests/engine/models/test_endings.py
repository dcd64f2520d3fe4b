"""Which end token is used, and when a person is warned about it."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rlhf_engine.models.endings import endings_of, twins
from tests.engine.tiny import tiny_tokenizer

END, USER, OTHERS = 1, 3, range(200, 210)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        eos_token_id=END,
    )
    return LlamaForCausalLM(config)


def never_train(model, *tokens):
    with torch.no_grad():
        model.lm_head.weight[list(tokens)] = model.lm_head.weight[OTHERS[0]].clone()


def test_rows_that_are_copies_are_counted_without_the_row_itself():
    weight = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.00001], [1.0, 0.1], [0.0, 0.0], [0.0, 0.0]])
    assert [twins(weight, token) for token in range(6)] == [2, 2, 2, 0, 1, 1]
    assert twins(weight, 6) == 0, "a tokenizer may know more tokens than the model"


def test_the_tokenizers_own_end_comes_first(model):
    model.generation_config.eos_token_id = [USER, END]
    endings = endings_of(model, tiny_tokenizer())
    assert (endings.ids, endings.note) == ((END, USER), "")


def test_an_end_that_was_never_trained_gives_way_to_one_that_was(model):
    model.generation_config.eos_token_id = [END, USER]
    never_train(model, END, *OTHERS)
    tokenizer = tiny_tokenizer()
    endings = endings_of(model, tokenizer)
    assert endings.ids == (USER, END), "the model still stops at both"
    assert tokenizer.eos_token_id == USER, "what is appended to a demonstration is what ends an answer"
    assert "'<|end|>' was never trained: the model cannot tell it from 10 other tokens." in endings.note
    assert "Answers end with '<|user|>' instead" in endings.note


def test_without_another_end_the_person_is_warned_and_nothing_changes(model):
    never_train(model, END, *OTHERS)
    tokenizer = tiny_tokenizer()
    endings = endings_of(model, tokenizer)
    assert (endings.ids, tokenizer.eos_token_id) == ((END,), END)
    assert "Answers may never learn to end." in endings.note and endings.hint
