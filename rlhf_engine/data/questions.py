"""Prompts to practise on, as token ids, with the demonstrated answer where there is one to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhf_engine.contract.events import Alert
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import Dataset
from rlhf_engine.data.records import Comparison, Demonstration, Prompt
from rlhf_engine.data.within import within


@dataclass(frozen=True, slots=True)
class Question:
    """`reference` is the demonstrated answer, for rewards that compare; None where the data had only prompts."""

    prompt: Prompt
    ids: list[int]
    reference: str | None = None


def questions_in(
    dataset: Dataset, split: str, tokenizer: Any, template: str, longest: int, context: int, answer: int
) -> tuple[list[Question], Alert | None]:
    """The prompts of a split that leave `answer` tokens free, each once, and a warning about those that do not.

    Richer records are read as they are, so that a demonstration's answer comes with its prompt.
    """
    found: dict[str, Question] = {}
    for record in Dataset(dataset.info).records(split):
        reference = record.completion if isinstance(record, Demonstration) else None
        reference = record.chosen if isinstance(record, Comparison) else reference
        key = repr(record.prompt)
        if key not in found:
            found[key] = Question(record.prompt, render(tokenizer, record.prompt, template=template).ids, reference)
    questions = list(found.values())
    return within(questions, lambda q: len(q.ids), longest, context, "prompts", split == "train", answer=answer)
