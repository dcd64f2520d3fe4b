"""Heads and ensembles of heads: their numbers by hand, what they keep on disk, and what a value model makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.adapters import HEAD, KeptAdapter, load_adapter, load_head, save_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import RULES, ScalarHead, aggregate
from rlhf_engine.models.load import load_base, resolve

SEQUENCES = [[3, 20, 30, 4], [3, 99, 98, 97, 96, 1], [7]]
SCORES = torch.tensor([[1.0, -2.0], [3.0, -2.0], [5.0, -2.0], [7.0, 4.0]])  # four models, two answers

# the mean of 1 3 5 7 is 4, their deviation sqrt((9 + 1 + 1 + 9) / 4) = sqrt(5); of -2 -2 -2 4: -0.5 and sqrt(6.75)
BY_HAND = {"mean": [4.0, -0.5], "min": [1.0, -2.0], "lower": [4 - 0.5 * 2.2360680, -0.5 - 0.5 * 2.5980762]}


@pytest.mark.parametrize("rule", RULES)
def test_several_scores_become_one(rule):
    assert aggregate(SCORES, rule, 0.5).tolist() == pytest.approx(BY_HAND[rule])


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_the_models_does_not_matter_and_a_shift_of_all_shifts_the_score(rule):
    score = aggregate(SCORES, rule, 0.5)
    torch.testing.assert_close(aggregate(SCORES[[2, 0, 3, 1]], rule, 0.5), score)
    torch.testing.assert_close(aggregate(SCORES + 3, rule, 0.5), score + 3)


@pytest.mark.parametrize("rule", RULES)
def test_one_model_and_models_that_agree_are_taken_at_their_word(rule):
    assert aggregate(SCORES[:1], rule, 2.0).tolist() == [1.0, -2.0]
    assert aggregate(SCORES[:1].expand(3, 2), rule, 2.0).tolist() == [1.0, -2.0]


def test_lower_without_deviations_is_the_mean_and_another_rule_is_refused():
    assert torch.equal(aggregate(SCORES, "lower", 0.0), aggregate(SCORES, "mean"))
    with pytest.raises(KeyError):
        aggregate(SCORES, "median")


def test_a_zero_head_says_zero_and_a_fresh_one_has_the_published_spread():
    assert ScalarHead(32, zero=True)(torch.randn(5, 32)).tolist() == [0.0] * 5
    torch.manual_seed(0)
    head = ScalarHead(4096)
    assert head.linear.weight.std().item() == pytest.approx(4097**-0.5, rel=0.05)
    assert head.linear.bias.item() == 0


def test_a_head_subtracts_its_mean_and_divides_by_its_deviation():
    head = ScalarHead(2, zero=True)
    head.linear.bias.data.fill_(7.0)
    head.mean.fill_(3.0)
    head.std.fill_(2.0)
    assert head(torch.ones(1, 2)).item() == 2.0  # (7 - 3) / 2


@pytest.mark.parametrize("rule", RULES)
def test_an_ensemble_is_normalised_after_it_has_become_one_score(rule):
    head = ScalarHead(1, zero=True, count=4, rule=rule, k=0.5)
    head.linear.bias.data.copy_(SCORES[:, 0])
    head.mean.fill_(3.0)
    head.std.fill_(2.0)
    assert head(torch.ones(2, 5, 1)).shape == (2, 5)
    assert head(torch.ones(1, 1)).item() == pytest.approx((BY_HAND[rule][0] - 3) / 2)
    assert head.each(torch.ones(1, 1)).tolist() == [[1.0, 3.0, 5.0, 7.0]]  # as learned


def test_each_head_of_an_ensemble_begins_elsewhere():
    torch.manual_seed(0)
    rows = ScalarHead(64, count=3).linear.weight
    assert len({tuple(row) for row in rows.tolist()}) == 3


def test_a_single_head_keeps_what_it_always_kept():
    assert set(ScalarHead(4).state_dict()) == {"linear.weight", "linear.bias", "mean", "std"}
    assert ScalarHead(4).ensemble == ("mean", 0.0)


def with_ensemble(backbone, rule="lower"):
    torch.manual_seed(3)
    head = backbone.put_head("policy", ScalarHead(backbone.hidden_size, count=3, rule=rule, k=1.5), trainable=True)
    head.linear.bias.data.copy_(torch.tensor([0.5, -1.0, 3.0]))
    head.mean.fill_(0.25)
    head.std.fill_(1.5)
    return head


def again(folder, saved):
    fresh = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    load_adapter(fresh, "judge", resolve(str(saved), Path()))
    return fresh


@pytest.mark.parametrize("rule", RULES)
def test_an_ensemble_comes_back_from_disk_with_its_rule_and_scores_the_same(backbone, folder, tmp_path, rule):
    with_ensemble(backbone, rule)
    save_adapter(backbone, "policy", tmp_path / "rm", {"task": "reward"})
    fresh = again(folder, tmp_path / "rm")
    assert fresh.heads["judge"].ensemble == (rule, 1.5)
    assert torch.equal(fresh.score("judge", SEQUENCES), backbone.score("policy", SEQUENCES))
    assert torch.equal(fresh.each_score("judge", SEQUENCES), backbone.each_score("policy", SEQUENCES))


def test_a_score_is_what_the_rule_makes_of_each_score(backbone):
    with_ensemble(backbone)
    each = backbone.each_score("policy", SEQUENCES)
    assert each.shape == (3, 3)
    expected = [(row.mean() - 1.5 * row.std(correction=0) - 0.25) / 1.5 for row in each]
    torch.testing.assert_close(backbone.score("policy", SEQUENCES), torch.stack(expected))


def test_gradients_reach_all_heads(backbone):
    head = with_ensemble(backbone, "mean")
    backbone.score("policy", SEQUENCES).sum().backward()
    assert (head.linear.weight.grad.abs().sum(1) > 0).all()


def test_a_checkpointed_ensemble_comes_back(backbone):
    head = with_ensemble(backbone)
    kept = KeptAdapter(backbone, "policy")
    state, scores = kept.state_dict(), backbone.score("policy", SEQUENCES)
    head.load_state_dict({k: torch.zeros_like(v) for k, v in head.state_dict().items()})
    kept.load_state_dict(state)
    assert torch.equal(backbone.score("policy", SEQUENCES), scores)


def test_a_copy_of_a_single_head_is_equal_and_one_of_an_ensemble_says_its_mean(backbone):
    single = backbone.add_head("frozen")
    single.mean.fill_(0.5)
    states = torch.randn(4, backbone.hidden_size)
    assert torch.equal(backbone.add_head("value", like="frozen", trainable=True)(states), single(states))
    ensemble = with_ensemble(backbone)
    copy = backbone.add_head("value", like="policy", trainable=True)
    assert copy.count == 1 and copy.linear.weight.requires_grad
    torch.testing.assert_close(copy(states), (ensemble.each(states).mean(-1) - 0.25) / 1.5)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"rule": torch.tensor(7)}, "rule is 7, but must be between 0 and 2"),
        ({"rule": torch.tensor(-1)}, "rule is -1"),
        ({"linear.weight": torch.zeros(3, 31)}, "it reads 31 numbers, the base has 32"),
        ({"linear.weight": torch.zeros(96)}, "has another shape"),
        ({"linear.bias": torch.zeros(2)}, "size mismatch"),
        ({"extra": torch.zeros(2)}, "Unexpected key"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_damaged_ensemble_has_its_sentence(backbone, tmp_path, changed, sentence):
    with_ensemble(backbone)
    save_adapter(backbone, "policy", tmp_path / "rm", {"task": "reward"})
    file = tmp_path / "rm" / HEAD
    save_file({**load_file(file), **changed}, file)
    with pytest.raises(ModelError, match=sentence):
        load_head(file, 32)
