"""Held-out figures by hand, on scores that are simply given."""

from __future__ import annotations

import math
import random

import pytest
import torch

from rlhf_engine.data.records import Comparison
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import load_base
from rlhf_engine.tasks.reward.evaluate import (
    Scored,
    calibration_error,
    calibration_noise,
    curve,
    figures,
    reliability,
    score_pairs,
    shown_first,
)
from rlhf_engine.tasks.reward.groups import Pair


def scored(apart, strength=None, lengths=None, first=None, heads=1, spread=None, log_theta=0.0):
    """Pairs whose rejected answer scores 0."""
    count = len(apart)
    return Scored(
        torch.tensor(apart, dtype=torch.float32),
        torch.zeros(count),
        torch.tensor(strength or [2.0] * count),
        torch.tensor(lengths or [[5.0, 5.0]] * count),
        torch.tensor(first or [True] * count),
        torch.tensor(spread or [0.0] * count),
        heads,
        log_theta,
    )


NINE_TO_ONE = math.log(9.0)  # the margin at which sigma says 90 %


def test_accuracy_margin_loss_and_confidence_by_hand():
    found = figures(scored([2.0, -1.0, 0.0, 3.0]))
    assert found["heldout/accuracy"] == 0.5  # equal scores are not right
    assert found["heldout/margin"] == 1.0 and found["heldout/confidence"] == 1.5
    # ln(1 + e^-2), ln(1 + e), ln 2 and ln(1 + e^-3)
    assert found["heldout/loss"] == pytest.approx((0.126928 + 1.313262 + 0.693147 + 0.048587) / 4, abs=1e-5)


def test_ties_count_in_nothing_but_their_own_margin():
    alone, beside = scored([2.0, -1.0]), scored([2.0, -1.0] + [0.5, -1.5] * 5, [2.0, 2.0] + [0.0] * 10)
    a, b = figures(alone), figures(beside)
    assert b.pop("heldout/tie_margin") == 1.0
    assert a == {name: value for name, value in b.items() if name != "heldout/length_correlation"}
    assert figures(scored([1.0] * 12, [0.0] * 12)) == {"heldout/tie_margin": 1.0}


def test_figures_by_strength_length_and_side_are_those_of_their_pairs_alone():
    # twenty pairs in which everything coincides, and ten in which nothing does
    right, wrong = [1.0] * 15 + [-1.0] * 5, [-1.0] * 9 + [1.0]
    found = figures(
        scored(
            right + wrong,
            [3.0] * 20 + [1.0] * 10,
            [[9.0, 4.0]] * 20 + [[2.0, 8.0]] * 10,
            [True] * 20 + [False] * 10,
        )
    )
    for name in ("much", "longer", "first"):
        assert found[f"heldout/accuracy_{name}"] == 0.75
    for name in ("slight", "shorter", "second"):
        assert found[f"heldout/accuracy_{name}"] == pytest.approx(0.1)
    assert "heldout/accuracy_clear" not in found and "heldout/accuracy_same_length" not in found
    assert found["heldout/longer_wins"] == found["heldout/first_wins"] == pytest.approx(2 / 3)


def test_equal_lengths_are_half_a_win_for_the_longer_answer_and_few_pairs_give_no_figure():
    found = figures(scored([1.0] * 9, lengths=[[5.0, 5.0]] * 8 + [[6.0, 5.0]]))
    assert found["heldout/longer_wins"] == pytest.approx(5 / 9)
    assert not any(name.startswith("heldout/accuracy_") for name in found)


def test_the_correlation_with_length_is_pearsons():
    chosen = scored([1.0, 2.0, 3.0, 4.0, 5.0], lengths=[[n, 0.0] for n in (2.0, 4.0, 6.0, 8.0, 10.0)])
    assert figures(chosen)["heldout/length_correlation"] == pytest.approx(1.0)
    turned = scored([1.0, 2.0, 3.0, 4.0, 5.0], lengths=[[-n, 0.0] for n in (2.0, 4.0, 6.0, 8.0, 10.0)])
    assert figures(turned)["heldout/length_correlation"] == pytest.approx(-1.0)
    assert "heldout/length_correlation" not in figures(scored([1.0] * 5))  # all equally long


def test_a_calibrated_model_has_no_calibration_error():
    nine_of_ten = scored([NINE_TO_ONE] * 9 + [-NINE_TO_ONE])
    predicted, observed, count = reliability(nine_of_ten)
    assert predicted.tolist() == pytest.approx([0.9]) and observed.tolist() == pytest.approx([0.9])
    assert count.tolist() == [10]
    assert calibration_error(predicted, observed, count) == pytest.approx(0, abs=1e-6)
    coin = scored([0.0] * 4)
    assert [c.tolist() for c in reliability(coin)] == [[0.5], [0.5], [4.0]]


def test_overconfidence_is_the_distance_between_what_is_said_and_what_is_seen():
    # ten pairs at 90 % of which six are right, thirty at 50 %: (10 * 0.3 + 30 * 0) / 40
    found = figures(scored([NINE_TO_ONE] * 6 + [-NINE_TO_ONE] * 4 + [0.0] * 30))
    assert found["heldout/calibration_error"] == pytest.approx(0.075)


def test_the_curve_is_drawn_from_a_half_to_one_and_empty_bins_are_not_there():
    margins = [math.log(p / (1 - p)) for p in (0.51, 0.54, 0.72, 0.99)]
    drawn = curve(7, scored([*margins, 200.0]))
    assert (drawn.step, drawn.name, list(drawn.columns)) == (
        7,
        "heldout/reliability",
        ["predicted", "observed", "count"],
    )
    assert drawn.columns["predicted"] == pytest.approx((0.525, 0.72, 0.995), abs=1e-5)
    assert drawn.columns["count"] == (2, 1, 2) and drawn.columns["observed"] == (1, 1, 1)


def test_which_answer_is_called_chosen_changes_no_bin_but_its_truth():
    a = reliability(scored([0.3, 1.2, 2.0]))
    b = reliability(scored([-0.3, -1.2, -2.0]))
    assert torch.equal(a[0], b[0]) and torch.equal(a[2], b[2]) and torch.equal(a[1], 1 - b[1])


def test_chance_alone_makes_this_much_of_a_calibration_error():
    torch.manual_seed(0)
    errors = []
    for _ in range(2000):
        right = (torch.rand(40) < 0.8).double().mean()
        errors.append(abs(right.item() - 0.8))
    expected = sum(errors) / len(errors)
    assert calibration_noise(torch.tensor([0.8]), torch.tensor([40.0])) == pytest.approx(expected, rel=0.05)


def test_with_rao_kupper_a_decided_pair_is_more_certain():
    # theta 2 and scores ln 3 apart: 21/26 instead of 3/4
    (predicted, *_) = reliability(scored([math.log(3.0)], log_theta=math.log(2.0)))
    assert predicted.tolist() == pytest.approx([21 / 26])
    assert figures(scored([math.log(3.0)], log_theta=math.log(2.0)))["heldout/loss"] == pytest.approx(math.log(26 / 21))


# Scoring --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def backbone(small):
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    torch.manual_seed(1)
    backbone.add("judge", new_lora(small.reward()))
    backbone.put_head("judge", ScalarHead(backbone.hidden_size, count=3, rule="lower", k=0.5))
    return backbone


def pairs_of(count):
    draw = random.Random(4)

    def ids():
        return [3, 5, *(draw.randrange(10, 200) for _ in range(draw.randrange(1, 20))), 1]

    return [Pair(ids(), ids(), 2, Comparison(f"Why {n}?", f"a{n}", f"b{n}", n % 4)) for n in range(count)]


def swapped(pair):
    record = Comparison(pair.record.prompt, pair.record.rejected, pair.record.chosen, pair.record.strength)
    return Pair(pair.rejected, pair.chosen, pair.prompt, record)


def test_an_answer_scores_the_same_on_either_side_and_beside_any_others(backbone):
    pairs = pairs_of(11)
    found = score_pairs(backbone, "judge", pairs, 4)
    turned = score_pairs(backbone, "judge", [swapped(p) for p in reversed(pairs)], 3)
    torch.testing.assert_close(turned.rejected.flip(0), found.chosen, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.chosen.flip(0), found.rejected, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.spread.flip(0), found.spread, atol=1e-5, rtol=0)


def test_scores_are_those_of_the_ensemble_before_normalising(backbone):
    pairs = pairs_of(3)
    head = backbone.heads["judge"]
    head.mean.fill_(5.0)
    head.std.fill_(3.0)
    found = score_pairs(backbone, "judge", pairs, 8)
    torch.testing.assert_close(found.chosen, backbone.score("judge", [p.chosen for p in pairs]) * 3 + 5)
    each = backbone.each_score("judge", [p.chosen for p in pairs]) - backbone.each_score(
        "judge", [p.rejected for p in pairs]
    )
    torch.testing.assert_close(found.spread, each.std(1, correction=0), atol=1e-5, rtol=0)
    assert found.lengths[:, 0].tolist() == [len(p.chosen) - 2 for p in pairs] and found.heads == 3
    assert found.decided.tolist() == [False, True, True]


def test_sides_are_drawn_evenly_and_always_the_same():
    rows = [Comparison(f"Why {n}?", "a", "b") for n in range(1000)]
    sides = [shown_first(row) for row in rows]
    assert 430 < sum(sides) < 570
    assert sides == [shown_first(Comparison(row.prompt, "a", "b", id="x")) for row in rows]
