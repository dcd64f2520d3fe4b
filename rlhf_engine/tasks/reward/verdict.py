"""What a person should know before a reward model is used: whether its figures mean anything, and what is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from rlhf_engine.contract.events import Alert
from rlhf_engine.judging.intervals import wilson
from rlhf_engine.tasks.reward.evaluate import Scored, calibration_noise, reliability

WIDE = 0.2  # an accuracy known no better than this is hardly known
BADLY_CALIBRATED = 0.1  # calibration error beyond what chance makes of it


def facts_of(scored: Scored) -> dict[str, float | int]:
    """What the held-out figures rest on, kept with the model: pairs, ties and the interval of the accuracy."""
    pairs = int(scored.decided.sum())
    counted: dict[str, float | int] = {"heldout_pairs": pairs}
    if ties := len(scored.strength) - pairs:
        counted["heldout_ties"] = ties
    if pairs:
        low, high = wilson(_accuracy(scored), pairs)
        counted |= {"accuracy_low": low, "accuracy_high": high}
    return counted


def warnings(scored: Scored | None, figures: dict[str, float]) -> Iterator[Alert]:
    """What is wrong with a finished reward model, in the order of importance. None stands for no held-out pairs."""
    pairs = int(scored.decided.sum()) if scored else 0
    if scored is None or not pairs:
        yield Alert(
            "warning",
            "There are no held-out comparisons: nothing tells how good this reward model is.",
            "Add comparisons of more prompts; every tenth prompt is held out.",
        )
        return
    accuracy, longer = figures["heldout/accuracy"], figures["heldout/longer_wins"]
    low, high = wilson(accuracy, pairs)
    interval = f"{accuracy:.0%} of {pairs} held-out pairs (95 % interval {low:.0%} to {high:.0%})"
    by_length = max(longer, 1 - longer)  # whichever length people like better
    if accuracy <= by_length:
        which = "longer" if longer >= 0.5 else "shorter"
        yield Alert(
            "warning",
            f'It is right on {interval}; "the {which} answer wins" would be right on {by_length:.0%}.',
            "Add comparisons, above all of answers that are equally long, or train longer.",
        )
    elif high - low > WIDE:
        yield Alert(
            "warning",
            f"Its accuracy is hardly known: it is right on {interval}.",
            "Add comparisons of more prompts; every tenth prompt is held out.",
        )
    if figures["heldout/calibration_error"] > BADLY_CALIBRATED + _by_chance(scored):
        yield _calibration(scored, accuracy)


def _calibration(scored: Scored, accuracy: float) -> Alert:
    predicted, _, count = reliability(scored)
    expects = float((predicted * count).sum() / count.sum())
    overconfident = expects > accuracy
    return Alert(
        "warning",
        f"It expects to be right on {expects:.0%} of the held-out pairs, and is on {accuracy:.0%}: "
        f"it is {'over' if overconfident else 'under'}confident, and the size of its scores means little.",
        "Train for fewer epochs, or with label smoothing." if overconfident else "Train longer, or with a higher rate.",
    )


def _by_chance(scored: Scored) -> float:
    predicted, _, count = reliability(scored)
    return calibration_noise(predicted, count)


def _accuracy(scored: Scored) -> float:
    return float((scored.apart[scored.decided] > 0).float().mean())
