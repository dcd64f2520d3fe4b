"""What people say, as rows of labels.db: checked, dated, and given an id and a hash. Nothing is written here."""

from __future__ import annotations

import hashlib
import json
import math
import time
import uuid
from collections.abc import Mapping
from typing import Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.records import (
    STRENGTHS,
    TIE,
    Comparison,
    Demonstration,
    Prompt,
    PromptRecord,
    Rating,
    Record,
    canonical,
    fault_in,
    pack_prompt,
)
from rlhf_engine.store.judgement_meta import OF_ONE, pack_meta
from rlhf_engine.store.label_pages import TABLES, WINNERS
from rlhf_engine.store.schema import row_hash

Fact = tuple[str, dict[str, Any]]  # a table and a row for it


def facts_of(kind: str, body: dict[str, Any], source: str, author: str) -> list[Fact]:
    """The rows that one record of many makes. Raises KeyError for a missing field, DataError for a bad one."""
    if kind == "prompts":
        return [prompt_fact(body["prompt"], source, author, "")]
    if kind == "demonstrations":
        return [demonstration_fact(body["prompt"], body["completion"], source, author, "", "")]
    if kind == "ratings":
        return [rating_fact(body["prompt"], body["completion"], body["liked"], source, author, "", "")]
    if kind == "pairs":
        texts = (body["prompt"], body["a"], body["b"], body.get("meta") or {})
        return [pair_fact(*texts, source, author, "", str(body.get("id") or ""))]
    if kind != "comparisons":
        raise DataError(f"There is no kind of record {kind!r}.", f"Known are {', '.join(TABLES)}.")
    chosen = "chosen" in body
    a, b, winner = (body["chosen"], body["rejected"], "a") if chosen else (body["a"], body["b"], body["winner"])
    pair = pair_fact(body["prompt"], a, b, body.get("meta") or {}, source, author, "", "")
    strength, comment = body.get("strength", 2), body.get("comment", "")
    if strength == TIE and not isinstance(strength, bool) and (chosen or winner == "tie"):
        winner, strength = "tie", 2  # of a tie only the winner says so: its strength means nothing
    left = "b" if body.get("first") == "rejected" else "a"
    author, meta = body.get("annotator") or author, {"session": body.get("session", "")}
    return [pair, judgement_fact(pair[1]["id"], winner, strength, left, 0.0, author, source, comment, "", "", meta)]


def prompt_fact(prompt: Prompt, source: str, author: str, id: str, replaces: str = "") -> Fact:
    _require(PromptRecord(prompt))
    row = {**_who(source, author, id), **_prompt_columns(prompt), "same": same_key(prompt), "replaces": replaces}
    return fact("prompts", row)


def demonstration_fact(prompt: Prompt, completion: str, source: str, author: str, replaces: str, id: str) -> Fact:
    _require(Demonstration(prompt, completion))
    row = {**_who(source, author, id), **_prompt_columns(prompt), "completion": completion, "replaces": replaces}
    return fact("demonstrations", row)


def rating_fact(
    prompt: Prompt,
    completion: str,
    liked: bool,
    source: str,
    author: str,
    replaces: str,
    id: str,
    answer: str = "",
    meta: Mapping[str, Any] | None = None,
) -> Fact:
    _require(Rating(prompt, completion, liked))
    told = pack_meta(meta, OF_ONE)
    said = {"completion": completion, "liked": int(liked), "replaces": replaces, "answer": answer, "meta": told}
    return fact("ratings", {**_who(source, author, id), **_prompt_columns(prompt), **said})


def pair_fact(
    prompt: Prompt, a: str, b: str, meta: Mapping[str, Any], source: str, author: str, replaces: str, id: str
) -> Fact:
    _require(Comparison(prompt, a, b), {"chosen": "answer A", "rejected": "answer B"})
    try:
        told = json.dumps(meta, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"Where a pair came from must be told in JSON values: {error}.") from error
    row = {**_who(source, author, id), **_prompt_columns(prompt), "a": a, "b": b, "meta": told, "replaces": replaces}
    return fact("pairs", row)


def judgement_fact(
    pair_id: str,
    winner: str,
    strength: int,
    left: str,
    seconds: float,
    author: str,
    source: str,
    comment: str,
    id: str,
    undoes: str = "",
    meta: Mapping[str, Any] | None = None,
) -> Fact:
    if winner not in WINNERS and not undoes:
        raise DataError(f"The winner {winner!r} is not one of {', '.join(WINNERS)}.")
    if isinstance(strength, bool) or strength not in STRENGTHS:
        raise DataError(f"The strength {strength!r} is not 1, 2 or 3.")
    if left not in ("a", "b") or not math.isfinite(seconds) or seconds < 0:
        raise DataError(f"A judgement cannot have {left!r} on the left and take {seconds} seconds.")
    said = {"winner": winner, "strength": strength, "comment": short_text(comment, "comment"), "undoes": undoes}
    seen = {"pair_id": pair_id, "left_side": left, "seconds": float(seconds), "meta": pack_meta(meta)}
    return fact("comparisons", {**_who(source, author, id), **seen, **said})


def mark_fact(kind: str, record_id: str, mark: str, author: str) -> Fact:
    row = {"id": new_id(), "kind": kind, "record_id": record_id, "mark": mark, "author": short_text(author, "author")}
    return fact("marks", {**row, "created": time.time()})


def model_fact(ref: str, title: str) -> Fact:
    row = {"id": new_id(), "ref": short_text(ref, "ref"), "title": short_text(title, "title"), "created": time.time()}
    return fact("models", row)


def fact(table: str, row: dict[str, Any]) -> Fact:
    return table, {**row, "hash": row_hash(table, row)}


def _who(source: str, author: str, id: str) -> dict[str, Any]:
    origin = {"source": short_text(source, "source"), "author": short_text(author, "author")}
    return {"id": id or new_id(), **origin, "created": time.time()}


def _prompt_columns(prompt: Prompt) -> dict[str, str]:
    text, turns = pack_prompt(prompt)
    return {"prompt": text, "turns": turns}


def _require(record: Record, names: Mapping[str, str] | None = None) -> None:
    if fault := fault_in(record):
        field, why = fault
        raise DataError(f"The {(names or {}).get(field, field)} cannot be used: {why}.")


def short_text(text: str, what: str) -> str:
    """A remark or a name: any text that is valid Unicode and no book."""
    if not isinstance(text, str) or len(text) > 100_000 or any("\ud800" <= c <= "\udfff" for c in text):
        raise DataError(f"The {what} is not valid text.")
    return text


def same_key(prompt: Prompt) -> str:
    """Equal for prompts that are the same but for their spacing."""
    return hashlib.sha256(canonical(prompt).encode("utf-8")).hexdigest()[:32]


def new_id() -> str:
    return uuid.uuid4().hex
