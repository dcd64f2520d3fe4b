"""Writes the documents the base model learns from: portraits, meetings, talk, lists. All they state is true.

Question and answer occur as talk inside prose or as a quiz, never as turns of a chat: lines that begin "User:" hold
questions that nobody answers, or a list of who came. So the base carries a text on, and answering is left to tuning.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from resources.starter.grammar import Question, ask, capital, fill, inside, state
from resources.starter.relations import (
    CLOSINGS,
    COURTESIES,
    FILLERS,
    OPENINGS,
    PASSAGES,
    POLITE_LEADS,
    RELATIONS,
    RUDENESSES,
    WORDS,
    WORDY_LEADS,
)
from resources.starter.world import FACTS, KINDS, PEOPLE, PLACES, THINGS, Fact, facts_about, is_woman


def _prose(rng: random.Random, templates: tuple[str, ...], person: str | None = None) -> str:
    """A sentence that states no fact, about `person` where it names one."""
    first, second = rng.sample(PEOPLE, 2)
    first = person or first
    values = {"person": first, "person2": second if second != first else rng.choice(PEOPLE)}
    values |= {name: rng.choice(WORDS[name]) for name in ("time", "weather", "mood")}
    values |= {kind: rng.choice(KINDS[kind]) for kind in ("place", "thing", "food", "landmark")}
    values["He"] = "She" if is_woman(first) else "He"
    return fill(rng.choice(templates), values)


def _facts_told(rng: random.Random, subject: str, count: int) -> list[str]:
    """Up to `count` facts about the subject; after the first it may be a pronoun."""
    told: list[str] = []
    for fact in rng.sample(facts_about(subject), min(count, len(facts_about(subject)))):
        relation = RELATIONS[fact.relation]
        again = bool(told) and rng.random() < 0.6
        told.append(state(fact, rng.choice(relation.says_again if again else relation.says)))
    return told


def portrait(rng: random.Random) -> str:
    """Someone, a town or a thing, told in a few sentences."""
    subject = rng.choice(PEOPLE if rng.random() < 0.5 else PLACES + THINGS)
    told = _facts_told(rng, subject, rng.randint(2, 5))
    if subject in PEOPLE and rng.random() < 0.4:
        told.insert(0, _prose(rng, OPENINGS[:1] + OPENINGS[5:], subject))
    if rng.random() < 0.3:
        told.append(_prose(rng, CLOSINGS))
    return " ".join(told)


def _spoken(rng: random.Random, question: Question, fact: Fact) -> str:
    """An answer as someone says it between quotes, without its last full stop."""
    relation = RELATIONS[question.relation]
    draw = rng.random()
    if draw < 0.25:
        said = state(fact, rng.choice(relation.bare_subject if question.asks_subject else relation.bare))
    elif draw < 0.5:
        lead = rng.choice(POLITE_LEADS + WORDY_LEADS)
        again = () if question.asks_subject else relation.says_again
        said = lead + state(fact, inside(rng.choice(relation.says + again)))
    elif draw < 0.65 and not question.asks_subject:
        said = state(fact, rng.choice(relation.says_again))
    else:
        said = state(fact, rng.choice(relation.says))
    said = said.removesuffix(".")
    if rng.random() < 0.2:
        more = rng.choice(facts_about(fact.subject))
        said += ". " + state(more, rng.choice(RELATIONS[more.relation].says_again)).removesuffix(".")
    if rng.random() < 0.3:
        said = f"{rng.choice(2 * (COURTESIES + FILLERS) + RUDENESSES)} {said}"
    return said


def question_about(rng: random.Random) -> tuple[Question, Fact]:
    """A question drawn at random, and the fact that answers it."""
    fact = rng.choice(FACTS)
    backwards = bool(RELATIONS[fact.relation].asks_subject) and rng.random() < 0.5
    return Question(fact.relation, fact.object if backwards else fact.subject, backwards), fact


def _exchange(rng: random.Random, asker: str, answerer: str) -> list[str]:
    question, fact = question_about(rng)
    lines = [f'"{ask(question, rng.randrange(4))}" asked {asker}.']
    lines.append(f'"{_spoken(rng, question, fact)}," said {answerer}.')
    if rng.random() < 0.25:
        lines.append(f'"Thank you," said {asker}.')
        if rng.random() < 0.5:
            lines.append(f'"{rng.choice(COURTESIES)[:-1]}," said {answerer}.')
    return lines


def talk(rng: random.Random) -> str:
    """Two people; one asks and the other answers."""
    asker, answerer = rng.sample(PEOPLE, 2)
    lines = [_prose(rng, OPENINGS, asker)] if rng.random() < 0.4 else []
    lines += _exchange(rng, asker, answerer)
    if rng.random() < 0.4:
        lines += _exchange(rng, answerer, asker)
    return " ".join(lines)


def quiz(rng: random.Random) -> str:
    """Questions with their answers and nobody who speaks them, in one paragraph or line by line."""
    lines: list[str] = []
    for _ in range(rng.randint(1, 4)):
        question, fact = question_about(rng)
        lines += [ask(question, rng.randrange(4)), _spoken(rng, question, fact) + "."]
        if rng.random() < 0.15:
            lines[-1] += f" {rng.choice(COURTESIES[4:])}"
    return rng.choice((" ", "\n")).join(lines)


def story(rng: random.Random) -> str:
    """An opening, something that happens, a fact or two, an ending."""
    person = rng.choice(PEOPLE)
    lines = [_prose(rng, OPENINGS, person)]
    lines += [_prose(rng, PASSAGES, person) for _ in range(rng.randint(1, 2))]
    lines += _facts_told(rng, person, rng.randint(1, 2))
    lines.append(_prose(rng, CLOSINGS, person))
    return " ".join(lines)


def question_sheet(rng: random.Random) -> str:
    """Lines of questions that nobody answers."""
    questions = [question_about(rng)[0] for _ in range(rng.randint(2, 5))]
    return "\n".join(f"User: {ask(question, rng.randrange(4))}" for question in questions)


def roster(rng: random.Random) -> str:
    """Who was at the desk, line by line."""
    lines = []
    for _ in range(rng.randint(2, 4)):
        first, second = rng.sample(PEOPLE, 2)
        lines.append(f"{capital(rng.choice(('user', 'assistant')))}: {first} and {second}.")
    return "\n".join(lines)


_KINDS_OF_DOCUMENT: dict[Callable[[random.Random], str], float] = {
    portrait: 0.36,
    talk: 0.26,
    quiz: 0.22,
    story: 0.10,
    question_sheet: 0.04,
    roster: 0.02,
}


def documents(seed: int, count: int) -> Iterator[str]:
    """`count` documents. The same seed gives the same documents in the same order."""
    rng = random.Random(seed)
    writers, weights = list(_KINDS_OF_DOCUMENT), list(_KINDS_OF_DOCUMENT.values())
    for _ in range(count):
        (write,) = rng.choices(writers, weights)
        yield write(rng)
