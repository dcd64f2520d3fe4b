"""Work that must not hold up the window: a function runs on a pool thread, and its result comes back on Qt's thread."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Signal, Slot
from shiboken6 import isValid

from rlhf_engine.contract.errors import EngineError

log = logging.getLogger(__name__)
Done = Callable[[Any], None]
Failed = Callable[[BaseException], None]


class Errand:
    """One piece of work on its way. `forget()` drops its result: neither callback is called."""

    def __init__(self, function: Callable[[], Any], done: Done | None, failed: Failed | None) -> None:
        self.function = function
        self.done = done
        self.failed = failed
        self.forgotten = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def forget(self) -> None:
        self.forgotten.set()


class Background(QObject):
    """Runs errands, at most four at a time. An error without a `failed` to tell is given to `unhandled`.

    The threads are daemons: a program that has been closed does not wait for an errand that takes long.
    """

    unhandled = Signal(object)
    _returned = Signal(object)
    MOST = 4

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._errands: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._going = 0  # errands given and not yet carried out
        self._lock = threading.Lock()
        self._returned.connect(self._deliver)
        self._open = True

    def run(self, function: Callable[[], Any], done: Done | None = None, failed: Failed | None = None) -> Errand:
        """`function` must touch no widget; `done(result)` or `failed(error)` follows on the Qt thread."""
        errand = Errand(function, done, failed)
        if not self._open:
            return errand
        with self._lock:
            self._going += 1
            more = self._going > len(self._threads) and len(self._threads) < self.MOST
        self._errands.put(errand)
        if more:
            thread = threading.Thread(target=self._work, name="studio-background", daemon=True)
            self._threads.append(thread)
            thread.start()
        return errand

    def close(self, wait: float = 2.0) -> bool:
        """Drop what has not begun and wait some seconds for the rest. False when something is still going."""
        self._open = False
        for _ in self._threads:
            self._errands.put(None)
        until = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            if self._open and not errand.forgotten.is_set():
                self._carry_out(errand)
            with self._lock:
                self._going -= 1

    def _carry_out(self, errand: Errand) -> None:
        try:
            errand.result = errand.function()
        except BaseException as error:  # it belongs to whoever asked, on the other thread
            if not isinstance(error, EngineError):
                log.error("An errand failed.", exc_info=error)
            errand.error = error
        if not self._open:
            return
        try:
            self._returned.emit(errand)
        except RuntimeError:  # the window was closed this very moment and its signals are gone
            log.info("Nobody is left to hear the result of an errand.")

    @Slot(object)
    def _deliver(self, errand: Errand) -> None:
        if errand.forgotten.is_set() or not self._open:
            return
        if errand.error is None:
            if errand.done is not None and _alive(errand.done):
                errand.done(errand.result)
        elif errand.failed is not None:
            if _alive(errand.failed):
                errand.failed(errand.error)
        else:
            self.unhandled.emit(errand.error)


def _alive(callback: Callable[..., Any]) -> bool:
    """Whether the widget whose method this is still exists on Qt's side."""
    owner = getattr(callback, "__self__", None)
    return not isinstance(owner, QObject) or isValid(owner)
