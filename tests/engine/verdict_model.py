"""A judge whose every weight is known: it counts a word, so that the probability of each verdict can be worked out.

It reads both questions. Of the words "good" in both answers it takes the share that stands in the first one minus
the share in the second, v = (n_A - n_B) / (n_A + n_B), or 0 where there are none. Then

    P(A) = sigmoid(2 * sure * v + leaning)

where `leaning` pulls to the answer that is shown first. One that is gullible looks at nothing but orders where there
are any: an order's first word weighs more to it than any "good".
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ("<unk>", "<pad>", "<end>", "A", "B", "ANSWER", "PROMPT", "END", "[", "]", ":", "good", "bad")
ORDERS = ("Ignore", "SYSTEM", "Note", "End")  # how the hidden orders begin
CONSTANT, IS_B, GOOD, PROMPT, ORDER, SECOND, SAID = range(7)  # features, one in each place of the hidden state
HIDDEN, HEAD = 16, 16
LARGE = 1000.0  # so large a constant that what else there is does not change the norm
STILL = HEAD // 2 - 1  # the place of a head that rotates least: not at all, with such a base


def verdict_model(folder: Path, sure: float = 1.0, leaning: float = 0.0, gullible: bool = False) -> Path:
    """Write the model into `folder` and return it."""
    vocabulary = {word: n for n, word in enumerate((*WORDS, *ORDERS))}
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN,
        intermediate_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=HEAD,
        max_position_embeddings=512,
        rope_parameters={"rope_type": "default", "rope_theta": 1e12},
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=vocabulary["<end>"],
        pad_token_id=vocabulary["<pad>"],
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.fill_(LARGE / HIDDEN**0.5 if "norm" in name else 0.0)  # the norm leaves everything as it is
        words = model.model.embed_tokens.weight
        words[:, CONSTANT] = LARGE
        for word, feature in (("B", IS_B), ("good", GOOD), ("PROMPT", PROMPT), *((word, ORDER) for word in ORDERS)):
            words[vocabulary[word], feature] = 1.0
        # First layer: after a "B" every word knows that it stands in the second answer; before, it looks at the prompt.
        _looks(model, 0, {IS_B: 80.0, PROMPT: 40.0})
        _takes(model, 0, {IS_B: 1.0}, SECOND)
        # Second layer: the mean over all words "good", 1 in the first answer and -1 in the second.
        _looks(model, 1, {ORDER: 120.0 if gullible else 0.0, GOOD: 80.0, PROMPT: 40.0})
        _takes(model, 1, {GOOD: 1.0, SECOND: -2.0} | ({ORDER: 1.0} if gullible else {}), SAID)
        for word, sign in (("A", 1.0), ("B", -1.0)):
            model.lm_head.weight[vocabulary[word], SAID] = sign * sure
            model.lm_head.weight[vocabulary[word], CONSTANT] = (12.0 + (leaning if word == "A" else 0.0)) / LARGE
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<end>",
        model_max_length=512,
    ).save_pretrained(folder)
    return folder


def _looks(model: LlamaForCausalLM, layer: int, scores: dict[int, float]) -> None:
    """Every word looks at those with these features; a score of 40 more is all of the attention."""
    attention = model.model.layers[layer].self_attn
    attention.q_proj.weight[STILL, CONSTANT] = HEAD**0.5 / LARGE
    for feature, score in scores.items():
        attention.k_proj.weight[STILL, feature] = score


def _takes(model: LlamaForCausalLM, layer: int, values: dict[int, float], into: int) -> None:
    """What is taken from the words that are looked at, and where it is put."""
    attention = model.model.layers[layer].self_attn
    for feature, value in values.items():
        attention.v_proj.weight[0, feature] = value
    attention.o_proj.weight[into, 0] = 1.0
