"""Whole answers, measured: what is counted, and what must make no difference."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from rlhf_engine.data.batches import left_pad
from rlhf_engine.models.backbone import PLAIN
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.preferences.answers import answer_logprobs
from rlhf_engine.preferences.pairs import both, in_parts, pair_logprobs
from rlhf_engine.preferences.reference import POLICY
from tests.engine.preferences.conftest import eight_pairs, given

CLOSE = {"atol": 2e-5, "rtol": 1e-6}


def test_the_answer_and_its_end_are_counted_and_nothing_else(backbone):
    answer = given(backbone, "What is 7?", "It is 7.")
    assert backbone.base.tokenizer.decode(answer.ids[-answer.tokens :]) == "It is 7.<|end|>"
    ids = torch.tensor([answer.ids])
    labels = torch.where(torch.tensor([answer.mask]), ids, -100)
    with backbone.acting_as(PLAIN), torch.no_grad():
        mean = -backbone.base.model(input_ids=ids, labels=labels).loss
        found = answer_logprobs(backbone, PLAIN, [answer])
    assert found.mean.item() == pytest.approx(mean.item(), abs=1e-5)
    assert found.total.item() == pytest.approx(mean.item() * answer.tokens, abs=1e-4)


@torch.no_grad()
def test_neighbours_their_order_and_padding_change_nothing(backbone):
    answers = both(eight_pairs(backbone))
    whole = answer_logprobs(backbone, POLICY, answers)
    alone = torch.cat([answer_logprobs(backbone, POLICY, [a]).total for a in answers])
    torch.testing.assert_close(alone, whole.total, **CLOSE)
    wide = answer_logprobs(backbone, POLICY, answers, width=len(max(answers, key=lambda a: len(a.ids)).ids) + 40)
    torch.testing.assert_close(wide.total, whole.total, **CLOSE)
    turned = answer_logprobs(backbone, POLICY, answers[::-1])
    torch.testing.assert_close(turned.total.flip(0), whole.total, **CLOSE)
    assert torch.equal(turned.tokens.flip(0), whole.tokens) and torch.equal(wide.tokens, whole.tokens)


@torch.no_grad()
def test_the_side_of_the_padding_changes_nothing(backbone):
    answers = both(eight_pairs(backbone))
    ids, attention = left_pad([a.ids for a in answers], backbone.base.pad_id)
    mask, _ = left_pad([[int(m) for m in a.mask] for a in answers], 0)
    with backbone.acting_as(POLICY):
        left = token_logprobs(backbone, ids, attention.long(), mask.bool()).logp.sum(1)
    torch.testing.assert_close(left, answer_logprobs(backbone, POLICY, answers).total, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("pad", [1, 7])
def test_which_token_pads_changes_nothing_also_when_it_is_the_end_token(backbone, pad):
    answers = both(eight_pairs(backbone))
    before = answer_logprobs(backbone, POLICY, answers)
    backbone.base = dataclasses.replace(backbone.base, pad_id=pad)
    after = answer_logprobs(backbone, POLICY, answers)
    assert torch.equal(before.total, after.total) and torch.equal(before.tokens, after.tokens)


@torch.no_grad()
def test_both_sides_of_a_pair_come_from_one_pass(backbone, monkeypatch):
    pairs = eight_pairs(backbone)
    passes = []
    hidden = type(backbone).hidden
    monkeypatch.setattr(
        type(backbone),
        "hidden",
        lambda self, ids, *more, **named: passes.append(ids) or hidden(self, ids, *more, **named),
    )
    chosen, rejected = pair_logprobs(backbone, POLICY, pairs)
    assert [len(ids) for ids in passes] == [16]
    torch.testing.assert_close(
        chosen.total, answer_logprobs(backbone, POLICY, [p.chosen for p in pairs]).total, **CLOSE
    )
    torch.testing.assert_close(
        rejected.mean, answer_logprobs(backbone, POLICY, [p.rejected for p in pairs]).mean, **CLOSE
    )


def test_parts_hold_every_answer_once_in_the_rectangles_of_the_loss(backbone):
    pairs = eight_pairs(backbone)
    parts = list(in_parts(pairs, 3))
    assert [len(part) for part in parts] == [6, 6, 4]
    assert parts[2] == [pairs[6].chosen, pairs[7].chosen, pairs[6].rejected, pairs[7].rejected]
    assert list(in_parts([], 3)) == []
