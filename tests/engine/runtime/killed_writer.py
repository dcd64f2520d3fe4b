"""Kills a process that saves checkpoints, over and over.

Call it as `python -m tests.engine.runtime.killed_writer FOLDER HOW TIMES`. HOW is "safe" for the engine's own way, or
"naive" for files written straight into their place. Prints what was found.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import torch

from rlhf_engine.runtime import checkpoints


def write_for_ever(folder: Path, naive: bool, told: int) -> NoReturn:
    found = checkpoints.newest(folder)
    step = found.step if found else 0
    while True:
        step += 1
        state = {"step": step, "x": torch.full((50_000,), float(step)), "y": ["words"] * 5_000}
        if naive:
            checkpoints._write(folder / f"{step:08d}", state)
        else:
            checkpoints.save(folder, step, state)
        os.write(told, f"{step}\n".encode())


def main(folder: Path, naive: bool, times: int) -> dict[str, int]:
    """How often the newest folder was broken, an announced checkpoint was lost, or what was found held other steps."""
    folder.mkdir()
    moment = random.Random(0)
    counts = {"saved": 0, "broken": 0, "lost": 0, "unreadable": 0}
    for _ in range(times):
        reading, telling = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            write_for_ever(folder, naive, telling)
        os.close(telling)
        with os.fdopen(reading) as pipe:
            lines = [pipe.readline()]  # it has begun, however busy the machine is
            time.sleep(moment.uniform(0.0, 0.12))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines += pipe.readlines()
        told = [int(line) for line in lines if line.endswith("\n")]
        counts["saved"] += len(told)
        names = sorted(path for path in folder.iterdir() if path.name.isdigit())
        found = checkpoints.newest(folder)
        counts["broken"] += bool(names) and (found is None or found.folder != names[-1])
        counts["lost"] += bool(told) and (found is None or found.step < told[-1])
        if found is not None:
            state = found.load()
            counts["unreadable"] += state["step"] != found.step or bool((state["x"] != found.step).any())
        if naive:  # it would go on from the broken one
            for name in names:
                for file in name.iterdir():
                    file.unlink()
                name.rmdir()
    return counts


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), sys.argv[2] == "naive", int(sys.argv[3]))))
