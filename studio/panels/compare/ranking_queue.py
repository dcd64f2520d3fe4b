"""Several answers to one prompt, to be put in order: those of all its pairs that wait. No Qt in this file."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.data.records import unpack_prompt
from studio.panels.compare.keys import ANSWERS as MOST

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels
    from studio.panels.compare.mixing import Mixing


@dataclass
class Group:
    """Answers to one prompt, in the order they are shown, and the pairs that ask about them.

    `ranked` holds numbers of answers, the best first; those in one inner list tie. `repeats` are the judgements that a
    group which comes back repeats, by the numbers of their answers as in `known`.
    """

    pair: dict[str, Any]  # the oldest of its pairs: prompt and turns
    answers: list[str]
    known: dict[tuple[int, int], str]
    sources: list[dict[str, Any]]
    ranked: list[list[int]] = field(default_factory=list)
    repeats: dict[tuple[int, int], str] = field(default_factory=dict)

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
    """`current` is the group to rank, None when no pair waits. `mixing` lets some rankings come back unannounced."""

    labels: Labels
    author: str = ""
    shuffle: Callable[[list[Any]], None] = random.shuffle
    clock: Callable[[], float] = time.monotonic
    mixing: Mixing | None = None
    current: Group | None = None
    done: int = 0  # groups in this sitting
    _said: list[Group] = field(default_factory=list)
    _passed: list[str] = field(default_factory=list)  # pairs passed over in this sitting
    _since: float = 0.0

    def start(self) -> None:
        self.advance()

    def advance(self) -> None:
        fresh = bool(self._said) and not self._said[-1].repeats
        back = self.mixing.repeated_ranking() if fresh and self.mixing and self.mixing.repeat_now() else []
        if back:
            self.current = self._group(back, {str(row["id"]): str(row["judged"]) for row in back})
        else:
            waiting = self.labels.next_pairs(1, self._passed)
            self.current = self._waiting(waiting[0]) if waiting else None
        self._since = self.clock()

    def refill(self) -> None:
        """Nothing is read ahead: a group is made of what waits now."""

    def skip(self) -> None:
        """Not now: the pairs still wait, and come again in another sitting."""
        if self.current is not None:
            self._passed += self.current.known.values()
            self.current = None
            self.advance()

    def save(self) -> None:
        """Write the ranking down and go on. Raises as `to_write`, or EngineError: the group stays."""
        self.to_write()()
        self.accept()

    def to_write(self, comment: str = "", best: Mapping[str, int] | None = None) -> Callable[[], object]:
        """What writes the ranking down, as a judgement of every two answers; it may be called on another thread.

        `best` is of each attribute of the rubric the number of the answer that has most of it.

        Raises:
            StoreError: not every answer has a place.
        """
        group = self.current
        places = group.places() if group is not None else None
        if group is None or places is None:
            raise StoreError("Give every answer a place first.")
        prompt = unpack_prompt(group.pair["prompt"], group.pair["turns"])
        seconds = max(0.0, self.clock() - self._since)
        said = (prompt, group.answers, places, group.known, group.sources, seconds, self.author)
        meta = {"session": self.mixing.session() if self.mixing else ""}
        return partial(self.labels.rank, *said, meta, comment, best, group.repeats)

    def accept(self) -> None:
        """It has been written down: go on."""
        if self.current is not None:
            self._said.append(self.current)
        self.done += 1
        self.advance()

    def undo(self) -> bool:
        """Take back the last judgement or ranking of this author, and show its prompt again."""
        undone = self.labels.undo_last(self.author)
        if undone is not None:
            self.came_back(undone)
        return undone is not None

    def came_back(self, undone: dict[str, Any]) -> None:
        """A judgement (as `Labels.undo_last` returns it) was taken back: show its prompt again, if it is there."""
        self.done = max(0, self.done - 1)
        if self._said and undone["pair_id"] in self._said[-1].known.values():
            last = self._said.pop()
            if last.repeats:
                last.ranked = []
                self.current = last
                self._since = self.clock()
                return
        pair = self.labels.get("pairs", undone["pair_id"])
        if pair is not None and not pair["hidden"]:
            self._passed = [passed for passed in self._passed if passed != pair["id"]]
            self.current = self._waiting(pair)
            self._since = self.clock()
        else:
            self.advance()

    def _waiting(self, pair: dict[str, Any]) -> Group:
        """All answers to the prompt of a pair that wait, MOST at most."""
        texts: set[str] = set()
        pairs = []
        for row in self.labels.waiting_of(pair["prompt"], pair["turns"]):
            new = {row["a"].strip(), row["b"].strip()} - texts
            if len(texts) + len(new) <= MOST:
                pairs.append(row)
                texts |= new
        return self._group(pairs or [pair], {})

    def _group(self, pairs: Sequence[dict[str, Any]], judged: Mapping[str, str]) -> Group:
        told: dict[str, tuple[str, dict[str, Any]]] = {}  # by the text without its margins: such two are the same
        for row in pairs:
            for side in ("a", "b"):
                told.setdefault(row[side].strip(), (row[side], _source(row, side)))
        keys = list(told)
        self.shuffle(keys)
        known = {(keys.index(row["a"].strip()), keys.index(row["b"].strip())): str(row["id"]) for row in pairs}
        repeats = {at: judged[id] for at, id in known.items() if id in judged}
        answers, sources = [told[key][0] for key in keys], [told[key][1] for key in keys]
        return Group(pairs[0], answers, known, sources, repeats=repeats)


def _source(pair: dict[str, Any], side: str) -> dict[str, Any]:
    try:
        found = json.loads(pair["meta"] or "{}").get(side, {})
    except (ValueError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}
