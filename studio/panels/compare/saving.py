"""Writing a verdict down: the next one is asked only once it is on the disk, and a slow disk does not stop the window.

The write is done on another thread. As a rule it is over before anybody could notice, and this one waits for it; where
it takes longer than PATIENCE the window goes on, `waits(True)` is told, and nothing else is written in the meantime.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot

PATIENCE = 0.1  # seconds


@dataclass(eq=False)
class _Write:
    do: Callable[[], Any]
    then: Callable[[Any], object]
    failed: Callable[[Exception], object]
    result: Any = None
    error: Exception | None = None
    late: bool = False  # somebody waits for the signal
    over: bool = False


class Saving(QObject):
    """`waits(bool)`: a write takes its time, or has ended. `is_waiting` tells it at any moment."""

    waits = Signal(bool)
    _ended = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._now: _Write | None = None
        self._lock = threading.Lock()
        self._ended.connect(self._end)

    @property
    def is_waiting(self) -> bool:
        return self._now is not None

    def do(
        self, write: Callable[[], Any], then: Callable[[Any], object], failed: Callable[[Exception], object]
    ) -> None:
        """Call `write` on another thread, then `then(result)` or `failed(error)` on this one.

        While another write is on its way nothing is done.
        """
        if self.is_waiting:
            return
        made = _Write(write, then, failed)
        done = threading.Event()
        threading.Thread(target=self._write, args=(made, done), name="studio-saving", daemon=True).start()
        if not done.wait(PATIENCE):
            with self._lock:
                made.late = not made.over
        if made.late:
            self._now = made
            self.waits.emit(True)
        else:
            _tell(made)

    def drop(self) -> None:
        """Another project is open: what was written is kept there, and nobody here waits for it."""
        if self._now is not None:
            self._now.then = self._now.failed = _nothing
            self._now = None
            self.waits.emit(False)

    def _write(self, made: _Write, done: threading.Event) -> None:
        try:
            made.result = made.do()
        except Exception as error:  # it is told on the window's thread
            made.error = error
        with self._lock:
            made.over = True
            late = made.late
        done.set()
        if late:
            try:
                self._ended.emit(made)
            except RuntimeError:  # the window was closed in the meantime
                return

    @Slot(object)
    def _end(self, made: _Write) -> None:
        if made is self._now:
            self._now = None
            self.waits.emit(False)
            _tell(made)


def _tell(made: _Write) -> None:
    then, failed = made.then, made.failed
    made.then = made.failed = _nothing  # what they hold is let go on this thread: there may be widgets among it
    if made.error is not None:
        failed(made.error)
    else:
        then(made.result)


def _nothing(_: Any) -> None:
    return
