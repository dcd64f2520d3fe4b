"""Prompts to practise on, as token ids, with the demonstrated answer where there is one to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_engine.contract.events import Alert
from rlhf_engine.data.at_use import AtUse
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.indexed import Rows
from rlhf_engine.data.records import Comparison, Demonstration, Prompt, Record
from rlhf_engine.data.within import remedy, within


@dataclass(frozen=True, slots=True)
class Question:
    """`reference` is the demonstrated answer, for rewards that compare; None where the data had only prompts."""

    prompt: Prompt
    ids: list[int]
    reference: str | None = None


def questions_in(
    dataset: Dataset, split: str, tokenizer: Any, template: str, longest: int, context: int, answer: int
) -> tuple[Sequence[Question], Alert | None]:
    """The prompts of a split that leave `answer` tokens free, each once, and a warning about those that do not.

    Richer records are read as they are, so that a demonstration's answer comes with its prompt. Those of a large
    dataset become token ids when they are used (see `AtUse`).
    """
    rows = Dataset(dataset.info).rows(split)
    if isinstance(rows, Rows):
        asked = rows.firsts()
        what, limit = f"prompts ({split})", min(longest, context) - answer
        hint = remedy(longest, context, answer)
        made = AtUse(
            len(asked), lambda number: _question(asked[number], tokenizer, template), _length, limit, what, hint
        )
        return made, made.left_out
    found: dict[str, Record] = {}
    for record in rows:
        found.setdefault(repr(record.prompt), record)
    questions = [_question(record, tokenizer, template) for record in found.values()]
    return within(questions, _length, longest, context, "prompts", split == "train", answer=answer)


def _question(record: Record, tokenizer: Any, template: str) -> Question:
    reference = record.completion if isinstance(record, Demonstration) else None
    reference = record.chosen if isinstance(record, Comparison) else reference
    return Question(record.prompt, render(tokenizer, record.prompt, template=template).ids, reference)


def _length(question: Question) -> int:
    return len(question.ids)
