"""Flips bits in a project's files, one at a time, and mends it: `python -m tests.durability.flips --count 300`.

Half are in labels.db, a quarter in the journal, and a quarter hit one label in both, so that only a snapshot has it
still. Every label that reads differently, or no longer at all, must be found by the check; after the repair everything
must read as it was said. `--how structure` looks at SQLite's own integrity check alone: it must miss some.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.journal import read_journal
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from tests.durability.shim import scratch

FILES = ("labels.db", "labels.journal.jsonl")


def filled(root: Path) -> None:
    with Project.create(root) as project:
        labels = project.labels
        for n in range(80):
            pair = labels.add_pair(f"prompt {n} " + "x" * (n % 7) * 60, f"answer {n}", f"other {n}")
            labels.judge(pair, ("a", "b", "tie", "skip")[n % 4], 1 + n % 3, comment="why" * (n % 3))
            if n % 9 == 0:
                labels.undo_last()
            if n % 11 == 0:
                labels.flag("pairs", pair)
        labels.add_many("demonstrations", [{"prompt": f"p{n}", "completion": f"c{n}"} for n in range(20)])
        labels.add_many("ratings", [{"prompt": f"p{n}", "completion": f"c{n}", "liked": n % 2 == 0} for n in range(20)])
        project.snapshot()


def reads(root: Path) -> Any:
    """Everything a person could see of the labels; None where it cannot be read."""
    try:
        labels = Labels(root / "labels.db", write=False)
    except EngineError:
        return None
    try:
        pages = [
            labels.page(kind, limit=1000) for kind in ("prompts", "demonstrations", "pairs", "comparisons", "ratings")
        ]
        waiting = labels.next_pairs(100)
        return pages, waiting, labels.tally(), list(labels.standing_comparisons())
    except (EngineError, ValueError, KeyError, TypeError, sqlite3.Error):
        return None
    finally:
        labels.close()


def labels_in(root: Path) -> list[Any]:
    """What the journal tells of labels; its marks are none."""
    return [entry for entry in read_journal(root / FILES[1]) if entry]


def flip(file: Path, at: int, bit: int) -> None:
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1 << bit
    file.write_bytes(raw)


def hit(root: Path, rng: random.Random) -> str:
    """Flip a bit somewhere. Returns where."""
    kind = rng.choice((FILES[0], FILES[0], FILES[1], "both"))
    if kind != "both":
        file = root / kind
        flip(file, rng.randrange(file.stat().st_size), rng.randrange(8))
        return kind
    told = [entry for entry in read_journal(root / FILES[1]) if entry and entry[0] == "pairs"]
    answer = rng.choice(told)[1]["a"].encode()
    for name in FILES:
        raw = (root / name).read_bytes()
        at = raw.find(answer) if name == FILES[0] else raw.find(b'"' + answer + b'"') + 1
        flip(root / name, at + rng.randrange(len(answer)), rng.randrange(8))
    return kind


def flip_bits(count: int, how: str = "full", seed: int = 0) -> dict[str, float]:
    """`changed` counts flips after which labels read differently; `missed` those that the check did not find."""
    found: dict[str, float] = dict.fromkeys(
        ("flips", "changed", "missed", "journal lines hurt", "found", "not restored", "from a snapshot", "lost"), 0
    )
    start, rng = time.monotonic(), random.Random(seed)
    with scratch() as name:
        whole, root = Path(name) / "whole", Path(name) / "project"
        filled(whole)
        said, lines = reads(whole), labels_in(whole)
        assert said is not None
        for _ in range(count):
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(whole, root)
            where = hit(root, rng)
            found["flips"] += 1
            changed, hurt = reads(root) != said, labels_in(root) != lines
            check = Project.look_into(root)
            healthy = not check.structure if how == "structure" else check.healthy
            found["changed"] += changed
            found["journal lines hurt"] += hurt
            found["found"] += not healthy
            found["missed"] += (changed or hurt) and healthy
            repair = Project.repair(root)
            found["lost"] += len(repair.lost)
            after = Project.look_into(root)
            restored = reads(root) == said and after.healthy and not after.unjournaled
            found["not restored"] += not restored
            found["from a snapshot"] += where == "both" and restored
    return {**found, "seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--how", choices=("full", "structure"), default="full")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(flip_bits(asked.count, asked.how, asked.seed)) + "\n")


if __name__ == "__main__":
    main()
