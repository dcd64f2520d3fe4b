"""The texts that both sides read, and TRL's shape for them. Answers differ in length, so that averages can go wrong."""

from __future__ import annotations

from typing import Any

COMPARISONS = (  # prompt, chosen, rejected, strength
    ("What colour is the sky?", "Blue, most of the time.", "No.", 3),
    ("Where is the lamp?", "On the table.", "I do not know, but we can find out together.", 1),
    ("Write about the harbour.", "The old harbour is quiet.", "A heron stood in the shallow water.", 2),
    ("1 + 2", "3", "9, and 4 + 5 = 9.", 1),
    ("Who knows?", "We can find out together.", "Question: who?", 3),
    ("What is on the table?", "The lamp is on the table.", "The lamp", 2),
)


def said(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def as_chats(rows: Any) -> list[dict[str, Any]]:
    """Comparisons as conversations, which TRL asks its tokenizer's template to write."""
    return [
        {"prompt": said("user", p), "chosen": said("assistant", c), "rejected": said("assistant", r)}
        for p, c, r, _ in rows
    ]
