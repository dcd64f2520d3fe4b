"""A million comparisons: how fast they are imported and searched, and what the start of a run on them takes.

    python -m tests.benchmarks.bench_data [--rows 1000000] [--folder DIR]

Prints rows/s, the time from opening the dataset until the first batch is token ids, and how far the resident memory
grew meanwhile. The targets: 20,000 rows/s; a start under 5 s and under 200 MB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
from pathlib import Path

import psutil

WORDS = [f"word{number}" for number in range(2000)]


def write(path: Path, rows: int) -> None:
    """Comparisons of about 500 characters each."""
    rng = random.Random(0)
    text = " ".join(rng.choices(WORDS, k=100_000))

    def some(length: int) -> str:
        start = rng.randrange(len(text) - length)
        return text[start : start + length]

    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {"prompt": f"{number}: {some(90)}", "chosen": some(220), "rejected": some(180)}
            file.write(json.dumps(row) + "\n")


class Memory:
    """Growth of the resident memory since it was made, in MB; `most` is the highest seen by `look`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._before = self._process.memory_info().rss
        self.most = 0.0

    def look(self) -> float:
        grown = (self._process.memory_info().rss - self._before) / 1e6
        self.most = max(self.most, grown)
        return grown


def bench_import(root: Path, path: Path) -> str:
    """The import as the task does it, in this process; gives the dataset."""
    from rlhf_engine.contract.control import RunControl
    from rlhf_engine.contract.events import Envelope, Produced, Stage
    from rlhf_engine.launch.execute import execute
    from rlhf_engine.tasks.import_data import work  # noqa: F401  # imported beforehand, so that it is not measured
    from rlhf_engine.tasks.import_data.spec import ImportSpec

    memory, made, between = Memory(), [], [time.perf_counter()]

    def hear(envelope: Envelope) -> None:
        between.append(time.perf_counter())
        if isinstance(envelope.event, Stage):
            memory.look()
        if isinstance(envelope.event, Produced):
            made.append(envelope.event.facts)

    began, processor = time.perf_counter(), time.process_time()
    execute("aaaaaaaaaaaa", ImportSpec(path=str(path)), hear, RunControl(), root)
    took, processor = time.perf_counter() - began, time.process_time() - processor
    longest = max(b - a for a, b in itertools.pairwise(between))
    print(
        f"import: {made[0]['rows']:,} rows in {took:.1f} s: {made[0]['rows'] / took:,.0f} rows/s "
        f"({made[0]['rows'] / processor:,.0f} per processor second); memory grew by at most {memory.most:.0f} MB; "
        f"a word at least every {longest:.2f} s"
    )
    return str(made[0]["ref"])


def bench_search(root: Path, ref: str) -> None:
    """Two words in all texts, and the same sorted by an answer."""
    from rlhf_engine.data.datasets import open_dataset

    dataset = open_dataset(root, ref)
    dataset.find("word")  # the first compares the file with its card
    for sort in ("", "chosen"):
        memory, began = Memory(), time.perf_counter()
        found = dataset.find("word17 word1", sort)
        took = time.perf_counter() - began
        print(
            f"search{', sorted' if sort else ''}: {len(found):,} in {took:.2f} s; memory grew by {memory.look():.0f} MB"
        )


def bench_start(root: Path, ref: str) -> None:
    """What a DPO run does between opening the dataset and its first step, the model apart."""
    import torch
    from transformers import AutoTokenizer

    from resources import starter
    from rlhf_engine.data.chat import render
    from rlhf_engine.data.datasets import resolve
    from rlhf_engine.data.within import few_or_at_use
    from rlhf_engine.runtime.order import Order

    tokenizer = AutoTokenizer.from_pretrained(starter.MODEL)
    render(tokenizer, "warm", "up")
    memory = Memory()
    began = time.perf_counter()
    dataset = resolve(root, ref, "comparisons")
    rows, heldout = dataset.rows("train"), dataset.rows("heldout")

    def pair(records):  # type: ignore[no-untyped-def]
        def made(number: int) -> tuple[list[int], list[int]]:
            record = records[number]
            answers = (render(tokenizer, record.prompt, answer).ids for answer in (record.chosen, record.rejected))
            return tuple(answers)  # type: ignore[return-value]

        return made

    def longest(two: tuple[list[int], list[int]]) -> int:
        return max(map(len, two))

    train, _ = few_or_at_use(len(rows), pair(rows), longest, 1024, 1024, "comparisons (train)")
    test, _ = few_or_at_use(len(heldout), pair(heldout), longest, 1024, 1024, "comparisons (heldout)")
    test[:256]
    order = Order(len(train), 8, torch.Generator().manual_seed(0))
    [train[i] for i in order.next()]
    took = time.perf_counter() - began
    print(f"start: {took:.2f} s until the first batch of {len(train):,}; memory grew by {memory.look():.0f} MB")
    began = time.perf_counter()
    for _ in range(100):
        [train[i] for i in order.next()]
    each = (time.perf_counter() - began) / 100
    print(f"a batch of 8 pairs: {1000 * each:.1f} ms; memory grew by {memory.look():.0f} MB in all")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=1_000_000)
    asked.add_argument("--folder", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "pairs.jsonl"
        write(path, given.rows)
        ref = bench_import(Path(folder), path)
        bench_search(Path(folder), ref)
        bench_start(Path(folder), ref)


if __name__ == "__main__":
    main()
