"""Everything a person can choose about labels by a model. No torch in this file: the studio reads it."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import check, choose, param


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSpec:
    """Let a local model judge the project's pairs. Each is asked in both orders; where they disagree it is a tie.

    Source: Bai et al. 2022, arXiv:2212.08073, section 4.1; Zheng et al. 2023, arXiv:2306.05685, section 3.4 (both
    orders).
    """

    model: str = choose("model", "Judge", "The model that judges; best is a large one that follows instructions.")

    pairs: str = param(
        "waiting",
        "Which pairs",
        "Waiting are those without any label. Judged by people measures how far the judge agrees with them: their "
        "labels stay in force.",
        choices=("waiting", "judged by people", "both"),
    )
    limit: int = param(256, "At most", "Pairs that are judged.", between=(1, 1_000_000), unit="pairs")
    principles: tuple[str, ...] = param(
        ("helpfulness",),
        "Principles",
        "Names of this project's principles, one in each line; none is all of them.",
    )
    by: str = param(
        "all together",
        "Judge by",
        "All together asks about each principle and takes the mean. One per pair draws one of them for each pair: "
        "cheaper, and the labels differ more.",
        choices=("all together", "one per pair"),
        source="Bai et al. 2022, arXiv:2212.08073, section 4.1",
    )
    template: str = param(
        "full",
        "Question",
        "Full explains the task, for models that follow instructions. Short is for base models, which go on writing.",
        choices=("full", "short"),
    )
    canaries: int = param(
        16,
        "Canaries",
        "Pairs asked again with an order to the judge hidden in the losing answer. They count how often it obeys, and "
        "never become labels. 0 asks none.",
        between=(0, 10_000),
        unit="pairs",
    )
    batch_size: int = param(8, "Batch size", "Questions read at once.", between=(1, 4096), advanced=True)
    prompt_format: str = param(
        "auto",
        "Prompt format",
        "Auto asks a trained model as it was trained, and any other with the tokenizer's chat template if it has one.",
        choices=("auto", "chat", "plain"),
        advanced=True,
    )
    seed: int = param(
        0, "Seed", "Draws the principle of each pair and the canaries.", between=(0, 2**31 - 1), advanced=True
    )
    dtype: str = param(
        "auto", "Precision", "Number format of the base.", choices=("auto", "fp32", "bf16"), advanced=True
    )
    device: str = param("auto", "Device", "Where the model lives.", choices=("auto", "cpu", "cuda"), advanced=True)

    def __post_init__(self) -> None:
        check(self)

    @property
    def total_steps(self) -> int:
        return 0
