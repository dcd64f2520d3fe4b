"""The grammar of the starter world: writes a sentence from a template and a fact, and reads one back.

What it can write it can read, and nothing else: `parses` accepts any entity in a slot, true or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

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
    Relation,
)
from resources.starter.world import KINDS, Fact, is_woman

_SLOT = re.compile(r"\{(\w+?)(\d?)\}")


@dataclass(frozen=True, slots=True)
class Question:
    """What a question asks: the object of (relation, value), or its subject when `asks_subject`."""

    relation: str
    value: str
    asks_subject: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """What a sentence says. `subject` is None when a pronoun stood there; `pronoun` is then he, she or it."""

    relation: str
    subject: str | None
    object: str
    pronoun: str | None = None


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its slots filled; a slot is looked up with its number, as in {person2}."""
    return _SLOT.sub(lambda m: values[m[1] + m[2]], template)


def state(fact: Fact, template: str) -> str:
    """One sentence that states the fact."""
    woman = is_woman(fact.subject)
    he, his = ("she", "her") if woman else ("he", "his")
    values = {"s": fact.subject, "o": fact.object, "O": capital(fact.object)}
    values |= {"he": he, "his": his, "He": capital(he), "His": capital(his)}
    return fill(template, values)


def inside(template: str) -> str:
    """A statement template as a clause after a lead-in: no full stop, no capital unless a name begins it."""
    clause = template.removesuffix(".")
    clause = clause.replace("{He}", "{he}", 1).replace("{His}", "{his}", 1) if clause.startswith("{H") else clause
    return clause if clause.startswith("{") else clause[:1].lower() + clause[1:]


def ask(question: Question, which: int) -> str:
    """The question in its `which`-th wording (there are four of each)."""
    relation = RELATIONS[question.relation]
    if question.asks_subject:
        return fill(relation.asks_subject[which], {"o": question.value})
    return fill(relation.asks[which], {"s": question.value})


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────


def _either(options: Iterable[str]) -> str:
    # longest first, so that no option hides a longer one that begins with it
    return "(?:" + "|".join(re.escape(o) for o in sorted(options, key=len, reverse=True)) + ")"


def _pattern(template: str, kinds: Mapping[str, str], *, named: bool = False) -> str:
    """A template as a regular expression. `kinds` gives the kind of {s} and {o}; `named` keeps what filled them."""
    parts: list[str] = []
    end = 0
    for slot in _SLOT.finditer(template):
        parts.append(re.escape(template[end : slot.start()]))
        end = slot.end()
        name = slot[1]
        kind = kinds.get(name.lower() if name == "O" else name, name)
        options = WORDS.get(kind) or KINDS[kind]
        body = _either(capital(o) for o in options) if name == "O" else _either(options)
        keep = named and name in {"s", "o", "O", "He", "he", "His", "his"}
        parts.append(f"(?P<{name.lower()}>{body})" if keep else body)
    return "".join(parts) + re.escape(template[end:])


def _kinds(relation: Relation) -> dict[str, str]:
    return {"s": relation.subject, "o": relation.object}


@cache
def _statement_patterns(after_lead: bool) -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """(relation, template, pattern) for each way of stating something, alone or after a lead-in."""
    return tuple(
        (relation.key, template, re.compile(_pattern(form, _kinds(relation), named=True)))
        for relation in RELATIONS.values()
        for template in relation.says + relation.says_again
        for form in (inside(template) + "." if after_lead else template,)
    )


@cache
def _question_patterns() -> tuple[tuple[str, bool, re.Pattern[str]], ...]:
    return tuple(
        (relation.key, backwards, re.compile(_pattern(template, _kinds(relation), named=True)))
        for relation in RELATIONS.values()
        for backwards, templates in ((False, relation.asks), (True, relation.asks_subject))
        for template in templates
    )


@cache
def _bare_patterns(key: str, backwards: bool) -> tuple[re.Pattern[str], ...]:
    relation = RELATIONS[key]
    templates = relation.bare_subject if backwards else relation.bare
    return tuple(re.compile(_pattern(template, _kinds(relation), named=True)) for template in templates)


_PRONOUNS = {"he": "he", "his": "he", "she": "she", "her": "she", "it": "it", "its": "it"}


@cache
def read_question(text: str) -> Question | None:
    """What the question asks, or None when the grammar has no such question."""
    for relation, backwards, pattern in _question_patterns():
        if match := pattern.fullmatch(text.strip()):
            return Question(relation, match["o" if backwards else "s"], backwards)
    return None


def read_statement(sentence: str, *, after_lead: bool = False) -> Statement | None:
    """What the sentence states, or None. `after_lead`: it stood after a lead-in (which is cut off), so begins small."""
    for relation, template, pattern in _statement_patterns(after_lead):
        if match := pattern.fullmatch(sentence):
            found = match.groupdict()
            if "{s}" in template:
                return Statement(relation, found["s"], found["o"])
            word = found.get("he") or found.get("his") or "it"
            return Statement(relation, None, found["o"], _PRONOUNS[word.lower()])
    return None


def read_bare(question: Question, sentence: str) -> Fact | None:
    """The fact a one-phrase answer ("In Oakdale.") states, seen from its question, or None."""
    for pattern in _bare_patterns(question.relation, question.asks_subject):
        if match := pattern.fullmatch(sentence):
            if question.asks_subject:
                return Fact(question.relation, match["s"], question.value)
            said = match.groupdict().get("o") or ""
            plain = said if said in KINDS[RELATIONS[question.relation].object] else said[:1].lower() + said[1:]
            return Fact(question.relation, question.value, plain)
    return None


def _all_of(templates: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    return "(?:" + "|".join(dict.fromkeys(_pattern(t, kinds) for t, kinds in templates)) + ")"


@cache
def _sentence_pattern() -> re.Pattern[str]:
    """One expression for every sentence the corpus can hold."""
    relations = RELATIONS.values()
    statement = _all_of((t, _kinds(r)) for r in relations for t in r.says + r.says_again)
    clause = _all_of((t.removesuffix("."), _kinds(r)) for r in relations for t in r.says + r.says_again)
    more = _all_of((t.removesuffix("."), _kinds(r)) for r in relations for t in r.says_again)
    small = _all_of((inside(t), _kinds(r)) for r in relations for t in r.says + r.says_again)
    bare = _all_of((t.removesuffix("."), _kinds(r)) for r in relations for t in r.bare + r.bare_subject)
    question = _all_of((t, _kinds(r)) for r in relations for t in r.asks + r.asks_subject)
    prose = _all_of((t, {}) for t in OPENINGS + PASSAGES + CLOSINGS)
    person = _either(KINDS["person"])
    aside = _either(COURTESIES + FILLERS + RUDENESSES)
    shortly = _either(text[:-1] for text in COURTESIES)
    lead = _either(POLITE_LEADS + WORDY_LEADS)
    spoken = rf"(?:{aside} )?(?:{clause}|{lead}{small}|{bare})(?:\. {more})?"
    return re.compile(
        "|".join(
            (
                statement,
                prose,
                question,
                aside,
                rf"(?:{lead}{small}|{bare})\.",
                rf'"{question}" asked {person}\.',
                rf'"(?:{spoken}|{shortly}|Thank you)," said {person}\.',
                rf"User: {question}",
                rf"(?:User|Assistant): {person} and {person}\.",
            )
        )
    )


def parses(sentence: str) -> bool:
    """Whether the grammar can write this sentence. Truth is not asked for."""
    return _sentence_pattern().fullmatch(sentence) is not None


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order. A line ends a sentence; an end mark inside quotes does not."""
    found: list[str] = []
    for line in text.splitlines():
        start, quoted = 0, False
        for i, char in enumerate(line):
            if char == '"':
                quoted = not quoted
            elif char in ".!?" and not quoted and line[i + 1 : i + 2] in ("", " "):
                found.append(line[start : i + 1].strip())
                start = i + 1
        if rest := line[start:].strip():
            found.append(rest)
    return found
