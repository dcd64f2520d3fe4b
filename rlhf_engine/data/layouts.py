"""The ways in which people write prompts, answers and what they think of them down, and how each is understood."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rlhf_engine.data.cells import (
    ROLES,
    Fault,
    answer_in,
    is_winner,
    liked_in,
    prompt_in,
    require_preference,
    says_liked,
    stars_in,
    strength_in,
    text_in,
    turns_in,
    turns_in_json,
    winner_in,
)
from rlhf_engine.data.records import TIE, WHO_JUDGED, Comparison, Demonstration, PromptRecord, Rating, Record, Turn
from rlhf_engine.data.scored import answers_in
from rlhf_engine.data.task_files import EXAMPLES, first_output, task_prompt
from rlhf_engine.data.trees import has_ranks

_FIRST = ("answer1", "answer_1", "answer-1", "completion_1", "completion-1", "generation_1", "generation-1")
_SECOND = ("answer2", "answer_2", "answer-2", "completion_2", "completion-2", "generation_2", "generation-2")
# Our fields and the names that files have for them, compared without capitals; the first that is there counts.
FIELDS: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "question", "query", "text", "sentence", "column 1"),
    "turns": ("turns",),
    "completion": ("completion", "response", "answer", "best answer", "best_answer"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "wrong": ("incorrect answers", "incorrect_answers"),
    "a": ("a", "answer_a", "response_a", "conversation_a", "response1", "response_1", "response-1", *_FIRST),
    "b": ("b", "answer_b", "response_b", "conversation_b", "response2", "response_2", "response-2", *_SECOND),
    "winner": ("winner",),
    "strength": ("strength",),
    "liked": ("liked", "thumbs", "thumbs_up", "thumbs up"),
    "rating": ("rating", "stars"),
    "messages": ("messages",),
    "conversations": ("conversations", "conversation"),
    "label": ("label", "kto_tag"),
    "instruction": ("instruction",),
    "definition": ("definition", "task_prefix"),
    "examples": ("positive examples", "positive_examples"),
    "input": ("input", "context"),
    "output": ("output", "target"),
    "scores": ("target_scores",),
    "completions": ("completions", "responses", "answers"),
    "answer_scores": ("scores", "rewards", "response_scores"),
    "score": ("helpfulness", "overall_score", "score"),
    "tree": ("message_tree_id",),
    "message": ("message_id",),
    "parent": ("parent_id",),
    "role": ("role",),
    "rank": ("rank",),
    "deleted": ("deleted",),
    "review": ("review_result",),
    "history": ("history",),
    "system": ("system", "system_prompt"),
    "tools": ("tools",),
    "source": ("source",),
    "first": ("first",),
    "annotator": ("annotator",),
    "session": ("session",),
}
# What a layout is called, and the fields it cannot do without: any one of these sets.
LAYOUTS: dict[str, tuple[frozenset[str], ...]] = {
    "kto": tuple(
        frozenset({*answer, "label"})
        for answer in (("messages",), ("conversations",), ("instruction", "output"), ("prompt", "completion"))
    ),
    "sharegpt": (frozenset({"conversations"}),),
    "task": (frozenset({"definition", "input", "output"}), frozenset({"definition", "input", "scores"})),
    "alpaca": (frozenset({"instruction"}), frozenset({"input", "output"})),
    "scored": tuple(
        frozenset({asked, *answers})
        for asked in ("prompt", "instruction")
        for answers in (("completions",), ("completion", "score"))
    ),
    "oasst": (frozenset({"tree", "prompt"}),),
    "hh": (frozenset({"chosen", "rejected"}),),
    "trl": (frozenset({"chosen", "rejected"}),),
    "messages": (frozenset({"messages"}),),
    "native": (frozenset({"prompt"}), frozenset({"a", "b", "winner"})),
    "text": (frozenset({"prompt"}),),
}
_TRANSCRIPT = re.compile(r"\n\n(Human|Assistant):")


def fields_in(columns: Iterable[str], rows: list[dict[str, Any]]) -> dict[str, str]:
    """Our fields that a file has, with its own names for them, judged by its first rows.

    A column that is named like a verdict is none where it holds something else: another scale, or a class.
    """
    known = {column.strip().casefold(): column for column in columns}
    found = {field: known[name] for field, names in FIELDS.items() for name in reversed(names) if name in known}
    found = {field: name for field, name in found.items() if _fits(field, [row.get(name) for row in rows])}
    if {"a", "b"} <= found.keys() and "winner" not in found:
        judging = (name for name in known.values() if _says_winners([row.get(name) for row in rows]))
        if winner := next(judging, ""):
            found["winner"] = winner
    return found


def _says_winners(values: list[Any]) -> bool:
    given = [value for value in values if value not in (None, "")]
    return bool(given) and all(is_winner(value) for value in given)


def _fits(field: str, values: list[Any]) -> bool:
    given = [value for value in values if value not in (None, "")]
    if field == "rating":
        return bool(given) and all(stars_in(value) is not None for value in given)
    return field not in ("label", "liked") or not given or any(says_liked(value) is not None for value in given)


def layout_of(fields: Mapping[str, str], rows: list[dict[str, Any]]) -> str:
    """The layout of a file with these fields, judged by its first rows; "" if none fits."""
    has = fields.keys()
    if has >= {"tree", "prompt"}:
        return "oasst"
    if has & {"prompt", "instruction"} and not has & {"chosen", "a"} and _are_scored(fields, rows):
        return "scored"
    if has >= {"chosen", "rejected"} and not has & {"conversations", "instruction"}:
        if has & {"prompt", "messages"}:
            return "native" if has & {"turns", "strength"} else "trl"
        sides = [row.get(fields["chosen"]) for row in rows]
        if any(isinstance(side, str) and _TRANSCRIPT.search(side) for side in sides):
            return "hh"
        return "trl" if any(isinstance(side, list) for side in sides) else ""
    if has >= {"a", "b", "winner"}:
        return "native"
    others = {name: needs for name, needs in LAYOUTS.items() if name != "scored"}
    return next((name for name, needs in others.items() if any(need <= has for need in needs)), "")


def _are_scored(fields: Mapping[str, str], rows: list[dict[str, Any]]) -> bool:
    """Whether rows hold several answers with scores each, or rows of one answer stand together under one prompt.

    A score beside a single answer to each prompt compares nothing.
    """
    if "completions" in fields:
        named = [{ours: row.get(theirs) for ours, theirs in fields.items()} for row in rows]
        return any(_has_scores(row) for row in named)
    if not fields.keys() >= {"prompt", "completion", "score"}:
        return False
    prompts = [row.get(fields["prompt"]) for row in rows]
    numbers = all(isinstance(row.get(fields["score"]), int | float | str) for row in rows)
    return numbers and any(one == next_ for one, next_ in itertools.pairwise(prompts))


def _has_scores(row: Mapping[str, Any]) -> bool:
    try:
        return len(answers_in(row)) > 1
    except Fault:
        return False


def kind_in(layout: str, fields: Mapping[str, str], rows: list[dict[str, Any]] | None = None) -> str:
    """The most that a layout's rows say: comparisons before ratings before demonstrations before prompts.

    Of trees the first `rows` say whether answers are ranked.
    """
    has = fields.keys()
    if layout == "scored":
        return "comparisons"
    if layout == "oasst":
        ranks = [row.get(fields.get("rank", "rank")) for row in rows or []]
        nested = ({"prompt": row.get(fields["prompt"])} for row in rows or [])
        ranked = any(rank not in (None, "", 0, "0") for rank in ranks) or any(has_ranks(row) for row in nested)
        return "comparisons" if ranked else "demonstrations"
    if has >= {"chosen", "rejected"} or (layout == "native" and has >= {"a", "b", "winner"}):
        return "comparisons"
    answered = layout in ("sharegpt", "messages", "kto") or bool(has & {"completion", "output", "scores"})
    if answered and (layout == "kto" or has & {"liked", "rating"}):
        return "ratings"
    return "demonstrations" if answered else "prompts"


def record_of(kind: str, layout: str, row: Mapping[str, Any], examples: int = EXAMPLES) -> Record:
    """A row, under our names, as a record. A better or a liked answer can serve as a demonstration.

    `examples` is how many of a task's own examples its prompts show, at most.

    Raises:
        Fault: the row does not say what the kind needs.
    """
    said = _task(row, kind, examples) if layout == "task" else _READERS[layout](row, kind)
    source = row.get("source") if layout in ("native", "task") else None
    source = source if isinstance(source, str) and source else "import"
    prompt = said["prompt"]
    if kind == "prompts":
        return PromptRecord(prompt, source)
    if kind == "ratings":
        liked = liked_in(_verdicts(row, layout))
        if liked is None:
            raise Fault("liked", "is missing: a rating says whether an answer was liked")
        return Rating(prompt, _answer(said), liked, source)
    if kind == "demonstrations":
        return Demonstration(prompt, _best(said, row, layout), source)
    for side in ("chosen", "rejected"):
        if said.get(side) is None:
            raise Fault(side, "is missing: a comparison needs both answers")
    who = _who_judged(row) if layout == "native" else {}
    return Comparison(prompt, said["chosen"], said["rejected"], said.get("strength", 2), source, **who)


def _who_judged(row: Mapping[str, Any]) -> dict[str, str]:
    """What one of our own files says of the judging; elsewhere columns of these names may be anything."""
    said = {name: row[name] for name in WHO_JUDGED if isinstance(row.get(name), str)}
    if said.get("first", "") not in ("", "chosen", "rejected"):
        del said["first"]
    return said


def _verdicts(row: Mapping[str, Any], layout: str) -> dict[str, Any]:
    """The cells that say whether an answer was liked; elsewhere than in KTO files a label may be anything."""
    fields = ("liked", "rating", *(("label",) if layout == "kto" else ()))
    return {field: row[field] for field in fields if row.get(field) not in (None, "")}


def _best(said: Mapping[str, Any], row: Mapping[str, Any], layout: str) -> Any:
    """The answer worth imitating: the only one, the first of several that are all good, or the better or liked one."""
    verdicts = _verdicts(row, layout)
    if liked_in(verdicts) is False:
        raise Fault(next(iter(verdicts)), "says that the answer is not liked; only liked ones are demonstrations")
    if said.get("completion") is None and said.get("chosen") is not None:
        require_preference(said, "winner" if row.get("winner") is not None else "strength")
    answer = _answer({"completion": said.get("chosen"), **said})
    return answer[0] if isinstance(answer, list) and answer else answer


def _answer(said: Mapping[str, Any]) -> Any:
    if said.get("completion") is None:
        raise Fault("completion", "is missing")
    return said["completion"]


def _native(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    prompt = turns_in_json(row["turns"]) if row.get("turns") else row.get("prompt")
    judged = row.get("winner") is not None
    names = ("a", "b") if judged else ("chosen", "rejected")
    prompt, sides = _sides(prompt, {side: row.get(side) for side in names})
    said = _strength(row)
    if not judged:
        said |= {side: answer for side, answer in sides.items() if answer is not None}
    elif kind != "prompts":
        said |= _judged(winner_in(row["winner"]), sides, said.get("strength"))
    if row.get("completion") is not None:
        said["completion"] = answer_in(row["completion"], "completion")
    return {"prompt": prompt_in(prompt, "prompt"), **said}


def _trl(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    prompt = row.get("prompt") if row.get("prompt") is not None else row.get("messages")
    prompt, sides = _sides(prompt, {side: row.get(side) for side in ("chosen", "rejected")})
    return {"prompt": prompt_in(prompt, "prompt"), **sides, **_strength(row)}


def _sides(prompt: Any, sides: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The prompt and two answers to it, each a text, a turn, or a conversation that ends with it."""
    told = {side: answer_in(value, side) if isinstance(value, dict) else value for side, value in sides.items()}
    conversations = {side: turns_in(value, side) for side, value in sides.items() if isinstance(value, list)}
    for side, turns in conversations.items():
        if not turns or turns[-1]["role"] != "assistant":
            raise Fault(side, "does not end with an answer")
        told[side] = turns[-1]["content"]
    before = {side: conversations[side][:-1] if side in conversations else None for side in sides}
    if any(before.values()):
        first, second = before
        if before[first] != before[second]:
            raise Fault(second, f"answers another prompt than {first} does")
        prompt = before[first]
    return prompt, told


def _judged(winner: str, sides: Mapping[str, Any], strength: Any) -> dict[str, Any]:
    """Which of the answers a and b is the chosen one."""
    if winner == "tie":
        return {"chosen": sides.get("a"), "rejected": sides.get("b"), "strength": TIE}
    if strength == TIE and not isinstance(strength, bool):
        raise Fault("strength", f"is 0, which is a tie, but the winner is {winner}")
    return {"chosen": sides.get(winner), "rejected": sides.get("b" if winner == "a" else "a")}


def _strength(row: Mapping[str, Any]) -> dict[str, Any]:
    return {} if row.get("strength") in (None, "") else {"strength": strength_in(row["strength"])}


def _hh(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    chosen, rejected = (_transcript(row.get(side), side) for side in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1]:
        raise Fault("rejected", "answers another conversation than chosen does")
    return {
        "prompt": prompt_in(chosen[:-1], "chosen"),
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
        {"role": ROLES["human" if who == "Human" else "assistant"], "content": said.strip()}
        for who, said in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    if turns[-1]["role"] != "assistant":
        raise Fault(field, 'does not end with an "Assistant:" turn')
    if not turns[-1]["content"]:
        raise Fault(field, "ends with an empty answer")
    return turns


def _sharegpt(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    turns = turns_in(row.get("conversations"), "conversations")
    turns = _told_first(row, turns)
    if "chosen" in row and "rejected" in row:
        sides = {side: answer_in(row.get(side), side) for side in ("chosen", "rejected")}
        return {"prompt": prompt_in(turns, "conversations"), **sides, **_strength(row)}
    return _conversation(turns, "conversations", kind)


def _messages(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return _conversation(_told_first(row, turns_in(row.get("messages"), "messages")), "messages", kind)


def _kto(row: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """One answer that was liked or not, written in any of the ways in which answers are written."""
    written = {"messages": _messages, "conversations": _sharegpt, "instruction": _alpaca}
    return next((read for field, read in written.items() if row.get(field) is not None), _native)(row, kind)


def _alpaca(row: Mapping[str, Any], kind: str) -> dict[str, Any]:  # noqa: ARG001
    told = [text_in(row.get(field), field) for field in ("instruction", "input") if row.get(field)]
    if not told:
        raise Fault("instruction", "is empty" if "instruction" in row else "is missing")
    turns = [{"role": "user", "content": "\n\n".join(told)}]
    for exchange in row.get("history") or []:
        if not isinstance(exchange, list | tuple) or len(exchange) != 2:
            raise Fault("history", "is not a list of question and answer")
        asked, answered = (text_in(part, "history") for part in exchange)
        turns[-1:-1] = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    said = {field: row[field] for field in ("chosen", "rejected") if row.get(field) is not None}
    if (answer := row.get("output", row.get("completion"))) is not None:
        said["completion"] = answer
    return {"prompt": prompt_in(_told_first(row, turns), "instruction"), **said, **_strength(row)}


def _task(row: Mapping[str, Any], kind: str, examples: int) -> dict[str, Any]:
    prompt = task_prompt(row, examples)
    return {"prompt": prompt} if kind == "prompts" else {"prompt": prompt, "completion": first_output(row)}


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
        return {"prompt": prompt_in(turns[:-1], field), "completion": turns[-1]["content"]}
    if kind == "prompts":
        return {"prompt": prompt_in(turns, field)}
    raise Fault(field, "does not end with an answer")


def _told_first(row: Mapping[str, Any], turns: list[Turn]) -> list[Turn]:
    """What the columns "system" and "tools" say, as a turn before all others."""
    told = [text for field in ("system", "tools") if isinstance(text := row.get(field), str) and text.strip()]
    return [{"role": "system", "content": "\n\n".join(told)}, *turns] if told else turns
