"""Everything a run has said and goes on saying, in order, each event once: past and live runs are one path."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from rlhf_engine.contract.events import Envelope

if TYPE_CHECKING:
    from studio.session import Session


class RunFeed(QObject):
    """Made by `Session.run_feed()`; begins by itself when control returns to Qt, and ends with its parent or `stop()`.

    Signals:
        event(Envelope): gapless, from seq 0 on.
        caught_up(): the story so far has been told; what follows is live. Once.
    """

    event = Signal(object)  # type: ignore[assignment]  # QObject.event() is only called by C++, which does not see this
    caught_up = Signal()
    FRAME_MS = 16
    BUDGET_S = 0.008
    PATIENCE = 20  # re-reads for a missing event, a quarter of a second apart, before going on without it

    def __init__(self, session: Session, run_id: str, parent: QObject | None = None) -> None:
        super().__init__(parent or session)
        self.run_id = run_id
        self._session = session
        self._next = 0
        self._told: deque[Envelope] = deque()  # in order, ready to be emitted
        self._ahead: dict[int, Envelope] = {}  # live ones that came before those in front of them
        self._reading = False
        self._caught_up = False
        self._stopped = False
        self._tries = 0
        self._frame = QTimer(self, interval=self.FRAME_MS)
        self._frame.timeout.connect(self._tell)
        self._again = QTimer(self, singleShot=True, interval=250)
        self._again.timeout.connect(self._read)
        session.received.connect(self._hear)
        QTimer.singleShot(0, self, self._read)

    def stop(self) -> None:
        """Say nothing more."""
        if not self._stopped:
            self._stopped = True
            self._frame.stop()
            self._again.stop()
            self._session.received.disconnect(self._hear)

    def _read(self) -> None:
        if self._stopped or self._reading:
            return
        self._reading = True
        root, run_id, after = self._session.root, self.run_id, self._next - 1
        self._session.in_background(lambda: read_story(root, run_id, after), self._add, self._unread)

    def _add(self, past: list[Envelope]) -> None:
        self._reading = False
        if self._stopped:
            return
        for envelope in past:
            self._place(envelope)
        if not self._told and not self._caught_up:
            self._tell()
        self._fill_gap()

    def _unread(self, error: BaseException) -> None:
        self._reading = False
        self._session.failed.emit(error)
        self._add([])

    def _hear(self, envelope: Envelope) -> None:
        if envelope.run_id == self.run_id:
            self._place(envelope)
            if self._caught_up and self._frame.isActive() is False:
                self._tell()
            self._fill_gap()

    def _place(self, envelope: Envelope) -> None:
        if envelope.seq < self._next or envelope.seq in self._ahead:
            return
        self._ahead[envelope.seq] = envelope
        while self._next in self._ahead:
            self._told.append(self._ahead.pop(self._next))
            self._next += 1
            self._tries = 0
        if self._told and not self._frame.isActive():
            self._frame.start()

    def _fill_gap(self) -> None:
        """The pipe is ahead of the database by up to a fifth of a second: wait for what is missing, then go on."""
        if not self._ahead or self._reading or self._again.isActive():
            return
        self._tries += 1
        if self._tries > self.PATIENCE:
            self._next = min(self._ahead)
            self._tries = 0
            self._place(self._ahead.pop(self._next))
            return
        self._again.start()

    def _tell(self) -> None:
        deadline = time.perf_counter() + self.BUDGET_S
        while self._told and not self._stopped and time.perf_counter() < deadline:
            self.event.emit(self._told.popleft())
        if self._told or self._stopped:
            return
        self._frame.stop()
        if not self._caught_up and not self._reading:
            self._caught_up = True
            self.caught_up.emit()


def read_story(root: Path | None, run_id: str, after: int = -1) -> list[Envelope]:
    """What a run has said after event `after`, through a connection of its own: call it on any thread."""
    if root is None:
        return []
    from rlhf_engine.store.runs import RunsReader

    reader = RunsReader(root)
    try:
        return list(reader.story(run_id, after))
    finally:
        reader.close()
