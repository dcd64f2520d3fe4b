"""Single answers that people rated: how consistent each person is with themselves, and what the rubric goes with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_engine.judging.consistency import Consistency, consistency
from rlhf_engine.judging.judgement import Judgement
from rlhf_engine.store.judgement_meta import unpack_meta

LIKED, NOT_LIKED = "a", "b"  # as `consistency` tells winners apart


@dataclass(frozen=True, slots=True)
class Rater:
    """One person: how many answers they rated (repeats left out), how many of them they liked, and their repeats."""

    name: str
    count: int
    liked: int
    consistency: Consistency


@dataclass(frozen=True, slots=True)
class RatedAttribute:
    """An attribute of single answers: how often each word was said, and of those with a yes or no (`of`) how many go
    with the rating (`same`): liked and yes, or not liked and no."""

    name: str
    said: dict[str, int]
    same: int
    of: int


def rating_of(row: Mapping[str, Any]) -> Judgement:
    """A row of `Labels.answers_rated()` as a judgement of its answer."""
    meta = unpack_meta(row["meta"])
    attributes = meta.get("attributes", {})
    return Judgement(
        id=row["id"],
        pair=row["answer"],
        author=row["author"],
        winner=LIKED if row["liked"] else NOT_LIKED,
        seconds=float(meta.get("seconds", 0.0)),
        created=row["created"],
        session=str(meta.get("session", "")),
        repeat_of=str(meta.get("repeat_of", "")),
        attributes=attributes if isinstance(attributes, dict) else {},
        prompt=row["prompt"],
    )


def raters(ratings: Iterable[Judgement]) -> list[Rater]:
    """Everybody who rated, who rated most first."""
    own: dict[str, list[Judgement]] = {}
    for said in ratings:
        own.setdefault(said.author, []).append(said)
    found = []
    for name, rows in own.items():
        first = [said for said in rows if not said.repeat_of]
        liked = sum(said.winner == LIKED for said in first)
        found.append(Rater(name, len(first), liked, consistency(rows)))
    return sorted(found, key=lambda rater: -rater.count)


def rated_attributes(ratings: Sequence[Judgement]) -> list[RatedAttribute]:
    """What was said of each attribute, the one that was used most first; repeats are left out."""
    said: dict[str, list[tuple[str, bool]]] = {}
    for one in ratings:
        if not one.repeat_of:
            for name, word in one.attributes.items():
                said.setdefault(name, []).append((word, one.winner == LIKED))
    found = []
    for name, rows in sorted(said.items(), key=lambda entry: -len(entry[1])):
        counts = {word: sum(one == word for one, _ in rows) for word in ("yes", "partly", "no")}
        same = sum(liked == (word == "yes") for word, liked in rows if word != "partly")
        found.append(RatedAttribute(name, counts, same, counts["yes"] + counts["no"]))
    return found
