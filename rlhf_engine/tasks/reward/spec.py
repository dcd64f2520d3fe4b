"""Everything a person can choose about training a reward model. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import check, choose, param
from rlhf_engine.contract.training import CourseFields

LISTS = ("best", "order")  # groupings whose loss takes a prompt's answers as one list


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSpec(CourseFields):
    """Learn a score from comparisons, so that the preferred answer scores higher (Bradley-Terry)."""

    model: str = choose("model", "Model", "Where the reward model starts; best is the SFT model.")
    dataset: str = choose("dataset", "Comparisons", "Pairs of answers with the better one known.", kind="comparisons")

    epochs: float = param(
        2.0, "Epochs", "Passes over the comparisons; more than a few overfit.", between=(0.01, 1000.0)
    )
    learning_rate: float = param(
        2e-4, "Learning rate", "AdamW step size for adapter and head.", between=(1e-8, 1e-1), log_scale=True
    )
    grouping: str = param(
        "pairs",
        "Learn from",
        "Pairs takes each comparison by itself. Prompts takes all comparisons of a prompt as one example, scores each "
        "answer once and gives every prompt the same say. Best takes the answer that was preferred to all others of "
        "its prompt; order takes prompts whose answers are ranked from best to worst.",
        choices=("pairs", "prompts", "best", "order"),
        group="Loss",
        source="Ouyang et al. 2022, arXiv:2203.02155, section 3.5; Ziegler et al. 2019, arXiv:1909.08593, equation 1",
    )
    ties: str = param(
        "leave out",
        "Ties",
        "What is learned from pairs that people called equal. Split counts them as half a win for each side. "
        "Rao-Kupper gives a tie its own probability, which falls as the scores move apart.",
        choices=("leave out", "split", "rao-kupper"),
        group="Loss",
        source="Rao and Kupper 1967, Ties in Paired-Comparison Experiments",
    )
    tie_theta: float = param(
        0.0,
        "Tie threshold",
        "For Rao-Kupper: how easily two answers are called equal. Answers of equal score tie with probability "
        "(theta - 1) / (theta + 1). 0 learns it, beginning from the share of ties.",
        between=(0.0, 100.0),
        group="Loss",
        advanced=True,
        source="Rao and Kupper 1967, Ties in Paired-Comparison Experiments",
    )
    centering: float = param(
        0.01,
        "Centering",
        "Weight of (chosen + rejected)^2, which keeps scores near zero.",
        between=(0.0, 10.0),
        group="Loss",
        advanced=True,
        source="Eisenstein et al. 2023, arXiv:2312.09244",
    )
    label_smoothing: float = param(
        0.0,
        "Label smoothing",
        "Share of the labels assumed to be wrong.",
        between=(0.0, 0.49),
        group="Loss",
        advanced=True,
    )
    margin: float = param(
        0.0,
        "Margin per strength",
        "How much further apart a strong preference must score than a slight one. 0 ignores strength.",
        between=(0.0, 10.0),
        group="Loss",
        advanced=True,
        source="Touvron et al. 2023, Llama 2, section 3.2.2",
    )
    heads: int = param(
        1,
        "Heads",
        "Scores learned side by side, each from a start and a random sample of the prompts of its own. Where they "
        "disagree, the reward model is guessing. One is an ordinary reward model.",
        between=(1, 16),
        group="Ensemble",
        source="Coste et al. 2023, arXiv:2310.02743; Eisenstein et al. 2023, arXiv:2312.09244",
    )
    ensemble_score: str = param(
        "mean",
        "Score of the heads",
        "What several heads say as one: their mean, the lowest of them, or lower: the mean less so many standard "
        "deviations. The last two are harder for a policy to fool.",
        choices=("mean", "min", "lower"),
        group="Ensemble",
        source="Coste et al. 2023, arXiv:2310.02743, section 4",
    )
    ensemble_k: float = param(
        1.0,
        "Deviations below",
        "For lower: how many standard deviations of the heads are taken from their mean.",
        between=(0.0, 10.0),
        group="Ensemble",
        advanced=True,
    )
    prompts_from: str = param(
        "all",
        "Prompts from",
        "Which prompts to train on. A model of the second half can judge what a model of the first half rewarded: it "
        "shares no prompt with it, whatever the datasets. Held-out prompts are in neither.",
        choices=("all", "first half", "second half"),
        group="Data",
        source="Gao et al. 2022, arXiv:2210.10760, section 2",
    )
    labels: int = param(
        0,
        "Comparisons used",
        "Train on so many comparisons, drawn by the seed; the more contain the fewer. 0 is all. Runs with different "
        "numbers make the learning curve that says how many more labels help.",
        between=(0, 100_000_000),
        unit="comparisons",
        group="Data",
        advanced=True,
        source="Figueroa et al. 2012, Predicting sample size required for classification performance",
    )
    normalise_on: int = param(
        128,
        "Normalise on",
        "Answers of the starting model whose scores are given mean 0 and standard deviation 1. 0 is no normalising.",
        between=(0, 100_000),
        unit="answers",
        group="Loss",
        advanced=True,
        source="Ziegler et al. 2019, arXiv:1909.08593, section 2",
    )
    response_tokens: int = param(
        64,
        "Response length",
        "Longest answer written for normalising.",
        between=(1, 8192),
        unit="tokens",
        group="Loss",
        advanced=True,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.grouping in LISTS:
            self._refuse_what_lists_cannot_use()
        if 0.0 < self.tie_theta <= 1.0:
            raise SpecError(
                "tie_theta",
                f"The tie threshold is {self.tie_theta:g}, but only above 1 can two answers tie.",
                "Try 1.5, or 0 to learn it.",
            )
        if self.heads > 1 and self.ensemble_score != "mean" and not self.normalise_on:
            raise SpecError(
                "normalise_on",
                f'"{self.ensemble_score}" compares the heads with each other, and without normalising each has a '
                "zero of its own.",
                "Set it to 128 answers, or score by the mean of the heads.",
            )

    def _refuse_what_lists_cannot_use(self) -> None:
        """Ties, margins and smoothing are about two answers; a list of answers has no place for them."""
        of_pairs = {
            "ties": self.ties if self.ties != "leave out" else "",
            "margin": self.margin,
            "label_smoothing": self.label_smoothing,
        }
        for name, value in of_pairs.items():
            if value:
                words = {"ties": "Ties", "margin": "Margin per strength", "label_smoothing": "Label smoothing"}[name]
                raise SpecError(
                    name,
                    f'{words} is "{value}", but learning from "{self.grouping}" takes whole lists of answers.',
                    f"Set it to {'leave out' if name == 'ties' else 0}, or learn from pairs or prompts.",
                )
