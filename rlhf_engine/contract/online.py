"""Settings of training on one's own answers, shared by PPO, RLOO, GRPO, REINFORCE++ and their kin. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import choose, param
from rlhf_engine.contract.rewards import COMPONENTS, Component
from rlhf_engine.contract.training import TrainingFields

_P, _R, _K, _S = "Policy loss", "Reward shaping", "KL", "Sampling"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutFields(TrainingFields):
    """Whose answers are rewarded for what, how many are written at a time, and what happens to a score before use."""

    policy: str = choose("model", "Policy", "The model to improve, best an SFT result; it is also the KL reference.")
    reward_model: str = choose(
        "reward_model", "Reward model", "The result of a reward run. Empty where the rewards below are all.", default=""
    )
    dataset: str = choose("dataset", "Prompts", "What to practise on.", kind="prompts")
    rewards: tuple[Component, ...] = param(
        (),
        "Further rewards",
        "Added to the reward model's score: other reward models, rules, or a function of your own, each with a weight.",
        entries=COMPONENTS,
        group="Rewards",
    )
    gold_model: str = choose(
        "reward_model",
        "Gold proxy",
        "A reward model that is only watched, best one trained on other prompts: when the reward rises and this one "
        "falls, the reward is being gamed.",
        default="",
    )

    updates: int = param(100, "Updates", "How many times to roll out and learn.", between=(1, 1_000_000))
    batch_size: int = param(
        64, "Answers per update", "Answers written before each round of learning.", between=(2, 65_536)
    )
    minibatch_size: int = param(32, "Minibatch size", "Answers per optimiser step.", between=(1, 65_536))
    response_tokens: int = param(64, "Response length", "Longest answer.", between=(1, 8192), unit="tokens")
    learning_rate: float = param(
        1e-4, "Learning rate", "AdamW step size for the policy's adapter.", between=(1e-8, 1e-1), log_scale=True
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
    not_finite: str = param(
        "stop",
        "Loss not a number",
        "stop ends the run at its last checkpoint; skip passes over the minibatch; pause does so and waits for you. "
        "The batch is kept in the run's folder in each case.",
        choices=("stop", "skip", "pause"),
        group="Optimisation",
        advanced=True,
    )

    @property
    def total_steps(self) -> int:
        return self.updates


@dataclass(frozen=True, slots=True, kw_only=True)
class PenalisedFields(RolloutFields):
    """What holds a policy near the model it started as."""

    kl_coef: float = param(
        0.05, "KL penalty", "Beta: reward lost per nat of drift from the starting model.", between=(0.0, 10.0)
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
        "Wanted drift of a whole answer, summed over its tokens, not per token.",
        between=(0.01, 1000.0),
        unit="nats per answer",
        group=_K,
        advanced=True,
    )
    kl_horizon: int = param(
        10_000,
        "KL horizon",
        "How slowly beta reacts: it changes by at most a fifth while so many answers are written.",
        between=(1, 10_000_000),
        unit="episodes",
        group=_K,
        advanced=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SurrogateFields(PenalisedFields):
    """How a policy learns from answers with advantages: passes, clipping, and where the KL penalty goes."""

    epochs: int = param(4, "Epochs per update", "Passes over each batch of answers.", between=(1, 50), group=_P)
    clip: float = param(
        0.2,
        "Clip range",
        "How far a token's probability ratio may move per update.",
        between=(1e-5, 10.0),
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
        "No further pass over the answers once the policy moved 1.5 times as far within the update. 0 is off.",
        between=(0.0, 100.0),
        unit="nats per token",
        group=_P,
        advanced=True,
    )

    kl_in: str = param(
        "reward",
        "KL counts in",
        "The reward of each token, as in InstructGPT, or the loss, as in GRPO; never both.",
        choices=("reward", "loss"),
        group=_K,
        advanced=True,
    )
    kl_estimator: str = param(
        "k1",
        "KL estimator",
        "k1, the log-ratio, is the one for rewards. In the loss k3 never goes below 0, and k3+ has the value of k3 "
        "with the exact gradient of k2.",
        choices=("k1", "k2", "k3", "k3+"),
        group=_K,
        advanced=True,
        source="Schulman 2020, joschu.net/blog/kl-approx",
    )
    ptx_coef: float = param(
        0.0,
        "Demonstrations mixed in",
        "Weight of the SFT loss on demonstrations, added to each step (PTX). 0 is off.",
        between=(0.0, 100.0),
        group=_P,
        advanced=True,
        source="Ouyang et al. 2022 (InstructGPT), equation 2",
    )
    ptx_dataset: str = choose(
        "dataset",
        "Demonstrations mixed in",
        "What the policy goes on imitating while it is rewarded; needed where its weight is above 0.",
        default="",
        kind="demonstrations",
        advanced=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFields(SurrogateFields):
    """Several answers to each prompt, which are compared with each other instead of with a value model's guess."""

    group_size: int = param(4, "Answers per prompt", "Answers that are compared with each other.", between=(2, 1024))


def check_rollout(spec: RolloutFields) -> None:
    """Raise SpecError where settings of a rollout contradict each other."""
    if not spec.reward_model.strip() and not spec.rewards:
        raise SpecError(
            "reward_model", "No reward has been chosen.", "Choose a reward model, or add a component to the rewards."
        )
    if spec.batch_size % spec.minibatch_size:
        raise SpecError(
            "minibatch_size",
            f"{spec.batch_size} answers per update do not divide into minibatches of {spec.minibatch_size}.",
            f"Choose a divisor of {spec.batch_size}.",
        )
    if spec.lora_dropout:
        raise SpecError(
            "lora_dropout",
            f"LoRA dropout is {spec.lora_dropout}, but learning from one's own answers needs 0.",
            "With dropout the first probability ratio would not be 1.",
        )
    if spec.overlong_buffer >= spec.response_tokens and spec.overlong_buffer:
        raise SpecError(
            "overlong_buffer",
            f"The over-long buffer ({spec.overlong_buffer} tokens) must be shorter than the response length "
            f"({spec.response_tokens}).",
        )


def check_surrogate(spec: SurrogateFields) -> None:
    """Raise SpecError where settings of the passes over a rollout contradict each other."""
    check_rollout(spec)
    if spec.kl_in == "loss" and spec.kl_estimator == "k1":
        raise SpecError(
            "kl_estimator",
            "k1 in the loss pulls nowhere: the gradient of its mean is 0 on average.",
            "Choose k2, k3 or k3+, or count KL in the reward.",
        )
    if spec.kl_in == "reward" and spec.kl_estimator == "k3+":
        raise SpecError(
            "kl_estimator", "k3+ differs from k3 only by its gradient, and a reward has none.", "Choose k1, k2 or k3."
        )
    if spec.ptx_coef and not spec.ptx_dataset:
        raise SpecError(
            "ptx_dataset",
            "Demonstrations are to be mixed in, but no dataset of them has been chosen.",
            "Choose one, or set the weight to 0.",
        )


def check_groups(spec: RolloutFields, size: int) -> None:
    """Raise SpecError where the answers of an update do not divide into groups of `size`."""
    if spec.batch_size % size:
        raise SpecError(
            "group_size",
            f"{spec.batch_size} answers per update do not divide into groups of {size}.",
            f"Choose a divisor of {spec.batch_size}.",
        )


def check_picked(spec: RolloutFields, size: int) -> None:
    """Raise SpecError where a minibatch would cut through the answers of one prompt, of which some are picked."""
    check_rollout(spec)
    check_groups(spec, size)
    if spec.minibatch_size % size:
        raise SpecError(
            "minibatch_size",
            f"Minibatches of {spec.minibatch_size} written answers would cut through groups of {size}.",
            f"Choose a multiple of {size}.",
        )
