"""Work that must not hold up the window: a function runs on a pool thread, and its result comes back on Qt's thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal, Slot
from shiboken6 import isValid

from rlhf_engine.contract.errors import EngineError

log = logging.getLogger(__name__)
Done = Callable[[Any], None]
Failed = Callable[[BaseException], None]


class Errand:
    """One piece of work on its way. `forget()` drops its result: neither callback is called."""

    def __init__(self, done: Done | None, failed: Failed | None) -> None:
        self.done = done
        self.failed = failed
        self.forgotten = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def forget(self) -> None:
        self.forgotten.set()


class Background(QObject):
    """Runs errands, at most four at a time. An error without a `failed` to tell is given to `unhandled`."""

    unhandled = Signal(object)
    _returned = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = QThreadPool(self)
        self._pool.setMaxThreadCount(4)
        self._pool.setExpiryTimeout(1000)
        self._returned.connect(self._deliver)
        self._open = True

    def run(self, function: Callable[[], Any], done: Done | None = None, failed: Failed | None = None) -> Errand:
        """`function` must touch no widget; `done(result)` or `failed(error)` follows on the Qt thread."""
        errand = Errand(done, failed)
        if self._open:
            self._pool.start(_Work(function, errand, self._returned.emit))
        return errand

    def close(self, wait_ms: int = 2000) -> bool:
        """Drop what has not begun and wait for the rest. False when something is still going."""
        self._open = False
        self._pool.clear()
        return self._pool.waitForDone(wait_ms)

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


class _Work(QRunnable):
    def __init__(self, function: Callable[[], Any], errand: Errand, returned: Callable[[Errand], None]) -> None:
        super().__init__()
        self._function = function
        self._errand = errand
        self._returned = returned

    def run(self) -> None:
        if self._errand.forgotten.is_set():
            return
        try:
            self._errand.result = self._function()
        except BaseException as error:  # it belongs to whoever asked, on the other thread
            if not isinstance(error, EngineError):
                log.error("An errand failed.", exc_info=error)
            self._errand.error = error
        try:
            self._returned(self._errand)
        except RuntimeError:  # the window has been closed and its signals are gone
            log.info("Nobody is left to hear the result of an errand.")


def _alive(callback: Callable[..., Any]) -> bool:
    """Whether the widget whose method this is still exists on Qt's side."""
    owner = getattr(callback, "__self__", None)
    return not isinstance(owner, QObject) or isValid(owner)
