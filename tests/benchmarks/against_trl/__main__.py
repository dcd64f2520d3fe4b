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
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from rlhf_engine.machine import torch_found
from tests.benchmarks.against_trl import venvs
from tests.benchmarks.against_trl.page import Findings, page
from tests.benchmarks.against_trl.table import Measured, best, number, row_of, targets
from tests.benchmarks.against_trl.works import (
    ALPHA,
    ANSWER,
    BAD,
    GOOD,
    LARGE,
    LONGEST,
    ON_A_GPU,
    RANK,
    SCALING,
    SMALL,
    USUAL,
    WORKS,
    Job,
    Work,
)

ROOT = Path(__file__).resolve().parents[3]
HERE = "tests.benchmarks.against_trl"
THEIRS = Path(__file__).with_name("theirs.py")
ROWS = (16, 64)  # that `model.generate` is given at a time; the faster counts


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = parsed(arguments)
    say = venvs.Progress()
    device = chosen.device or ("cuda" if torch_found().cuda_works else "cpu")
    size = LARGE if device == "cuda" else SMALL
    works = [WORKS[key] for key in chosen.work or (ON_A_GPU if device == "cuda" else USUAL)]
    pythons = {
        "ppo": chosen.trl_ppo or (venvs.for_ppo(say) if any(work.kind == "ppo" for work in works) else ""),
        "": chosen.trl or (venvs.current(say) if any(work.kind != "ppo" for work in works) else ""),
    }
    with tempfile.TemporaryDirectory() as folder:
        say("Making the model and the texts")
        run([sys.executable, "-m", f"{HERE}.material", folder, "large" if device == "cuda" else "small"])
        if chosen.profile:
            chosen.profile.mkdir(parents=True, exist_ok=True)
            for work in works:
                say(f"Profiling our second step of {work.title}, {work.dtype}")
                of_ours(Job(work, folder, device, profile=str(chosen.profile.absolute() / f"{work.key}.txt")))
            return 0
        say("Measuring matmul alone")
        speeds = run([sys.executable, "-m", f"{HERE}.speeds", "large" if device == "cuda" else "small", device])
        formats = list(dict.fromkeys(work.dtype for work in works))
        flat = {}
        for name in () if chosen.brief else formats:
            say(f"Measuring what a token costs, {name}")
            work = SCALING["sft" if name == "fp32" else "sft-bf16"]
            flat[name] = run([sys.executable, "-m", f"{HERE}.scaling", json.dumps(Job(work, folder, device).to_json())])
        rows, versions = [], {}
        for work in works:
            ours, theirs = measure(work, folder, device, pythons.get(work.kind) or pythons[""], chosen, say)
            rows.append(row_of(work, ours, theirs))
            versions |= {f"ours: {told_versions(ours[0])}": 0, f"TRL's side: {told_versions(theirs[0])}": 0}
        texts = json.loads((Path(folder) / "texts.json").read_text(encoding="utf-8"))
    found = Findings(
        size,
        device,
        chosen.runs,
        speeds["threads"],
        rows,
        list(versions),
        {name: {shape_of(key): rate for key, rate in speeds["rates"][name].items()} for name in formats},
        {name: {int(count): cost for count, cost in costs.items()} for name, costs in flat.items()},
        speeds.get("bandwidth", 0.0),
        ([len(text.split()) for text in texts["prompts"]], texts["limits"]),
        date.today(),
    )
    if chosen.write:
        chosen.write.write_text(page(found), encoding="utf-8")
        say(f"Written: {chosen.write}")
    print(targets(rows) if chosen.write else page(found))
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=HERE, description="Measure the engine against TRL on the same work.")
    parser.add_argument("--work", type=works_in, help=f"which, separated by commas: {', '.join(WORKS)}")
    parser.add_argument("--runs", type=int, default=5, help="pairs of measurements of each work")
    parser.add_argument("--trl", default="", help="a Python with the current TRL; one is made where it is not given")
    parser.add_argument("--trl-ppo", default="", help="a Python with trl 0.29, which has PPO; likewise")
    parser.add_argument("--device", default="", choices=("cpu", "cuda"), help="a GPU where there is one")
    parser.add_argument("--write", type=Path, help="where the help page goes")
    parser.add_argument("--brief", action="store_true", help="leave out what a token costs by batch size")
    parser.add_argument("--profile", type=Path, help="only save torch's profile of one step of ours, into this folder")
    return parser.parse_args(arguments)


def works_in(text: str) -> list[str]:
    if unknown := [key for key in text.split(",") if key not in WORKS]:
        raise argparse.ArgumentTypeError(f"there is no work {', '.join(unknown)}; there are {', '.join(WORKS)}")
    return text.split(",")


def measure(
    work: Work, folder: str, device: str, python: str, chosen: argparse.Namespace, say: venvs.Progress
) -> tuple[list[Measured], list[Measured]]:
    """All runs of one work, ours and theirs in turn."""
    ours, theirs = [], []
    for count in range(1, chosen.runs + 1):
        where, job = f"{work.title}, {work.dtype}, {count} of {chosen.runs}", Job(work, folder, device)
        ours.append(Measured.from_json(of_ours(job)))
        say(f"{where}: ours {told(ours[-1], work)}")
        ways = [replace(job, rows=rows) for rows in (ROWS if work.kind == "generate" else (0,))]
        theirs.append(best([Measured.from_json(of_theirs(way, python)) for way in ways], work))
        say(f"{where}: TRL {told(theirs[-1], work)}")
    return ours, theirs


def told(found: Measured, work: Work) -> str:
    spent = f"{sum(found.seconds):.1f} s, of all cores {sum(found.cpu):.1f} s"
    return f"{number(found.rate(work))} {work.unit}/s, {found.memory / 1e9:.2f} GB ({spent})"


def told_versions(found: Measured) -> str:
    return ", ".join(f"{name} {version}" for name, version in found.versions.items())


def shape_of(key: str) -> tuple[int, int]:
    inputs, outputs = key.split("x")
    return int(inputs), int(outputs)


def of_ours(job: Job) -> dict[str, Any]:
    return run([sys.executable, "-m", f"{HERE}.ours", json.dumps(job.to_json())])


def of_theirs(job: Job, python: str) -> dict[str, Any]:
    said = {"rank": RANK, "alpha": ALPHA, "answer": ANSWER, "longest": LONGEST, "good": GOOD, "bad": BAD}
    return run([python, str(THEIRS), json.dumps({**job.to_json(), **said})])


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
