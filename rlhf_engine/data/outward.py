"""Records in the layouts that other programs read: TRL's trainers, HH-RLHF transcripts, Argilla's records.

What a layout has no place for is left out and counted, never bent: a tie in TRL, a system prompt in a transcript.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rlhf_engine.data.records import (
    Comparison,
    Demonstration,
    Rating,
    Record,
    canonical,
    kind_of,
    pack_prompt,
    texts_of,
    turns_of,
)
from rlhf_engine.data.writing import write_parquet, written_aside

LAYOUTS = ("native", "trl", "hh", "argilla")
_MARKS = ("\n\nHuman:", "\n\nAssistant:")


def trl_row(record: Record) -> dict[str, Any] | str:
    """TRL's conversational types: preference, prompt-completion, unpaired preference (KTO), prompt only."""
    body: dict[str, Any] = {"prompt": turns_of(record.prompt)}
    match record:
        case Comparison(tied=True):
            return "ties, for which TRL has no place"
        case Comparison():
            return {**body, "chosen": [_answer(record.chosen)], "rejected": [_answer(record.rejected)]}
        case Rating():
            return {**body, "completion": [_answer(record.completion)], "label": record.liked}
        case Demonstration():
            return {**body, "completion": [_answer(record.completion)]}
    return body


def hh_row(record: Record) -> dict[str, Any] | str:
    """Two whole transcripts, as in HH-RLHF."""
    if not isinstance(record, Comparison):
        return f"{kind_of(record)}, where transcripts hold comparisons"
    if record.tied:
        return "ties, for which transcripts have no place"
    turns = turns_of(record.prompt)
    if any(turn["role"] == "system" for turn in turns):
        return "conversations with a system prompt, for which transcripts have no place"
    if any(mark in text for mark in _MARKS for text in texts_of(record)):
        return "texts with a line that begins with Human: or Assistant:, which would be taken for turns"
    if any(text != text.strip() for text in texts_of(record)):
        return "texts that begin or end with a space, which transcripts do not keep"
    asked = "".join(f"\n\n{'Human' if turn['role'] == 'user' else 'Assistant'}: {turn['content']}" for turn in turns)
    return {side: f"{asked}\n\nAssistant: {getattr(record, side)}" for side in ("chosen", "rejected")}


def argilla_row(record: Record) -> dict[str, Any] | str:
    """A record as `Dataset.records.from_json` of Argilla 2 reads it. Which answer comes first is drawn by the prompt.

    Turns of a conversation are one text for people to read; `metadata` keeps them as JSON.
    """
    text, turns = pack_prompt(record.prompt)
    fields: dict[str, Any] = {"prompt": text}
    said: dict[str, Any] = {}
    about: dict[str, Any] = {"source": record.source, **({"turns": turns} if turns else {})}
    match record:
        case Comparison():
            first = hashlib.sha256(canonical(record.prompt).encode()).digest()[0] % 2 == 0
            sides = (record.chosen, record.rejected) if first else (record.rejected, record.chosen)
            fields |= dict(zip(("response1", "response2"), sides, strict=True))
            said = {"preference": "tie" if record.tied else "response1" if first else "response2"}
            about["strength"] = record.strength
        case Rating():
            fields["response"] = record.completion
            said = {"liked": "yes" if record.liked else "no"}
        case Demonstration():
            said = {"completion": record.completion}
    given = {question: [{"value": value, "user_id": None}] for question, value in said.items()}
    return {
        "fields": fields,
        "metadata": about,
        "suggestions": {},
        "responses": given,
        "external_id": record.id or None,
    }


_ROWS: dict[str, Callable[[Record], dict[str, Any] | str]] = {"trl": trl_row, "hh": hh_row, "argilla": argilla_row}


def rows_in(layout: str, records: Iterable[Record], left_out: dict[str, int]) -> Iterator[dict[str, Any]]:
    """The rows of a layout; `left_out` counts what it has no place for, under why."""
    for record in records:
        row = _ROWS[layout](record)
        if isinstance(row, str):
            left_out[row] = left_out.get(row, 0) + 1
        else:
            yield row


def write_rows(rows: Iterable[dict[str, Any]], path: Path, format: str) -> int:
    """Rows as JSONL, as one JSON array (what Argilla reads) or as Parquet; how many. The file appears when it is whole.

    Raises:
        DataError, DiskFull: it cannot be written.
    """
    with written_aside(path) as unfinished:
        if format == "parquet":
            return write_parquet(rows, unfinished)
        count = 0
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                line = json.dumps(row, ensure_ascii=True)
                file.write(line + "\n" if format == "jsonl" else ("[\n" if not count else ",\n") + line)
                count += 1
            if format == "json":
                file.write("\n]\n" if count else "[]\n")
        return count


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
