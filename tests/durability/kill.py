"""Kills a real window while it judges by keys, over and over: `python -m tests.durability.kill --count 1000`.

A warmed process forks a life; the life opens the project in the studio's own window (offscreen), and presses keys. What
the window has shown as saved it tells through a pipe. At a random moment it gets SIGKILL; then the project is read, and
must hold everything told, nothing torn, and no pair with two verdicts. The next life goes on with the same project.

`--how early` is a window that moves on before it has written: it must lose some.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from tests.durability.shim import scratch

PAIRS = 2000
KEYS = ("1", "2", "Shift+1", "Shift+2", "3", "4", "S", "Left", "Right", "1", "2", "Backspace")


def warm() -> tuple[Any, Any]:
    """An application and the window, with no project open and no thread started."""
    from studio.app import open_window, parse

    app, window, _ = open_window(parse([]))
    window.painted.disconnect()
    window.show_panel("compare")
    return app, window


def judge_for_ever(root: Path, window: Any, told: int, how: str, seed: int) -> NoReturn:
    """Open the project, press keys, and tell what has been shown as saved: a pair, its winner or "undo", and whether it
    was a hidden repeat, which is kept but never stands."""
    from PySide6.QtCore import QTimer
    from PySide6.QtGui import QKeySequence
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    rng = random.Random(seed)
    if how == "early":
        real = Labels._write
        Labels._write = lambda self, *given: (QTimer.singleShot(40, lambda: real(self, *given)), given[1])[1]
    os.write(told, b"begun\n")
    window.open_project(root)
    window.show_panel("compare")
    panel = window.panel("compare")
    panel.setFocus()
    while panel.queue.current is not None:
        before = panel.queue.current.id
        key = rng.choice(KEYS)
        said = len(panel.queue.said)
        pressed = QKeySequence(key)[0]
        QTest.keyClick(panel, pressed.key(), pressed.keyboardModifiers())
        now = panel.queue.current
        if key == "Backspace":
            if now is not None and now.id != before:
                os.write(
                    told, f"{now.id} undo {bool(now.repeat_of)}\n".encode()
                )  # it is shown again, to be judged anew
        elif len(panel.queue.said) > said and (now is None or now.id != before):
            last = panel.queue.said[-1]
            os.write(told, f"{last.shown.id} {last.winner} {bool(last.shown.repeat_of)}\n".encode())
        if rng.random() < 0.3:
            QApplication.processEvents()
    os.write(told, b"done\n")
    signal.pause()
    raise SystemExit


def stored(root: Path) -> tuple[dict[str, str], int, Counter[tuple[str, str]]]:
    """Which verdict stands on each pair, how many pairs have two, and all that was ever said: nothing is deleted."""
    labels = Labels(root / "labels.db", write=False)
    try:
        rows = labels._rows(
            "SELECT t.pair_id, t.winner FROM comparisons AS t LEFT JOIN standings AS s "
            "ON s.kind = 'comparisons' AND s.record = t.row WHERE coalesce(s.hidden, '') = ''"
        )
        said = Counter((row["pair_id"], row["winner"]) for row in labels._rows("SELECT * FROM comparisons"))
    finally:
        labels.close()
    found = {row["pair_id"]: row["winner"] for row in rows}
    return found, len(rows) - len(found), said


def fresh(root: Path) -> None:
    with Project.create(root) as project:
        rows = [{"prompt": f"Question {n}", "a": f"good {n} " * 9, "b": f"bad {n} " * 9} for n in range(PAIRS)]
        project.labels.add_many("pairs", rows)


def kill(count: int, how: str = "full", seed: int = 0) -> dict[str, float]:
    """Kill so many lives. `longest opening`: after how many seconds, at most, a dead one's project was open again."""
    rng = random.Random(seed)
    found: dict[str, float] = dict.fromkeys(
        ("kills", "acknowledged", "lost", "wrong", "unacknowledged", "double", "unsound", "longest opening"), 0
    )
    with scratch() as name:
        os.environ["RLHF_STUDIO_HOME"] = f"{name}/home"
        root, number = Path(name) / "project-0", 0
        fresh(root)
        _app, window = warm()
        start = time.monotonic()
        state: dict[str, str] = {}
        told: Counter[tuple[str, str]] = Counter()
        while found["kills"] < count:
            lines = _one_life(root, window, how, rng)
            found["kills"] += 1
            died = time.monotonic()
            Project.open(root).close()  # also puts back a verdict that only the journal has: the key in flight
            found["longest opening"] = max(found["longest opening"], round(time.monotonic() - died, 3))
            after, double, said = stored(root)
            found["double"] += double
            expected = dict(state)
            for line in lines:
                pair, winner, repeat = line.split(" ")
                told[pair, winner] += 1
                if repeat == "False":
                    expected[pair] = "" if winner == "undo" else winner
            found["acknowledged"] += len(lines)
            found["lost"] += (told - said).total()
            differ = [pair for pair in {*expected, *after} if expected.get(pair, "") != after.get(pair, "")]
            found["unacknowledged"] += len(differ) == 1  # the key in flight
            found["wrong"] += len(differ) if len(differ) > 1 else 0
            told &= said  # what is lost is counted once
            state = after
            if rng.random() < 0.04 or found["kills"] == count:
                found["unsound"] += not _sound(root)
            if len(state) > PAIRS * 0.8:
                number += 1
                root, state = Path(name) / f"project-{number}", {}
                told.clear()
                fresh(root)
        found["said again"] = _say_again(root)
        found["seconds"] = round(time.monotonic() - start, 1)
    return found


def _one_life(root: Path, window: Any, how: str, rng: random.Random) -> list[str]:
    reading, telling = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            judge_for_ever(root, window, telling, how, rng.randrange(2**32))
        except BaseException as error:
            os.write(2, f"A life ended by itself: {error!r}\n".encode())
            os._exit(1)
    os.close(telling)
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        first = rng.random() < 0.8  # most die while judging, some while opening
        raw = b""
        while raw.count(b"\n") < (2 if first else 1) and (piece := pipe.read(4096)):
            raw += piece
        time.sleep(rng.uniform(0.0, 0.15))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            raise AssertionError("A life ended before it was killed.")
        while piece := pipe.read(65536):
            raw += piece
    return [line for line in raw.decode().split("\n")[:-1] if line not in ("begun", "done")]


def _sound(root: Path) -> bool:
    """Opening must work at once, and nothing may be damaged."""
    began = time.monotonic()
    with Project.open(root) as project:
        opened = time.monotonic() - began
        check = project.check()
        return opened < 1 and check.healthy and not check.unjournaled


def _say_again(root: Path) -> int:
    """Say what is there already under the same ids: how many rows that added, which must be none."""
    with Project.open(root) as project:
        labels = project.labels
        before = labels._one("SELECT count(*) FROM comparisons")
        for row in labels._rows("SELECT * FROM comparisons WHERE winner <> 'undo' LIMIT 50"):
            labels.judge(row["pair_id"], row["winner"], row["strength"], row["left_side"], id=row["id"])
        return int(labels._one("SELECT count(*) FROM comparisons") - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--how", choices=("full", "early"), default="full")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    sys.stdout.write(json.dumps(kill(asked.count, asked.how, asked.seed)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # the window was never started, and is not taken down


if __name__ == "__main__":
    main()
