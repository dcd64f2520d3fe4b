"""What a look at a dataset can find: a title and what to do for each kind. No numpy here: the window reads it."""

from __future__ import annotations

FINDINGS = {  # in the order in which they are shown: what spoils a result first
    "leaks": (
        "Held-out prompts that nearly repeat a training prompt",
        "Held-out figures look better than they are. Remove one of each two, or rewrite the held-out prompt.",
    ),
    "contradictions": (
        "The same two answers, judged both ways",
        "Decide which judgement holds and remove the other, or set Ties for real draws.",
    ),
    "duplicates": (
        "Records that are there more than once",
        "They count double in training. Remove the copies, unless each is a judgement of its own.",
    ),
    "near_duplicates": (
        "Prompts that nearly repeat another one",
        "They weigh one question more than others. Keep one of each group, or accept it.",
    ),
    "same_answers": (
        "Pairs whose two answers differ only in case, spacing or punctuation",
        "Nothing but style can be learned from them. Remove them unless that is what you teach.",
    ),
    "one_sided": (
        "Pairs of which one answer is the beginning of the other, or has no words",
        "They teach length or nothing. Look at them, and remove those that were cut off.",
    ),
    "longer_wins": (
        "Pairs in which the longer answer was chosen",
        "Length alone predicts the choice. Balance the pairs, or use a length-controlled method such as SimPO.",
    ),
    "too_long": (
        "Rows that are too long",
        "They are left out of training. Raise the longest example, or shorten them.",
    ),
    "control_text": (
        "Rows that quote a model's control tokens",
        "They are read as ordinary text and do no harm. Remove them if they are left over from a template.",
    ),
    "unseen": (
        "Rows with characters that cannot be seen",
        "Models learn to write them. Clean them in the file and import it again.",
    ),
}
