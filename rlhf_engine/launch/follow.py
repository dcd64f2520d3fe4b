"""Listening to a run that another process does in this project, by reading what it writes into runs.db."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Envelope, RunFinished
from rlhf_engine.store.locks import Holder
from rlhf_engine.store.runs import INTERRUPTED, RunsReader

EVERY, LOOK_EVERY = 0.2, 1.0  # seconds: between readings of a run, and between looks for one
News = Envelope | tuple[str, dict[str, Any]]


class Follower:
    """Finds such a run, tells its whole story from number 0, and stays with it to its end, whatever that is."""

    def __init__(self, project_root: Path, reader: RunsReader) -> None:
        self._root = project_root
        self._reader = reader
        self._next_seq = 0
        self._next_look = 0.0
        self._told_end = False
        self.run_id: str | None = None

    def news(self, our_worker: int | None) -> Iterator[News]:
        """What has happened since the last call: envelopes, and states with their facts."""
        now = time.monotonic()
        if now < self._next_look:
            return
        try:
            if self.run_id is None:
                yield from self._look(our_worker)
            if self.run_id is not None:
                yield from self._read(self.run_id)
        except EngineError as error:
            self.run_id = None
            yield "refused", {"message": str(error), "hint": error.hint, "run": ""}
        self._next_look = now + (LOOK_EVERY if self.run_id is None else EVERY)

    def _look(self, our_worker: int | None) -> Iterator[News]:
        who = self._reader.at_work()
        if who is None or who.here or who == Holder(our_worker or 0, who.host):
            return
        row = self._reader.going()
        if row is not None:
            self.run_id, self._next_seq, self._told_end = row.id, 0, False
            yield "following", {"run": row.id, "pid": who.pid, "host": who.host}

    def _read(self, run_id: str) -> Iterator[News]:
        row = self._reader.run(run_id)  # before the story, which then has all that came before this state
        for envelope in self._reader.story(run_id, self._next_seq - 1):
            self._next_seq = envelope.seq + 1
            self._told_end = isinstance(envelope.event, RunFinished)  # a resumed run's story has an end in its middle
            yield envelope
        if row is not None and row.alive:
            return
        if row is not None and not self._told_end:
            yield Envelope(run_id, self._next_seq, time.time(), INTERRUPTED)
        self.run_id = None
        yield "followed", {"run": run_id}
