"""OpenAssistant's trees of messages: one tree a row, or one message a row with the id of the one it answers.

Every question in a tree, at whatever depth, may have several ranked answers; rank 0 is the best. Messages that were
deleted or did not pass review are passed over with all that answers them, as OpenAssistant's own exports do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rlhf_engine.data.cells import ROLES, Fault
from rlhf_engine.data.records import Turn

_DEEPEST = 100  # messages below one another; published trees have fewer than 20


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what was said before it, and its answers from the best to the worst; `ranked` ones first.

    `ranked` is how many of the answers have a rank.
    """

    turns: list[Turn]
    answers: list[str]
    ranks: list[float | None]


def questions_in_tree(row: Mapping[str, Any]) -> list[Asked]:
    """Every question of a tree that has an answer, the root first.

    Raises:
        Fault: there is no tree, or a message without text or with a role that is not known.
    """
    root = row.get("prompt")
    if "rows" in row:
        root = _planted(row["rows"])
    if not isinstance(root, dict):
        raise Fault("prompt", "is missing" if root is None else "is not a message with its replies")
    return list(_walk(root, []))


def has_ranks(row: Mapping[str, Any]) -> bool:
    """Whether any question of the tree has two ranked answers."""
    try:
        return any(len(of_rank(asked)) > 1 for asked in questions_in_tree(row))
    except Fault:
        return False


def of_rank(asked: Asked) -> list[tuple[str, float]]:
    """Answers with their ranks, of those that have one."""
    return [(text, rank) for text, rank in zip(asked.answers, asked.ranks, strict=True) if rank is not None]


def _planted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Messages of one tree put under those that they answer."""
    nodes: dict[Any, dict[str, Any]] = {}
    root = None
    for row in rows:
        about = {"text": row.get("prompt"), "role": row.get("role"), "rank": row.get("rank")}
        node: dict[str, Any] = {
            **about,
            "deleted": row.get("deleted"),
            "review_result": row.get("review"),
            "replies": [],
        }
        if row.get("message") is None:
            raise Fault("message", "is missing: a message needs an id")
        nodes[str(row["message"])] = node
    for row in rows:
        node, parent = nodes[str(row["message"])], row.get("parent")
        if parent in (None, ""):
            root = node
        elif str(parent) in nodes and nodes[str(parent)] is not node:
            nodes[str(parent)]["replies"].append(node)
        else:
            raise Fault("parent", f"is {str(parent)[:40]!r}, which is no message of this tree")
    if root is None:
        raise Fault("parent", "is there for every message of this tree, so that it has no beginning")
    return root


def _walk(node: dict[str, Any], before: list[Turn]) -> Iterator[Asked]:
    if len(before) > _DEEPEST:
        raise Fault("prompt", f"is a tree more than {_DEEPEST} messages deep")
    if _passed_over(node):
        return
    turns = [*before, _turn(node)]
    replies = node.get("replies") or []
    if not isinstance(replies, list) or not all(isinstance(reply, dict) for reply in replies):
        raise Fault("prompt", "has replies that are no list of messages")
    replies = [reply for reply in replies if not _passed_over(reply)]
    if turns[-1]["role"] == "user":
        answers = [reply for reply in replies if _turn(reply)["role"] == "assistant"]
        answers.sort(key=lambda reply: (_rank(reply) is None, _rank(reply) or 0.0))
        if answers:
            yield Asked(turns, [_turn(answer)["content"] for answer in answers], [_rank(answer) for answer in answers])
    for reply in replies:
        yield from _walk(reply, turns)


def _passed_over(node: Mapping[str, Any]) -> bool:
    return _true(node.get("deleted")) or node.get("review_result") in (False, "False", "false")


def _true(value: Any) -> bool:
    return value in (True, "True", "true")


def _turn(node: Mapping[str, Any]) -> Turn:
    role, text = str(node.get("role")).lower(), node.get("text")
    if role not in ROLES:
        raise Fault("role", f"is {role[:40]!r} in a message of the tree")
    if not isinstance(text, str):
        raise Fault("prompt", "has a message without text")
    return {"role": ROLES[role], "content": text}


def _rank(node: Mapping[str, Any]) -> float | None:
    value = node.get("rank")
    try:
        return None if value in (None, "") or isinstance(value, bool) else float(value)
    except (TypeError, ValueError) as error:
        raise Fault("rank", f"is {str(value)[:40]!r}, not a number") from error
