"""Everything a person can choose about a PPO run. No torch in this file: the studio reads it to draw the form."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.training import TrainingFields

_P, _R, _V, _K, _S = "Policy loss", "Reward shaping", "Value", "KL", "Sampling"


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOSpec(TrainingFields):
    """Make answers that the reward model likes more likely, without drifting far from the starting model.

    Source: Schulman et al. 2017 (PPO); Ouyang et al. 2022 (InstructGPT) for the reward R = RM - beta log(pi / pi_ref).
    """

    policy: str = choose("model", "Policy", "The model to improve, best an SFT result; it is also the KL reference.")
    reward_model: str = choose("reward_model", "Reward model", "The result of a reward run, on the same base.")
    dataset: str = choose("dataset", "Prompts", "What to practise on.", kind="prompts")

    updates: int = param(100, "Updates", "How many times to roll out and learn.", between=(1, 1_000_000))
    batch_size: int = param(
        64, "Answers per update", "Answers written before each round of learning.", between=(2, 65_536)
    )
    minibatch_size: int = param(32, "Minibatch size", "Answers per optimiser step.", between=(1, 65_536))
    response_tokens: int = param(64, "Response length", "Longest answer.", between=(1, 8192), unit="tokens")
    learning_rate: float = param(
        1e-4, "Learning rate", "AdamW step size for the policy's adapter.", between=(1e-8, 1e-1), log_scale=True
    )
    kl_coef: float = param(
        0.05, "KL penalty", "Beta: reward lost per nat of drift from the starting model.", between=(0.0, 10.0)
    )

    temperature: float = param(
        1.0,
        "Temperature",
        "Logits are divided by it in rollout, reference and update alike. No other sampler setting exists here: "
        "top-p or top-k would make the sampler differ from the policy that is trained.",
        between=(0.05, 5.0),
        group=_S,
        advanced=True,
    )
    epochs: int = param(4, "Epochs per update", "Passes over each batch of answers.", between=(1, 50), group=_P)
    clip: float = param(
        0.2,
        "Clip range",
        "How far a token's probability ratio may move per update.",
        between=(0.001, 10.0),
        group=_P,
        source="Schulman et al. 2017, equation 7",
    )
    clip_high: float = param(
        0.0,
        "Upper clip range",
        "A different limit for ratios above 1. 0 uses the same as below.",
        between=(0.0, 10.0),
        group=_P,
        advanced=True,
        source="Yu et al. 2025 (DAPO)",
    )
    dual_clip: float = param(
        0.0,
        "Dual clip",
        "Bounds the loss of a bad token by this many times its advantage. 0 is off.",
        between=(0.0, 100.0),
        group=_P,
        advanced=True,
        source="Ye et al. 2020, arXiv:1912.09729, equation 5",
    )
    entropy_coef: float = param(
        0.0, "Entropy bonus", "Reward for staying undecided.", between=(0.0, 1.0), group=_P, advanced=True
    )
    max_ratio: float = param(
        10.0,
        "Skip above ratio",
        "A minibatch whose mean ratio exceeds this is skipped, and an alert says so.",
        between=(1.0, 1e6),
        group=_P,
        advanced=True,
    )
    target_kl: float = param(
        0.0,
        "Stop epochs at KL",
        "Ends an update early once the policy moved this many nats per token within it. 0 is off.",
        between=(0.0, 100.0),
        unit="nats",
        group=_P,
        advanced=True,
    )
    whiten_advantages: bool = param(
        True, "Whiten advantages", "Mean 0, variance 1 over all answer tokens of the update.", group=_P, advanced=True
    )

    adaptive_kl: bool = param(
        False,
        "Adaptive KL",
        "Move beta so that the drift per answer settles at the target.",
        group=_K,
        advanced=True,
        source="Ziegler et al. 2019, section 2.2",
    )
    kl_target: float = param(
        6.0,
        "KL target",
        "Wanted drift of a whole answer.",
        between=(0.01, 1000.0),
        unit="nats",
        group=_K,
        advanced=True,
    )
    kl_horizon: int = param(
        10_000,
        "KL horizon",
        "Episodes over which beta reacts.",
        between=(1, 10_000_000),
        unit="episodes",
        group=_K,
        advanced=True,
    )
    reference_refresh: int = param(
        0,
        "Refresh reference every",
        "Moves the reference towards the policy. KL is then no longer to the starting model. 0 is never.",
        between=(0, 1_000_000),
        unit="updates",
        group=_K,
        advanced=True,
    )
    reference_mix: float = param(
        0.6, "Refresh share", "How far the reference moves when refreshed.", between=(0.0, 1.0), group=_K, advanced=True
    )

    missing_eos: str = param(
        "subtract",
        "Answer without an end",
        "What happens to the score of an answer that was cut off by the length limit.",
        choices=("nothing", "subtract", "replace"),
        group=_R,
        advanced=True,
    )
    missing_eos_penalty: float = param(
        1.0,
        "End penalty",
        "Subtracted from the score, or put in its place with a minus sign.",
        between=(0.0, 100.0),
        group=_R,
        advanced=True,
    )
    overlong_buffer: int = param(
        0,
        "Over-long buffer",
        "Over the last so many tokens before the limit the score falls by up to 1. 0 is off.",
        between=(0, 8192),
        unit="tokens",
        group=_R,
        advanced=True,
        source="Yu et al. 2025 (DAPO), equation 13",
    )
    repetition_penalty: float = param(
        0.0,
        "Repetition penalty",
        "Subtracted in proportion to repeated 3-grams. 0 is off.",
        between=(0.0, 100.0),
        group=_R,
        advanced=True,
    )
    reward_scaling: str = param(
        "none",
        "Running reward scale",
        "Divide scores by their running standard deviation (scale), or also subtract their running mean (norm).",
        choices=("none", "scale", "norm"),
        group=_R,
        advanced=True,
    )
    score_clip: float = param(
        5.0,
        "Score clip",
        "Scores are limited to plus or minus this. 0 is off.",
        between=(0.0, 1e6),
        group=_R,
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
        if self.batch_size % self.minibatch_size:
            raise SpecError(
                "minibatch_size",
                f"{self.batch_size} answers per update do not divide into minibatches of {self.minibatch_size}.",
                f"Choose a divisor of {self.batch_size}.",
            )
        if self.whiten_rewards and self.batch_size < 8:
            raise SpecError(
                "whiten_rewards",
                f"Rewards cannot be whitened over {self.batch_size} answers: their deviation would be chance.",
                "Set the answers per update to 8 or more, or leave rewards as they are.",
            )
        if self.lora_dropout:
            raise SpecError(
                "lora_dropout",
                f"LoRA dropout is {self.lora_dropout}, but PPO needs 0.",
                "With dropout the first probability ratio would not be 1.",
            )
        if self.overlong_buffer >= self.response_tokens and self.overlong_buffer:
            raise SpecError(
                "overlong_buffer",
                f"The over-long buffer ({self.overlong_buffer} tokens) must be shorter than the response length "
                f"({self.response_tokens}).",
            )

    @property
    def total_steps(self) -> int:
        return self.updates
