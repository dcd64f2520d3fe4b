"""A prompt that is padded on the left, under a model that counts positions instead of turning by them (GPT-2, OPT)."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel
from trl import GRPOConfig, GRPOTrainer

from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.rollouts.actors import Actors
from rlhf_engine.rollouts.batch import Batch
from tests.engine.tiny import END, PAD, tiny_tokenizer
from tests.oracle.ours import CPU
from tests.oracle.texts import said
from tests.oracle.theirs import settings

PROMPTS, ANSWERS = [[7, 8, 9, 10, 11, 12], [20, 21]], [[30, 31, END], [40, 41, 42, END]]


@pytest.fixture
def counting(tmp_path) -> Path:
    tokenizer = tiny_tokenizer()
    shape = GPT2Config(vocab_size=len(tokenizer), n_positions=64, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3)
    shape.bos_token_id, shape.eos_token_id, shape.pad_token_id = None, END, PAD
    with torch.random.fork_rng():
        torch.manual_seed(0)
        GPT2LMHeadModel(shape).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


@torch.no_grad()
def test_our_positions_begin_with_the_prompt_and_theirs_with_its_padding(counting, tmp_path):
    """So there, the log-probabilities with which TRL's online trainers learn depend on the longest prompt of the batch;
    the model that generated counted as we do. Llama and its kin turn by differences of positions and do not care.
    """
    backbone = Backbone(load_base(str(counting), CPU, torch.float32))
    actors = Actors(backbone, None, None)  # type: ignore[arg-type]

    def ours(prompts: list[list[int]], answers: list[list[int]]) -> torch.Tensor:
        return actors.logprobs(PLAIN, Batch.of(backbone, prompts, answers), 1.0).logp

    theirs = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(counting),
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=GRPOConfig(**settings(tmp_path, 2, 2, num_generations=2)),
        train_dataset=Dataset.from_list([{"prompt": said("user", "Who?")}]),
        processing_class=tiny_tokenizer(),
    )
    batch = Batch.of(backbone, PROMPTS, ANSWERS)
    padded, _, _ = theirs._get_per_token_logps_and_entropies(
        theirs.model.eval(), batch.ids, batch.attention, batch.answer_ids.shape[1]
    )
    alone, together = ours(PROMPTS[1:], ANSWERS[1:])[0], ours(PROMPTS, ANSWERS)
    torch.testing.assert_close(together[1], alone, rtol=0, atol=1e-4)
    torch.testing.assert_close(padded[0, :3], together[0, :3], rtol=0, atol=1e-4)  # the longest prompt is not padded
    assert (padded[1] - alone).abs().max() > 0.1
