"""Makes what both sides load: a random Llama with its tokenizer, texts of known lengths, and a project of ours.

A text is a list of words that are one token each, so that its length is the same everywhere. The end token is out of
the model's reach (see `put_out_of_reach`): every answer becomes as long as it may.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from rlhf_engine.cli.here import do_run
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, split_of
from rlhf_engine.store.project import Project
from rlhf_engine.tasks.reward.spec import RewardSpec
from tests.benchmarks.against_trl.works import (
    ALPHA,
    DEMONSTRATION,
    EVEN,
    EVENS,
    LIMITS,
    LONGEST,
    PAIR,
    PROMPT,
    RANK,
    SIZES,
    WORKS,
    Size,
)

PAD, END, UNKNOWN = 0, 1, 2
REWARD = "reward"  # the run that made the reward model


def make(folder: Path, size: Size) -> None:
    """Everything, under `folder`; the same on every machine."""
    torch.manual_seed(0)
    tokenizer = words(size.vocabulary)
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_value_heads,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    policy = LlamaForCausalLM(config)
    put_out_of_reach(policy)
    judge = LlamaForSequenceClassification(LlamaConfig(**{**config.to_dict(), "num_labels": 1}))
    judge.model.load_state_dict(policy.model.state_dict())
    for name, model in (("policy", policy), ("judge", judge)):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    texts = write_texts(folder, size.vocabulary)
    make_project(folder, texts)


def words(vocabulary: int) -> PreTrainedTokenizerFast:
    """One token per word: w3, w4, and so on."""
    known = {"<pad>": PAD, "<end>": END, "<unknown>": UNKNOWN, **{f"w{i}": i for i in range(3, vocabulary)}}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", unk_token="<unknown>", padding_side="left"
    )


@torch.no_grad()
def put_out_of_reach(model: LlamaForCausalLM) -> None:
    """Make the end token and its neighbours improbable after any text: the first number of every hidden state is a
    large constant, to which no layer adds, and the rows of these tokens in the tied output layer point against it."""
    embedded = model.get_input_embeddings().weight
    embedded[:, 0] = 1.0
    embedded[[PAD, END, UNKNOWN], 0] = -1.0
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0


def write_texts(folder: Path, vocabulary: int) -> dict[str, list[Any]]:
    """Prompts, demonstrations, comparisons and the limits of generated answers; as JSON for the other side too."""
    chance = random.Random(0)

    def some(count: int) -> str:
        return " ".join(f"w{chance.randrange(3, vocabulary)}" for _ in range(count))

    def prompt(least: int = PROMPT[0], most: int = PROMPT[1]) -> str:
        length = chance.randint(least, most)
        while split_of(text := some(length)) != "train":  # nothing is held out, so nothing is evaluated
            pass
        return text

    def comparison() -> dict[str, str]:
        asked = prompt()
        answers = PAIR - 2 * len(asked.split()) - 2  # less two end tokens
        chosen = chance.randint(16, answers - 16)
        return {"prompt": asked, "chosen": some(chosen), "rejected": some(answers - chosen)}

    def demonstration(length: int) -> dict[str, str]:
        asked = prompt(8, min(PROMPT[1], length // 2))
        return {"prompt": asked, "completion": some(length - len(asked.split()) - 1)}

    low, high = DEMONSTRATION
    count = WORKS["sft"].examples
    lengths = [low + round(i * (high - low) / (count - 1)) for i in range(count)]
    pairs = max(work.examples * work.steps for work in WORKS.values() if work.kind in ("dpo", "reward"))
    texts: dict[str, list[Any]] = {
        "prompts": [prompt() for _ in range(64)],
        "limits": [chance.randint(*LIMITS) for _ in range(64)],
        "demonstrations": [demonstration(length) for length in lengths],
        "comparisons": [comparison() for _ in range(pairs)],
        "even": [{"prompt": prompt(40, 40), "completion": some(EVEN - 41)} for _ in range(EVENS)],
    }
    (folder / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    return texts


def make_project(folder: Path, texts: dict[str, list[Any]]) -> None:
    """A project with these texts as datasets, by the kinds of work in `datasets.json`, and a reward model."""
    root = folder / "project"
    with Project.create(root, "Benchmark"):
        pass
    demonstrations, even = ([Demonstration(**row) for row in texts[key]] for key in ("demonstrations", "even"))
    pairs = [Comparison(**row) for row in texts["comparisons"]]
    found = {
        "sft": freeze(root, "demonstrations", demonstrations, "Mixed", ""),
        "even": freeze(root, "demonstrations", even, "Even", ""),
        "dpo": freeze(root, "comparisons", pairs, "Pairs", ""),
    }
    found["reward"] = found["dpo"]
    for kind in ("ppo", "rloo", "grpo"):
        count = WORKS[kind].examples // WORKS[kind].group
        found[kind] = freeze(root, "prompts", [PromptRecord(text) for text in texts["prompts"][:count]], kind, "")
    (folder / "datasets.json").write_text(json.dumps({kind: info.ref for kind, info in found.items()}))
    spec = RewardSpec(
        model=str(folder / "policy"),
        dataset=found["reward"].ref,
        epochs=0.01,
        batch_size=8,
        micro_batch_size=8,
        max_tokens=LONGEST,
        normalise_on=0,
        sample_every=0,
        evaluate_every=0,
        lora_rank=RANK,
        lora_alpha=float(ALPHA),
    )
    if code := do_run(root, REWARD, spec):
        raise SystemExit(code)


if __name__ == "__main__":
    make(Path(sys.argv[1]), SIZES[sys.argv[2]])
