"""What kinds, layouts and columns are called on screen, and how values are written."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

KINDS: dict[str, str] = {
    "prompts": str(QT_TRANSLATE_NOOP("Data", "Prompts")),
    "demonstrations": str(QT_TRANSLATE_NOOP("Data", "Demonstrations")),
    "comparisons": str(QT_TRANSLATE_NOOP("Data", "Comparisons")),
    "ratings": str(QT_TRANSLATE_NOOP("Data", "Ratings")),
}
COUNTED: dict[str, str] = {
    "prompts": str(QT_TRANSLATE_NOOP("Data", "{0} prompts")),
    "demonstrations": str(QT_TRANSLATE_NOOP("Data", "{0} demonstrations")),
    "comparisons": str(QT_TRANSLATE_NOOP("Data", "{0} comparisons")),
    "ratings": str(QT_TRANSLATE_NOOP("Data", "{0} ratings")),
}
LAYOUTS: dict[str, str] = {
    "native": str(QT_TRANSLATE_NOOP("Data", "One column per field")),
    "hh": str(QT_TRANSLATE_NOOP("Data", "Transcripts (Human: / Assistant:)")),
    "trl": str(QT_TRANSLATE_NOOP("Data", "Prompt, chosen and rejected (TRL)")),
    "sharegpt": str(QT_TRANSLATE_NOOP("Data", "Conversations (ShareGPT)")),
    "messages": str(QT_TRANSLATE_NOOP("Data", "Messages with roles")),
    "kto": str(QT_TRANSLATE_NOOP("Data", "Liked or not (KTO)")),
    "task": str(QT_TRANSLATE_NOOP("Data", "Whole tasks (Super-NaturalInstructions)")),
    "alpaca": str(QT_TRANSLATE_NOOP("Data", "Instruction, input, output (Alpaca)")),
    "scored": str(QT_TRANSLATE_NOOP("Data", "Answers with scores (UltraFeedback, HelpSteer)")),
    "oasst": str(QT_TRANSLATE_NOOP("Data", "Trees of messages (OpenAssistant)")),
    "text": str(QT_TRANSLATE_NOOP("Data", "Plain text, a prompt a line")),
}
FIELDS: dict[str, str] = {
    "prompt": str(QT_TRANSLATE_NOOP("Data", "Prompt")),
    "turns": str(QT_TRANSLATE_NOOP("Data", "Turns (JSON)")),
    "completion": str(QT_TRANSLATE_NOOP("Data", "Answer")),
    "chosen": str(QT_TRANSLATE_NOOP("Data", "Better answer")),
    "rejected": str(QT_TRANSLATE_NOOP("Data", "Worse answer")),
    "a": str(QT_TRANSLATE_NOOP("Data", "Answer A")),
    "b": str(QT_TRANSLATE_NOOP("Data", "Answer B")),
    "winner": str(QT_TRANSLATE_NOOP("Data", "Winner (a/b/tie)")),
    "strength": str(QT_TRANSLATE_NOOP("Data", "Strength (0 to 3)")),
    "messages": str(QT_TRANSLATE_NOOP("Data", "Messages")),
    "conversations": str(QT_TRANSLATE_NOOP("Data", "Conversations")),
    "label": str(QT_TRANSLATE_NOOP("Data", "Liked or not")),
    "liked": str(QT_TRANSLATE_NOOP("Data", "Liked (yes or no)")),
    "rating": str(QT_TRANSLATE_NOOP("Data", "Rating (1 to 5)")),
    "instruction": str(QT_TRANSLATE_NOOP("Data", "Instruction")),
    "definition": str(QT_TRANSLATE_NOOP("Data", "Definition")),
    "examples": str(QT_TRANSLATE_NOOP("Data", "Solved examples")),
    "scores": str(QT_TRANSLATE_NOOP("Data", "Scores of choices")),
    "input": str(QT_TRANSLATE_NOOP("Data", "Input")),
    "output": str(QT_TRANSLATE_NOOP("Data", "Answer")),
    "wrong": str(QT_TRANSLATE_NOOP("Data", "Wrong answers")),
    "completions": str(QT_TRANSLATE_NOOP("Data", "Answers")),
    "answer_scores": str(QT_TRANSLATE_NOOP("Data", "Scores of the answers")),
    "score": str(QT_TRANSLATE_NOOP("Data", "Score of the answer")),
    "tree": str(QT_TRANSLATE_NOOP("Data", "Tree")),
    "message": str(QT_TRANSLATE_NOOP("Data", "Id of the message")),
    "parent": str(QT_TRANSLATE_NOOP("Data", "Id of what it answers")),
    "role": str(QT_TRANSLATE_NOOP("Data", "Role")),
    "rank": str(QT_TRANSLATE_NOOP("Data", "Rank (0 is best)")),
    "deleted": str(QT_TRANSLATE_NOOP("Data", "Deleted")),
    "review": str(QT_TRANSLATE_NOOP("Data", "Passed review")),
    "history": str(QT_TRANSLATE_NOOP("Data", "Earlier exchanges")),
    "system": str(QT_TRANSLATE_NOOP("Data", "System prompt")),
    "tools": str(QT_TRANSLATE_NOOP("Data", "Tools")),
    "source": str(QT_TRANSLATE_NOOP("Data", "Source")),
}
WINNERS: dict[str, str] = {
    "a": str(QT_TRANSLATE_NOOP("Data", "A")),
    "b": str(QT_TRANSLATE_NOOP("Data", "B")),
    "tie": str(QT_TRANSLATE_NOOP("Data", "Tie")),
    "both_bad": str(QT_TRANSLATE_NOOP("Data", "Both bad")),
    "skip": str(QT_TRANSLATE_NOOP("Data", "Skipped")),
    "split": str(QT_TRANSLATE_NOOP("Data", "In dispute")),
}
LIKED: dict[bool, str] = {
    True: str(QT_TRANSLATE_NOOP("Data", "Liked")),
    False: str(QT_TRANSLATE_NOOP("Data", "Not liked")),
}
STRENGTHS: dict[int, str] = {
    1: str(QT_TRANSLATE_NOOP("Data", "slightly better")),
    2: str(QT_TRANSLATE_NOOP("Data", "better")),
    3: str(QT_TRANSLATE_NOOP("Data", "much better")),
}
ROLES: dict[str, str] = {
    "system": str(QT_TRANSLATE_NOOP("Data", "System")),
    "user": str(QT_TRANSLATE_NOOP("Data", "User")),
    "assistant": str(QT_TRANSLATE_NOOP("Data", "Assistant")),
}
SOURCES: dict[str, str] = {
    "human": str(QT_TRANSLATE_NOOP("Data", "human")),
    "rule": str(QT_TRANSLATE_NOOP("Data", "rule")),
    "import": str(QT_TRANSLATE_NOOP("Data", "import")),
    "model": str(QT_TRANSLATE_NOOP("Data", "model")),
}
COLUMNS: dict[str, str] = {
    "verdict": str(QT_TRANSLATE_NOOP("Data", "Verdict")),
    "split": str(QT_TRANSLATE_NOOP("Data", "Split")),
    "created": str(QT_TRANSLATE_NOOP("Data", "When")),
    "name": str(QT_TRANSLATE_NOOP("Data", "Name")),
    "kind": str(QT_TRANSLATE_NOOP("Data", "Holds")),
    "rows": str(QT_TRANSLATE_NOOP("Data", "Rows")),
    "train": str(QT_TRANSLATE_NOOP("Data", "Train")),
    "heldout": str(QT_TRANSLATE_NOOP("Data", "Held out")),
    "hash": str(QT_TRANSLATE_NOOP("Data", "Hash")),
    "origin": str(QT_TRANSLATE_NOOP("Data", "From")),
    "line": str(QT_TRANSLATE_NOOP("Data", "Line")),
    "field": str(QT_TRANSLATE_NOOP("Data", "Field")),
    "reason": str(QT_TRANSLATE_NOOP("Data", "Why it is left out")),
}
SPLITS: dict[str, str] = {
    "train": str(QT_TRANSLATE_NOOP("Data", "train")),
    "heldout": str(QT_TRANSLATE_NOOP("Data", "held out")),
}


def word(text: str) -> str:
    """One of the words above in the language of the window."""
    return QCoreApplication.translate("Data", text)


def counted(kind: str, count: int) -> str:
    """ "1,032 prompts"."""
    return word(COUNTED[kind]).format(f"{count:,}")


def when(created: Any) -> str:
    """A time in seconds since 1970, or as ISO text: day and minute of this year, the day of an earlier one."""
    try:
        seconds = isinstance(created, int | float)
        time = datetime.fromtimestamp(created) if seconds else datetime.fromisoformat(str(created)).astimezone()
    except (ValueError, OverflowError, OSError):
        return str(created)
    return time.strftime("%d %b %H:%M" if time.year == datetime.now().year else "%d %b %Y")


def source_word(source: Any) -> str:
    """Who made a record; what a file said of itself stays as it is."""
    return word(SOURCES[str(source)]) if source in SOURCES else str(source or "")


def verdict(winner: Any, strength: Any = 2) -> str:
    """ "A is much better", "Tie"."""
    if winner not in ("a", "b"):
        return word(WINNERS.get(str(winner), str(winner)))
    degree = word(STRENGTHS.get(strength, STRENGTHS[2]))
    return QCoreApplication.translate("Data", "{0} is {1}").format(word(WINNERS[str(winner)]), degree)


def degree(strength: int) -> str:
    """ "much better" of a comparison whose better answer is known, "Tie" of one without."""
    return word(STRENGTHS[strength] if strength in STRENGTHS else WINNERS["tie"])


def liked_word(liked: Any) -> str:
    return word(LIKED[bool(liked)])


def why(reason: str, file: str) -> str:
    """Why a row was left out, with its file where there are several."""
    return QCoreApplication.translate("Data", "In {0}: {1}").format(file, reason) if file else reason


def cell(value: Any) -> str:
    """Any value of a file in one cell of a table."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)[:2000]
