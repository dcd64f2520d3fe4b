"""A random two-layer Llama with its own small tokenizer, written to disk in a second: real files and no download."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

LINES = (
    "The lamp is on the table.",
    "A heron stood in the shallow water, waiting for a fish.",
    "Question: what colour is the sky? Answer: blue, most of the time.",
    "Please write two sentences about the old harbour.",
    "I do not know, but we can find out together.",
    "1 + 2 = 3, and 4 + 5 = 9.",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
PAD, END = 0, 1


def tiny_tokenizer(vocabulary: int = 320, chat: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE: pad is 0, end is 1, the roles are 2 to 4, and any text comes back as it was."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[END],
        additional_special_tokens=list(SPECIAL[2:]),
        model_max_length=256,
    )
    if chat:
        fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_model(folder: Path, seed: int = 0, chat: bool = True, hidden: int = 32, spread: float = 0.3) -> Path:
    """Write the model into `folder` and return it.

    `spread` is the standard deviation of the weights: far wider than usual, so that an untrained model has opinions.
    """
    tokenizer = tiny_tokenizer(chat=chat)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=spread,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
