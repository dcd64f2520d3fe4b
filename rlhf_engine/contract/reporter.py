"""A run's voice."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable

from rlhf_engine.contract.events import Envelope, Event


class Reporter:
    """Numbers and dates a run's events and sends them on. Under torchrun only the first process speaks.

    `first_seq` is not 0 for a run that is resumed: it goes on where its story stopped.
    """

    def __init__(self, run_id: str, publish: Callable[[Envelope], None], first_seq: int = 0) -> None:
        self._run_id = run_id
        self._publish = publish
        self._silent = os.environ.get("RANK", "0") != "0"
        self._seq = itertools.count(first_seq)
        self._lock = threading.Lock()  # a download's progress speaks from another thread

    def emit(self, event: Event) -> None:
        if self._silent:
            return
        with self._lock:
            self._publish(Envelope(self._run_id, next(self._seq), time.time(), event))
