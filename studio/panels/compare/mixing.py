"""Which pairs are asked beside those that wait: some come back unannounced, some are for everyone, some to be settled.

No Qt in this file. Nothing here tells the annotator which is which.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from rlhf_engine.store.judging_settings import JudgingSettings

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

T = TypeVar("T")
REPEAT, SHARED, SETTLE = "repeat", "shared", "settle"
READ = 20  # pairs read at a time
PAUSE = 1800.0  # seconds; whoever comes back after half an hour sits down anew
_SHARED_AMONG = 1 / 3  # of the pairs shown while there are pairs for everyone left


@dataclass(frozen=True, slots=True)
class Extra:
    """A pair that does not wait, why it is asked, which judgement it repeats, and the answer to be on the left."""

    pair: dict[str, Any]
    why: str
    left: str
    repeat_of: str = ""


@dataclass
class Mixing:
    """`by` is whose pairs are to be judged instead of those that wait; "" is nobody's."""

    labels: Labels
    settings: JudgingSettings
    author: str
    by: str = ""
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.time
    _session: str = ""
    _last: float = 0.0
    _others: bool | None = None
    _for_everyone: deque[dict[str, Any]] | None = None

    def go_on(self, before: Mixing) -> None:
        """The same person goes on in the same sitting, with pairs read anew."""
        self._session, self._last = before._session, before._last

    def session(self) -> str:
        """The name of this sitting; a new one after half an hour away. Call it once for each judgement."""
        now = self.clock()
        if not self._session or now - self._last > PAUSE:
            self._session = datetime.fromtimestamp(now).isoformat(" ", "seconds")
        self._last = now
        return self._session

    def beside(self, fresh: int, here: Sequence[str]) -> list[list[Extra]]:
        """For each of `fresh` pairs that were read ahead, what is to be asked after it. `here` are read already."""
        made: list[list[Extra]] = [[] for _ in range(fresh)]
        taken = set(here)
        for place in range(fresh):
            wanted = [(REPEAT, self.settings.repeats / max(0.01, 1 - self.settings.repeats), self._repeats)]
            if self._has_others():
                wanted.append((SHARED, _SHARED_AMONG, self._shared))
            for _, chance, find in wanted:
                if self.draw() < chance and (extra := find(taken)) is not None:
                    taken.add(str(extra.pair["id"]))
                    made[place].append(extra)
        return made

    def repeat_now(self) -> bool:
        """Of rankings and ratings: whether one is to come back after one that was new."""
        return self.draw() < self.settings.repeats / max(0.01, 1 - self.settings.repeats)

    def repeated_ranking(self) -> list[dict[str, Any]]:
        """The pairs of a ranking that comes back; none where none was given long enough ago."""
        return self._drawn(self.labels.repeatable_rankings(self.author, self.settings.apart)) or []

    def repeated_rating(self) -> dict[str, Any] | None:
        """The pair and answer of a rating that comes back."""
        return self._drawn(self.labels.repeatable_ratings(self.author, self.settings.apart, READ))

    def _drawn(self, found: list[T]) -> T | None:
        return found[min(len(found) - 1, int(self.draw() * len(found)))] if found else None

    def alone(self, limit: int, here: Sequence[str]) -> list[Extra]:
        """What is left to ask when nothing waits: the pairs for everyone; with `by`, all that this person judged."""
        if not self._has_others():
            return []
        share = 1.0 if self.by else self.settings.overlap
        found = self.labels.judged_by_others(self.author, share, self.by or None, limit, tuple(here))
        return [Extra(pair, SHARED, self._side()) for pair in found]

    def to_settle(self, pair_ids: Sequence[str]) -> list[Extra]:
        """Pairs on which annotators differ, to be decided now."""
        found = [self.labels.get("pairs", pair_id) for pair_id in pair_ids]
        return [Extra(pair, SETTLE, self._side()) for pair in found if pair is not None and not pair["hidden"]]

    def _repeats(self, taken: set[str]) -> Extra | None:
        found = [
            pair for pair in self.labels.repeatable(self.author, self.settings.apart, READ) if pair["id"] not in taken
        ]
        pair = self._drawn(found)
        if pair is None:
            return None
        left = pair["judged_left"]
        if self.draw() < 0.5:  # half of them with the sides swapped
            left = "b" if left == "a" else "a"
        return Extra(pair, REPEAT, left, pair["judged"])

    def _shared(self, taken: set[str]) -> Extra | None:
        if self._for_everyone is None:
            found = self.labels.judged_by_others(self.author, self.settings.overlap, None, READ, tuple(taken))
            self._for_everyone = deque(found)
        if not self._for_everyone:
            return None
        pair = self._for_everyone.popleft()
        if not self._for_everyone:
            self._for_everyone = None  # there may be more
        return Extra(pair, SHARED, self._side()) if pair["id"] not in taken else None

    def _has_others(self) -> bool:
        if self._others is None:
            self._others = self.labels.has_others(self.author)
        return self._others

    def _side(self) -> str:
        return "a" if self.draw() < 0.5 else "b"
