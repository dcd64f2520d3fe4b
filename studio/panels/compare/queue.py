"""The pairs that wait, one after the other: what comes next, what was said, and taking it back. No Qt in this file."""

from __future__ import annotations

import math
import random
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.store.judgement_meta import unpack_meta
from studio.panels.compare.mixing import REPEAT, SETTLE, Extra, Mixing

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels

AHEAD = 20  # pairs read before they are needed
IDLE = 60.0  # seconds; whoever takes longer was away


@dataclass(frozen=True, slots=True)
class Shown:
    """A pair as it is on the screen. `left` is the answer ("a" or "b") that stands on the left.

    `why` it is asked though it does not wait: see `mixing`; `repeat_of` is the judgement that it repeats.
    """

    pair: dict[str, Any]
    left: str
    why: str = ""
    repeat_of: str = ""

    @property
    def id(self) -> str:
        return str(self.pair["id"])

    @property
    def texts(self) -> tuple[str, str]:
        a, b = str(self.pair["a"]), str(self.pair["b"])
        return (a, b) if self.left == "a" else (b, a)

    @property
    def standing(self) -> tuple[str, int] | None:
        """Of a pair that is looked at again: the side (or verdict) and strength that stand; None if it waits."""
        winner = self.pair.get("winner")
        if not winner:
            return None
        side = winner if winner not in ("a", "b") else "left" if winner == self.left else "right"
        return str(side), int(self.pair.get("strength") or 2)

    @property
    def waited(self) -> bool:
        """Whether it is one of those that wait, rather than one that was opened though somebody had judged it."""
        return self.standing is None and not self.pair.get("stood")

    def winner(self, side: str) -> str:
        """The answer on a side ("left" or "right"); other verdicts are what they are."""
        if side not in ("left", "right"):
            return side
        return self.left if side == "left" else ("b" if self.left == "a" else "a")


@dataclass(frozen=True, slots=True)
class Said:
    """A judgement that has been written down. `at` is when, by the queue's clock."""

    shown: Shown
    winner: str
    strength: int
    seconds: float
    at: float = 0.0


@dataclass
class Tally:
    """Pairs judged, all pairs, and skipped ones."""

    judged: int = 0
    total: int = 0
    skipped: int = 0

    @property
    def left(self) -> int:
        return max(0, self.total - self.judged - self.skipped)

    def count(self, winner: str, by: int) -> None:
        if winner == "skip":
            self.skipped += by
        else:
            self.judged += by


@dataclass
class PairQueue:
    """`current` is the pair to judge, None when there is none left.

    With `no_person_yet`, pairs that a rule or a model has judged are asked again; their verdict is not shown before.
    `mixing` adds pairs that do not wait. They are counted when they are read ahead, so that the count does not tell
    which they are. `about` gives what is known of a judgement beside its verdict (see `store.judgement_meta`).
    """

    labels: Labels
    author: str = ""
    no_person_yet: bool = False
    draw: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic
    current: Shown | None = None
    said: list[Said] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    order: Sequence[str] = ()  # ids of pairs to ask before all others
    ordered: float = -math.inf  # when that order was worked out, by the clock
    first: Sequence[str] = ()  # ids of waiting pairs to ask even before that order
    _place: int = 0  # in both
    mixing: Mixing | None = None
    about: Callable[[Shown], dict[str, Any]] = lambda _: {}
    done: int = 0  # judged pairs of this sitting that did not wait
    _ahead: deque[Shown] = field(default_factory=deque)
    _since: float = 0.0
    _unsaved: tuple[tuple[str, str, int, str], str] | None = None  # what was said but not written, and its id

    def start(self, keep: Shown | None = None) -> None:
        """Read everything anew; `keep` stays on the screen."""
        self._ahead.clear()
        self._place = 0
        self.current = keep
        self.recount()
        self.refill()
        if keep is None:
            self.advance()

    def recount(self) -> None:
        counts = self.labels.judged_by_people() if self.no_person_yet else self.labels.tally()
        total = sum(counts.values())
        judged = total - counts[""] - counts["skip"]
        here = [self.current, *self._ahead] if self.current else self._ahead
        total += sum(bool(shown.why) for shown in here)
        self.tally = Tally(judged + self.done, total + self.done, counts["skip"])

    def refill(self) -> None:
        """Read ahead. Called when the next pair is on the screen, so that nobody waits for it."""
        if len(self._ahead) > AHEAD // 2:
            return
        here = [self.current.id] if self.current else []
        known = [*here, *(shown.id for shown in self._ahead)]
        wanted = AHEAD - len(self._ahead)
        fresh: list[Shown] = []
        if self.mixing is None or not self.mixing.by:
            fresh = self._follow_order(set(known), wanted)
            known += [shown.id for shown in fresh]
            for pair in self.labels.next_pairs(wanted - len(fresh), known, no_person_yet=self.no_person_yet):
                fresh.append(Shown(pair, "a" if self.draw() < 0.5 else "b"))
        known = [*known, *(shown.id for shown in fresh)]
        beside = self.mixing.beside(len(fresh), known) if self.mixing else [[] for _ in fresh]
        for shown, extras in zip(fresh, beside, strict=True):
            self._ahead.append(shown)
            self._add(extras)
        if self.mixing is not None and len(fresh) < wanted:
            known = [*here, *(shown.id for shown in self._ahead)]
            self._add(self.mixing.alone(wanted - len(fresh), known))

    def settle(self, pair_ids: Sequence[str]) -> int:
        """Ask for the pairs on which annotators differ before all others; how many there are."""
        extras = self.mixing.to_settle(pair_ids) if self.mixing is not None else []
        asked = [Shown(extra.pair, extra.left, extra.why) for extra in extras]
        ids = {shown.id for shown in asked}
        rest = [shown for shown in self._ahead if shown.id not in ids]
        if self.current is not None and self.current.waited and self.current.id not in ids:
            rest.insert(0, self.current)
        self._ahead = deque([*asked, *rest])
        if asked:
            self.advance()
            self.recount()
        return len(asked)

    def _add(self, extras: Sequence[Extra]) -> None:
        self._ahead.extend(Shown(extra.pair, extra.left, extra.why, extra.repeat_of) for extra in extras)
        self.tally.total += len(extras)

    def _follow_order(self, known: set[str], wanted: int) -> list[Shown]:
        """What the order names next, but for what has been judged or has gone since it was worked out."""
        known |= {said.shown.id for said in self.said if said.at >= self.ordered}
        found: list[Shown] = []
        order = [*self.first, *self.order]
        while self._place < len(order) and len(found) < wanted:
            id = order[self._place]
            waits = self._place < len(self.first)
            self._place += 1
            pair = self.labels.pair_as_judged(id, self.author) if id not in known else None
            if pair is not None and not (waits and pair["winner"]):
                found.append(self._blind(pair))
                known.add(id)
        return found

    def _blind(self, pair: dict[str, Any]) -> Shown:
        """A pair as `pair_as_judged` tells it, without a verdict that this annotator has no part in.

        What a rule, a model or an import said of it is kept for afterwards.
        """
        told = {"said": None, "said_strength": None, "said_source": None}
        if not pair["winner"] or pair["known"]:
            return Shown({**told, **pair}, pair.get("left_side") or ("a" if self.draw() < 0.5 else "b"))
        if pair["judged_by"] != "human":
            told = {"said": pair["winner"], "said_strength": pair["strength"], "said_source": pair["judged_by"]}
        hidden = {"winner": None, "strength": None, "comment": None, "left_side": None}
        return Shown({**pair, **told, **hidden}, "a" if self.draw() < 0.5 else "b")

    def advance(self) -> None:
        if not self._ahead:
            self.current = None
            self.refill()
        self.current = self._ahead.popleft() if self._ahead else None
        self._since = self.clock()

    def judge(self, side: str, strength: int, comment: str = "") -> Said:
        """Write down what was said of the current pair, then go on to the next.

        Raises:
            EngineError: it could not be written; the pair stays.
        """
        said, write = self.to_write(side, strength, comment)
        write()
        self.accept(said)
        return said

    def to_write(self, side: str, strength: int, comment: str = "") -> tuple[Said, Callable[[], object]]:
        """What is said of the current pair, and what writes it down; that may be called on another thread.

        `side` is left, right, tie, both_bad or skip.
        """
        shown = self.current
        if shown is None:
            raise StoreError("There is no pair to judge.")
        seconds = max(0.0, self.clock() - self._since)
        winner = shown.winner(side)
        said = (shown.id, winner, strength, comment)
        if self._unsaved is None or self._unsaved[0] != said:
            self._unsaved = (said, uuid.uuid4().hex)  # said again after a failure, it is written once
        by = (self.author, "human", comment, self._unsaved[1], self._known_of(shown, winner))
        write = partial(self.labels.judge, shown.id, winner, strength, shown.left, seconds, *by)
        return Said(shown, winner, strength, seconds, self.clock()), write

    def accept(self, said: Said) -> None:
        """It has been written down: go on to the next pair."""
        self._unsaved = None
        self.said.append(said)
        self.done += bool(said.shown.why)
        if said.shown.waited:
            self.tally.count(said.winner, 1)
        else:
            self.recount()
        self.advance()

    def _known_of(self, shown: Shown, winner: str) -> dict[str, Any]:
        session = self.mixing.session() if self.mixing is not None else ""
        settles = shown.why == SETTLE and winner != "skip"
        return {**self.about(shown), "session": session, "repeat_of": shown.repeat_of, "adjudicates": settles}

    def open(self, pair: dict[str, Any]) -> None:
        """Show this pair now, as `pair_as_judged` tells it; the one on the screen comes next if it still waits."""
        here = self.current
        if here is not None and here.waited and here.id != pair["id"]:
            self._ahead.appendleft(here)
        for shown in [shown for shown in self._ahead if shown.id == pair["id"]]:
            self._ahead.remove(shown)
        self.current = self._blind({**pair, "stood": bool(pair["winner"])})
        self._since = self.clock()

    def undo(self) -> Said | None:
        """Take back the last judgement of this author, of this sitting or an earlier one; its pair is shown again."""
        undone = self.labels.undo_last(self.author)
        return self.came_back(undone) if undone is not None else None

    def came_back(self, undone: dict[str, Any]) -> Said | None:
        """A judgement (as `Labels.undo_last` returns it) was taken back: show its pair again, if it is still there."""
        known = next((said for said in reversed(self.said) if said.shown.id == undone["pair_id"]), None)
        if known is not None:
            self.said.remove(known)
            shown = known.shown
            self.done -= bool(shown.why)
        else:
            pair = self.labels.get("pairs", undone["pair_id"])
            if pair is None or pair["hidden"]:
                self.recount()
                return None
            blank = {"said": None, "said_strength": None, "said_source": None}
            meta = unpack_meta(undone["judgement_meta"])
            why = REPEAT if meta.get("repeat_of") else SETTLE if meta.get("adjudicates") else ""
            shown = Shown({**blank, **pair}, undone["left_side"], why, str(meta.get("repeat_of", "")))
        if self.current is not None and self.current.waited:
            self._ahead.appendleft(self.current)
        self.current = shown
        self._since = self.clock()
        self.recount()
        return known or Said(shown, undone["winner"], undone["strength"], undone["seconds"])

    # --- what can be told of the sitting ------------------------------------------------------------------------

    @property
    def per_minute(self) -> float:
        """Judgements a minute in this sitting, time away left out; 0 before the first."""
        seconds = sum(min(IDLE, said.seconds) for said in self.said)
        return 60.0 * len(self.said) / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        return self.tally.left / self.per_minute * 60.0 if self.per_minute and len(self.said) >= 3 else None

    @property
    def agreement(self) -> tuple[int, int]:
        """(agreed, compared) with what a rule, a model or an import had said of the same pairs; skips do not count."""
        both = [said for said in self.said if said.shown.pair.get("said") and said.winner not in ("skip", "both_bad")]
        return sum(said.winner == said.shown.pair["said"] for said in both), len(both)

    @property
    def left_share(self) -> float | None:
        """How often the left answer won, of all that had a winner: far from a half is a habit of the hand."""
        won = [said for said in self.said if said.winner in ("a", "b")]
        return sum(said.winner == said.shown.left for said in won) / len(won) if won else None
