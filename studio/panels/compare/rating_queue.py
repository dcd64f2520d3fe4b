"""Single answers to rate, one after the other: the two of a pair in a drawn order. No Qt in this file."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.data.records import unpack_prompt
from rlhf_engine.store.judgement_meta import unpack_meta

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels
    from studio.panels.compare.mixing import Mixing

AHEAD = 20  # pairs
LIKED_FROM = 4  # of five


@dataclass(frozen=True, slots=True)
class OneAnswer:
    """One answer of a pair; `side` is "a" or "b". `repeat_of` is the rating that it repeats."""

    pair: dict[str, Any]
    side: str
    repeat_of: str = ""

    @property
    def name(self) -> str:
        """How a rating refers to it."""
        return f"{self.pair['id']}/{self.side}"

    @property
    def text(self) -> str:
        return str(self.pair[self.side])


@dataclass
class RatingQueue:
    """`current` is the answer to rate, None when none is left. Answers that are passed over come again another time.

    `mixing` lets some of them come back unannounced.
    """

    labels: Labels
    author: str = ""
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    mixing: Mixing | None = None
    current: OneAnswer | None = None
    done: int = 0  # in this sitting
    _fresh: bool = False  # whether the last one rated was new
    _ahead: deque[OneAnswer] = field(default_factory=deque)
    _last: int = 0  # row of the last pair read
    _since: float = 0.0

    def start(self) -> None:
        self._ahead.clear()
        self._last = 0
        self.advance()

    def advance(self) -> None:
        if not self._ahead:
            self.refill()
        back = self._back() if self._fresh and self._ahead and self.mixing and self.mixing.repeat_now() else None
        self._fresh = False
        self.current = back or (self._ahead.popleft() if self._ahead else None)
        self._since = self.clock()

    def skip(self) -> None:
        """Not now."""
        self.advance()

    def _back(self) -> OneAnswer | None:
        row = self.mixing.repeated_rating() if self.mixing else None
        return OneAnswer(row, str(row["answer"])[-1], str(row["judged"])) if row is not None else None

    def refill(self) -> None:
        """Read ahead. Called when the next answer is on the screen, so that nobody waits for it."""
        if len(self._ahead) > AHEAD:
            return
        for pair in self.labels.answers_to_rate(self._last, AHEAD):
            self._last = int(pair["row"])
            sides = [side for side in ("a", "b") if not pair[f"rated_{side}"]]
            if len(sides) == 2 and self.draw() < 0.5:
                sides.reverse()
            self._ahead.extend(OneAnswer(pair, side) for side in sides)

    def rate(self, liked: bool, score: int = 0) -> None:
        """Write down whether the answer is liked, and go on. Raises as `to_write`, or EngineError: the answer stays."""
        self.to_write(liked, score)()
        self.accept()

    def to_write(
        self, liked: bool, score: int = 0, comment: str = "", attributes: Mapping[str, str] | None = None
    ) -> Callable[[], object]:
        """What writes down whether the answer is liked, and its score of 1 to 5 if it was given one.

        It may be called on another thread. `attributes` are "yes", "partly" or "no" by the rubric's names.
        """
        here = self.current
        if here is None:
            raise StoreError("There is no answer to rate.")
        meta = {
            "seconds": round(max(0.0, self.clock() - self._since), 3),
            "layout": "rating",
            "session": self.mixing.session() if self.mixing else "",
            "comment": comment,
            "attributes": dict(attributes or {}),
            "repeat_of": here.repeat_of,
            "score": score or None,
        }
        prompt = unpack_prompt(here.pair["prompt"], here.pair["turns"])
        add = partial(self.labels.add_rating, prompt, here.text, liked)
        return partial(add, author=self.author, answer=here.name, meta=meta)

    def accept(self) -> None:
        """It has been written down: go on."""
        self.done += 1
        self._fresh = self.current is not None and not self.current.repeat_of
        self.advance()

    def undo(self) -> bool:
        """Take back the last rating of this author, of this sitting or an earlier one; its answer is shown again."""
        undone = self.labels.undo_last_rating(self.author)
        if undone is not None:
            self.came_back(undone)
        return undone is not None

    def came_back(self, undone: dict[str, Any]) -> None:
        """A rating (as `Labels.undo_last_rating` returns it) was taken back: show its answer, if it is still there."""
        pair_id, _, side = str(undone["answer"]).rpartition("/")
        pair = self.labels.get("pairs", pair_id)
        self.done = max(0, self.done - 1)
        if pair is None or pair["hidden"]:
            return
        if self.current is not None and not self.current.repeat_of:
            self._ahead.appendleft(self.current)
        self.current = OneAnswer(pair, side, str(unpack_meta(undone["meta"]).get("repeat_of", "")))
        self._since = self.clock()
