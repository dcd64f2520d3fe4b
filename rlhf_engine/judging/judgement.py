"""A judgement as the statistics see it: who said what of which pair, when, how fast, and how the pair was shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlhf_engine.store.judgement_meta import unpack_meta

DECIDED = ("a", "b")
SPOKEN = ("a", "b", "tie", "both_bad")  # a skip says nothing of the answers
PAUSE = 1800.0  # seconds; whoever comes back after half an hour sits down anew


@dataclass(frozen=True, slots=True)
class Judgement:
    """One judgement that was not taken back. `left` is the answer ("a" or "b") seen on the left or first.

    `seconds` is 0 where the pair was not judged on this screen: then neither side nor time says anything.
    """

    id: str
    pair: str
    author: str
    winner: str
    strength: int = 2
    left: str = "a"
    seconds: float = 0.0
    created: float = 0.0
    session: str = ""
    repeat_of: str = ""
    adjudicates: bool = False
    source: str = "human"
    attributes: Mapping[str, str] = field(default_factory=dict)
    lengths: tuple[int, int] = (0, 0)  # characters of answers a and b
    prompt: str = ""

    @property
    def seen(self) -> bool:
        return self.seconds > 0

    @property
    def chose_left(self) -> bool:
        return self.winner == self.left


def judgement_of(row: Mapping[str, Any]) -> Judgement:
    """A row of `Labels.judgements()`."""
    meta = unpack_meta(row["judgement_meta"])
    attributes = meta.get("attributes", {})
    return Judgement(
        id=row["id"],
        pair=row["pair_id"],
        author=row["author"],
        winner=row["winner"],
        strength=row["strength"],
        left=row["left_side"],
        seconds=row["seconds"],
        created=row["created"],
        session=str(meta.get("session", "")),
        repeat_of=str(meta.get("repeat_of", "")),
        adjudicates=meta.get("adjudicates") is True,
        source=row["source"],
        attributes=attributes if isinstance(attributes, dict) else {},
        lengths=(row["length_a"], row["length_b"]),
        prompt=row["prompt"],
    )


def sittings(judgements: Iterable[Judgement]) -> list[list[Judgement]]:
    """One annotator's judgements in the order of time, cut where the session changes or half an hour passed between."""
    found: list[list[Judgement]] = []
    for said in sorted(judgements, key=lambda judgement: judgement.created):
        before = found[-1][-1] if found else None
        if before and said.session == before.session and (said.session or said.created - before.created < PAUSE):
            found[-1].append(said)
        else:
            found.append([said])
    return found


def last_words(judgements: Iterable[Judgement]) -> dict[str, dict[str, Judgement]]:
    """By pair and annotator, what each person last said of it. Repeats, skips and adjudications are left out."""
    found: dict[str, dict[str, Judgement]] = {}
    for said in judgements:
        if said.winner in SPOKEN and not said.repeat_of and not said.adjudicates:
            found.setdefault(said.pair, {})[said.author] = said
    return found


def by_author(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """Judgements of each annotator, who judged most first."""
    found: dict[str, list[Judgement]] = {}
    for said in judgements:
        found.setdefault(said.author, []).append(said)
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1])))
