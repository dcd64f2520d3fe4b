"""Files that hold one task each: Super-NaturalInstructions, and what BIG-bench writes as task.json.

What the file says of all its rows (definition, solved examples) is handed to each of them, so that a prompt can be
whole and a preview shows what it is made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf_engine.data.cells import Fault, text_in

EXAMPLES = 2  # solved examples in a prompt, unless another number is asked for
MOST_EXAMPLES = 4
Row = dict[str, Any]


def rows_of_task(name: str, body: Mapping[str, Any]) -> list[Any] | None:
    """The rows of a task file, each with what is said of all of them; None for a file that is no task.

    `name` is the file's, without its ending: Super-NaturalInstructions names a task nowhere else.
    """
    if isinstance(body.get("Instances"), list) and "Definition" in body:
        shared = {"Definition": body["Definition"], "Positive Examples": body.get("Positive Examples") or []}
        return [{**shared, **row, "source": name} if isinstance(row, dict) else row for row in body["Instances"]]
    if isinstance(body.get("examples"), list) and body.keys() & {"task_prefix", "preferred_score"}:
        shared = {"task_prefix": str(body.get("task_prefix") or body.get("description") or "").strip()}
        shown = body.get("append_choices_to_input", True)
        source = body.get("name") or name
        return [{**shared, **_with_choices(row, shown), "source": source} for row in body["examples"]]
    return None


def task_prompt(row: Mapping[str, Any], examples: int) -> str:
    """What the task is, up to `examples` of its solved examples, and the input to answer, each under its name.

    The parts and their order are those of Wang et al. 2022 (Super-NaturalInstructions, arXiv:2204.07705).
    """
    definition = row.get("definition")
    told = "\n".join(text_in(line, "definition") for line in definition) if isinstance(definition, list) else definition
    parts = [f"Definition: {text_in(told, 'definition').strip()}"]
    solved = row.get("examples") or []
    if not isinstance(solved, list):
        raise Fault("examples", "is not a list of examples")
    for number, example in enumerate(solved[:examples], 1):
        parts.append(f"Example {number}\n{_solved(example, number)}")
    asked = text_in(row.get("input"), "input").strip()
    if not asked:
        raise Fault("input", "is empty")
    heading = "Now answer this one\n" if len(parts) > 1 else ""
    return "\n\n".join([*parts, f"{heading}Input: {asked}\nOutput:"])


def first_output(row: Mapping[str, Any]) -> str:
    """The answer of a row: the first of several, which are all good, or the choice with the highest score."""
    answer = row.get("output")
    if answer is None and "scores" in row:
        return best_choice(row["scores"])
    if isinstance(answer, list) and not answer:
        raise Fault("output", "is an empty list")
    return text_in(answer[0] if isinstance(answer, list) else answer, "output").strip()


def best_choice(scores: Any) -> str:
    """The choice with the highest score; the first of several."""
    if not isinstance(scores, dict) or not scores:
        raise Fault("scores", "is missing" if scores is None else "is not an object of choices and scores")
    if not all(isinstance(score, int | float) and not isinstance(score, bool) for score in scores.values()):
        raise Fault("scores", "has a score that is no number")
    if len(set(scores.values())) == 1 and len(scores) > 1:
        raise Fault("scores", f"gives all {len(scores)} choices the same score")
    return str(max(scores, key=lambda choice: scores[choice]))


def _with_choices(row: Any, shown: bool) -> Any:
    """The row with its choices under the input, as BIG-bench asks them."""
    if not isinstance(row, dict):
        return row
    scores, asked = row.get("target_scores"), row.get("input")
    if not shown or not isinstance(scores, dict) or not isinstance(asked, str):
        return row
    return {**row, "input": asked + "".join(f"\n  choice: {choice}" for choice in scores)}


def _solved(example: Any, number: int) -> str:
    if not isinstance(example, dict) or not isinstance(example.get("input"), str):
        raise Fault("examples", f"has an example {number} without an input")
    output = example.get("output")
    answer = output[0] if isinstance(output, list) and output else output
    if not isinstance(answer, str) or not answer.strip():
        raise Fault("examples", f"has an example {number} without an output")
    return f"Input: {example['input'].strip()}\nOutput: {answer.strip()}"
