"""Settings that learning from preferences shares. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import choose, param
from rlhf_engine.contract.training import CourseFields

DPO_LOSSES = ("sigmoid", "conservative", "robust", "hinge", "ipo")
LENGTHS = ("auto", "sum", "mean")
SMOOTHED = ("conservative", "robust")


def beta_param(default: float = 0.1) -> Any:
    """Beta of a loss on log-ratios to a reference."""
    return param(
        default,
        "Beta",
        "How dearly moving away from the starting model is paid for: a lower one lets the policy go further.",
        between=(1e-4, 100.0),
        log_scale=True,
        group="Loss",
        source="Rafailov et al. 2023, arXiv:2305.18290, section 4",
    )


def dpo_loss_param() -> Any:
    return param(
        "sigmoid",
        "Loss",
        "Sigmoid is DPO itself. Conservative and robust expect some labels to be wrong; hinge stops once the answers "
        "are far enough apart; IPO aims at one distance and does not run away from it.",
        choices=DPO_LOSSES,
        group="Loss",
    )


def label_smoothing_param() -> Any:
    return param(
        0.0,
        "Wrong labels",
        "Share of the comparisons assumed to be the wrong way round; for the conservative and the robust loss only.",
        between=(0.0, 0.49),
        group="Loss",
        source="Chowdhury et al. 2024, arXiv:2403.00409",
    )


def lengths_param() -> Any:
    return param(
        "auto",
        "Answer lengths",
        "Sum adds up the log-ratios of an answer's tokens, as DPO does. Mean divides by their number, so that long "
        "answers have no larger say. Auto is mean for IPO and sum for the others.",
        choices=LENGTHS,
        group="Loss",
        advanced=True,
        source="Lambert et al. 2024, arXiv:2411.15124 (Tulu 3), section 5",
    )


def refuse_smoothing_without_use(loss: str, smoothing: float) -> None:
    """Raises SpecError where wrong labels are expected by a loss that knows none, or the other way round."""
    if smoothing and loss not in SMOOTHED:
        raise SpecError(
            "label_smoothing",
            f"The {loss} loss expects no wrong labels, but their share is {smoothing:g}.",
            "Set it to 0, or choose the conservative or the robust loss.",
        )
    if loss in SMOOTHED and not smoothing:
        raise SpecError(
            "label_smoothing",
            f"The {loss} loss needs the share of labels that are wrong; with 0 it is the sigmoid loss.",
            "Try 0.1, or choose the sigmoid loss.",
        )


def takes_means(loss: str, lengths: str) -> bool:
    """Whether a DPO loss is given per-token means: what "auto" stands for is decided here alone."""
    return lengths == "mean" or (lengths == "auto" and loss == "ipo")


def nll_param() -> Any:
    return param(
        0.0,
        "NLL term",
        "Weight of the loss of supervised fine-tuning on the chosen answers, in nats per token. It keeps them from "
        "becoming less likely along with the rejected ones. 0 is off; 0.1 to 1 is usual.",
        between=(0.0, 100.0),
        group="Loss",
        source="Pang et al. 2024, arXiv:2404.19733 (Iterative RPO), which divides by each answer's own length",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceFields(CourseFields):
    """Training a policy on a fixed set of preferences."""

    model: str = choose("model", "Model", "The policy to improve; best is the result of supervised fine-tuning.")
    dataset: str = choose("dataset", "Comparisons", "Pairs of answers with the better one known.", kind="comparisons")

    epochs: float = param(1.0, "Epochs", "Passes over the data; more than three overfit.", between=(0.01, 1000.0))
    learning_rate: float = param(
        1e-5,
        "Learning rate",
        "AdamW step size for the adapter. Preference losses want far less than supervised fine-tuning.",
        between=(1e-8, 1e-1),
        log_scale=True,
    )
    warmup: float = param(
        0.1,
        "Warm-up",
        "Share of the run during which the learning rate rises from zero.",
        between=(0.0, 0.5),
        group="Optimisation",
        advanced=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFields(PreferenceFields):
    """What a loss that compares the policy with the model it began as adds."""

    precompute_reference: bool = param(
        False,
        "Precompute the reference",
        "Measure the starting model on all answers once before the first step and keep the numbers in the run's "
        "folder: it need not stay in memory, and steps are faster. A resumed run reads them back.",
        group="Memory",
        advanced=True,
    )


def refuse_dropout(dropout: float) -> None:
    """Raises SpecError: with dropout a policy is not its own reference even before the first step."""
    if dropout:
        raise SpecError(
            "lora_dropout",
            f"LoRA dropout is {dropout:g}, but answers are compared by their log-probabilities, which dropout blurs.",
            "Set it to 0.",
        )
