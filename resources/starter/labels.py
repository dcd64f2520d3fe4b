"""Writes what a person would have given the sample project: prompts, demonstrations, comparisons, all by the rule.

Demonstrations are right but differ in manner and length on purpose, so that a tuned model still has room to improve.
Sides, manners and lengths are drawn evenly; who wins a comparison is never chosen here but asked of `judge.prefer`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

from resources.starter.grammar import Question, ask, inside, state
from resources.starter.judge import RULE, judge, prefer
from resources.starter.relations import COURTESIES, FILLERS, POLITE_LEADS, RELATIONS, RUDENESSES, WORDY_LEADS
from resources.starter.world import FACTS, KINDS, PEOPLE, TRUE, Fact, facts_about

SEED = 11
WORDINGS_OF_EACH_QUESTION = 3
DEMONSTRATIONS_OF_EACH_PROMPT = 2
COMPARISONS = 1200
MOST_WORDS = 30  # keeps every answer within about 40 tokens
TIES = 0.04  # at most this share of the comparisons

TOPICS = {
    "lives": "homes", "works": "jobs", "likes": "food", "pet": "pets", "friend": "friends", "owns": "belongings",
    "colour": "colours", "made": "origins", "near": "map", "has": "sights", "known": "specialities",
}  # fmt: skip

Manner = Literal["polite", "plain", "rude"]


class Asked(NamedTuple):
    """A prompt with what it asks and the fact that answers it."""

    prompt: str
    question: Question
    fact: Fact


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────


def wrong_fact(rng: random.Random, asked: Asked) -> Fact:
    """The asked fact with a false answer in it."""
    relation = RELATIONS[asked.fact.relation]
    while True:
        if asked.question.asks_subject:
            fact = asked.fact._replace(subject=rng.choice(KINDS[relation.subject]))
        else:
            fact = asked.fact._replace(object=rng.choice(KINDS[relation.object]))
        if fact not in TRUE and fact.subject != fact.object:
            return fact


def compose(rng: random.Random, asked: Asked, *, manner: Manner, long: bool, right: bool = True) -> str:
    """A well-formed answer of the given truth, manner and length, at most MOST_WORDS words."""
    while True:
        answer = _compose(rng, asked, asked.fact if right else wrong_fact(rng, asked), manner, long)
        if len(answer.split()) <= MOST_WORDS:
            return answer


def _compose(rng: random.Random, asked: Asked, fact: Fact, manner: Manner, long: bool) -> str:
    relation = RELATIONS[fact.relation]
    backwards = asked.question.asks_subject
    shape = rng.choices(("bare", "pronoun", "full"), (0.25, 0.0 if backwards else 0.2, 0.55))[0]
    padding = set(rng.sample(("lead", "filler", "fact"), rng.choice((1, 1, 2)))) if long else set()
    courtesy = rng.choices(("before", "after", "lead"), (0.5, 0.25, 0.25))[0] if manner == "polite" else ""
    if "lead" in padding and courtesy == "lead":
        courtesy = "before"
    lead = rng.choice(WORDY_LEADS) if "lead" in padding else rng.choice(POLITE_LEADS) if courtesy == "lead" else ""
    if lead and shape == "bare":
        shape = "full"

    if shape == "bare":
        core = state(fact, rng.choice(relation.bare_subject if backwards else relation.bare))
    else:
        template = rng.choice(relation.says_again if shape == "pronoun" else relation.says)
        core = lead + state(fact, inside(template)) + "." if lead else state(fact, template)
    parts = [core]
    if "fact" in padding:
        more = rng.choice([f for f in facts_about(fact.subject) if f.relation != fact.relation])
        again = shape != "bare" and rng.random() < 0.7
        parts.append(
            state(more, rng.choice(RELATIONS[more.relation].says_again if again else RELATIONS[more.relation].says))
        )
    if "filler" in padding:
        parts.insert(0, rng.choice(FILLERS))
    if courtesy == "before":
        parts.insert(0, rng.choice(COURTESIES[:4]))
    elif courtesy == "after":
        parts.append(rng.choice(COURTESIES[4:]))
    if manner == "rude":
        parts.insert(rng.choice((0, len(parts))), rng.choice(RUDENESSES))
    return " ".join(parts)


def any_answer(rng: random.Random, asked: Asked, *, right: bool) -> str:
    manners: tuple[Manner, ...] = ("polite", "plain", "rude")
    manner = rng.choices(manners, (0.47, 0.43, 0.10))[0]
    return compose(rng, asked, manner=manner, long=rng.random() < 0.5, right=right)


def broken_answer(rng: random.Random, asked: Asked, everything: list[Asked]) -> str:
    """What an untuned or spoilt model writes: cut off, out of order, beside the point, or carrying the text on."""
    whole = any_answer(rng, asked, right=True)
    words = whole.split()
    other = rng.choice(everything)
    first, second = rng.sample(PEOPLE, 2)
    ways: tuple[Callable[[], str], ...] = (
        lambda: " ".join(words[: rng.randint(1, max(1, len(words) - 1))]).rstrip(".!"),
        lambda: " ".join(rng.sample(words, len(words))),
        lambda: any_answer(rng, other, right=True),
        lambda: f"{first} and {second}.",
        lambda: f'"{other.prompt}" asked {first}.',
        lambda: f"{other.prompt} {rng.choice(everything).prompt}",
        lambda: f"{whole} {whole}",
        lambda: rng.choice(COURTESIES + FILLERS),
    )
    while True:
        answer = rng.choice(ways)()
        if len(answer.split()) <= MOST_WORDS and not judge(asked.prompt, answer).well_formed:
            return answer


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────


def prompts(rng: random.Random) -> list[Asked]:
    """Distinct questions about every fact, each way round, in random order."""
    asked: list[Asked] = []
    for fact in FACTS:
        for backwards in (False, True) if RELATIONS[fact.relation].asks_subject else (False,):
            question = Question(fact.relation, fact.object if backwards else fact.subject, backwards)
            for which in rng.sample(range(4), WORDINGS_OF_EACH_QUESTION):
                asked.append(Asked(ask(question, which), question, fact))
    rng.shuffle(asked)
    return asked


def demonstrations(rng: random.Random, everything: list[Asked]) -> list[dict[str, Any]]:
    """Right answers; polite or plain and long or short in equal parts."""
    styles: list[tuple[Manner, bool]] = [("polite", True), ("plain", False), ("polite", False), ("plain", True)]
    rows = []
    for turn in range(DEMONSTRATIONS_OF_EACH_PROMPT):
        for i, asked in enumerate(everything):
            manner, long = styles[(i + turn) % len(styles)]
            completion = compose(rng, asked, manner=manner, long=long)
            rows.append({"prompt": asked.prompt, "completion": completion, "source": "rule"})
    rng.shuffle(rows)
    return rows


def _contrast(rng: random.Random, asked: Asked, everything: list[Asked]) -> tuple[str, str]:
    """Two answers that differ in something: truth, manner, length, form, or whatever chance brings."""
    kind = rng.choices(("truth", "manner", "length", "form", "chance"), (0.17, 0.27, 0.26, 0.18, 0.12))[0]
    right = rng.random() < 0.85
    match kind:
        case "truth":
            return any_answer(rng, asked, right=True), any_answer(rng, asked, right=False)
        case "manner":
            worse: Manner = "rude" if rng.random() < 0.3 else "plain"
            one = compose(rng, asked, manner="polite", long=rng.random() < 0.5, right=right)
            return one, compose(rng, asked, manner=worse, long=rng.random() < 0.5, right=right)
        case "length":
            manner: Manner = "polite" if rng.random() < 0.5 else "plain"
            one = compose(rng, asked, manner=manner, long=False, right=right)
            return one, compose(rng, asked, manner=manner, long=True, right=right)
        case "form":
            return any_answer(rng, asked, right=rng.random() < 0.7), broken_answer(rng, asked, everything)
    return any_answer(rng, asked, right=rng.random() < 0.7), any_answer(rng, asked, right=rng.random() < 0.7)


def comparisons(rng: random.Random, everything: list[Asked]) -> list[dict[str, Any]]:
    """Pairs over all prompts, each prompt once before any comes again; the winner sits left or right by turns."""
    rows: list[dict[str, Any]] = []
    ties = 0
    while len(rows) < COMPARISONS:
        asked = everything[len(rows) % len(everything)]
        one, two = _contrast(rng, asked, everything)
        if one == two:
            continue
        verdict = prefer(asked.prompt, one, two)
        if verdict.winner == "tie":
            if ties >= TIES * COMPARISONS:
                continue
            ties += 1
        elif (verdict.winner == "a") != (len(rows) % 2 == 0):
            one, two = two, one
            verdict = prefer(asked.prompt, one, two)
        rows.append(
            {"prompt": asked.prompt, "a": one, "b": two}
            | {"winner": verdict.winner, "strength": verdict.strength, "source": "rule"}
        )
    rng.shuffle(rows)
    return rows


GUIDELINES = """# How to judge in the sample project

The sample project is about a small made-up world: people, towns and things, and what is so about them.
Someone asks one question; two answers are shown. Choose the one you would rather get.

{rule}

Marks of each rung:

- Form: cut off in the middle, words out of order, another question instead of an answer, an answer to something else.
- Truth: when you are unsure, look it up in `facts.md` beside this file. A right answer with a false remark is wrong.
- Courtesy: {courtesies}
- Rudeness cancels courtesy: {rudenesses}
- Length: do not count letters. If you would have to count the words to tell, it is a tie.

The labels that come with the project (source: "rule") were written by a program that follows this rule without error.
Yours may differ: the project keeps both, with who said what.
"""


def _facts_page() -> str:
    """Every fact of the world in one sentence each, under who or what it is about."""
    lines = ["# What is so", "", "Everything that is true in the world of the sample project, and nothing else is."]
    for kind in ("person", "place", "thing"):
        for subject in KINDS[kind]:
            told = " ".join(state(fact, RELATIONS[fact.relation].says[0]) for fact in facts_about(subject))
            lines += ["", told]
    return "\n".join(lines) + "\n"


def write_project(folder: Path) -> dict[str, int]:
    """Write the sample project's files. Returns how many rows each holds."""
    rng = random.Random(SEED)
    everything = prompts(rng)
    files: dict[str, list[dict[str, Any]]] = {
        "prompts": [{"prompt": a.prompt, "topic": TOPICS[a.fact.relation]} for a in everything],
        "demonstrations": demonstrations(rng, everything),
        "comparisons": comparisons(rng, everything),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    courtesies = " ".join((*COURTESIES, *(f"“{lead.strip()} …”" for lead in POLITE_LEADS)))
    text = GUIDELINES.format(rule=RULE, courtesies=courtesies, rudenesses=" ".join(RUDENESSES))
    (folder / "guidelines.md").write_text(text, encoding="utf-8")
    (folder / "facts.md").write_text(_facts_page(), encoding="utf-8")
    return {name: len(rows) for name, rows in files.items()}
