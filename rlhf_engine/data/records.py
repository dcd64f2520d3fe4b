"""What people give and models learn from: prompts, demonstrations, comparisons and ratings, as plain values.

Standard library only: the window reads this file.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from dataclasses import dataclass, fields
from typing import Any

Turn = dict[str, str]
Prompt = str | list[Turn]
ROLES = ("system", "user", "assistant")
STRENGTHS = (1, 2, 3)  # slightly, clearly, much better
TIE = 0  # the strength of a comparison in which neither answer is the better one
WHO_JUDGED = ("first", "annotator", "session")  # fields of a comparison
MAX_CHARACTERS = 1_000_000  # of one text; anything longer is a file in the wrong place
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))  # made once


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """A question, or a conversation whose last turn is the user's."""

    prompt: Prompt
    source: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt with an answer worth imitating."""

    prompt: Prompt
    completion: str
    source: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to one prompt, the better one known. `strength` is 1 (slightly), 2 (better) or 3 (much better).

    `strength` 0 is a tie: neither is better, and `chosen` and `rejected` are only side A and side B.

    Of who judged: `first` is the answer that was seen on the left or first, "chosen" or "rejected"; `annotator` the
    person or the judging model; `session` the sitting. Each is "" where it is not known.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    strength: int = 2
    source: str = ""
    id: str = ""
    first: str = ""
    annotator: str = ""
    session: str = ""

    @property
    def tied(self) -> bool:
        """Whether neither answer is the better one."""
        return self.strength == TIE


@dataclass(frozen=True, slots=True)
class Rating:
    """An answer to a prompt, by itself, that was liked or not."""

    prompt: Prompt
    completion: str
    liked: bool
    source: str = ""
    id: str = ""


Record = PromptRecord | Demonstration | Comparison | Rating
KINDS: dict[str, type[Any]] = {
    "prompts": PromptRecord,
    "demonstrations": Demonstration,
    "comparisons": Comparison,
    "ratings": Rating,
}


_KIND = {type_: kind for kind, type_ in KINDS.items()}
_SAID = {kind: [field.name for field in fields(type_) if field.name != "id"] for kind, type_ in KINDS.items()}
_WRITTEN = {  # the fields of a line in the order of their names, with how each begins
    kind: [(name, f'"{name}":') for name in sorted(["kind", *names])] for kind, names in _SAID.items()
}
_quoted = json.encoder.encode_basestring  # text in JSON that is not only ASCII
_ANSWERS = {  # the texts of a record beside its prompt
    type_: [name for name in ("completion", "chosen", "rejected") if name in type_.__dataclass_fields__]
    for type_ in KINDS.values()
}


def kind_of(record: Record) -> str:
    """The key of `KINDS` that a record belongs to."""
    return _KIND[type(record)]


def texts_of(record: Record) -> list[str]:
    """All texts of a record: those of the prompt's turns, then its answers."""
    prompt = record.prompt
    asked = [prompt] if isinstance(prompt, str) else [turn["content"] for turn in prompt]
    return asked + [getattr(record, name) for name in _ANSWERS[type(record)]]


def turns_of(prompt: Prompt) -> list[Turn]:
    """The turns of a prompt; a text is one turn of the user."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def text_of(prompt: Prompt) -> str:
    """A prompt as one text for people to read and search: a text as it is, turns under the names of their roles."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"{turn['role'].capitalize()}: {turn['content']}" for turn in prompt)


def canonical(prompt: Prompt) -> str:
    """What makes two prompts the same one, whatever their spacing, their Unicode form or how they were written down."""
    turns = [[turn["role"], _one_spaced(turn["content"])] for turn in turns_of(prompt)]
    return _LINE.encode(turns)


def _one_spaced(text: str) -> str:
    return " ".join((text if text.isascii() else unicodedata.normalize("NFC", text)).split())


def split_of(prompt: Prompt, heldout: int = 10) -> str:
    """ "heldout" for about `heldout` percent of all prompts, else "train".

    The side depends on the prompt alone: no prompt is trained on in one dataset and tested in another.
    """
    return _split_of(canonical(prompt).encode("utf-8"), heldout)


def _split_of(canonical_: bytes, heldout: int = 10) -> str:
    digest = hashlib.sha256(canonical_).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") % 100 < heldout else "train"


def half_of(prompt: Prompt) -> str:
    """ "first" or "second", for about half of all prompts each, whichever split they are in.

    Models trained on different halves have no prompt in common, whatever datasets they were given.
    """
    return _half_of(canonical(prompt).encode("utf-8"))


def _half_of(canonical_: bytes) -> str:
    digest = hashlib.sha256(b"half\n" + canonical_).digest()
    return "second" if digest[0] & 1 else "first"


def sides_of(prompt: Prompt) -> tuple[str, str]:
    """The split and the half that a prompt belongs to."""
    written = canonical(prompt).encode("utf-8")
    return _split_of(written), _half_of(written)


def content_of(record: Record) -> str:
    """One line of JSON with all that a record says, its id left out: equal lines are equal records.

    Who judged is left out where it is not known: such records make the datasets that they made before it was asked.
    """
    kind = kind_of(record)
    parts = []
    for name, begins in _WRITTEN[kind]:
        value = kind if name == "kind" else getattr(record, name)
        if value or name not in WHO_JUDGED:
            # Byte for byte what _LINE writes, whose set-up for each line takes longer than the line.
            plain = type(value)
            written = _quoted(value) if plain is str else str(value) if plain is int else _LINE.encode(value)
            parts.append(begins + written)
    return "{" + ",".join(parts) + "}"


def pack_prompt(prompt: Prompt) -> tuple[str, str]:
    """A prompt as two columns of a table: the text to read and search, and the turns as JSON ("" for a text)."""
    if isinstance(prompt, str):
        return prompt, ""
    return text_of(prompt), json.dumps(prompt, ensure_ascii=False, separators=(",", ":"))


def unpack_prompt(text: str, turns: str | None) -> Prompt:
    """The prompt that `pack_prompt` took apart."""
    if not turns:
        return text
    prompt: list[Turn] = json.loads(turns)
    return prompt


def fault_in(record: Record) -> tuple[str, str] | None:
    """The first field that cannot be used and why, in a person's words; None for a good record."""
    if fault := _fault_in_prompt(record.prompt):
        return "prompt", fault
    for name in _ANSWERS[type(record)]:
        if fault := _fault_in_text(getattr(record, name)):
            return name, fault
    if isinstance(record, Comparison):
        if record.chosen.strip() == record.rejected.strip():
            return "rejected", "both answers are the same"
        if isinstance(record.strength, bool) or record.strength not in (TIE, *STRENGTHS):
            return "strength", f"{record.strength!r} is not 1, 2 or 3, nor 0 for a tie"
        for name in WHO_JUDGED:
            if fault := _fault_in_name(getattr(record, name)):
                return name, fault
        if record.first not in ("", "chosen", "rejected"):
            return "first", f"is {record.first[:40]!r}, neither chosen nor rejected"
    if isinstance(record, Rating) and not isinstance(record.liked, bool):
        return "liked", f"is {_type_name(record.liked)}, neither true nor false"
    return None


def _fault_in_text(text: object) -> str:
    if not isinstance(text, str):
        return f"is {_type_name(text)}, not text"
    if not text.strip():
        return "is empty"
    if len(text) > MAX_CHARACTERS:
        return f"is {len(text):,} characters long; at most {MAX_CHARACTERS:,} are read"
    if "\0" in text:
        return "contains a NUL character"
    if not text.isascii() and _SURROGATE.search(text):
        return "contains half of a surrogate pair, which is not valid Unicode"
    return ""


def _fault_in_name(name: object) -> str:
    return _fault_in_text(name) if name != "" else ""


def _fault_in_prompt(prompt: object) -> str:
    if isinstance(prompt, str):
        return _fault_in_text(prompt)
    if not isinstance(prompt, list):
        return f"is {_type_name(prompt)}, neither text nor a list of turns"
    if not prompt:
        return "has no turns"
    for number, turn in enumerate(prompt, 1):
        if not isinstance(turn, dict) or not isinstance(turn.get("role"), str):
            return f"turn {number} has no role"
        if turn["role"] not in ROLES:
            return f"turn {number} has the role {turn['role'][:40]!r}; known are {', '.join(ROLES)}"
        if fault := _fault_in_text(turn.get("content")):
            return f"turn {number} {fault}"
    if prompt[-1]["role"] != "user":
        return "does not end with the user's turn"
    return ""


def _type_name(value: object) -> str:
    names = {type(None): "missing", bool: "true/false", int: "a number", float: "a number", list: "a list", str: "text"}
    return names.get(type(value), "an object")
