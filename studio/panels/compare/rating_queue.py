"""Single answers to rate, one after the other: the two of a pair in a drawn order. No Qt in this file."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.data.records import unpack_prompt

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

AHEAD = 20  # pairs
LIKED_FROM = 4  # of five


@dataclass(frozen=True, slots=True)
class OneAnswer:
    """One answer of a pair; `side` is "a" or "b"."""

    pair: dict[str, Any]
    side: str

    @property
    def name(self) -> str:
        """How a rating refers to it."""
        return f"{self.pair['id']}/{self.side}"

    @property
    def text(self) -> str:
        return str(self.pair[self.side])


@dataclass
class RatingQueue:
    """`current` is the answer to rate, None when none is left. Answers that are passed over come again another time."""

    labels: Labels
    author: str = ""
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    current: OneAnswer | None = None
    rated: int = 0  # in this sitting
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
        self.current = self._ahead.popleft() if self._ahead else None
        self._since = self.clock()

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

    def rate(self, liked: bool, score: int = 0) -> OneAnswer:
        """Write down whether the answer is liked, and its score of 1 to 5 if it was given one; then go on.

        Raises:
            EngineError: it could not be written; the answer stays.
        """
        here = self.current
        if here is None:
            raise StoreError("There is no answer to rate.")
        meta: dict[str, Any] = {"seconds": round(max(0.0, self.clock() - self._since), 3)}
        if score:
            meta["score"] = score
        prompt = unpack_prompt(here.pair["prompt"], here.pair["turns"])
        self.labels.add_rating(prompt, here.text, liked, author=self.author, answer=here.name, meta=meta)
        self.rated += 1
        self.advance()
        return here

    def undo(self) -> OneAnswer | None:
        """Take back the last rating of this author, of this sitting or an earlier one; its answer is shown again."""
        undone = self.labels.undo_last_rating(self.author)
        if undone is None:
            return None
        pair_id, _, side = str(undone["answer"]).rpartition("/")
        pair = self.labels.get("pairs", pair_id)
        self.rated = max(0, self.rated - 1)
        if pair is None or pair["hidden"]:
            return None
        if self.current is not None:
            self._ahead.appendleft(self.current)
        self.current = OneAnswer(pair, side)
        self._since = self.clock()
        return self.current
