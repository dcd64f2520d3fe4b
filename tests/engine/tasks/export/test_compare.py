from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.records import PromptRecord
from rlhf_engine.tasks.export.compare import BUILT_IN, Agreement, compare, require_agreement, texts_for


def test_agreement_counts_equal_choices_and_the_largest_difference() -> None:
    before = [torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[3.0, 1.0], [0.0, 1.0]])]
    after = [torch.tensor([[0.0, 2.5], [1.0, 0.0]]), torch.tensor([[3.0, 1.0], [1.0, 0.0]])]
    agreement = compare(before, after, "texts")
    # choices before: 1 0 / 0 1; after: 1 0 / 0 0. Differences: 0.5 and 1.
    assert (agreement.share, agreement.numbers, agreement.largest) == (0.75, 4, 1.0)


def test_scores_agree_by_the_order_of_pairs_that_differ() -> None:
    before = [torch.tensor(v) for v in (0.0, 1.0, 2.0, 2.0)]
    after = [torch.tensor(v) for v in (0.0, 2.0, 1.0, 1.5)]
    agreement = compare(before, after, "texts")
    # pairs told apart before: 01 02 03 12 13; of these 12 and 13 are reversed after. 23 was a tie.
    assert (agreement.numbers, agreement.share) == (5, pytest.approx(0.6))


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ModelError, match="not finite"):
        compare([torch.zeros(1, 2)], [torch.tensor([[0.0, float("nan")]])], "texts")


def test_what_is_refused_depends_on_form_and_precision() -> None:
    def agreement(largest: float, share: float, scale: float = 1.0) -> Agreement:
        return Agreement("logits", 8, 100, largest, share, "texts", scale)

    require_agreement(agreement(0.9e-4, 1.0), "fp32", "merged")
    require_agreement(agreement(1.0, 0.95), "bf16", "merged")
    require_agreement(agreement(1.9e-4, 1.0, scale=20.0), "fp32", "merged")
    for wrong, dtype, form in (
        (agreement(1.1e-4, 1.0), "fp32", "merged"),
        (agreement(1e-7, 1.0), "fp32", "adapter"),
        (agreement(1.0, 0.94), "bf16", "merged"),
    ):
        with pytest.raises(ModelError):
            require_agreement(wrong, dtype, form)


def test_few_held_out_prompts_are_filled_up_with_built_in_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    many, name = texts_for([PromptRecord(f"p{i}") for i in range(40)], generator)
    assert len(many) == 16 and name == "held-out texts" and len({p for p, _ in many}) == 16
    few, name = texts_for([PromptRecord("p")], generator)
    assert few[0] == ("p", None) and few[1:] == list(BUILT_IN)[:15] and "built-in" in name
