"""A small closed world, made by a seed from tables: who lives where, what is red, which town is near which.

Every fact is functional (one object for each relation and subject), so an answer is either right or wrong.
"""

from __future__ import annotations

import random
from typing import NamedTuple

SEED = 7

WOMEN = (
    "Mara", "Ann", "Bea", "Clara", "Dora", "Elsa", "Freya", "Greta", "Hanna", "Iris",
    "Jill", "Kira", "Lotte", "Nina", "Olga", "Petra", "Rosa", "Sana", "Tilda", "Vera",
)  # fmt: skip
MEN = (
    "Tom", "Adam", "Boris", "Carl", "Dan", "Emil", "Finn", "Georg", "Hugo", "Ivan",
    "Jonas", "Karim", "Leo", "Milo", "Nils", "Otto", "Paul", "Rafi", "Sven", "Theo",
)  # fmt: skip
PLACES = (
    "Oakdale", "Fernhill", "Millbrook", "Ashford", "Stonebay", "Windmere",
    "Larkfield", "Copperton", "Mosswick", "Redcliff", "Snowgate", "Tidewell",
)  # fmt: skip
THINGS = (
    "kite", "lantern", "drum", "ladder", "basket", "mirror", "wagon", "blanket",
    "kettle", "compass", "violin", "boat", "bench", "umbrella", "saddle", "clock",
    "bicycle", "telescope", "vase", "hammock", "sled", "chest", "bell", "carpet",
)  # fmt: skip
JOBS = (
    "a baker", "a teacher", "a doctor", "a farmer", "a painter", "a sailor", "a tailor", "a gardener", "a potter",
    "a smith", "a librarian", "a carpenter", "a miller", "a singer", "a cook", "a nurse", "a pilot", "a weaver",
    "an engineer", "an actor",
)  # fmt: skip
FOODS = (
    "plum jam", "honey cake", "lentil soup", "barley bread", "goat cheese", "apple pie", "pear tart", "onion stew",
    "roast corn", "mint tea", "fish pie", "walnut cream", "pumpkin soup", "cherry juice",
    "potato salad", "rice pudding",
)  # fmt: skip
ANIMALS = (
    "a cat", "a dog", "a parrot", "a rabbit", "a pony", "a goose", "a tortoise", "a hamster", "a canary", "a lizard",
)  # fmt: skip
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple", "orange", "grey", "brown")
LANDMARKS = (
    "windmill", "lighthouse", "castle", "market", "harbour", "museum",
    "bridge", "theatre", "fountain", "tower", "orchard", "library",
)  # fmt: skip

PEOPLE = tuple(sorted(WOMEN + MEN))

KINDS: dict[str, tuple[str, ...]] = {
    "person": PEOPLE,
    "place": PLACES,
    "thing": THINGS,
    "job": JOBS,
    "food": FOODS,
    "animal": ANIMALS,
    "colour": COLOURS,
    "landmark": LANDMARKS,
}


class Fact(NamedTuple):
    """One thing that is so, or is said to be so: ("lives", "Mara", "Oakdale")."""

    relation: str
    subject: str
    object: str


def is_woman(person: str) -> bool:
    return person in WOMEN


def _spread(rng: random.Random, values: tuple[str, ...], count: int) -> list[str]:
    """`count` values with each used about equally often, in random order."""
    whole = [value for _ in range(count // len(values) + 1) for value in rng.sample(values, len(values))]
    drawn = whole[:count]
    rng.shuffle(drawn)
    return drawn


def _pairs(rng: random.Random, values: tuple[str, ...]) -> dict[str, str]:
    """Everyone with one partner, both ways round."""
    order = rng.sample(values, len(values))
    partner = dict(zip(order[::2], order[1::2], strict=True))
    return partner | {b: a for a, b in partner.items()}


def make_facts(seed: int = SEED) -> tuple[Fact, ...]:
    """All facts of the world. The same seed gives the same world."""
    rng = random.Random(seed)
    facts: list[Fact] = []

    def add(relation: str, subjects: tuple[str, ...], objects: list[str]) -> None:
        facts.extend(Fact(relation, s, o) for s, o in zip(subjects, objects, strict=True))

    for relation, kind in (("lives", "place"), ("works", "job"), ("likes", "food"), ("pet", "animal")):
        add(relation, PEOPLE, _spread(rng, KINDS[kind], len(PEOPLE)))
    friends = _pairs(rng, PEOPLE)
    add("friend", PEOPLE, [friends[p] for p in PEOPLE])
    add("owns", tuple(rng.sample(PEOPLE, len(THINGS))), list(THINGS))
    add("colour", THINGS, _spread(rng, COLOURS, len(THINGS)))
    add("made", THINGS, _spread(rng, PLACES, len(THINGS)))
    near = _pairs(rng, PLACES)
    add("near", PLACES, [near[p] for p in PLACES])
    add("has", PLACES, rng.sample(LANDMARKS, len(PLACES)))
    add("known", PLACES, rng.sample(FOODS, len(PLACES)))
    return tuple(facts)


FACTS: tuple[Fact, ...] = make_facts()
TRUE: frozenset[Fact] = frozenset(FACTS)


def facts_about(subject: str) -> tuple[Fact, ...]:
    """Every fact whose subject this is."""
    return tuple(fact for fact in FACTS if fact.subject == subject)
