"""Why a pair is asked now, and what the reward model says of it, in words. Its side is told only after the verdict."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from rlhf_engine.choosing.orders import (
    BEST_WORST,
    COVERAGE,
    DISAGREE,
    ENSEMBLE,
    OLDEST,
    RANDOM,
    SCORED,
    UNCERTAIN,
)
from rlhf_engine.choosing.scores import PairScore
from rlhf_engine.choosing.strategies import Turn
from studio.panels.compare.plan import Plan
from studio.panels.compare.queue import Said


def _tr(text: str) -> str:
    return QCoreApplication.translate("Compare", text)


def strategy_words() -> dict[str, tuple[str, str]]:
    """Of each strategy its name and what it does."""
    return {
        OLDEST: (_tr("Oldest first"), _tr("In the order in which the pairs were made.")),
        RANDOM: (_tr("Random"), _tr("A fair sample: the best choice for measuring.")),
        UNCERTAIN: (_tr("Most uncertain"), _tr("Where the reward model is nearest to fifty-fifty.")),
        ENSEMBLE: (_tr("Heads disagree"), _tr("Where the heads of a reward model with several disagree most.")),
        BEST_WORST: (_tr("Best against worst"), _tr("Of each prompt the pair that scores furthest apart.")),
        COVERAGE: (_tr("New topics"), _tr("Prompts about what has been judged least.")),
        DISAGREE: (_tr("You and the model disagree"), _tr("Judged pairs where the model prefers the other answer.")),
    }


def reason(plan: Plan | None, turn: Turn | None) -> str:
    """Why this pair: "" where pairs simply come in their order."""
    if plan is None or plan.strategy == OLDEST:
        return ""
    if turn is None:
        return _tr("Not in this order: it was opened, or came later")
    told = {
        RANDOM: _tr("Drawn at random"),
        UNCERTAIN: _tr("The reward model is hardly sure: {0} for one of them").format(f"{turn.value:.0%}"),
        ENSEMBLE: _tr("The heads' margins differ by {0}").format(f"{turn.value:.2f}"),
        BEST_WORST: _tr("Far apart for the reward model: {0} for one of them").format(f"{turn.value:.0%}"),
        COVERAGE: _tr("{0} pairs on its topic came before").format(f"{turn.value:.0f}"),
        DISAGREE: _tr("The reward model prefers the other answer, with {0}").format(f"{turn.value:.0%}"),
        "unscored": _tr("Has no score yet"),
        "duplicate": _tr("Nearly the same as a pair before it"),
    }
    return told[turn.why]


def lack(plan: Plan) -> str:
    """What is missing for this order; "" if nothing is."""
    if plan.strategy not in SCORED:
        return ""
    if not plan.judge and not plan.scores.of:
        return _tr("This order needs a reward model: train one first.")
    if not plan.scores.of:
        return _tr("This order needs scores: let the reward model read the pairs.")
    if plan.strategy == ENSEMBLE and not any(score.spread for score in plan.scores.of.values()):
        return _tr("The reward model has one head: train one with several.")
    if plan.strategy == DISAGREE and not plan.turns:
        return _tr("You and the model disagree nowhere among the {0} scored pairs.").format(plan.total - plan.unscored)
    if plan.unscored:
        return _tr("{0} of {1} pairs have no score yet.").format(f"{plan.unscored:,}", f"{plan.total:,}")
    return ""


def vote_words(said: Said, score: PairScore | None) -> str:
    """What the reward model thinks of a pair that has just been judged; "" where it was not asked."""
    if score is None or said.winner not in ("a", "b", "tie"):
        return ""
    prefers = "a" if score.margin >= 0 else "b"
    sure = f"{max(score.probability, 1 - score.probability):.0%}"
    if said.winner == "tie":
        side = "1" if prefers == said.shown.left else "2"
        return _tr("The reward model prefers answer {0} ({1})").format(side, sure)
    if prefers == said.winner:
        return _tr("The reward model says the same ({0})").format(sure)
    return _tr("The reward model says otherwise ({0})").format(sure)
