"""Measures the engine against TRL on the same work: `python -m tests.benchmarks.against_trl`.

Each measurement is a process of its own; ours and theirs take turns. Without --trl and --trl-ppo, environments for TRL
are made first (`venvs.py`). This process imports no torch: what it held would count as its children's memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.against_trl import venvs
from tests.benchmarks.against_trl.table import Measured, Row, best, markdown, number, row_of
from tests.benchmarks.against_trl.works import ALPHA, ANSWER, BAD, GOOD, LONGEST, RANK, USUAL, WORKS, Job, Work

ROOT = Path(__file__).resolve().parents[3]
THEIRS = Path(__file__).with_name("theirs.py")
ROWS = (16, 64)  # that `model.generate` is given at a time; the faster counts


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parsed(arguments)
    say = venvs.Progress()
    works = [WORKS[key] for key in chosen.work.split(",")]
    pythons = {"ppo": chosen.trl_ppo, "": chosen.trl}
    if any(work.kind == "ppo" for work in works):
        pythons["ppo"] = pythons["ppo"] or venvs.for_ppo(say)
    if any(work.kind != "ppo" for work in works):
        pythons[""] = pythons[""] or venvs.current(say)
    with tempfile.TemporaryDirectory() as folder:
        say("Making the model and the texts")
        run([sys.executable, "-m", "tests.benchmarks.against_trl.material", folder, "small", "fp32"])
        rows = [measure(work, folder, pythons.get(work.kind) or pythons[""], chosen, say) for work in works]
    print(markdown(rows))
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="against_trl", description="Measure the engine against TRL on the same work.")
    parser.add_argument("--work", default=",".join(USUAL), help=f"which, separated by commas: {', '.join(WORKS)}")
    parser.add_argument("--runs", type=int, default=5, help="pairs of measurements of each work")
    parser.add_argument("--trl", default="", help="a Python with the current TRL; one is made where it is not given")
    parser.add_argument("--trl-ppo", default="", help="a Python with trl 0.29, the last with PPO; likewise")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument(
        "--clock", default="seconds", choices=("seconds", "cpu"), help="cpu: for a machine that others use too"
    )
    chosen = parser.parse_args(arguments)
    if unknown := [key for key in chosen.work.split(",") if key not in WORKS]:
        parser.error(f"there is no work {', '.join(unknown)}; there are {', '.join(WORKS)}")
    return chosen


def measure(work: Work, folder: str, python: str, chosen: argparse.Namespace, say: venvs.Progress) -> Row:
    """All runs of one work, ours and theirs in turn."""
    ours, theirs = [], []
    for number_of_run in range(1, chosen.runs + 1):
        where = f"{work.title}, {work.dtype}, {number_of_run} of {chosen.runs}"
        job = Job(work, folder, chosen.device)
        ours.append(Measured.from_json(of_ours(job), chosen.clock))
        say(f"{where}: ours {told(ours[-1], work)}")
        tried = [Measured.from_json(of_theirs(job, python, rows), chosen.clock) for rows in ways(work)]
        theirs.append(best(tried, work))
        say(f"{where}: TRL {told(theirs[-1], work)}")
    return row_of(work, ours, theirs)


def ways(work: Work) -> tuple[int, ...]:
    return ROWS if work.kind == "generate" else (0,)


def told(found: Measured, work: Work) -> str:
    return f"{number(found.rate(work))} {work.unit}/s, {found.memory / 1e9:.2f} GB"


def of_ours(job: Job) -> dict[str, Any]:
    return run([sys.executable, "-m", "tests.benchmarks.against_trl.ours", json.dumps(job.to_json())])


def of_theirs(job: Job, python: str, rows: int) -> dict[str, Any]:
    said = {"rank": RANK, "alpha": ALPHA, "answer": ANSWER, "longest": LONGEST, "good": GOOD, "bad": BAD}
    return run([python, str(THEIRS), json.dumps({**job.to_json(), **said, "rows": rows})]) | {"rows": rows}


def run(command: list[str]) -> dict[str, Any]:
    """A process to its end. Its last line, if that is JSON; what it said, if it failed."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}\n{' '.join(command[:3])} ended with {done.returncode}.")
    last = done.stdout.strip().rpartition("\n")[2]
    found: dict[str, Any] = json.loads(last) if last.startswith("{") else {}
    return found


if __name__ == "__main__":
    sys.exit(main())
