"""Rows as records: one each, or of trees, scored answers and lists of wrong ones as many as they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rlhf_engine.data.cells import Fault, prompt_in, text_in
from rlhf_engine.data.layouts import record_of
from rlhf_engine.data.lines import Rejected
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Record
from rlhf_engine.data.scored import BEST_AND_WORST, Named, Scored, answers_in, pairs_of, together
from rlhf_engine.data.task_files import EXAMPLES
from rlhf_engine.data.trees import of_rank, questions_in_tree


def rows_together(
    layout: str, columns: Mapping[str, str], rows: Iterator[Named | Rejected]
) -> Iterator[Named | Rejected]:
    """Rows under our names, those together that make one whole in their layout: a tree, or the answers to a prompt."""
    if layout == "oasst" and "message" in columns and "parent" in columns:
        return together(rows, "tree")
    return together(rows, "prompt") if layout == "scored" and "completions" not in columns else rows


def entries_of(
    kind: str, layout: str, row: Mapping[str, Any], examples: int = EXAMPLES, pairs: str = BEST_AND_WORST
) -> list[Record | Fault]:
    """The records that a row gives: one, or of trees and scored answers several, each of which may have a fault.

    `pairs` says which of several answers are compared (see `scored.PAIRS`).

    Raises:
        Fault: the row as a whole does not say what the kind needs.
    """
    if layout == "oasst":
        return _tree(row, kind, pairs)
    if layout == "scored":
        return _scored(row, kind, pairs)
    if layout == "native" and kind == "comparisons" and row.get("wrong") is not None and row.get("chosen") is None:
        return _right_and_wrong(row, pairs)
    return [record_of(kind, layout, row, examples)]


def _tree(row: Mapping[str, Any], kind: str, pairs: str) -> list[Record | Fault]:
    found: list[Record | Fault] = []
    questions = questions_in_tree(row)
    if not questions:
        raise Fault("prompt", "has no answer in its tree")
    if kind == "prompts":
        return [PromptRecord(prompt_in(questions[0].turns, "prompt"), "import")]
    for asked in questions:
        prompt = prompt_in(asked.turns, "prompt")
        if kind == "demonstrations":
            found.append(Demonstration(prompt, asked.answers[0], "import"))
        elif len(ranked := of_rank(asked)) > 1:
            try:
                compared = pairs_of([Scored(text, -rank) for text, rank in ranked], pairs, "rank")
                found += [Comparison(prompt, better, worse, 2, "import") for better, worse in compared]
            except Fault as fault:
                found.append(fault)
    if kind == "ratings":
        raise Fault("rank", "ranks answers, but does not say which were liked")
    if not found:
        raise Fault("rank", "ranks no two answers to one question of its tree")
    return found


def _scored(row: Mapping[str, Any], kind: str, pairs: str) -> list[Record | Fault]:
    asked = [row.get(field) for field in ("prompt", "instruction", "input") if row.get(field)]
    texts = [text_in(part, "prompt") for part in asked if not isinstance(part, list)]
    prompt = prompt_in(asked[0] if asked and isinstance(asked[0], list) else "\n\n".join(texts) or None, "prompt")
    if kind == "prompts":
        return [PromptRecord(prompt, "import")]
    answers = answers_in(row)
    if kind == "ratings":
        raise Fault("score", "scores answers, but does not say which were liked")
    if kind == "demonstrations":
        if not answers:
            raise Fault("completions", "is an empty list")
        return [Demonstration(prompt, max(answers, key=lambda answer: answer.score).text, "import")]
    field = "score" if "rows" in row else "completions"
    return [Comparison(prompt, better, worse, 2, "import") for better, worse in pairs_of(answers, pairs, field)]


def _right_and_wrong(row: Mapping[str, Any], pairs: str) -> list[Record | Fault]:
    """The right answer against the first wrong one, or against each; TruthfulQA keeps them apart by semicolons."""
    wrong = row["wrong"]
    answers = wrong if isinstance(wrong, list) else [part.strip() for part in text_in(wrong, "wrong").split(";")]
    answers = [text_in(answer, "wrong") for answer in answers if answer]
    if not answers:
        raise Fault("wrong", "is empty")
    prompt, right = prompt_in(row.get("prompt"), "prompt"), text_in(row.get("completion"), "completion")
    taken = answers if pairs != BEST_AND_WORST else answers[:1]
    return [Comparison(prompt, right, answer, 2, "import") for answer in taken]
