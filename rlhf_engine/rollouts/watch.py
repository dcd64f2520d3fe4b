"""What looks wrong in the numbers of an update, in a sentence with what to try.

The bands are starting values, after Axolotl's and TRL's notes on stability.
"""

from __future__ import annotations

from typing import Any

from rlhf_engine.runtime.context import RunContext

SPAN = 20  # updates over which reward and gold proxy are compared
GROWN = 1.5  # times the first length


class Watch:
    """Looks at every update. It remembers the first length, and the last scores and gold scores."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._first_length = 0.0
        self._scores: list[list[float]] = []  # (score, gold)

    def look(self, values: dict[str, float], step: int, run: RunContext) -> None:
        for key, level, text, hint in (*unhealthy(values), *self._gamed(values)):
            run.alert(key, level, text, hint, step)

    def _gamed(self, values: dict[str, float]) -> list[tuple[str, str, str, str]]:
        """Answers that grow to the limit, and a reward that rises while the gold proxy falls."""
        found = []
        length = values["answers/length_mean"]
        self._first_length = self._first_length or max(length, 1.0)
        if length > 0.9 * self._longest and length > GROWN * self._first_length:
            text = (
                f"The answers have grown from {self._first_length:.0f} to {length:.0f} tokens, of {self._longest} at "
                "most: the reward may be paying for length."
            )
            found.append(("length", "danger", text, "Add an over-long buffer, or a length component, to the reward."))
        if "objective/gold" in values:
            self._scores = [*self._scores, [values["objective/score"], values["objective/gold"]]][-SPAN:]
            if len(self._scores) == SPAN:
                early, late = self._scores[: SPAN // 2], self._scores[SPAN // 2 :]
                rise, gold = (
                    sum(row[i] for row in late) / len(late) - sum(row[i] for row in early) / len(early) for i in (0, 1)
                )
                if rise > 0.1 and gold < -0.1:
                    text = (
                        f"Over the last {SPAN} updates the score rose by {rise:.2f} and the gold proxy fell by "
                        f"{-gold:.2f}: the reward is being gamed."
                    )
                    found.append(
                        ("gold", "danger", text, "Stop here, raise the KL penalty, or train a new reward model.")
                    )
        return found

    def state_dict(self) -> dict[str, Any]:
        return {"first_length": self._first_length, "scores": self._scores}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first_length, self._scores = state["first_length"], [list(row) for row in state["scores"]]


def unhealthy(values: dict[str, float]) -> list[tuple[str, str, str, str]]:
    """(key, level, text, hint) for each number outside its band."""
    found: list[tuple[str, str, str, str]] = []

    def warn(key: str, level: str, text: str, hint: str) -> None:
        found.append((key, level, text, hint))

    kl, cut = values["objective/kl_token_k1"], values["answers/truncated_rate"]
    if values["objective/score_std"] < 1e-4:
        warn("flat", "warning", "All answers score the same: there is nothing to learn from.", "Try other prompts.")
    if kl > 2:
        warn("kl", "danger", f"The drift is {kl:.1f} nats per token.", "Raise the KL penalty.")
    elif kl > 0.5:
        warn("kl", "warning", f"The drift is {kl:.2f} nats per token.", "Read the samples: is the reward being gamed?")
    if (clipped := values.get("policy/clip_fraction", 0.0)) > 0.3:
        warn("clip", "warning", f"{clipped:.0%} of the tokens hit the clip range.", "Lower the learning rate.")
    if values["objective/entropy"] < 0.01:
        warn("entropy", "danger", "The policy has become certain of every token.", "Raise the KL penalty, or stop.")
    if cut > 0.8:
        warn("cut", "warning", f"{cut:.0%} of the answers are cut off.", "Raise the response length.")
    if (norm := values.get("policy/grad_norm", 0.0)) > 10:
        warn("norm", "warning", f"The gradient norm is {norm:.0f}.", "Lower the learning rate.")
    if (high := values.get("reward/above_p99", 0.0)) > 0.5:
        text = f"{high:.0%} of the answers score higher than 99% of the starting model's did."
        warn("high", "info", text, "Read the samples: better answers, or a gamed reward?")
    if (dull := values.get("groups/zero_std", 0.0)) > 0.5:
        text = f"In {dull:.0%} of the groups all answers score the same: they teach nothing."
        warn("dull", "warning", text, "Choose harder or easier prompts, more answers per prompt, or a finer reward.")
    return found
