"""Samples on the way: what is said of each token."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import open_dataset
from rlhf_engine.preferences.answers import GivenAnswer, answer_logprobs
from rlhf_engine.preferences.previews import by_token, previews_of
from rlhf_engine.preferences.reference import POLICY, REFERENCE
from tests.engine.preferences.conftest import move


@torch.no_grad()
def test_each_token_says_how_likely_it_is_and_how_far_from_the_reference(small, inside, backbone):
    spec = small.dpo()
    previews = previews_of(backbone, open_dataset(small.root, spec.dataset), spec, inside(spec).run)
    assert [len(previews.fixed)] == [4] and all(fixed.reference for fixed in previews.fixed)
    assert set(previews.samples(1)[0].per_token) == {"logprob"}
    backbone.copy(POLICY, REFERENCE)
    move(backbone)
    for sample in previews.samples(2):
        assert set(sample.per_token) == {"logprob", "kl"}
        assert len(sample.tokens) == len(sample.per_token["kl"]) == len(sample.per_token["logprob"]) > 0
    answers = previews._write([fixed.ids for fixed in previews.fixed])
    for fixed, answer, (score, said) in zip(
        previews.fixed, answers, by_token(backbone, previews.fixed, answers), strict=True
    ):
        prompt = render(backbone.base.tokenizer, fixed.prompt).ids
        whole = GivenAnswer([*prompt, *answer.tokens], [False] * len(prompt) + [True] * len(answer.tokens))
        now, then = (answer_logprobs(backbone, role, [whole]).total.item() for role in (POLICY, REFERENCE))
        assert score is None and sum(said["logprob"]) == pytest.approx(now, abs=1e-3)
        assert sum(said["kl"]) == pytest.approx(now - then, abs=1e-3)


def test_no_samples_are_written_where_nobody_wants_any(small, inside, backbone):
    spec = small.dpo(sample_every=0)
    assert previews_of(backbone, open_dataset(small.root, spec.dataset), spec, inside(spec).run).fixed == []


def test_more_prompts_leave_the_first_ones_as_they_were(small, inside, backbone):
    told = []
    for count in (4, 7):
        spec = small.dpo(sample_prompts=count)
        previews = previews_of(backbone, open_dataset(small.root, spec.dataset), spec, inside(spec).run)
        assert len(previews.fixed) == count
        told.append(previews.samples(1))
    assert told[0] == told[1][:4] and len(told[1]) == 7
    assert all(sample.reference and sample.per_token["logprob"] for sample in told[1])
