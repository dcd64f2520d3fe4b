"""Fills the disk at every write of a window that judges: `python -m tests.durability.full --count 200`.

A real window (offscreen) judges by keys. Before each round the disk gets room for so many writes more: none, one, two …
The window must say that the verdict is not saved and keep the pair; once there is room again it must go on by itself or
at a click. In the end the project is opened anew, and holds every verdict that was shown as saved, once.

`--how careless` is a window that does not look whether writing failed: it must lose some.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from rlhf_engine.contract.errors import DiskFull
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from tests.durability.shim import ROOT, Disk, build, environment, scratch

DEEPEST = 60  # writes; a verdict is some twenty


def fill(root: Path, count: int, how: str, seed: int) -> dict[str, float]:
    """In a process with the shim."""
    os.environ["RLHF_STUDIO_HOME"] = f"{root}-home"
    from PySide6.QtGui import QKeySequence
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    from tests.durability.kill import warm

    found: dict[str, float] = dict.fromkeys(
        ("rounds", "refused", "acknowledged", "not said", "moved on", "stuck", "lost", "double", "unsound"),
        0,
    )
    rng, disk = random.Random(seed), Disk()
    if how == "careless":
        real = Labels._write

        def careless(self, facts, changed):  # type: ignore[no-untyped-def]
            try:
                return real(self, facts, changed)
            except DiskFull:
                return changed

        Labels._write = careless  # type: ignore[method-assign]
    app, window = warm()
    window.safekeeping.stop()
    window.session.project_changed.disconnect(window.safekeeping._begin)
    window.open_project(root)
    window.show_panel("compare")
    panel = window.panel("compare")
    panel.pairs.failure._again.setInterval(1)
    panel.setFocus()
    while not window.isActiveWindow():
        app.processEvents()
    acknowledged: Counter[tuple[str, str]] = Counter()
    noted = 0

    def press(key: str) -> bool:
        """Whether the window shows the verdict as saved."""
        before = panel.queue.current.id
        pressed = QKeySequence(key)[0]
        QTest.keyClick(panel, pressed.key(), pressed.keyboardModifiers())
        return note(before)

    def note(before: str) -> bool:
        nonlocal noted
        if len(panel.queue.said) == noted or panel.queue.said[-1].shown.id != before:
            return False
        noted = len(panel.queue.said)
        acknowledged[before, panel.queue.said[-1].winner] += 1
        return True

    for number in range(count):
        found["rounds"] += 1
        disk.fill(number % DEEPEST)
        for _ in range(20):
            here = panel.queue.current.id
            if not press(rng.choice(("1", "2", "3", "Shift+2"))):
                break
        if number % 10 == 0:
            found["unsound"] += not _snapshot_refused(window.session.project)
        shown = panel.pairs.failure.isVisibleTo(panel) and "no space left" in panel.pairs.failure.cause.text()
        refused = disk.free()
        found["refused"] += refused > 0
        if how == "careless":
            continue
        found["not said"] += not shown
        found["moved on"] += panel.queue.current.id != here
        if number % 2:
            panel.pairs.failure.retry.click()
        else:  # by itself
            until = time.monotonic() + 5
            while panel.queue.current.id == here and time.monotonic() < until:
                app.processEvents()
        found["stuck"] += panel.queue.current.id == here or panel.pairs.failure.isVisibleTo(panel) or not note(here)
    found["acknowledged"] = acknowledged.total()
    window.session.close_project()
    with Project.open(root) as project:
        rows = project.labels._rows("SELECT pair_id, winner FROM comparisons")  # hidden repeats too, which never stand
        kept = Counter((row["pair_id"], row["winner"]) for row in rows)
        found["lost"] = (acknowledged - kept).total()
        found["double"] = (kept - acknowledged).total()
        check = project.check()
        found["unsound"] += int(not check.healthy or bool(check.unjournaled))
    QApplication.processEvents()
    return found


def _snapshot_refused(project: Project) -> bool:
    """On a full disk: whether taking one says so and leaves none behind."""
    before = sorted((project.root / "backups").glob("*")) if (project.root / "backups").exists() else []
    try:
        project.snapshot()
    except DiskFull:
        after = sorted((project.root / "backups").glob("*")) if (project.root / "backups").exists() else []
        return after == before
    return False


def fill_disk(count: int, how: str = "full", seed: int = 0) -> dict[str, float]:
    start = time.monotonic()
    with scratch() as name:
        folder = Path(name).resolve()
        root = folder / "project"
        with Project.create(root) as project:
            rows = [{"prompt": f"Question {n}", "a": f"good {n} " * 9, "b": f"bad {n} " * 9} for n in range(count * 8)]
            project.labels.add_many("pairs", rows)
        command = [sys.executable, "-m", "tests.durability.full", "--live", str(root), "--how", how]
        command += ["--count", str(count), "--seed", str(seed)]
        done = subprocess.run(
            command, check=True, cwd=ROOT, env=environment(build(folder), root), stdout=subprocess.PIPE, text=True
        )
    return {**json.loads(done.stdout), "seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--how", choices=("full", "careless"), default="full")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--live", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    work = fill if asked.live else fill_disk
    given = (asked.live, asked.count) if asked.live else (asked.count,)
    sys.stdout.write(json.dumps(work(*given, asked.how, asked.seed)) + "\n")  # type: ignore[operator]
    sys.stdout.flush()
    os._exit(0)  # the window was never started, and is not taken down


if __name__ == "__main__":
    main()
