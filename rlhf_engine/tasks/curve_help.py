"""What the curves mean that a run draws over something other than steps. No torch here.

A task that emits a `Curve` of a new name adds a row; a test compares the names that are emitted with this table.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CurveHelp:
    """`columns` are what the columns are called, x first. `diagonal` is drawn where x and y ought to be the same."""

    label: str
    measures: str
    healthy: str = ""
    remedy: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    diagonal: bool = False


CURVES = {
    "heldout/reliability": CurveHelp(
        "Reliability",
        "Held-out pairs grouped by how sure the reward model is: how often it said it would be right, and how often "
        "people agreed.",
        "Close to the diagonal. Below it the model is surer than it should be.",
        "Train for fewer epochs, or smooth the labels a little.",
        {"predicted": "Said", "observed": "Agreed", "count": "pairs"},
        diagonal=True,
    ),
    "best_of_n/frontier": CurveHelp(
        "Best of n",
        "The expected score of the best of so many answers, against the most that choosing it can cost in drift.",
        "It rises steeply and flattens: the first few answers are worth most.",
        columns={"kl": "Drift at most (nats)", "score": "Expected best score", "n": "answers"},
    ),
    "judged/win_rate": CurveHelp(
        "Win rate, judged blind",
        "How often people who did not know which was which preferred the run's answer to that of the model it began "
        "with, by step. A tie counts half; the bars are 95 % intervals (Wilson).",
        "It rises above one half. Where the score rises and this does not, the reward is being gamed.",
        "Judge more of its samples: the bars are wide below some thirty verdicts a step. “Sampled prompts” says how "
        "many there are at each.",
        {"step": "Step", "share": "Preferred", "count": "verdicts"},
    ),
    "evaluated/frontier": CurveHelp(
        "Score against drift",
        "The mean score of each model's answers, against how far it has drifted from the reference.",
        "High and to the left: much gained for little drift.",
        columns={"kl": "Drift per answer (nats)", "score": "Mean score", "model": "model"},
    ),
}


def about_curve(name: str) -> CurveHelp:
    """What a curve shows; one that nobody described is called by its own name."""
    words = name.rpartition("/")[2].replace("_", " ")
    return CURVES.get(name) or CurveHelp(words[:1].upper() + words[1:] if words else name, "")
