"""How fast answers are written, and what the parts cost: `python -m tests.benchmarks.bench_generation`. Prints figures.

Not a test: run it by hand on a machine that does nothing else. A random Llama with an adapter on all its layers answers
64 prompts with 8 to 256 tokens each, as here and as transformers' `generate` does it, with the same lengths; then the
answers of a PPO update, and one token at several numbers of rows. Wanted: 2.5 times `generate` at 0.7 of its memory.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteria

from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from rlhf_engine.models.sampling import Sampler, complete
from rlhf_engine.runtime.device import choose_device, peak_memory
from tests.engine.tiny import tiny_tokenizer

VOCABULARY = 8192
Write = Callable[[list[list[int]], list[int]], list[list[int]]]


def model_on_disk(folder: Path) -> Path:
    """13.8 M parameters of noise that never say the end token: lengths are what we ask for."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def opened(folder: Path, dtype: torch.dtype) -> Backbone:
    base = load_base(str(folder), choose_device(), dtype)
    backbone = Backbone(replace(base, endings=replace(base.endings, ids=(VOCABULARY,))))  # which is never drawn
    backbone.add("policy", lora(16, 32.0, 0.0, "all-linear"))
    torch.manual_seed(1)
    backbone.load_state("policy", {k: 0.02 * torch.randn_like(v) for k, v in backbone.state("policy").items()})
    return backbone


def questions(count: int, least: int, most: int) -> tuple[list[list[int]], list[int]]:
    rng = torch.Generator().manual_seed(7)
    lengths = torch.randint(16, 65, (count,), generator=rng).tolist()
    prompts = [torch.randint(2, VOCABULARY, (n,), generator=rng).tolist() for n in lengths]
    return prompts, torch.randint(least, most + 1, (count,), generator=rng).tolist()


def ours(backbone: Backbone, slots: int) -> Write:
    def write(prompts: list[list[int]], limits: list[int]) -> list[list[int]]:
        rng = torch.Generator(device=backbone.device).manual_seed(0)
        answers = complete(backbone, "policy", prompts, Sampler(max(limits)), rng, limits=limits, slots=slots)
        return [a.tokens for a in answers]

    return write


class AtLength(StoppingCriteria):  # type: ignore[misc]
    def __init__(self, width: int, limits: list[int]) -> None:
        self.ends = torch.tensor(limits) + width

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return (input_ids.shape[1] >= self.ends).to(input_ids.device)


def theirs(backbone: Backbone, batch: int, cache: str | None = None, sort: bool = False) -> Write:
    """transformers' `generate` on the adapted model, in batches; a batch ends when its last answer does."""

    def write(prompts: list[list[int]], limits: list[int]) -> list[list[int]]:
        model: Any = backbone.base.model
        torch.manual_seed(0)
        found: dict[int, list[int]] = {}
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i])) if sort else list(range(len(prompts)))
        with backbone.acting_as("policy"):
            for start in range(0, len(prompts), batch):
                rows = order[start : start + batch]
                width = max(len(prompts[i]) for i in rows)
                ids = torch.tensor([[0] * (width - len(prompts[i])) + prompts[i] for i in rows])
                mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in rows])
                ends = AtLength(width, [limits[i] for i in rows])
                out = model.generate(
                    input_ids=ids.to(model.device),
                    attention_mask=mask.to(model.device),
                    max_new_tokens=max(limits[i] for i in rows),
                    do_sample=True,
                    top_k=0,
                    eos_token_id=None,
                    pad_token_id=0,
                    stopping_criteria=[ends],
                    cache_implementation=cache,
                )
                for i, row in zip(rows, out.tolist(), strict=True):
                    found[i] = row[width : width + limits[i]]
        return [found[i] for i in range(len(prompts))]

    return write


def timed(write: Write, prompts: list[list[int]], limits: list[int]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    answers = write(prompts, limits)
    took = time.perf_counter() - wall, time.process_time() - cpu
    assert [len(a) for a in answers] == limits, "not the tokens that were asked for"
    return took


def alternating(ways: dict[str, Write], prompts: list[list[int]], limits: list[int], rounds: int, label: str) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for write in ways.values():
        write(prompts[:2], [2, 2])
    for _ in range(rounds):
        for name, write in ways.items():
            found[name].append(timed(write, prompts, limits))
    print(f"{label}: {sum(limits)} tokens, median of {rounds}")
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        spread = max(t for t, _ in times) - min(t for t, _ in times)
        print(
            f"  {name:<34} {sum(limits) / wall:7.0f} tokens/s  {wall:6.2f} s (±{spread / 2:.2f})  {cpu:6.2f} s of CPU"
        )


WAYS: dict[str, Callable[[Backbone], Write]] = {
    "here, 16 slots": lambda b: ours(b, 16),
    "here, 32 slots": lambda b: ours(b, 32),
    "here, 64 slots": lambda b: ours(b, 64),
    "generate, batches of 16": lambda b: theirs(b, 16),
    "generate, batches of 32": lambda b: theirs(b, 32),
    "generate, batches of 64": lambda b: theirs(b, 64),
    "generate, static cache, 64": lambda b: theirs(b, 64, "static"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--only", default="", help="names of ways, parted by semicolons")
    parser.add_argument("--parts", default="lengths,ppo,rows,memory")
    parser.add_argument("--peak", default="", help="used by itself: print the peak of one way in a process of its own")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
    if args.peak:
        backbone = opened(args.folder, dtype)
        before = peak_memory()
        WAYS[args.peak](backbone)(*questions(64, 8, 256))
        print(f"{before} {peak_memory()}")
        return
    with tempfile.TemporaryDirectory() as place:
        folder = model_on_disk(Path(place))
        backbone = opened(folder, dtype)
        names = [n.strip() for n in args.only.split(";") if n.strip()] or list(WAYS)
        ways = {name: WAYS[name](backbone) for name in names}
        parts = args.parts.split(",")
        print(f"{args.dtype}, {torch.get_num_threads()} threads, {backbone.device}")
        if "lengths" in parts:
            alternating(ways, *questions(64, 8, 256), args.rounds, "64 prompts, answers of 8 to 256 tokens")
        if "ppo" in parts:
            alternating(ways, *questions(32, 64, 64), args.rounds, "32 prompts, 64 tokens each")
        if "rows" in parts:
            per_token(backbone, args.rounds)
        if "memory" in parts:
            for name in names:
                command = [sys.executable, "-m", __spec__.name, "--dtype", args.dtype, "--folder", str(folder)]
                done = subprocess.run([*command, "--peak", name], capture_output=True, text=True, check=True)
                before, peak = (float(word) / 2**20 for word in done.stdout.split()[-2:])
                print(f"  {name:<34} peak {peak:6.0f} MB, of which writing {peak - before:6.0f}")


def per_token(backbone: Backbone, rounds: int) -> None:
    print("Milliseconds per token, by rows written at once (64 tokens each)")
    for rows in (1, 4, 16, 64):
        prompts, limits = questions(rows, 64, 64)
        times = [timed(ours(backbone, 64), prompts, limits)[0] for _ in range(rounds)]
        print(f"  {rows:3} rows {1000 * statistics.median(times) / sum(limits):7.3f}")


if __name__ == "__main__":
    main()
