"""A token's log-probability is its own: neighbours, padding and chunks change nothing."""

from __future__ import annotations

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from rlhf_engine.data.batches import left_pad, right_pad
from rlhf_engine.models import logprobs
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.endings import Endings
from rlhf_engine.models.load import LoadedBase
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.sampling import Sampler, complete
from tests.engine.tiny import PAD

ROWS = [[7, 9, 30, 41, 12], [5, PAD, 8, PAD, 9, 10, 60, 61, PAD, 3, 1], [20, 21, PAD]]  # pad ids are text here too


def alone(backbone, row, temperature=1.0):
    ids = torch.tensor([row])
    mask = torch.ones_like(ids, dtype=torch.bool)
    mask[:, 0] = False
    return token_logprobs(backbone, ids, torch.ones_like(ids), mask, temperature)


def first_off(mask):
    """`mask` without the first real token of each row, which nothing predicts."""
    return mask & (mask.long().cumsum(1) > 1)


@pytest.mark.parametrize("pad", [right_pad, left_pad])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_a_sample_alone_equals_the_sample_in_a_padded_batch(backbone, pad, temperature):
    ids, real = pad(ROWS, PAD, 20)
    with torch.no_grad(), backbone.acting_as("policy"):
        batch = token_logprobs(backbone, ids, real.long(), first_off(real), temperature)
        for i, row in enumerate(ROWS):
            single = alone(backbone, row, temperature)
            here = first_off(real)[i]
            torch.testing.assert_close(batch.logp[i][here], single.logp[0, 1:], atol=1e-5, rtol=0)
            torch.testing.assert_close(batch.entropy[i][here], single.entropy[0, 1:], atol=1e-5, rtol=0)
            assert batch.best[i][here].tolist() == single.best[0, 1:].tolist()
            assert not batch.logp[i][~here].any()


def test_it_is_the_log_softmax_of_the_whole_model(backbone):
    ids = torch.tensor(ROWS[:1])
    with torch.no_grad(), backbone.acting_as("policy"):
        logits = backbone.base.model(input_ids=ids, use_cache=False).logits.float()
        found = alone(backbone, ROWS[0], 0.7)
    table = (logits[0, :-1] / 0.7).log_softmax(-1)
    torch.testing.assert_close(found.logp[0, 1:], table.gather(1, ids[0, 1:, None])[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found.entropy[0, 1:], -(table.exp() * table).sum(-1), atol=1e-5, rtol=0)


def test_temperature_two_of_logits_0_and_ln_9_makes_three_to_one(backbone, monkeypatch):
    """By hand: logits ln 9 and 0 at temperature 2 are ln 3 and 0, so the probabilities are 3/4 and 1/4."""
    table = torch.tensor([[2.1972246, 0.0]]).log()
    monkeypatch.setattr(type(backbone), "output_matrix", lambda _self: None)
    monkeypatch.setattr(type(backbone), "logits", lambda _self, rows: table.exp().expand(len(rows), 2))
    ids = torch.tensor([[0, 0, 1]])
    found = token_logprobs(backbone, ids, torch.ones_like(ids), torch.tensor([[False, True, True]]), temperature=2.0)
    assert found.logp.exp()[0].tolist() == pytest.approx([1.0, 0.75, 0.25])
    assert found.entropy[0, 1].item() == pytest.approx(0.562335, abs=1e-6)  # -(3/4 ln 3/4 + 1/4 ln 1/4)
    assert found.best[0].tolist() == [False, True, False]


def test_the_same_by_hand_from_an_output_matrix():
    """A state of 1 before the matrix (ln 9, 0) at temperature 2. The slope of the log-probability along the logits is
    (1 - 3/4, -1/4) / 2, and that along the state is its product with the matrix; the entropy's is -p (l + H) / 2."""
    state, matrix = torch.ones(1, 1, requires_grad=True), torch.tensor([[2.1972246], [0.0]], requires_grad=True)
    logp, entropy, best = logprobs._Measured.apply(state, matrix, torch.tensor([0]), 2.0)
    assert logp.exp().item() == pytest.approx(0.75)
    assert entropy.item() == pytest.approx(0.562335, abs=1e-6)
    assert best.tolist() == [1.0]
    of_logp = torch.autograd.grad(logp, (state, matrix), retain_graph=True)
    assert of_logp[0].item() == pytest.approx(0.125 * 2.1972246)
    assert of_logp[1].flatten().tolist() == pytest.approx([0.125, -0.125])
    of_entropy = torch.autograd.grad(entropy, matrix)[0].flatten()
    first = -0.75 * (-0.2876821 + 0.5623351) / 2
    assert of_entropy.tolist() == pytest.approx([first, -first], abs=1e-6)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "computed again"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_output_matrix_alone_gives_what_autograd_gives(monkeypatch, kept, temperature):
    """In float64 by autograd, in fp32 by the formulas, three rows at a time."""
    monkeypatch.setattr(logprobs, "CACHED", 48 * 11)
    monkeypatch.setattr(logprobs, "CHUNK", 1 << 24 if kept else 1)
    torch.manual_seed(0)
    rows, matrix, targets = torch.randn(50, 6), torch.randn(11, 6), torch.randint(0, 11, (50,))
    pull = torch.randn(2, 50)
    found = []
    for dtype in (torch.float64, torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in (rows, matrix)]
        if dtype == torch.float32:
            logp, entropy, _ = logprobs._Measured.apply(*leaves, targets, temperature)
        else:
            table = (leaves[0] @ leaves[1].T / temperature).log_softmax(-1)
            logp, entropy = table.gather(1, targets[:, None])[:, 0], -(table.exp() * table).sum(-1)
        ((logp * pull[0]) + (entropy * pull[1])).sum().backward()
        found.append([x.detach().float() for x in (logp, entropy, leaves[0].grad, leaves[1].grad)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)


def test_chunks_change_neither_numbers_nor_gradients(backbone, monkeypatch):
    ids, real = right_pad(ROWS, PAD)
    found = []
    for chunk in (1 << 24, 3 * backbone.base.model.config.vocab_size):  # all at once, and three rows at a time
        monkeypatch.setattr(logprobs, "CHUNK", chunk)
        with backbone.acting_as("policy"):
            out = token_logprobs(backbone, ids, real.long(), first_off(real))
        (out.logp.sum() - 0.1 * out.entropy.sum()).backward()
        found.append(
            (out.logp.detach(), out.entropy.detach(), [p.grad.clone() for p in backbone.parameters_of("policy")])
        )
        for p in backbone.parameters_of("policy"):
            p.grad = None
    whole, cut = found
    torch.testing.assert_close(whole[:2], cut[:2], atol=1e-6, rtol=0)
    torch.testing.assert_close(whole[2], cut[2], atol=1e-4, rtol=1e-5)
    assert any(g.abs().max() > 1e-3 for g in whole[2])


def test_no_wanted_token_gives_zeros(backbone):
    ids = torch.tensor([[5, 6]])
    found = token_logprobs(backbone, ids, torch.ones_like(ids), torch.zeros_like(ids, dtype=torch.bool))
    assert not found.logp.any() and not found.best.any()


@pytest.mark.parametrize("pad", [right_pad, left_pad])
def test_padding_changes_nothing_where_positions_are_absolute(tmp_path, pad):
    """Llama's positions are relative, so a shift by padding would not show there; GPT-2 numbers them."""
    config = GPT2Config(
        vocab_size=80,
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).eval()
    backbone = Backbone(LoadedBase("gpt2", tmp_path, model, None, Endings((1,)), PAD, ""))
    ids, real = pad(ROWS, PAD, 20)
    with torch.no_grad():
        batch = token_logprobs(backbone, ids, real.long(), first_off(real)).logp
        for i, row in enumerate(ROWS):
            torch.testing.assert_close(
                batch[i][first_off(real)[i]], alone(backbone, row).logp[0, 1:], atol=1e-5, rtol=0
            )
    greedy = Sampler(6, temperature=0)
    together = complete(backbone, "", ROWS, greedy, torch.Generator())
    assert [a.tokens for a in together] == [
        complete(backbone, "", [r], greedy, torch.Generator())[0].tokens for r in ROWS
    ]
