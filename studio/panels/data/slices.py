"""Many writes without holding up the window: a slice at a time, each shorter than a frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QObject, QTimer, Signal

ENOUGH, MOST_TIME = 0.011, 0.015  # seconds: a slice that takes less may grow, one that takes more shrinks
LEAST, MOST = 4, 500  # things in one slice; for a single one the disk takes nearly as long as for four
TELL = 0.1  # seconds between two words about progress: painting them takes as long as a slice


class Slices(QObject):
    """Hands `things` to `write` in lists, which grow and shrink so that a call takes less than a frame.

    Signals: progressed(done, total); finished(done), also after `stop()`; failed(error), with what came before kept.
    """

    progressed = Signal(int, int)
    finished = Signal(int)
    failed = Signal(object)

    def __init__(
        self, things: Sequence[Any], write: Callable[[list[Any]], object], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.done = 0
        self.longest = 0.0  # seconds of the longest call
        self._things, self._write = things, write
        self._size, self._told = LEAST, 0.0
        self._timer = QTimer(self, interval=0)
        self._timer.timeout.connect(self._next)
        self._timer.start()

    def stop(self) -> None:
        """Write no more; what is written stays."""
        if self._timer.isActive():
            self._timer.stop()
            self.finished.emit(self.done)

    def _next(self) -> None:
        began = time.perf_counter()
        try:
            some = list(self._things[self.done : self.done + self._size])  # of a large dataset they are read now
            if not some:
                self.stop()
                return
            self._write(some)
        except Exception as error:  # whoever listens shows it; the slices before are written
            self._timer.stop()
            self.failed.emit(error)
            return
        took = time.perf_counter() - began
        self.longest = max(self.longest, took)
        self.done += len(some)
        if took < ENOUGH:
            self._size = min(MOST, self._size + max(1, self._size // 4))
        elif took > MOST_TIME:
            self._size = max(LEAST, self._size * 3 // 4)
        if self.done >= len(self._things):
            self.stop()
        elif time.perf_counter() - self._told > TELL:
            self._told = time.perf_counter()
            self.progressed.emit(self.done, len(self._things))
