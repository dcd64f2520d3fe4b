"""Which tokens of a demonstration are learned from: the last answer, every turn of the assistant, or all of them.

Where an earlier turn begins and ends is read off the ids themselves: those of the conversation up to it, as `chat`
renders them for asking, must be how the whole begins. A template under which they are not is refused, never guessed at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.chat import control_ids, render, uses_chat_template, written_ids
from rlhf_engine.data.records import Demonstration, Turn, turns_of

ANSWER, TURNS, ALL = "answer", "assistant turns", "all tokens"


@dataclass(frozen=True, slots=True)
class Example:
    """Token ids, and which of them are trained: never the first, which nothing comes before."""

    ids: list[int]
    trained: list[bool]


def example(tokenizer: Any, row: Demonstration, template: str = "auto", trained_on: str = ANSWER) -> Example:
    """A demonstration as ids, of which `trained_on` says what is learned from.

    "answer": the last answer and its end token. "assistant turns": also what the assistant answered earlier, each turn
    with the token that ends it in the template; a plain transcript has none there, and trains the turn's own words. A
    greeting before anybody has asked is not trained. "all tokens": everything but the first token, which the model is
    given (BOS), or which nothing comes before.

    Raises:
        ModelError, DataError: see `render`; DataError also where the template rewrites earlier turns.
    """
    rendered = render(tokenizer, row.prompt, row.completion, template)
    if trained_on == ALL:
        return Example(rendered.ids, [False] + [True] * (len(rendered.ids) - 1))
    trained = list(rendered.completion_mask)
    if trained_on == TURNS:
        turns = turns_of(row.prompt)
        for number, turn in enumerate(turns):
            if turn["role"] == "assistant" and any(before["role"] == "user" for before in turns[:number]):
                start, end = _span(tokenizer, rendered.ids, turns, number, template)
                trained[start:end] = [True] * (end - start)
    return Example(rendered.ids, trained)


def _span(tokenizer: Any, ids: list[int], turns: list[Turn], number: int, template: str) -> tuple[int, int]:
    """Where the assistant's turn `number` (from 0) begins in `ids`, and where what is trained of it ends.

    A tokenizer may cut a text differently for what comes next: one token can reach over the end of a turn (".\n\n", or
    ":▁" at its beginning), and in a plain transcript change those just before it. Such tokens are not trained. More
    than one under a chat template is no matter of cutting: the template has written something else.
    """
    asked = render(tokenizer, turns[:number], None, template).ids
    said = written_ids(tokenizer, turns[: number + 1], template)
    before, through = _agreeing(asked, ids), _agreeing(said, ids)
    if uses_chat_template(tokenizer, template):
        if before < len(asked) - 1:
            raise _unclear(turns, number, "what is before it is written differently later on")
        if through < len(said) - 1:
            raise _unclear(turns, number, "it is written differently once the conversation goes on")
    start, uncertain = before, len(tokenizer.decode(asked[before:]))
    while len(tokenizer.decode(ids[before:start])) < uncertain:
        start += 1
    return start, start + _ended(tokenizer, ids[start:through])


def _ended(tokenizer: Any, ids: list[int]) -> int:
    """How many ids of a turn to train: without the blanks behind it, and with one token that ends it, if it has one."""
    control = control_ids(tokenizer)
    end = len(ids)
    while end and ids[end - 1] not in control and not tokenizer.decode(ids[end - 1 : end]).strip():
        end -= 1
    while end > 1 and ids[end - 1] in control and ids[end - 2] in control:
        end -= 1
    return end


def _agreeing(a: list[int], b: list[int]) -> int:
    """How many ids both begin with."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _unclear(turns: list[Turn], number: int, why: str) -> DataError:
    begins = " ".join(turns[0]["content"].split())[:40]
    return DataError(
        f"Which tokens are the assistant's in turn {number + 1} of the conversation that begins {begins!r} cannot be "
        f"told: under this prompt format {why}.",
        f'Train on "{ANSWER}", the last one only, or leave conversations of several turns out.',
    )
