"""The ways in which people write prompts, demonstrations and comparisons down, and how each is understood."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rlhf_engine.data.records import Comparison, Demonstration, Prompt, PromptRecord, Record, Turn

# Our fields and the names that files have for them, compared without capitals; the first that is there counts.
FIELDS: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "query", "text", "sentence", "column 1"),
    "turns": ("turns",),
    "completion": ("completion", "response", "answer", "best answer", "best_answer"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "a": ("a", "answer_a", "response_a"),
    "b": ("b", "answer_b", "response_b"),
    "winner": ("winner",),
    "strength": ("strength",),
    "messages": ("messages",),
    "conversations": ("conversations", "conversation"),
    "label": ("label", "kto_tag"),
    "instruction": ("instruction",),
    "input": ("input",),
    "output": ("output", "target"),
    "history": ("history",),
    "system": ("system", "system_prompt"),
    "tools": ("tools",),
    "source": ("source",),
}
# What a layout is called, and the fields it cannot do without: any one of these sets.
LAYOUTS: dict[str, tuple[frozenset[str], ...]] = {
    "sharegpt": (frozenset({"conversations"}),),
    "alpaca": (frozenset({"instruction"}), frozenset({"input", "output"})),
    "hh": (frozenset({"chosen", "rejected"}),),
    "trl": (frozenset({"chosen", "rejected"}),),
    "kto": (frozenset({"messages", "label"}), frozenset({"prompt", "completion", "label"})),
    "messages": (frozenset({"messages"}),),
    "native": (frozenset({"prompt"}),),
    "text": (frozenset({"prompt"}),),
}
_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "observation": "user",  # what a tool answered, as text: templates know no fourth role
    "tool": "user",
    "function": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
}
_TRANSCRIPT = re.compile(r"\n\n(Human|Assistant):")


class Fault(Exception):
    """A row cannot be understood: which of our fields is to blame, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def fields_in(columns: Iterable[str]) -> dict[str, str]:
    """Our fields that a file has, with its own names for them."""
    known = {column.strip().casefold(): column for column in columns}
    return {field: known[name] for field, names in FIELDS.items() for name in reversed(names) if name in known} | {
        field: known[names[0]] for field, names in FIELDS.items() if names[0] in known
    }


def layout_of(fields: Mapping[str, str], rows: list[dict[str, Any]]) -> str:
    """The layout of a file with these fields, judged by its first rows; "" if none fits."""
    has = fields.keys()
    if has >= {"chosen", "rejected"} and not has & {"conversations", "instruction"}:
        if has & {"prompt", "messages"}:
            return "native" if has & {"turns", "strength"} else "trl"
        sides = [row.get(fields["chosen"]) for row in rows]
        if any(isinstance(side, str) and _TRANSCRIPT.search(side) for side in sides):
            return "hh"
        return "trl" if any(isinstance(side, list) for side in sides) else ""
    if has >= {"a", "b", "winner", "prompt"}:
        return "native"
    return next((name for name, needs in LAYOUTS.items() if any(need <= has for need in needs)), "")


def kind_in(layout: str, fields: Mapping[str, str]) -> str:
    """The most that a layout's rows say: comparisons before demonstrations before prompts."""
    has = fields.keys()
    if has >= {"chosen", "rejected"} or (layout == "native" and has >= {"a", "b", "winner"}):
        return "comparisons"
    if layout in ("sharegpt", "messages", "kto") or has & {"completion", "output"}:
        return "demonstrations"
    return "prompts"


def record_of(kind: str, layout: str, row: Mapping[str, Any]) -> Record:
    """A row, under our names, as a record. A comparison's better answer can serve as a demonstration.

    Raises:
        Fault: the row does not say what the kind needs.
    """
    said = _READERS[layout](row, kind)
    source = row.get("source") if layout == "native" else None
    source = source if isinstance(source, str) and source else "import"
    prompt = said["prompt"]
    if kind == "prompts":
        return PromptRecord(prompt, source)
    if kind == "demonstrations":
        completion: Any = said.get("completion", said.get("chosen"))
        if isinstance(completion, list) and completion:
            completion = completion[0]  # the first of several answers that are all good
        if completion is None:
            raise Fault("completion", "is missing")
        return Demonstration(prompt, completion, source)
    for side in ("chosen", "rejected"):
        if said.get(side) is None:
            raise Fault(side, "is missing: a comparison needs both answers")
    return Comparison(prompt, said["chosen"], said["rejected"], said.get("strength", 2), source)


def _native(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    said = {field: row[field] for field in ("completion", "chosen", "rejected") if row.get(field) is not None}
    if row.get("winner") is not None and kind != "prompts":
        winner = row["winner"]
        if winner not in ("a", "b"):
            raise Fault("winner", f"is {str(winner)[:40]!r}, which prefers neither answer")
        said |= {"chosen": row.get(winner), "rejected": row.get("b" if winner == "a" else "a")}
    if row.get("strength") not in (None, ""):
        said["strength"] = _strength(row["strength"])
    prompt = _turns_json(row["turns"]) if row.get("turns") else row.get("prompt")
    return {"prompt": _as_prompt(prompt, "prompt"), **said}


def _trl(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    prompt = row.get("prompt") if row.get("prompt") is not None else row.get("messages")
    sides = {side: row.get(side) for side in ("chosen", "rejected")}
    for side, value in sides.items():
        if isinstance(value, dict):
            sides[side] = _turns([value], side)[0]["content"]
    conversations = {side: _turns(value, side) for side, value in sides.items() if isinstance(value, list)}
    before = {side: turns[:-1] for side, turns in conversations.items()}
    for side, turns in conversations.items():
        if not turns or turns[-1]["role"] != "assistant":
            raise Fault(side, "does not end with an answer")
        sides[side] = turns[-1]["content"]
    if any(before.values()):
        if before.get("chosen") != before.get("rejected"):
            raise Fault("rejected", "answers another prompt than chosen does")
        prompt = before["chosen"]
    said = {"prompt": _as_prompt(prompt, "prompt"), **sides}
    if row.get("strength") not in (None, ""):
        said["strength"] = _strength(row["strength"])
    return said


def _hh(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    chosen, rejected = (_transcript(row.get(side), side) for side in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Fault("rejected", "answers another conversation than chosen does")
    return {
        "prompt": _as_prompt(chosen[:-1], "chosen"),
        "chosen": chosen[-1]["content"],
        "rejected": rejected[-1]["content"],
    }


def _transcript(text: Any, field: str) -> list[Turn]:
    if not isinstance(text, str):
        raise Fault(field, "is missing" if text is None else "is not text")
    opening, *pieces = _TRANSCRIPT.split(text if text.startswith("\n\n") else f"\n\n{text.lstrip()}")
    if opening.strip() or not pieces:
        raise Fault(field, 'does not begin with "Human:"')
    turns = [
        {"role": _ROLES["human" if who == "Human" else "assistant"], "content": said.strip()}
        for who, said in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    if turns[-1]["role"] != "assistant":
        raise Fault(field, 'does not end with an "Assistant:" turn')
    if not turns[-1]["content"]:
        raise Fault(field, "ends with an empty answer")
    return turns


def _sharegpt(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    turns = _turns(row.get("conversations"), "conversations")
    turns = _told_first(row, turns)
    if "chosen" in row and "rejected" in row:
        sides = {side: _side(row.get(side), side) for side in ("chosen", "rejected")}
        return {"prompt": _as_prompt(turns, "conversations"), **sides}
    return _conversation(turns, "conversations", kind)


def _messages(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return _conversation(_told_first(row, _turns(row.get("messages"), "messages")), "messages", kind)


def _kto(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if kind == "demonstrations" and not _liked(row.get("label")):
        raise Fault("label", "says that the answer is not liked; only liked ones are demonstrations")
    return _messages(row, kind) if row.get("messages") is not None else _native(row, kind)


def _alpaca(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    told = [_text(row.get(field), field) for field in ("instruction", "input") if row.get(field)]
    if not told:
        raise Fault("instruction", "is empty" if "instruction" in row else "is missing")
    turns = [{"role": "user", "content": "\n\n".join(told)}]
    for exchange in row.get("history") or []:
        if not isinstance(exchange, list | tuple) or len(exchange) != 2:
            raise Fault("history", "is not a list of question and answer")
        asked, answered = (_text(part, "history") for part in exchange)
        turns[-1:-1] = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    said = {field: row[field] for field in ("chosen", "rejected") if row.get(field) is not None}
    if row.get("output") is not None:
        said["completion"] = row["output"]
    return {"prompt": _as_prompt(_told_first(row, turns), "instruction"), **said}


def _plain(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    return {"prompt": row.get("prompt")}


_READERS = {
    "native": _native,
    "trl": _trl,
    "hh": _hh,
    "sharegpt": _sharegpt,
    "messages": _messages,
    "kto": _kto,
    "alpaca": _alpaca,
    "text": _plain,
}


def _conversation(turns: list[Turn], field: str, kind: str) -> dict[str, Any]:
    """A conversation's last answer and what led to it."""
    if turns and turns[-1]["role"] == "assistant":
        return {"prompt": _as_prompt(turns[:-1], field), "completion": turns[-1]["content"]}
    if kind == "prompts":
        return {"prompt": _as_prompt(turns, field)}
    raise Fault(field, "does not end with an answer")


def _told_first(row: Mapping[str, Any], turns: list[Turn]) -> list[Turn]:
    """What the columns "system" and "tools" say, as a turn before all others."""
    told = [text for field in ("system", "tools") if isinstance(text := row.get(field), str) and text.strip()]
    return [{"role": "system", "content": "\n\n".join(told)}, *turns] if told else turns


def _turns(value: Any, field: str) -> list[Turn]:
    if not isinstance(value, list):
        raise Fault(field, "is missing" if value is None else "is not a list of turns")
    turns = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, dict):
            raise Fault(field, f"has a turn {number} that is no object")
        role = turn.get("role", turn.get("from"))
        if not isinstance(role, str) or role.lower() not in _ROLES:
            raise Fault(field, f"has a turn {number} with the role {str(role)[:40]!r}")
        content = turn.get("content", turn.get("value"))
        turns.append({"role": _ROLES[role.lower()], "content": _content(content, field, number)})
    return turns


def _content(content: Any, field: str, number: int) -> str:
    if isinstance(content, list):  # parts of a message, of which we know text
        parts: list[Any] = [
            part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"
        ]
        if len(parts) == len(content) and all(isinstance(part, str) for part in parts):
            return "\n\n".join(parts)
        raise Fault(field, f"has a turn {number} that is not only text")
    if not isinstance(content, str):
        raise Fault(field, f"has a turn {number} without text")
    return content


def _side(value: Any, field: str) -> Any:
    return _turns([value], field)[0]["content"] if isinstance(value, dict) else value


def _as_prompt(value: Any, field: str) -> Prompt:
    """One turn of the user is a text."""
    if isinstance(value, list):
        turns = _turns(value, field)
        return turns[0]["content"] if len(turns) == 1 and turns[0]["role"] == "user" else turns
    return _text(value, field)


def _text(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise Fault(field, "is missing" if value is None else "is not text")
    return value


def _turns_json(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("turns", "is not JSON") from error


def _strength(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip() in ("1", "2", "3") else value


def _liked(label: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    liked = words.get(str(label).strip().lower())
    if liked is None:
        raise Fault("label", f"is {str(label)[:40]!r}, neither true nor false")
    return liked
