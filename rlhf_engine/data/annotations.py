"""What labelling programs export, as plain rows: one per judgement, with the texts that were judged beside it.

Argilla (records of version 1 and 2, and its datasets on the Hub) and Label Studio (JSON and JSON-MIN) keep texts and
judgements in nested parts of their own. Flattened they are rows like any other: a preview shows them, and a person can
say what their columns mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

Row = dict[str, Any]
_ANSWER = re.compile(
    r"(?:(?:model|response|answer|completion|generation|candidate|output|text)s?[ _-]*)(\d+|[ab])", re.IGNORECASE
)
_OF_ANSWER = re.compile(r"(?:^|[ _.-]|(?<=[a-z]))(\d+|[ab])$", re.IGNORECASE)
_ASKED, _INSTRUCTIONS = {"prompt", "question"}, ("instruction", "query", "task")
_ANSWERED = {"response", "completion", "answer", "output"}  # fields with the one answer that is judged
_SUBMITTED = ("submitted", "completed", None, "")
UNJUDGED, SKIPPED = "has no judgement: nobody has answered its questions", "was skipped by its annotator"


def flattened(row: Row) -> list[Row | str] | None:
    """The judgements of an exported record as rows, or as the reason why one is left out; None for any other row."""
    if isinstance(row.get("data"), dict) and isinstance(row.get("annotations"), list):
        return _label_studio(row)
    if isinstance(row.get("fields"), dict) and ("responses" in row or "suggestions" in row):
        return _argilla(row["fields"], row.get("responses"))
    if any(isinstance(name, str) and name.endswith(".responses") for name in row):
        return _argilla_on_the_hub(row)
    if {"annotation_id", "lead_time"} <= row.keys():
        return [_judged(row, {name: _plain_value(value) for name, value in row.items() if _is_judgement(value)})]
    return None


def _argilla(fields: Mapping[str, Any], responses: Any) -> list[Row | str]:
    """Version 2 has a list of answers to each question, version 1 a list of people with their answers to all."""
    by_person: dict[str, Row] = {}
    skipped = 0
    if isinstance(responses, dict):
        for question, given in responses.items():
            for number, one in enumerate(given if isinstance(given, list) else [given]):
                if isinstance(one, dict):
                    who = str(one.get("user_id") or number)
                    by_person.setdefault(who, {})[str(question)] = one.get("value")
    for number, one in enumerate(responses if isinstance(responses, list) else []):
        if isinstance(one, dict) and one.get("status") in _SUBMITTED and isinstance(one.get("values"), dict):
            values = {str(q): v.get("value") if isinstance(v, dict) else v for q, v in one["values"].items()}
            by_person[f"{one.get('user_id')} {number}"] = values
        else:
            skipped += 1
    if not by_person:
        return [SKIPPED if skipped else UNJUDGED]
    return [_judged(fields, values) for values in by_person.values()]


def _argilla_on_the_hub(row: Row) -> list[Row | str]:
    """Columns "question.responses" beside "question.responses.users" and "question.responses.status"."""
    questions = [name.removesuffix(".responses") for name in row if str(name).endswith(".responses")]
    fields = {name: value for name, value in row.items() if not str(name).startswith(tuple(f"{q}." for q in questions))}
    by_person: dict[str, Row] = {}
    skipped = 0
    for question in questions:
        given = row[f"{question}.responses"]
        people, states = (row.get(f"{question}.responses.{part}") or [] for part in ("users", "status"))
        for number, value in enumerate(given if isinstance(given, list) else []):
            if number < len(states) and states[number] not in _SUBMITTED:
                skipped += 1
                continue
            who = str(people[number]) if number < len(people) else str(number)
            by_person.setdefault(who, {})[question] = value
    if not by_person:
        return [SKIPPED if skipped else UNJUDGED]
    return [_judged(fields, values) for values in by_person.values()]


def _label_studio(row: Row) -> list[Row | str]:
    found: list[Row | str] = []
    for annotation in row["annotations"]:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            found.append(SKIPPED)
            continue
        values: Row = {}
        for number, result in enumerate(annotation.get("result") or []):
            if isinstance(result, dict) and isinstance(result.get("value"), dict):
                values[str(result.get("from_name") or number)] = _plain_value(result["value"])
        found.append(_judged(row["data"], values) if values else UNJUDGED)
    return found or [UNJUDGED]


def _is_judgement(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.keys() & {"selected", "ranker", "choices", "rating", "text"})


def _plain_value(value: Mapping[str, Any]) -> Any:
    """What was chosen, ranked, rated or written in a control of Label Studio."""
    for name in ("selected", "ranker", "choices", "rating", "text", "rank"):
        if name in value:
            inside = value[name]
            if isinstance(inside, dict):  # places of a ranking, by the list they were put in
                return next((_ranked(ids) for ids in inside.values() if isinstance(ids, list) and ids), None)
            return inside[0] if isinstance(inside, list) and len(inside) == 1 else inside
    return None


def _ranked(ids: list[Any]) -> list[Row]:
    return [{"value": one, "rank": place} for place, one in enumerate(ids, 1)]


def _judged(fields: Mapping[str, Any], values: Mapping[str, Any]) -> Row:
    """Texts and one person's answers as a row under the names that `layouts` knows; answers keep theirs too."""
    row = {str(name): text for name, text in fields.items() if not _is_judgement(text)}
    if not row.keys() & _ASKED and (asked := next((name for name in row if name.lower() in _INSTRUCTIONS), "")):
        row["prompt"] = row.pop(asked)
    options = _options(fields)
    answered = bool(row.keys() & _ANSWERED)
    row |= {question: value for question, value in values.items() if value is not None}
    scores: dict[str, Any] = {}
    for question, value in values.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if len(options) > 1 and _is_ranking(value):
            scores |= {_which(one.get("value"), options): -_rank(one.get("rank")) for one in value}
        elif len(options) > 1 and number and (of := _OF_ANSWER.search(question)):
            scores[_which(of.group(1), options)] = value
        elif number and len(options) <= 1:
            row.setdefault("rating", value)
        elif isinstance(value, str) and not options and len(values) == 1 and not answered:
            row.setdefault("completion", value)
    scores.pop("", None)
    if scores:
        row = {name: value for name, value in row.items() if name not in options and name not in values}
        row["completions"] = [{"response": options[name], "score": score} for name, score in scores.items()]
    return row


def _options(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The answers to choose from, by their names: fields named response1 and response2, or the items of a ranking."""
    for value in fields.values():
        if isinstance(value, list) and len(value) > 1 and all(isinstance(o, dict) and "id" in o for o in value):
            return {str(one["id"]): one.get("body") or one.get("text") or one.get("html") for one in value}
    return {name: text for name, text in fields.items() if _ANSWER.fullmatch(str(name))}


def _which(said: Any, options: Mapping[str, Any]) -> str:
    """The name of the option that is meant by its own name, or by its number or letter; "" for none."""
    if str(said) in options:
        return str(said)
    found = _OF_ANSWER.search(str(said))
    return next((n for n in options if found and n.lower().endswith(found.group(1).lower())), "")


def _is_ranking(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "rank" in one for one in value)


def _rank(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def unpacked(line: int, row: Row) -> Iterator[tuple[int, Row | str]]:
    """(line, row) for each judgement of an exported record, or (line, reason); any other row as it is."""
    for one in flattened(row) or [row]:
        yield (line, one)
