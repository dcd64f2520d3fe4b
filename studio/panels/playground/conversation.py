"""How a question becomes exactly what a model is sent: with a system text, worked examples and earlier turns.

No Qt in this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_engine.data.records import Prompt, Turn

STEP_BY_STEP = "Let's think step by step."  # Kojima et al. 2022, "Large Language Models are Zero-Shot Reasoners"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One question and the answer that the conversation goes on with."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Framing:
    """What is put around every question. `chat` sends turns for the model's chat template; otherwise one plain text."""

    chat: bool = True
    system: str = ""
    examples: tuple[Exchange, ...] = ()
    step_by_step: bool = False

    @property
    def bare(self) -> Framing:
        """The same without what only helps the model along: examples and the nudge to think."""
        return Framing(self.chat, self.system)


def assemble(framing: Framing, earlier: Sequence[Exchange], question: str) -> Prompt:
    """What is sent. A single question in chat stays a text, since that is what one turn of a user is.

    Plain text follows the pattern "Question: … Answer: …" as soon as there are examples or earlier turns; a question
    by itself is sent as it is, for the model to carry on.
    """
    shown = [exchange for exchange in framing.examples if exchange.question.strip() and exchange.answer.strip()]
    shown += [exchange for exchange in earlier if exchange.answer.strip()]
    return _turns(framing, shown, question) if framing.chat else _text(framing, shown, question)


def _turns(framing: Framing, shown: Sequence[Exchange], question: str) -> Prompt:
    asked = f"{question}\n\n{STEP_BY_STEP}" if framing.step_by_step else question
    turns: list[Turn] = [{"role": "system", "content": framing.system}] if framing.system.strip() else []
    for exchange in shown:
        turns.append({"role": "user", "content": exchange.question})
        turns.append({"role": "assistant", "content": exchange.answer})
    return [*turns, {"role": "user", "content": asked}] if turns else asked


def _text(framing: Framing, shown: Sequence[Exchange], question: str) -> str:
    head = [framing.system] if framing.system.strip() else []
    if not shown:
        return "\n\n".join([*head, question, *([STEP_BY_STEP] if framing.step_by_step else [])])
    worked = [f"Question: {exchange.question}\nAnswer: {exchange.answer}" for exchange in shown]
    last = f"Question: {question}\nAnswer:" + (f" {STEP_BY_STEP}" if framing.step_by_step else "")
    return "\n\n".join([*head, *worked, last])


def written_out(prompt: Prompt) -> str:
    """A prompt as it is shown under "what the model sees": turns under their roles, a text as it is."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in prompt)
