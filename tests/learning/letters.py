"""A world so small that its best answers are known: a random two-layer Llama whose tokens are letters and an end."""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import PromptRecord

PAD, END = 0, 1


def letter_model(folder: Path, letters: str, seed: int = 0) -> Path:
    """Write a model of these letters into `folder` and return it. Every token is about as likely as any other."""
    words = ["<pad>", "<end>", *letters]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", model_max_length=64
    ).save_pretrained(folder)
    return folder


def letter_prompts(root: Path, letters: str, length: int) -> str:
    """All words of so many letters, as a dataset of prompts."""
    words = ["".join(word) for word in itertools.product(letters, repeat=length)]
    return freeze(root, "prompts", [PromptRecord(word) for word in words], letters, "test", {}).ref
