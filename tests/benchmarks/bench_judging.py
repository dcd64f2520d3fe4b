"""From the key to the painted next pair, with a million comparisons and a run in training.

`python tests/benchmarks/bench_judging.py` prints figures; `--comparisons`, `--waiting`, `--keys` and `--idle` (no run)
change what is measured. Wanted: 99 of 100 keys below 100 ms. Not a test: run it by hand.

The rows are put in by the thousand rather than said one by one: right hashes, standings and tallies, and no journal.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_MS = 100.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--comparisons", type=int, default=1_000_000, help="pairs that are judged already")
    parser.add_argument("--waiting", type=int, default=20_000, help="pairs that wait")
    parser.add_argument("--keys", type=int, default=400, help="how many verdicts are given")
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between them")
    parser.add_argument("--idle", action="store_true", help="without a run in training")
    parser.add_argument("--project", type=Path, help="keep the project here, and use it again")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["RLHF_STUDIO_HOME"] = str(Path(scratch) / "home")
        project = asked.project or Path(scratch) / "project"
        if not project.exists():
            began = time.perf_counter()
            fill(project, asked.comparisons, asked.waiting)
            print(f"made {asked.comparisons + asked.waiting:,} pairs in {time.perf_counter() - began:.0f} s")
        judge(project, asked)


# --- the project --------------------------------------------------------------------------------------------------


def fill(root: Path, judged: int, waiting: int) -> None:
    """A new project with the starter's demonstrations, pairs judged by people, rules and imports, and some to judge."""
    from rlhf_engine.store.labels import Labels
    from rlhf_engine.store.project import Project
    from rlhf_engine.store.schema import FACTS

    with Project.create_starter(root, "A million"):
        pass
    labels = Labels(root / "labels.db")
    db = labels._db
    start = {
        table: int(labels._one(f"SELECT coalesce(max(row), 0) FROM {table}")) for table in ("pairs", "comparisons")
    }
    db.execute("BEGIN")
    for table, rows in (
        ("pairs", pairs(judged + waiting, start["pairs"])),
        ("comparisons", comparisons(judged, start["comparisons"])),
    ):
        columns = ("row", *FACTS[table])
        marks = ", ".join(f":{column}" for column in columns)
        db.conn.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
    first = start["pairs"]
    db.execute(
        "INSERT INTO verdicts (pair, judgement, winner, hidden, source) "
        "SELECT p.row, c.row, coalesce(c.winner, ''), 0, coalesce(c.source, '') FROM pairs AS p "
        "LEFT JOIN comparisons AS c ON c.pair_id = p.id WHERE p.row > ?",
        [first],
    )
    for table, winner in (
        ("tallies", "winner"),
        ("people_tallies", "CASE source WHEN 'human' THEN winner ELSE '' END"),
    ):
        db.execute(f"DELETE FROM {table}")
        db.execute(f"INSERT INTO {table} SELECT {winner}, count(*) FROM verdicts WHERE hidden = 0 GROUP BY 1")
    db.execute("COMMIT")
    db.execute("ANALYZE")
    labels.close()


WORDS = "the answer is a house by a river where Mara keeps bread and one red boat for all who ask"


def text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS.split(), k=words))


def pairs(count: int, start: int) -> Iterator[dict[str, Any]]:
    from rlhf_engine.store.schema import row_hash

    rng = random.Random(0)
    meta = json.dumps({"a": {"model": "run:1", "title": "SFT"}, "b": {"model": "run:2", "title": "PPO"}})
    common = {"turns": "", "meta": meta, "replaces": "", "source": "import", "author": "", "created": 1.7e9}
    for number in range(count):
        row = {"id": f"pair{number:09d}", "prompt": f"Question {number}: {text(rng, 12)}?", **common}
        row |= {"a": f"{text(rng, 30)}.", "b": f"{text(rng, 30)}!"}
        yield {"row": start + number + 1, **row, "hash": row_hash("pairs", row)}


def comparisons(count: int, start: int) -> Iterator[dict[str, Any]]:
    from rlhf_engine.store.schema import row_hash

    rng = random.Random(1)
    common = {
        "strength": 2,
        "left_side": "a",
        "seconds": 2.0,
        "comment": "",
        "undoes": "",
        "meta": "",
        "created": 1.7e9,
    }
    for number in range(count):
        source = rng.choice(("human", "rule", "import"))
        row = {
            "id": f"said{number:09d}",
            "pair_id": f"pair{number:09d}",
            "source": source,
            "author": "somebody",
            "created": 1.7e9,
        }
        row |= {"winner": rng.choice(("a", "b", "tie", "skip")), **common}
        yield {"row": start + number + 1, **row, "hash": row_hash("comparisons", row)}


# --- the window ---------------------------------------------------------------------------------------------------


def judge(project: Path, asked: argparse.Namespace) -> None:
    """A window on that project, a run in training, and a hand on the keys."""
    from tests.benchmarks.watched import WatchedWindow

    watched = WatchedWindow(project)
    began = time.perf_counter()
    watched.show()
    print(f"window with the project in {time.perf_counter() - began:.1f} s")
    if not asked.idle:
        watched.train(endless_sft, "demonstrations", 3, "beside")
    began = time.perf_counter()
    watched.window.show_panel("compare")
    watched.app.processEvents()
    print(f"Compare shown in {1000 * (time.perf_counter() - began):.0f} ms")
    panel: Any = watched.window.panel("compare")
    panel.pairs.toggle_differences()
    watched.window.activateWindow()
    watched.rest(1.0)
    press(watched, "verdicts", panel, "12qw34s", asked.keys, asked.pause)
    press(watched, "undo", panel, "z", min(100, asked.keys), asked.pause)
    panel.sources.again.setChecked(True)
    watched.rest(1.0)
    press(watched, "verdicts on pairs that a rule or an import has judged", panel, "12qw34s", asked.keys, asked.pause)
    watched.close()


def endless_sft(dataset: str) -> Any:
    """An SFT run of the starter model that goes on as long as it is needed."""
    from dataclasses import replace

    from rlhf_engine.cli.demo import sft_spec

    return replace(sft_spec(dataset, 0), epochs=200)


def press(watched: Any, what: str, panel: Any, keys: str, count: int, pause: float) -> None:
    from tests.benchmarks.watched import figures, p99

    times, own = watched.press(panel, keys, count, pause)
    print(f"{what}: {figures(times)} ({'held' if p99(times) < LIMIT_MS else 'NOT held'})")
    print(f"    of which this process worked {own:.0f} ms on average, the rest is the disk and others")


if __name__ == "__main__":
    main()
