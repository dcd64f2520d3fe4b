"""Everything a person can choose about a PPO run. No torch in this file: the studio reads it to draw the form."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.online import SurrogateFields, check_surrogate

_R, _V = "Reward shaping", "Value"


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOSpec(SurrogateFields):
    """Make answers that are rewarded more likely, without drifting far from the starting model.

    Source: Schulman et al. 2017 (PPO); Ouyang et al. 2022 (InstructGPT) for the reward R = RM - beta log(pi / pi_ref).
    """

    whiten_advantages: bool = param(
        True,
        "Whiten advantages",
        "Mean 0, variance 1 over all answer tokens of the update.",
        group="Policy loss",
        advanced=True,
    )
    whiten_rewards: bool = param(False, "Whiten rewards", "Variance 1 per update, mean kept.", group=_R, advanced=True)

    gamma: float = param(
        1.0, "Discount", "Worth of a reward one token later.", between=(0.0, 1.0), group=_V, advanced=True
    )
    lam: float = param(
        0.95,
        "GAE lambda",
        "0 trusts the value model, 1 trusts the rewards seen.",
        between=(0.0, 1.0),
        group=_V,
        advanced=True,
        source="Schulman et al. 2016, equation 16",
    )
    truncated: str = param(
        "terminal",
        "Cut-off answers",
        "Whether an answer cut off by the length limit counts as ended, or its value goes on.",
        choices=("terminal", "bootstrap"),
        group=_V,
        advanced=True,
    )
    critic: str = param(
        "adapter",
        "Value model",
        "An adapter of its own, or the policy's with a head on it (shared): half the work, but the two losses pull at "
        "the same weights.",
        choices=("adapter", "shared"),
        group=_V,
        advanced=True,
    )
    value_init: str = param(
        "reward",
        "Value starts from",
        "A copy of the reward model, or the policy's adapter with a zero head.",
        choices=("reward", "zero"),
        group=_V,
        advanced=True,
    )
    value_learning_rate: float = param(
        2e-4,
        "Value learning rate",
        "AdamW step size for the value model.",
        between=(1e-8, 1e-1),
        log_scale=True,
        group=_V,
    )
    value_coef: float = param(
        1.0, "Value weight", "Weight of the value loss.", between=(0.0, 100.0), group=_V, advanced=True
    )
    value_clip: float = param(
        0.2,
        "Value clip range",
        "How far a value may move per update. 0 is off.",
        between=(0.0, 1e6),
        group=_V,
        advanced=True,
    )
    value_warmup: int = param(
        2,
        "Value warm-up",
        "Updates during which only the value model learns.",
        between=(0, 100_000),
        unit="updates",
        group=_V,
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)
        check_surrogate(self)
        if self.whiten_rewards and self.batch_size < 8:
            raise SpecError(
                "whiten_rewards",
                f"Rewards cannot be whitened over {self.batch_size} answers: their deviation would be chance.",
                "Set the answers per update to 8 or more, or leave rewards as they are.",
            )
        if self.value_init == "reward" and self.critic == "shared":
            raise SpecError(
                "value_init",
                "A value model that shares the policy's adapter cannot start as a copy of the reward model.",
                'Set "Value starts from" to zero.',
            )
        if self.value_init == "reward" and not self.reward_model.strip():
            raise SpecError(
                "value_init",
                "The value model cannot start from the reward model, since there is none.",
                'Set "Value starts from" to zero.',
            )
