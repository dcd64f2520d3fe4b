"""Comparisons between answers that a tuned starter model really writes, judged by the rule.

A reward model only knows what it was shown: judged on a program's tidy answers alone, it is soon fooled by the slips of
a model. So most of the sample project's comparisons are between a model's own answers, as they are in practice.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from resources.starter.judge import prefer
from resources.starter.labels import write_project
from rlhf_engine.cli.demo import sft_spec
from rlhf_engine.contract.control import RunControl
from rlhf_engine.data.chat import answer_text, render
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Demonstration
from rlhf_engine.launch.execute import execute
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.sampling import Sampler, complete

SEED = 23
ANSWERS_EACH = 8
LONGEST = 40  # tokens
WANTED = {"form": 800, "truth": 300, "courtesy": 1500, "length": 1000}  # by the rung of the rule that decides


def write_sampled(project: Path) -> Counter[str]:
    """Write the sample project with a model's own answers among its comparisons.

    Returns how many of those each rung of the rule decided.
    """
    write_project(project)
    prompts = [row["prompt"] for row in _rows(project / "prompts.jsonl")]
    answers = _answers(_rows(project / "demonstrations.jsonl"), prompts)
    chosen, counts = _choose(answers)
    file = project / "comparisons.jsonl"
    rows = [*_rows(file), *chosen]
    random.Random(SEED).shuffle(rows)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return counts


def _answers(demonstrations: list[dict[str, Any]], prompts: list[str]) -> dict[str, list[str]]:
    """Different answers of a model tuned on the demonstrations, to each prompt."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        shown = [Demonstration(row["prompt"], row["completion"], "rule") for row in demonstrations]
        dataset = freeze(root, "demonstrations", shown, "demonstrations", "starter", {}).ref
        end = execute("sft", sft_spec(dataset, SEED), lambda _: None, RunControl(), root)
        if end.outcome != "completed":
            raise RuntimeError(f"{end.message} {end.hint}\n{end.traceback}")
        source = resolve("run:sft", root)
        backbone = Backbone(load_base(source.base, torch.device("cpu"), torch.float32))
        load_adapter(backbone, "policy", source)
    rng = torch.Generator().manual_seed(SEED)
    tokenizer = backbone.base.tokenizer
    ids = [render(tokenizer, prompt).ids for prompt in prompts]
    found: dict[str, list[str]] = {prompt: [] for prompt in prompts}
    for _ in range(ANSWERS_EACH):
        for start in range(0, len(prompts), 128):
            part = slice(start, start + 128)
            written = complete(backbone, "policy", ids[part], Sampler(LONGEST), rng)
            for prompt, answer in zip(prompts[part], written, strict=True):
                text = answer_text(tokenizer, answer.tokens).strip()
                if text and text not in found[prompt]:
                    found[prompt].append(text)
    return found


def _choose(answers: dict[str, list[str]]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """As many pairs as are wanted of each rung, spread over the prompts; the winner sits left or right by turns."""
    rng = random.Random(SEED)
    pairs = [(p, a, b) for p, texts in answers.items() for i, a in enumerate(texts) for b in texts[:i]]
    rng.shuffle(pairs)
    rows: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    used: Counter[tuple[str, str]] = Counter()
    for prompt, one, two in pairs:
        verdict = prefer(prompt, one, two)
        rung = verdict.decided_by
        if counts[rung] >= WANTED.get(rung, 0) or used[prompt, rung] >= 3:
            continue
        counts[rung] += 1
        used[prompt, rung] += 1
        better, worse = (one, two) if verdict.winner == "a" else (two, one)
        left = len(rows) % 2 == 0
        rows.append(
            {"prompt": prompt, "a": better if left else worse, "b": worse if left else better}
            | {"winner": "a" if left else "b", "strength": verdict.strength, "source": "rule"}
        )
    return rows, counts


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
