"""What the sampler draws, from what, and when it stops."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf_engine.contract.errors import NotFinite
from rlhf_engine.data.batches import right_pad
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.sampling import Sampler, complete, steps
from tests.engine.tiny import END, PAD

PROMPTS = [[7, 9, 30], [5, PAD, 8, 10, 60], [20, 21]]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def write(backbone, prompts, sampler, seed=0):
    return complete(backbone, "policy", prompts, sampler, seeded(seed))


def only(monkeypatch, backbone, choose):
    """Let the logits be what `choose(step)` says: (B, V) with -inf almost everywhere else."""
    count = iter(range(1000))

    def logits(_self, hidden):
        out = torch.full((len(hidden), 320), -30.0)
        return choose(out, next(count))

    monkeypatch.setattr(type(backbone), "logits", logits)


def test_the_same_seed_gives_the_same_answers_and_another_gives_others(backbone):
    sampler = Sampler(12)
    first, again, other = (write(backbone, PROMPTS, sampler, seed) for seed in (1, 1, 2))
    assert first == again
    assert [a.tokens for a in first] != [a.tokens for a in other]


def test_the_global_randomness_is_neither_used_nor_moved(backbone):
    before = torch.get_rng_state()
    write(backbone, PROMPTS, Sampler(5))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_what_it_drew_from_is_what_training_measures(backbone, temperature):
    answers = write(backbone, PROMPTS, Sampler(10, temperature))
    rows = [p + a.tokens for p, a in zip(PROMPTS, answers, strict=True)]
    ids, real = right_pad(rows, PAD)
    mask = real.clone()
    for i, prompt in enumerate(PROMPTS):
        mask[i, : len(prompt)] = False
    with torch.no_grad(), backbone.acting_as("policy"):
        measured = token_logprobs(backbone, ids, real.long(), mask, temperature).logp
    for i, answer in enumerate(answers):
        assert measured[i][mask[i]].tolist() == pytest.approx(answer.logprobs, abs=1e-4)


def test_it_writes_as_the_role_it_was_given(backbone):
    greedy = Sampler(8, temperature=0)
    assert [a.tokens for a in complete(backbone, "policy", PROMPTS, greedy, seeded())] != [
        a.tokens for a in complete(backbone, "", PROMPTS, greedy, seeded())
    ]


def test_temperature_zero_takes_the_likeliest_as_the_whole_model_would(backbone):
    (answer,) = write(backbone, PROMPTS[:1], Sampler(6, temperature=0))
    ids = list(PROMPTS[0])
    with torch.no_grad(), backbone.acting_as("policy"):
        for token in answer.tokens:
            logits = backbone.base.model(input_ids=torch.tensor([ids]), use_cache=False).logits
            assert token == logits[0, -1].argmax().item()
            ids.append(token)


def test_top_k_draws_only_from_the_k_likeliest(backbone):
    drawn = list(steps(backbone, "policy", [[7, 9]] * 64, Sampler(1, 1.0, top_k=3), seeded(), alternatives=5))
    allowed = {token for token, _ in drawn[0].top[0]}
    assert len(allowed) == 3  # the others have probability 0 and are not listed
    assert set(drawn[0].tokens) == allowed
    assert sum(math.exp(logp) for _, logp in drawn[0].top[0]) == pytest.approx(1.0, abs=1e-5)


def test_top_p_keeps_the_fewest_that_reach_it(backbone, monkeypatch):
    # probabilities .5 .3 .15 .05: 0.7 needs the first two, renormalised to .625 and .375
    def four(out, _):
        out[:, 10:14] = torch.tensor([0.5, 0.3, 0.15, 0.05]).log() + 30
        return out

    only(monkeypatch, backbone, four)
    (step,) = steps(backbone, "policy", [[7, 9]] * 64, Sampler(1, 1.0, top_p=0.7), seeded())
    assert set(step.tokens) == {10, 11}
    for token, logp in zip(step.tokens, step.logprobs, strict=True):
        assert logp == pytest.approx(torch.tensor(0.625 if token == 10 else 0.375).log().item(), abs=1e-5)


def test_top_p_never_leaves_nothing(backbone):
    (step,) = steps(backbone, "policy", [[7, 9]], Sampler(1, 1.0, top_p=1e-6), seeded(), alternatives=3)
    assert step.top[0] == [(step.tokens[0], 0.0)]


def test_draws_follow_the_probabilities(backbone, monkeypatch):
    def coin(out, _):
        out[:, 10], out[:, 11] = 30 + torch.tensor(0.75).log(), 30 + torch.tensor(0.25).log()
        return out

    only(monkeypatch, backbone, coin)
    (step,) = steps(backbone, "policy", [[7]] * 4000, Sampler(1), seeded(), slots=4000)
    share = step.tokens.count(10) / 4000
    assert share == pytest.approx(0.75, abs=0.028)  # four standard deviations


def test_an_answer_ends_with_its_end_token_and_leaves_the_batch(backbone, monkeypatch):
    def second_ends_at_the_third_token(out, n):
        out[:, 50] = 30.0
        if n == 2:
            out[1, END] = 60.0
        return out

    only(monkeypatch, backbone, second_ends_at_the_third_token)
    rows = [step.rows for step in steps(backbone, "policy", PROMPTS, Sampler(5), seeded())]
    assert rows == [[0, 1, 2]] * 3 + [[0, 2]] * 2
    only(monkeypatch, backbone, second_ends_at_the_third_token)
    answers = write(backbone, PROMPTS, Sampler(5))
    assert [a.tokens for a in answers] == [[50] * 5, [50, 50, END], [50] * 5]
    assert [a.finish for a in answers] == ["length", "eos", "length"]


def test_who_leaves_does_not_change_what_the_others_write(backbone):
    greedy = Sampler(10, temperature=0)
    together = [a.tokens for a in write(backbone, PROMPTS, greedy)]
    alone = [write(backbone, [prompt], greedy)[0].tokens for prompt in PROMPTS]
    assert together == alone
    found: list[list[int]] = [[], [], []]
    for step in steps(backbone, "policy", PROMPTS, greedy, seeded(), stopped=lambda row: row == 0):
        for row, token in zip(step.rows, step.tokens, strict=True):
            found[row].append(token)
    assert found == [alone[0][:1], *alone[1:]]


def test_it_stops_where_the_model_has_no_more_room(backbone):
    context = backbone.base.context
    (answer,) = write(backbone, [[7] * (context - 3)], Sampler(50, temperature=0))
    assert len(answer.tokens) <= 3 and (len(answer.tokens) == 3 or answer.finish == "eos")
    assert write(backbone, [[7] * context], Sampler(50))[0].tokens == []


def test_logits_that_are_no_numbers_end_in_a_sentence(backbone, monkeypatch):
    def broken(out, n):
        if n == 1:
            out[2, 5] = float("nan")
        return out

    only(monkeypatch, backbone, broken)
    with pytest.raises(NotFinite, match="answer 2 at token 2"):
        write(backbone, PROMPTS, Sampler(5))


def test_between_is_called_after_every_token(backbone):
    calls = []
    complete(backbone, "policy", [[7, 9]], Sampler(4, temperature=0), seeded(), lambda: calls.append(1))
    assert 1 <= len(calls) <= 4
