"""How soon the window is there and how smoothly it goes on: `python tests/benchmarks/bench_window.py`. Prints figures.

Not a test: run it by hand on a machine that does nothing else. Wanted: first paint below 1.5 s; with a PPO run and four
plots, 99 of 100 turns of the event loop below 33 ms and none above 100 ms; the next pair to judge below 50 ms.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BEAT_MS = 5

FIRST_PAINT = """
import sys, time
from studio.main_window import MainWindow
def painted(self, open_first):
    print(time.time())
    sys.stdout.flush()
    self.session.close()
    import os
    os._exit(0)
MainWindow.start = painted
from studio import app
app.main([])
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30.0, help="how long the event loop is watched")
    parser.add_argument("--project", type=Path, help="a project with an SFT and a reward run; made if left out")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["RLHF_STUDIO_HOME"] = str(Path(scratch) / "home")
        times = [first_paint() for _ in range(5)]
        print(f"first paint: median {statistics.median(times):.2f} s, slowest {max(times):.2f} s, of {len(times)}")
        project = asked.project
        if project is None:
            project = Path(scratch) / "project"
            command = [sys.executable, str(ROOT / "packaging" / "screenshots.py"), "--train-into", str(project)]
            subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        Watched(project, asked.seconds).run()


def first_paint() -> float:
    """Seconds from the start of the process to its first picture."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", FIRST_PAINT], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return float(done.stdout.split()[0]) - began


class Watched:
    """A window whose every turn of the event loop is timed."""

    def __init__(self, project: Path, seconds: float) -> None:
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        from studio.main_window import MainWindow
        from studio.session import Session
        from studio.settings import Settings
        from studio.theme import theme

        self.app = QApplication([])
        self.seconds = seconds
        theme().apply("light", 1.0)
        settings = Settings()
        settings.confirm_close = False
        self.session = Session(settings)
        self.window = MainWindow(self.session)
        self.window.resize(1360, 860)
        self.window.painted.connect(lambda: self.window.start(lambda: self.session.open_project(project)))
        self.gaps: list[tuple[float, float]] = []
        self._last = time.perf_counter()
        self._beat = QTimer(interval=BEAT_MS)
        self._beat.timeout.connect(self._tick)
        self.stalls = Stalls()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append((now, now - self._last))
        self._last = now
        self.stalls.beat(now)

    def run(self) -> None:
        self._beat.start()
        self.stalls.start()
        self.window.show()
        self.until(lambda: self.window.current != "")
        self.panels()
        self.judging()
        self.training()
        self.window.close()
        self.stalls.over = True

    def panels(self) -> None:
        """The longest stall when each panel is shown for the first time, and again."""
        from studio.panels import PANELS

        for key in PANELS:
            worst = []
            for _ in range(2):
                self.window.show_panel("home" if key != "home" else "settings")
                self.rest(0.5)
                began = time.perf_counter()
                self.window.show_panel(key)
                self.app.processEvents()
                worst.append(time.perf_counter() - began)
                self.rest(0.7)
            print(f"{key}: shown for the first time in {worst[0] * 1e3:.0f} ms, again in {worst[1] * 1e3:.0f} ms")

    def judging(self) -> None:
        """From the key to the painted next pair."""
        from PySide6.QtTest import QTest

        self.window.show_panel("compare", {"again": True})
        self.window.activateWindow()
        self.rest(1.0)
        panel: Any = self.window.panel("compare")
        times = []
        for number in range(60):
            here = panel.queue.current.id
            began = time.perf_counter()
            QTest.keyClicks(panel, "12"[number % 2])
            panel.repaint()
            times.append(time.perf_counter() - began)
            assert panel.queue.current.id != here
            self.rest(0.05)
        times.sort()
        print(f"key to next pair: median {times[30] * 1e3:.0f} ms, slowest {times[-1] * 1e3:.0f} ms, of {len(times)}")

    def training(self) -> None:
        """A PPO run with four plots in view."""
        from dataclasses import replace

        from rlhf_engine.cli.demo import ppo_spec

        made = {row.task: f"run:{row.id}" for row in self.session.runs.runs() if row.state == "completed"}
        self.until(lambda: self.session.engine is not None and self.session.engine.state == "ready")
        done: list[str] = []
        self.session.freeze("prompts", "", done.append)
        self.until(lambda: done)
        spec = replace(ppo_spec(made["sft"], made["reward"], done[0], 0), updates=10_000)
        run_id = self.session.submit(spec, "watched")
        self.window.show_panel("train", {"run": run_id})
        panel: Any = self.window.panel("train")
        self.until(lambda: panel.view.story.step >= 2)
        self.rest(2.0)
        self.gaps.clear()
        self.stalls.seen.clear()
        self.rest(self.seconds)
        gaps = sorted(gap for _, gap in self.gaps)
        steps = panel.view.story.step
        print(f"event loop over {self.seconds:.0f} s of PPO, {steps} updates:", end=" ")
        middle, most = gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.99)]
        print(f"median {middle * 1e3:.1f} ms, p99 {most * 1e3:.1f} ms, longest {gaps[-1] * 1e3:.0f} ms")
        for length, where in self.stalls.seen:
            print(f"--- a stall of more than {length * 1e3:.0f} ms, in:\n{where}")
        self.session.control(run_id).cancel()
        self.until(lambda: not self.session.activity.kept())

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def until(self, so: Callable[[], object]) -> None:
        from PySide6.QtCore import QEventLoop

        while not so():
            self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
            time.sleep(0.001)


class Stalls:
    """Looks from another thread at what the window's thread is doing when its beat is late."""

    LATE = 0.1

    def __init__(self) -> None:
        self.seen: list[tuple[float, str]] = []
        self.over = False
        self._last = time.perf_counter()
        self._file = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def beat(self, now: float) -> None:
        self._last = now

    def _watch(self) -> None:
        told = 0.0
        while not self.over:
            time.sleep(0.02)
            late = time.perf_counter() - self._last
            if late > self.LATE and told != self._last:
                told = self._last
                self.seen.append((late, self._stacks()))

    def _stacks(self) -> str:
        """Written by faulthandler, which holds no frame: a widget must not be freed on this thread."""
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback(self._file)
        self._file.seek(0)
        return self._file.read().split("Thread 0x")[-1]


if __name__ == "__main__":
    main()
