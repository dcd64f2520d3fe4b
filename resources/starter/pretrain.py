"""Trains the starter tokenizer and base model on the corpus, and measures what came out. CPU, float32, one seed.

The numbers measured go to `measures.json` beside the weights, where the card is written from.
"""

from __future__ import annotations

import json
import logging
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from resources.starter import grammar
from resources.starter.corpus import documents
from resources.starter.relations import RELATIONS
from resources.starter.world import FACTS

log = logging.getLogger(__name__)

PAD, END = "<|pad|>", "<|end|>"
VOCABULARY = 1024
CONTEXT = 256

# An answer begins with the space before its first word, so that a prompt is a token prefix of prompt + answer.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] | trim + eos_token }}"
    "{% elif message['role'] == 'system' %}{{ 'System: ' + message['content'] | trim }}"
    "{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] | trim }}"
    "{% else %}{{ raise_exception('This template knows the roles system, user and assistant.') }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\nAssistant:' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Pretraining:
    """Everything chosen for the base model. `documents` includes the `held_out` ones, which are never trained on."""

    seed: int = 1
    documents: int = 62_000
    held_out: int = 1_000
    epochs: int = 2
    batch_rows: int = 8
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 512
    threads: int = 2

    def corpus(self) -> tuple[list[str], list[str]]:
        """(to train on, held out). A held-out document is not among the others."""
        held = list(documents(self.seed + 1, self.held_out))
        kept = set(held)
        return [d for d in documents(self.seed, self.documents - self.held_out) if d not in kept], held


# ── tokenizer ────────────────────────────────────────────────────────────────────────────────────────────────


def train_tokenizer(chosen: Pretraining, folder: Path) -> PreTrainedTokenizerFast:
    """Byte-level BPE over the corpus, saved to the folder with the chat template."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(chosen.corpus()[0], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        eos_token=END,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    log.info("tokenizer: %d tokens", len(tokenizer))
    return tokenizer


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return tokenizer


# ── model ────────────────────────────────────────────────────────────────────────────────────────────────────


def pack(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Tensor:
    """Rows [n, CONTEXT + 1] of whole documents, each begun and ended by the end token, padded at the right."""
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    rows: list[list[int]] = []
    row = [end]
    for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        if len(row) + len(ids) + 1 > CONTEXT + 1:
            rows.append(row)
            row = [end]
        row = [*row, *ids[: CONTEXT - 1], end]
    rows.append(row)
    return torch.tensor([row + [pad] * (CONTEXT + 1 - len(row)) for row in rows])


def _loss(model: LlamaForCausalLM, rows: Tensor, pad: int) -> Tensor:
    """Mean negative log-likelihood over the tokens that are not padding. -> ()"""
    logits = model(input_ids=rows[:, :-1]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), ignore_index=pad)


def new_model(chosen: Pretraining, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    torch.manual_seed(chosen.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=chosen.hidden,
            intermediate_size=chosen.inner,
            num_hidden_layers=chosen.layers,
            num_attention_heads=chosen.heads,
            num_key_value_heads=chosen.heads,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _batches(rows: Tensor, chosen: Pretraining) -> Iterator[Tensor]:
    order = torch.Generator().manual_seed(chosen.seed)
    for _ in range(chosen.epochs):
        shuffled = rows[torch.randperm(len(rows), generator=order)]
        yield from shuffled[: len(rows) // chosen.batch_rows * chosen.batch_rows].split(chosen.batch_rows)


def train_model(chosen: Pretraining, folder: Path) -> dict[str, Any]:
    """Train from scratch with the folder's tokenizer, save safetensors there, measure. Returns the measures."""
    torch.set_num_threads(chosen.threads)
    tokenizer = load_tokenizer(folder)
    texts, held = chosen.corpus()
    rows = pack(tokenizer, texts)
    model = new_model(chosen, tokenizer).train()
    steps = len(rows) // chosen.batch_rows * chosen.epochs
    log.info("model: %d parameters, %d rows, %d steps", model.num_parameters(), len(rows), steps)

    decayed = [p for p in model.parameters() if p.ndim > 1]
    rest = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": chosen.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=chosen.learning_rate, betas=(0.9, 0.95))

    def pace(step: int) -> float:
        if step < chosen.warmup_steps:
            return (step + 1) / chosen.warmup_steps
        return 0.01 + 0.99 * 0.5 * (
            1 + math.cos(math.pi * (step - chosen.warmup_steps) / (steps - chosen.warmup_steps))
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, pace)
    began = time.monotonic()
    for step, batch in enumerate(_batches(rows, chosen), start=1):
        loss = _loss(model, batch, tokenizer.pad_token_id)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if step % 200 == 0 or step == steps:
            log.info("step %d of %d: loss %.4f, %.0f s", step, steps, loss.item(), time.monotonic() - began)
    seconds = time.monotonic() - began

    model.eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    measures = {
        "parameters": model.num_parameters(),
        "train_documents": len(texts),
        "train_tokens": int((rows != tokenizer.pad_token_id).sum()),
        "steps": steps,
        "train_seconds": round(seconds),
        "threads": chosen.threads,
        **measure(model, tokenizer, held),
    }
    (folder / "measures.json").write_text(json.dumps(measures, indent=2) + "\n")
    log.info("measures: %s", measures)
    return measures


# ── measures ─────────────────────────────────────────────────────────────────────────────────────────────────


@torch.inference_mode()
def measure(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, held: list[str]) -> dict[str, Any]:
    """Held-out perplexity, share of sampled sentences that parse, share of facts a greedy completion gets right."""
    rows = pack(tokenizer, held)
    counts = [(batch[:, 1:] != tokenizer.pad_token_id).sum().item() for batch in rows.split(16)]
    losses = [_loss(model, batch, tokenizer.pad_token_id).item() for batch in rows.split(16)]
    nll = sum(loss * n for loss, n in zip(losses, counts, strict=True)) / sum(counts)
    said = [s for text in sample_documents(model, tokenizer, 500, seed=0) for s in grammar.sentences(text)]
    return {
        "held_out_documents": len(held),
        "held_out_perplexity": round(math.exp(nll), 3),
        "sampled_sentences": len(said),
        "sampled_sentences_that_parse": round(sum(map(grammar.parses, said)) / len(said), 4),
        "facts": len(FACTS),
        "facts_known": round(facts_known(model, tokenizer), 4),
    }


@torch.inference_mode()
def sample_documents(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    count: int,
    *,
    seed: int,
    longest: int = 200,
    at_once: int = 250,
) -> list[str]:
    """Documents drawn from the model at temperature 1 with nothing cut away, each begun by the end token."""
    torch.manual_seed(seed)
    texts: list[str] = []
    while len(texts) < count:
        start = torch.full((min(at_once, count - len(texts)), 1), tokenizer.eos_token_id)
        drawn = _generate(model, start, torch.ones_like(start), do_sample=True, max_new_tokens=longest)
        texts += tokenizer.batch_decode(drawn, skip_special_tokens=True)
    return texts


@torch.inference_mode()
def facts_known(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> float:
    """Share of facts where the stub ("Mara lives in") is completed with the true object, greedily."""
    rng = random.Random(0)
    stubs: list[str] = []
    for fact in FACTS:
        ending = [t for t in RELATIONS[fact.relation].says if t.endswith("{o}.")]
        stubs.append(END + grammar.state(fact, rng.choice(ending)).removesuffix(f" {fact.object}."))
    batch = tokenizer(stubs, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt")
    drawn = _generate(model, batch["input_ids"], batch["attention_mask"], do_sample=False, max_new_tokens=8)
    ends = tokenizer.batch_decode(drawn[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return sum(end.startswith(f" {fact.object}.") for end, fact in zip(ends, FACTS, strict=True)) / len(FACTS)


def _generate(model: Any, ids: Tensor, mask: Tensor, **how: Any) -> Tensor:
    """The ids [b, t] with what the model wrote after them. Sampling is at temperature 1 from the whole distribution."""
    if how["do_sample"]:
        how |= {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    drawn: Tensor = model.generate(input_ids=ids, attention_mask=mask, **how)
    return drawn
