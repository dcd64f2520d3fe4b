"""What the cells of a row say, each in the many ways in which people write it: texts, turns, answers and verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlhf_engine.data.records import TIE, Prompt, Turn

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "observation": "user",  # what a tool answered, as text: templates know no fourth role
    "tool": "user",
    "function": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
}
_LIKED = {"true", "1", "1.0", "+1", "yes", "up", "thumbs up", "like", "liked", "good", "desirable", "\U0001f44d"}
_DISLIKED = {"false", "0", "0.0", "-1", "no", "down", "thumbs down", "dislike", "disliked", "bad", "undesirable"}
_DISLIKED |= {"\U0001f44e"}
_WINNERS = {
    **dict.fromkeys(("a", "model a", "answer a", "response a", "left", "response1", "answer1"), "a"),
    **dict.fromkeys(("b", "model b", "answer b", "response b", "right", "response2", "answer2"), "b"),
    **dict.fromkeys(("response 1", "answer 1", "model 1", "completion 1", "generation 1"), "a"),
    **dict.fromkeys(("response 2", "answer 2", "model 2", "completion 2", "generation 2"), "b"),
    **dict.fromkeys(("tie", "tied", "both", "draw", "equal", "both good"), "tie"),
}
_BOTH_BAD = {"both bad", "bothbad", "tie (bothbad)", "tie (both bad)", "neither"}


class Fault(Exception):
    """A row cannot be understood: which of our fields is to blame, and why."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


def text_in(value: Any, field: str) -> str:
    if not isinstance(value, str):
        raise Fault(field, "is missing" if value is None else "is not text")
    return value


def prompt_in(value: Any, field: str) -> Prompt:
    """One turn of the user is a text."""
    if isinstance(value, list):
        turns = turns_in(value, field)
        return turns[0]["content"] if len(turns) == 1 and turns[0]["role"] == "user" else turns
    return text_in(value, field)


def turns_in(value: Any, field: str) -> list[Turn]:
    if not isinstance(value, list):
        raise Fault(field, "is missing" if value is None else "is not a list of turns")
    turns = []
    for number, turn in enumerate(value, 1):
        if not isinstance(turn, dict):
            raise Fault(field, f"has a turn {number} that is no object")
        role = turn.get("role", turn.get("from"))
        if not isinstance(role, str) or role.lower() not in ROLES:
            raise Fault(field, f"has a turn {number} with the role {str(role)[:40]!r}")
        content = turn.get("content", turn.get("value"))
        turns.append({"role": ROLES[role.lower()], "content": _content(content, field, number)})
    return turns


def turns_in_json(text: Any) -> Any:
    """The turns that our own tables keep as JSON in a column."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("turns", "is not JSON") from error


def answer_in(value: Any, field: str) -> Any:
    """The text of an answer that is written as a turn, or as a list with one; anything else as it is."""
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list) or not any(isinstance(turn, dict) for turn in value):
        return value
    turns = turns_in(value, field)
    if len(turns) > 1:
        raise Fault(field, f"has {len(turns)} turns where one answer is expected")
    if turns[0]["role"] != "assistant":
        raise Fault(field, "is not the assistant's")
    return turns[0]["content"]


def strength_in(value: Any) -> Any:
    """0 to 3, also where a table keeps it as text."""
    return int(value) if isinstance(value, str) and value.strip() in ("0", "1", "2", "3") else value


def is_winner(value: Any) -> bool:
    """Whether a cell says which of two answers is better, or that none is."""
    return isinstance(value, str) and _plain(value).replace("-", " ") in _WINNERS.keys() | _BOTH_BAD


def winner_in(value: Any) -> str:
    """ "a", "b" or "tie". That both answers are bad, or that a pair was skipped, says nothing to learn from."""
    if isinstance(value, list) and value and all(isinstance(one, dict) and "rank" in one for one in value):
        value = _first_ranked(value)
    said = _plain(value).replace("-", " ")
    if said in _WINNERS:
        return _WINNERS[said]
    if said in _BOTH_BAD:
        raise Fault("winner", f"is {str(value)[:40]!r}: both answers are bad, which prefers neither")
    if said in ("skip", "skipped"):
        raise Fault("winner", "is a skip: nobody has said which answer is better")
    raise Fault("winner", f"is {str(value)[:40]!r}, neither a nor b nor a tie")


def _first_ranked(ranking: list[dict[str, Any]]) -> Any:
    """What a ranking of two puts first; "tie" where both have the same place."""
    places = sorted(ranking, key=lambda one: str(one["rank"]))
    tied = len(places) > 1 and places[0]["rank"] == places[1]["rank"]
    return "tie" if tied else places[0].get("value")


def liked_in(row: Mapping[str, Any]) -> bool | None:
    """Whether an answer was liked, by the first of the columns that say so; None where there is none of them."""
    for field in ("liked", "label"):
        if row.get(field) not in (None, ""):
            liked = says_liked(row[field])
            if liked is None:
                raise Fault(field, f"is {str(row[field])[:40]!r}, neither true nor false")
            return liked
    if row.get("rating") not in (None, ""):
        stars = stars_in(row["rating"])
        if stars is None:
            raise Fault("rating", f"is {str(row['rating'])[:40]!r}, not a number from 1 to 5")
        if stars == 3:
            raise Fault("rating", "is 3 of 5, which is undecided")
        return stars > 3
    return None


def says_liked(value: Any) -> bool | None:
    """True or false, however it is written; None for anything else."""
    said = _plain(value)
    return True if said in _LIKED else False if said in _DISLIKED else None


def stars_in(value: Any) -> int | None:
    """A whole number from 1 to 5, however it is written; None for anything else."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
    except ValueError:
        return None
    return int(number) if number in (1, 2, 3, 4, 5) else None


def require_preference(said: Mapping[str, Any], field: str) -> None:
    """Of a tie no answer can be taken for the better one."""
    if not isinstance(said.get("strength"), bool) and said.get("strength") == TIE:
        raise Fault(field, "says that neither answer is better, so that none of them is a demonstration")


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


def _plain(value: Any) -> str:
    return " ".join(str(value).replace("_", " ").split()).casefold()
