"""Several answers to one prompt, to be put in order: those of all its pairs that wait. No Qt in this file."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.data.records import unpack_prompt

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

MOST = 9  # answers, one key each


@dataclass
class Group:
    """Answers to one prompt, in the order they are shown, and the pairs that ask about them.

    `ranked` holds numbers of answers, the best first; those in one inner list tie.
    """

    pair: dict[str, Any]  # the oldest of its pairs: prompt and turns
    answers: list[str]
    known: dict[tuple[int, int], str]
    sources: list[dict[str, Any]]
    ranked: list[list[int]] = field(default_factory=list)

    @property
    def left(self) -> list[int]:
        """Answers without a place."""
        placed = {number for tied in self.ranked for number in tied}
        return [number for number in range(len(self.answers)) if number not in placed]

    def pick(self, number: int, tie: bool = False) -> None:
        """Give an answer the next place, or with `tie` the last one given; one that has a place loses it."""
        if number not in self.left:
            self.ranked = [kept for tied in self.ranked if (kept := [n for n in tied if n != number])]
        elif tie and self.ranked:
            self.ranked[-1].append(number)
        else:
            self.ranked.append([number])

    def take_back(self) -> bool:
        """The last place given; False if none was."""
        if not self.ranked:
            return False
        self.ranked[-1].pop()
        if not self.ranked[-1]:
            self.ranked.pop()
        return True

    def order(self, numbers: list[int]) -> None:
        """All answers in this order, none tied: what dragging says."""
        self.ranked = [[number] for number in numbers]

    def places(self) -> list[int] | None:
        """Of each answer its place from 1; an answer that is left alone is the last. None while more are left."""
        ranked = [*self.ranked, self.left] if len(self.left) == 1 else self.ranked
        if sum(map(len, ranked)) < len(self.answers):
            return None
        places = {number: place for place, tied in enumerate(ranked, 1) for number in tied}
        return [places[number] for number in range(len(self.answers))]


@dataclass
class RankingQueue:
    """`current` is the group to rank, None when no pair waits."""

    labels: Labels
    author: str = ""
    shuffle: Callable[[list[Any]], None] = random.shuffle
    clock: Callable[[], float] = time.monotonic
    current: Group | None = None
    ranked: int = 0  # groups in this sitting
    _passed: list[str] = field(default_factory=list)  # pairs passed over in this sitting
    _since: float = 0.0

    def start(self) -> None:
        self.advance()

    def advance(self) -> None:
        waiting = self.labels.next_pairs(1, self._passed)
        self.current = self._group(waiting[0]) if waiting else None
        self._since = self.clock()

    def skip(self) -> None:
        """Not now: the pairs still wait, and come again in another sitting."""
        if self.current is not None:
            self._passed += self.current.known.values()
            self.advance()

    def save(self) -> str:
        """Write the ranking down as a judgement of every two answers, then go on. Returns what they share.

        Raises:
            StoreError: not every answer has a place.
            EngineError: it could not be written; the group stays.
        """
        group = self.current
        places = group.places() if group is not None else None
        if group is None or places is None:
            raise StoreError("Give every answer a place first.")
        prompt = unpack_prompt(group.pair["prompt"], group.pair["turns"])
        seconds = max(0.0, self.clock() - self._since)
        made = self.labels.rank(prompt, group.answers, places, group.known, group.sources, seconds, self.author)
        self.ranked += 1
        self.advance()
        return made

    def undo(self) -> bool:
        """Take back the last judgement or ranking of this author, and show its prompt again."""
        undone = self.labels.undo_last(self.author)
        if undone is None:
            return False
        self.ranked = max(0, self.ranked - 1)
        pair = self.labels.get("pairs", undone["pair_id"])
        if pair is not None and not pair["hidden"]:
            self._passed = [passed for passed in self._passed if passed != pair["id"]]
            self.current = self._group(pair)
            self._since = self.clock()
        else:
            self.advance()
        return True

    def _group(self, pair: dict[str, Any]) -> Group:
        told: dict[str, tuple[str, dict[str, Any]]] = {}  # by the text without its margins: such two are the same
        pairs = []
        for row in self.labels.waiting_of(pair["prompt"], pair["turns"]):
            new = [side for side in ("a", "b") if row[side].strip() not in told]
            if len(told) + len(new) > MOST:
                continue
            pairs.append(row)
            for side in new:
                told[row[side].strip()] = (row[side], _source(row, side))
        keys = list(told)
        self.shuffle(keys)
        known = {(keys.index(row["a"].strip()), keys.index(row["b"].strip())): str(row["id"]) for row in pairs}
        return Group(pair, [told[key][0] for key in keys], known, [told[key][1] for key in keys])


def _source(pair: dict[str, Any], side: str) -> dict[str, Any]:
    try:
        found = json.loads(pair["meta"] or "{}").get(side, {})
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
