"""From comparisons to what a step learns from: groups, lists, halves of the prompts, bootstrap weights."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.records import Comparison, half_of, split_of
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.tasks.reward.groups import (
    Group,
    Pair,
    Table,
    best_first,
    best_to_worst,
    bootstrap_weights,
    cut,
    from_half,
    grouped,
    read,
    some_of,
)

CPU = torch.device("cpu")


def pair(prompt, better, worse, strength=2):
    """A pair whose answers are spelled as token ids: "ab" is [97, 98]."""
    ids = [[3, *(ord(c) for c in text), 1] for text in (better, worse)]
    return Pair(*ids, 1, Comparison(prompt, better, worse, strength))


FOUR = [pair("p", "a", "b"), pair("q", "x", "y", 3), pair("p", "b", "c", 1), pair("p", "c", "a", 0)]


def groups_of(small, inside, pairs, **changed):
    hand = inside(small.reward(**changed))
    found = grouped(pairs, "Those", small.reward(**changed), hand.run)
    return found, [e.event for e in hand.said if isinstance(e.event, Alert)]


def test_pairs_stay_by_themselves_in_their_order(small, inside):
    found, alerts = groups_of(small, inside, FOUR, ties="split")
    assert [group.said for group in found] == [[(0, 1, 2)], [(0, 1, 3)], [(0, 1, 1)], [(0, 1, 0)]]
    assert found[0].answers == [FOUR[0].chosen, FOUR[0].rejected] and not alerts
    assert all(group.weights == (1.0,) for group in found)


def test_ties_are_left_out_and_counted(small, inside):
    found, (alert,) = groups_of(small, inside, FOUR)
    assert len(found) == 3 and alert.text == "1 of 4 comparisons are ties and were left out."
    with pytest.raises(DataError, match="1 of 1 comparisons are ties, and ties are left out"):
        groups_of(small, inside, FOUR[3:])


def test_all_that_was_said_of_a_prompt_is_one_group_with_each_answer_once(small, inside):
    found, _ = groups_of(small, inside, FOUR, grouping="prompts", ties="split")
    assert [len(group.answers) for group in found] == [3, 2]
    assert found[0].said == [(0, 1, 2), (1, 2, 1), (2, 0, 0)]


def test_prompts_that_differ_in_spaces_only_are_one(small, inside):
    found, _ = groups_of(small, inside, [pair("a  b", "x", "y"), pair("a b", "x", "z")], grouping="prompts")
    assert [len(group.answers) for group in found] == [3]


def group(*said, answers=3):
    return Group([[n] for n in range(answers)], list(said), (1.0,))


@pytest.mark.parametrize(
    ("said", "best", "order"),
    [
        ([(2, 0, 1), (2, 1, 1)], [2, 0, 1], None),  # best of three: nobody said how the others compare
        ([(2, 0, 1), (2, 1, 1), (1, 0, 3)], [2, 0, 1], [2, 1, 0]),
        ([(0, 1, 1), (1, 2, 1)], None, [0, 1, 2]),  # 0 was never held against 2, yet the order is plain
        ([(0, 1, 1), (1, 2, 1), (2, 0, 1)], None, None),  # a circle
        ([(0, 1, 1), (0, 2, 1), (1, 0, 1)], None, None),  # two people, two opinions
        ([(0, 1, 1), (0, 1, 2), (0, 2, 1), (1, 2, 1)], [0, 1, 2], [0, 1, 2]),  # two people, one opinion
    ],
)
def test_a_best_answer_and_an_order_are_found_where_they_are(said, best, order):
    assert best_first(group(*said)) == best and best_to_worst(group(*said)) == order


def test_the_best_comes_first_and_what_was_said_follows_it(small, inside):
    pairs = [pair("p", "c", "a"), pair("p", "c", "b", 3), pair("q", "a", "b"), pair("q", "b", "a")]
    found, (alert,) = groups_of(small, inside, pairs, grouping="best")
    assert [[ids[1] for ids in g.answers] for g in found] == [[ord(c) for c in "cab"]]
    assert found[0].said == [(0, 1, 2), (0, 2, 3)]
    assert alert.text == "1 of 2 prompts have no answer that was preferred to each other one and were left out."


def test_no_list_at_all_is_a_sentence(small, inside):
    with pytest.raises(DataError, match="1 of 1 prompts are not ranked from end to end: nothing is left"):
        groups_of(small, inside, [pair("p", "a", "b"), pair("p", "a", "c")], grouping="order")


# Halves and weights ---------------------------------------------------------------------------------------------------


def test_halves_are_disjoint_together_all_and_independent_of_what_is_held_out():
    prompts = [f"Question {i}?" for i in range(2000)]
    first = [p for p in prompts if from_half(p, "first half")]
    second = [p for p in prompts if from_half(p, "second half")]
    assert sorted(first + second) == sorted(prompts) and not set(first) & set(second)
    assert all(from_half(p, "all") for p in prompts) and 900 < len(first) < 1100
    heldout = [p for p in prompts if split_of(p) == "heldout"]
    assert 0.35 < sum(half_of(p) == "first" for p in heldout) / len(heldout) < 0.65


def test_only_the_training_prompts_are_halved(small, inside):
    rows = [Comparison(f"Number {i}?", "Yes.", "No.") for i in range(120)]
    dataset = open_dataset(small.root, freeze(small.root, "comparisons", rows, "h", "test", {}).ref)
    backbone = Backbone(load_base(small.model, CPU, torch.float32))

    def prompts(split, half):
        spec = small.reward(prompts_from=half)
        return {p.record.prompt for p in read(backbone, dataset, split, spec, inside(spec).run)}

    halves = [prompts("train", half) for half in ("first half", "second half")]
    assert all(halves) and not halves[0] & halves[1] and halves[0] | halves[1] == prompts("train", "all")
    assert prompts("heldout", "first half") == prompts("heldout", "second half") == prompts("heldout", "all")


def test_a_pair_knows_where_its_prompt_ends(small, inside):
    dataset = open_dataset(small.root, small.comparisons)
    backbone = Backbone(load_base(small.model, CPU, torch.float32))
    spec = small.reward()
    for found in read(backbone, dataset, "heldout", spec, inside(spec).run):
        assert found.chosen[: found.prompt] == found.rejected[: found.prompt]
        assert backbone.base.tokenizer.decode(found.chosen[found.prompt : -1]) == found.record.chosen


def test_each_head_draws_its_own_prompts_as_often_as_chance_would():
    drawn = torch.tensor([bootstrap_weights(f"Question {i}?", 4, seed=0) for i in range(4000)])
    # Poisson with mean 1: none in e^-1 of the cases, one in e^-1, two in e^-1 / 2, three in e^-1 / 6
    for count, expected in ((0, 0.3679), (1, 0.3679), (2, 0.1839), (3, 0.0613)):
        assert (drawn == count).float().mean().item() == pytest.approx(expected, abs=0.01)
    assert drawn.mean(0).tolist() == pytest.approx([1.0] * 4, abs=0.06)
    assert torch.corrcoef(drawn.T).fill_diagonal_(0).abs().max() < 0.06
    assert bootstrap_weights("Why?", 4, 0) == bootstrap_weights(" Why? ", 4, 0)
    assert any(bootstrap_weights(f"{i}", 4, 0) != bootstrap_weights(f"{i}", 4, 1) for i in range(9))
    assert bootstrap_weights("Why?", 8, 0)[:4] == bootstrap_weights("Why?", 4, 0)  # a head is what it is beside others
    assert bootstrap_weights("Why?", 1, 0) == (1.0,)


# Tables ---------------------------------------------------------------------------------------------------------------


def test_micro_batches_hold_whole_groups():
    sizes = [[len(g.answers) for g in part] for part in cut([group(answers=n) for n in (2, 2, 2, 5, 2, 9, 1)], 6)]
    assert sizes == [[2, 2, 2], [5], [2], [9], [1]]
    assert list(cut([], 4)) == []


def test_a_table_points_at_the_right_answers():
    groups = [
        Group([[10], [11], [12]], [(0, 1, 2), (2, 0, 3)], (1.0, 2.0)),
        Group([[20], [21]], [(1, 0, 0)], (0.0, 1.0)),
    ]
    table = Table.of(groups, CPU)
    flat = [ids[0] for ids in table.answers]
    assert flat == [10, 20, 11, 21, 12]  # column by column: chosen above rejected where all are pairs
    assert [(flat[b], flat[w]) for b, w in zip(table.better, table.worse, strict=True)] == [
        (10, 11),
        (12, 10),
        (21, 20),
    ]
    assert table.strength.tolist() == [2, 3, 0] and table.share.tolist() == [0.5, 0.5, 1]
    assert table.weights.tolist() == [[1, 2], [1, 2], [0, 1]] and table.list_weights.tolist() == [[1, 2], [0, 1]]
    assert [[flat[p] for p in row] for row in table.places.tolist()] == [[10, 11, 12], [20, 21, 10]]
    assert table.there.tolist() == [[True, True, True], [True, True, False]]


def test_so_many_comparisons_are_drawn_and_more_contain_the_fewer():
    pairs = [pair(f"p{n}", f"a{n}", f"b{n}") for n in range(50)]
    few, more = some_of(pairs, 10, 3), some_of(pairs, 30, 3)
    assert len(few) == 10 and len(more) == 30 and set(map(id, few)) < set(map(id, more))
    assert few == [one for one in pairs if one in few]  # in their order
    assert some_of(pairs[:25], 50 // 10, 3) != some_of(pairs[:25], 50 // 10, 4)
    assert some_of(pairs, 0, 3) == pairs
    with pytest.raises(DataError, match="51 comparisons are to be used, but there are 50"):
        some_of(pairs, 51, 3)
