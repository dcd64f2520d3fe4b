"""What runs are foreseen to take of the memory, and what they take: `python -m tests.benchmarks.bench_memory [NAME…]`.

Six small runs on a CPU, each in a process of its own, on a Llama of 24 million parameters with random weights.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

WITHIN = 0.15  # of the measured peak
COMMON: dict[str, Any] = {
    "device": "cpu",
    "sample_every": 0,
    "dtype": "fp32",
    "checkpoint_every": 100,
    "max_tokens": 256,
}
COURSE = {"batch_size": 16, "micro_batch_size": 16, "epochs": 0.25, "evaluate_every": 0}
ONLINE = {"updates": 2, "batch_size": 32, "minibatch_size": 16, "micro_batch_size": 16, "response_tokens": 64}
REWARDED = {"reward_model": "", "rewards": [{"kind": "length"}]}
SPECS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft, padded": ("sft", {**COURSE}),
    "sft, packed": ("sft", {**COURSE, "packing": True, "micro_batch_size": 8}),
    "reward": ("reward", {**COURSE, "micro_batch_size": 8, "normalise_on": 0}),
    "ppo, fp32": ("ppo", {**ONLINE, **REWARDED, "value_init": "zero", "epochs": 1, "dtype": "fp32"}),
    "ppo, bf16": ("ppo", {**ONLINE, **REWARDED, "value_init": "zero", "epochs": 1, "dtype": "bf16"}),
    "dpo": ("dpo", {**COURSE, "micro_batch_size": 8}),
}


def project(root: Path, hidden: int = 512, layers: int = 6) -> dict[str, str]:
    """A model and a dataset of each kind. Texts are of very different lengths."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from rlhf_engine.data.datasets import freeze
    from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord
    from tests.engine.tiny import END, PAD, tiny_tokenizer

    folder = root / "model"
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer(chat=False).save_pretrained(folder)

    def text(number: int, words: int) -> str:
        return " ".join(f"w{number * 7 % 89}" for _ in range(words))

    rows = [(f"What of {n}? " + text(n, 3 + n % 12), text(n, 8 + n * 13 % 50)) for n in range(160)]
    demonstrations = [Demonstration(q, a) for q, a in rows]
    comparisons = [Comparison(q, a, "no " + a[: len(a) // 2]) for q, a in rows]
    return {
        "model": str(folder),
        "demonstrations": freeze(root, "demonstrations", demonstrations, "d", "bench").ref,
        "comparisons": freeze(root, "comparisons", comparisons, "c", "bench").ref,
        "prompts": freeze(root, "prompts", [PromptRecord(q) for q, _ in rows], "p", "bench").ref,
    }


def spec_of(name: str, made: dict[str, str]) -> dict[str, Any]:
    """The spec as JSON has it."""
    from rlhf_engine.contract.fields import about
    from rlhf_engine.tasks import TASKS

    task, settings = SPECS[name]
    kind = next(said.kind for f in fields(TASKS[task].spec) if f.name == "dataset" and (said := about(f)))
    policy = "policy" if "updates" in settings else "model"
    return {"task": task, policy: made["model"], "dataset": made[kind], **COMMON, **settings}


def measured(root: Path, spec: dict[str, Any]) -> dict[str, float]:
    """The last value of each of the run's metrics on memory, in MB, from a process of its own."""
    file = root / "spec.json"
    file.write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-m", "tests.engine.run_once", str(root), f"r{abs(hash(json.dumps(spec)))}", str(file)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, float] = {}
    for line in told.stdout.splitlines():
        body = json.loads(line)
        if body["kind"] == "Metrics":
            found |= {name: value for name, value in body["values"].items() if name.startswith("memory/")}
        if body["kind"] == "RunFinished" and body["outcome"] != "completed":
            raise SystemExit(f"{body['message']}\n{body['traceback']}")
    return found


def compare(names: list[str]) -> Iterator[tuple[str, dict[str, float], Any]]:
    """(name, what was measured in MB, what was foreseen) of each run."""
    from rlhf_engine.launch.forecast import dataset_lengths, foresee

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = project(root)
        for name in names:
            spec = spec_of(name, made)
            task = str(spec["task"])
            fit = foresee(root, task, spec, on_gpu=False, lengths=dataset_lengths(root, task, spec))
            yield name, measured(root, spec), fit


def main(names: list[str]) -> None:
    print(f"{'run':14} {'phase':8} {'foreseen':>9} {'measured':>9} {'off':>6}   MB")
    worst = 0.0
    for name, found, fit in compare(names or list(SPECS)):
        for phase, size in fit.totals.items():
            if f"memory/{phase}" in found:
                there = found[f"memory/{phase}"]
                print(f"{name:14} {phase:8} {size / 1e6:9.0f} {there:9.0f} {size / 1e6 / there - 1:+6.1%}")
        peak = found["memory/peak"]
        worst = max(worst, abs(fit.peak / 1e6 / peak - 1))
        own = peak - found["memory/start"]
        print(f"{name:14} {'peak':8} {fit.peak / 1e6:9.0f} {peak:9.0f} {fit.peak / 1e6 / peak - 1:+6.1%}")
        print(
            f"{'':14} {'own':8} {fit.own / 1e6:9.0f} {own:9.0f} {fit.own / 1e6 / own - 1:+6.1%}  {fit.phases['update']}"
        )
    print(f"The worst is {worst:.1%} off; {WITHIN:.0%} are allowed.")
    raise SystemExit(worst > WITHIN)


if __name__ == "__main__":
    main(sys.argv[1:])
