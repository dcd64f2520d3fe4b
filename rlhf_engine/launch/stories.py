"""Publishing every run's story without a gap, whatever the worker managed to say before it died."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

from rlhf_engine.contract.events import Envelope, RunFinished, RunStarted
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.contract.spec import Spec
from rlhf_engine.store.runs import RunsReader
from rlhf_engine.tasks import task_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Told:
    """How far a story has been published: the number that comes next, and whether the last event was an end."""

    next_seq: int = 0
    ended: bool = False


class Stories:
    """Knows how far each story has been published. What a worker stored but could not say is read from runs.db."""

    def __init__(self, reader: RunsReader, publish: Callable[[Envelope], None]) -> None:
        self._reader = reader
        self._publish = publish
        self._told: dict[str, _Told] = {}

    def go_on(self, run_id: str) -> None:
        """A run is to be resumed: what is stored of it, perhaps by an earlier window, counts as told."""
        self._told.setdefault(run_id, _Told(self._reader.next_seq(run_id), self._reader.ended(run_id)))

    def say(self, envelope: Envelope) -> None:
        self._told[envelope.run_id] = _Told(envelope.seq + 1, isinstance(envelope.event, RunFinished))
        try:
            self._publish(envelope)
        except Exception:
            log.exception("A listener failed on number %d of run %s.", envelope.seq, envelope.run_id)

    def catch_up(self, run_id: str, before: float = math.inf) -> None:
        """Say what is stored and has not been said, such as the end that a later writer gave a run that had died."""
        told = self._told.get(run_id, _Told())
        if told.next_seq >= before:
            return
        for envelope in self._reader.story(run_id, told.next_seq - 1):
            if envelope.seq >= before:
                return
            self.say(envelope)

    def end(self, run_id: str, spec: Spec, end: RunFinished) -> bool:
        """Bring a story to its end here, from its beginning if need be. False when it has one already."""
        told = self._told.get(run_id, _Told())
        if told.ended:
            return False
        reporter = Reporter(run_id, self.say, told.next_seq)
        if told.next_seq == 0:
            reporter.emit(RunStarted(task_of(spec).key, spec.total_steps))
        reporter.emit(end)
        return True
