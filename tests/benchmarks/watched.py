"""A window on a project whose every turn of the event loop is timed, and a hand on its keys."""

from __future__ import annotations

import faulthandler
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

BEAT_MS = 5


class WatchedWindow:
    """Shown by `show()`. `gaps` are the seconds between beats of its event loop since `watch()`."""

    def __init__(self, project: Path) -> None:
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        from studio.main_window import MainWindow
        from studio.session import Session
        from studio.settings import Settings
        from studio.theme import theme

        self.app = QApplication([])
        theme().apply("light", 1.0)
        settings = Settings()
        settings.confirm_close = False
        self.session = Session(settings)
        self.window = MainWindow(self.session)
        self.window.resize(1360, 860)
        self.window.painted.connect(lambda: self.window.start(lambda: self.session.open_project(project)))
        self.gaps: list[float] = []
        self.stalls = Stalls()
        self._last = time.perf_counter()
        self._beat = QTimer(interval=BEAT_MS)
        self._beat.timeout.connect(self._tick)

    def show(self) -> None:
        self._beat.start()
        self.stalls.start()
        self.window.show()
        self.until(lambda: self.window.current != "")

    def close(self) -> None:
        """Stop what runs, and close."""
        for going in self.session.activity.kept():
            self.session.control(going.run_id).cancel()
        self.until(lambda: not self.session.activity.kept())
        self.window.close()
        self.stalls.over = True

    def watch(self) -> None:
        """Forget what was measured up to now."""
        self._last = time.perf_counter()
        self.gaps.clear()
        self.stalls.seen.clear()

    def tell_gaps(self, what: str) -> None:
        """Print how long the turns were since `watch()`, and where the loop stood still."""
        print(f"event loop over {what}: {figures([1e3 * gap for gap in self.gaps])}")
        for length, where in self.stalls.seen:
            print(f"--- a stall of more than {length * 1e3:.0f} ms, in:\n{where}")

    def train(self, spec: Any, kind: str, steps: int, name: str) -> Any:
        """Begin a run on the project's labels of a kind, and wait until it has done some steps; the panel of Train."""
        self.until(lambda: self.session.engine is not None and self.session.engine.state == "ready")
        done: list[str] = []
        self.session.freeze(kind, "", done.append)
        self.until(lambda: done)
        run_id = self.session.submit(spec(done[0]), name)
        self.window.show_panel("train", {"run": run_id})
        panel: Any = self.window.panel("train")
        self.until(lambda: panel.view is not None and panel.view.story.step >= steps)
        return panel

    def press(self, panel: Any, keys: str, count: int, pause: float) -> tuple[list[float], float]:
        """Press keys of Compare one after the other, each as soon as the hand is back: verdicts, or what undoes them.

        Returns the milliseconds from each key to the painted next pair, and how many of them on average this process
        worked itself; the rest is the disk and others.
        """
        from PySide6.QtTest import QTest

        times, own = [], 0.0
        for number in range(count):
            here = panel.queue.current.id
            began, own_began = time.perf_counter(), time.process_time()
            QTest.keyClicks(panel, keys[number % len(keys)])
            self.until(lambda: not panel.saving.is_waiting)  # a disk that is slow to keep the verdict counts
            panel.repaint()
            times.append(1000 * (time.perf_counter() - began))
            own += 1000 * (time.process_time() - own_began)
            assert panel.queue.current.id != here, "the key did nothing"
            self.rest(pause)
        return times, own / max(1, len(times))

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def until(self, so: Callable[[], object]) -> None:
        from PySide6.QtCore import QEventLoop

        while not so():
            self.app.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 20)
            time.sleep(0.001)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now
        self.stalls.beat(now)


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


def p99(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def figures(times: Sequence[float]) -> str:
    """ "median 8.1 ms, p99 14 ms, longest 16 ms of 400"."""
    ranked = sorted(times)
    middle, longest = ranked[len(ranked) // 2], ranked[-1]
    return f"median {middle:.1f} ms, p99 {p99(times):.0f} ms, longest {longest:.0f} ms of {len(ranked):,}"
