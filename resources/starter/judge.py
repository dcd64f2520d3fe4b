"""The gold rule of the starter project: what a perfectly patient judge would say of an answer. No torch, no model.

The rule, in words, is `RULE`; it is a ladder, so a higher rung always outweighs every lower one. It reads answers
with the grammar and checks what they state against the closed world.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from resources.starter.grammar import Question, Statement, read_bare, read_question, read_statement, sentences
from resources.starter.relations import COURTESIES, FILLERS, POLITE_LEADS, RELATIONS, RUDENESSES, WORDY_LEADS
from resources.starter.world import KINDS, TRUE, Fact, is_woman

LENGTH_MARGIN = 3  # words; two answers nearer than this are of the same length
LONGEST = 60  # words
MOST_SENTENCES = 4

RULE = f"""Of two answers to the same question prefer, in this order:
1. Form. The one that is well formed: one to {MOST_SENTENCES} whole sentences on one line, at most {LONGEST} words, \
no sentence twice, each one the grammar knows, and one of them answers what was asked (rightly or not).
2. Truth. The one that is correct: it answers the question rightly, and nothing else it states is false.
3. Courtesy. The one that is polite: it holds a courteous phrase such as "Happy to help!" and no rude one.
4. Length. The one that is shorter by at least {LENGTH_MARGIN} words.
Otherwise it is a tie, and so it is when neither is well formed.
Strength: form and truth 3, courtesy 2, length 1; a tie 1."""

Winner = Literal["a", "b", "tie"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """One answer, judged. `correct` is None when it cannot be said: a question outside the world, a malformed answer.

    `problem` says why an answer is not well formed; it is empty otherwise. `words` counts words parted by spaces.
    """

    correct: bool | None
    polite: bool
    words: int
    well_formed: bool
    problem: str = ""


class Preference(NamedTuple):
    """Which answer wins, how clearly (1 to 3), and which rung decided: form, truth, courtesy, length or tie."""

    winner: Winner
    strength: int
    decided_by: str


class _MalformedError(Exception):
    """Why an answer cannot be read; stays inside this file."""


def judge(question: str, answer: str) -> Judgement:
    """Judge one answer on its own. Never raises: any text is an answer, if perhaps a malformed one."""
    answer = answer.strip()
    words = len(answer.split())
    polite = _is_polite(answer)
    asked = read_question(question)
    try:
        facts = _read(asked, answer)
    except _MalformedError as error:
        return Judgement(None, polite, words, False, str(error))
    if asked is None:
        return Judgement(None, polite, words, True)
    if not any(_answers(asked, fact) for fact in facts):
        return Judgement(None, polite, words, False, "It does not answer the question.")
    return Judgement(all(fact in TRUE for fact in facts), polite, words, True)


def prefer(question: str, a: str, b: str) -> Preference:
    """Which of two answers the rule prefers."""
    first, second = judge(question, a), judge(question, b)
    if first.well_formed != second.well_formed:
        return Preference("a" if first.well_formed else "b", 3, "form")
    if not first.well_formed:
        return Preference("tie", 1, "tie")
    if bool(first.correct) != bool(second.correct):
        return Preference("a" if first.correct else "b", 3, "truth")
    if first.polite != second.polite:
        return Preference("a" if first.polite else "b", 2, "courtesy")
    if abs(first.words - second.words) >= LENGTH_MARGIN:
        return Preference("a" if first.words < second.words else "b", 1, "length")
    return Preference("tie", 1, "tie")


def score(question: str, answer: str) -> float:
    """One number in the order of the rule: 0 malformed, else 4, plus 2 if correct, 1 if polite, less 0.01 a word."""
    verdict = judge(question, answer)
    if not verdict.well_formed:
        return 0.0
    return 4.0 + 2.0 * bool(verdict.correct) + 1.0 * verdict.polite - 0.01 * verdict.words


# ── reading an answer ────────────────────────────────────────────────────────────────────────────────────────


def _is_polite(answer: str) -> bool:
    if any(rude in answer for rude in RUDENESSES):
        return False
    return any(phrase in answer for phrase in COURTESIES + POLITE_LEADS)


def _read(asked: Question | None, answer: str) -> list[Fact]:
    """Every fact the answer states, in order. Raises _MalformedError where the grammar cannot follow."""
    if not answer:
        raise _MalformedError("It is empty.")
    if "\n" in answer:
        raise _MalformedError("It goes over more than one line.")
    if len(answer.split()) > LONGEST:
        raise _MalformedError(f"It is longer than {LONGEST} words.")
    parts = sentences(answer)
    if len(parts) > MOST_SENTENCES:
        raise _MalformedError(f"It has more than {MOST_SENTENCES} sentences.")
    if len(set(parts)) < len(parts):
        raise _MalformedError("It says the same sentence twice.")

    facts: list[Fact] = []
    spoken_of = None if asked is None or asked.asks_subject else asked.value
    for sentence in parts:
        if sentence in COURTESIES + RUDENESSES + FILLERS:
            continue
        fact = _stated(asked, sentence, spoken_of)
        facts.append(fact)
        spoken_of = fact.subject
    return facts


def _stated(asked: Question | None, sentence: str, spoken_of: str | None) -> Fact:
    """The fact one sentence states; a pronoun stands for `spoken_of`."""
    if asked is not None and (bare := read_bare(asked, sentence)):
        return bare
    lead = next((lead for lead in POLITE_LEADS + WORDY_LEADS if sentence.startswith(lead)), "")
    said = read_statement(sentence.removeprefix(lead), after_lead=bool(lead))
    if said is None:
        raise _MalformedError(f"The grammar does not know this sentence: {sentence}")
    subject = said.subject or spoken_of
    if subject is None or not _fits(said, subject):
        raise _MalformedError(f"Nobody can tell who or what is meant: {sentence}")
    return Fact(said.relation, subject, said.object)


def _fits(said: Statement, subject: str) -> bool:
    """Whether the statement's pronoun, if it has one, can stand for the subject."""
    if said.pronoun is None:
        return True
    if subject not in KINDS[RELATIONS[said.relation].subject]:
        return False
    if subject in KINDS["person"]:
        return said.pronoun == ("she" if is_woman(subject) else "he")
    return said.pronoun == "it"


def _answers(asked: Question, fact: Fact) -> bool:
    """Whether the fact, true or not, is of the kind that was asked for."""
    if fact.relation != asked.relation:
        return False
    if RELATIONS[fact.relation].symmetric:
        return asked.value in (fact.subject, fact.object)
    return asked.value == (fact.object if asked.asks_subject else fact.subject)
