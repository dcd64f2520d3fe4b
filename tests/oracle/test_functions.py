"""Pieces that both sides have as a function: penalties of the reward, log-probabilities and entropy, log(1 - exp)."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from transformers.integrations.neftune import neftune_post_forward_hook
from trl.experimental.orpo.orpo_trainer import log1mexp as their_log1mexp
from trl.rewards import get_repetition_penalty_reward, get_soft_overlong_punishment
from trl.trainer.utils import selective_log_softmax_and_entropy

from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.preferences.losses import log1mexp
from rlhf_engine.rewards.shaping import overlong_penalty, repetition_penalty
from rlhf_engine.tasks.sft.neftune import embedding_noise
from tests.oracle.ours import open_ours


def test_the_overlong_penalty_is_the_same_at_every_length():
    lengths = list(range(1, 31))
    theirs = get_soft_overlong_punishment(max_completion_len=24, soft_punish_cache=7)([[0] * n for n in lengths])
    assert overlong_penalty(torch.tensor(lengths), limit=24, buffer=7).tolist() == pytest.approx(theirs)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_repetition_penalty_is_the_same_on_any_tokens(n):
    chance = torch.Generator().manual_seed(n)
    answers = [torch.randint(0, 4, (length,), generator=chance).tolist() for length in range(14)]
    theirs = get_repetition_penalty_reward(ngram_size=n, max_penalty=-0.7)(answers)
    assert repetition_penalty(answers, 0.7, n).tolist() == pytest.approx(theirs)
    assert min(theirs) < -0.1


def test_log_probabilities_and_entropy_are_the_same(folder):
    backbone = open_ours(folder, "policy")
    ids = torch.randint(5, 300, (3, 9), generator=torch.Generator().manual_seed(0))
    attention, mask = torch.ones_like(ids), torch.ones_like(ids).bool()
    mask[:, :3] = False
    with torch.no_grad(), backbone.acting_as("policy"):
        ours = token_logprobs(backbone, ids, attention, mask, temperature=0.6)
        logits = backbone.base.model(input_ids=ids, attention_mask=attention).logits
    logp, entropy = selective_log_softmax_and_entropy(logits[:, :-1], ids[:, 1:], temperature=0.6)
    torch.testing.assert_close(ours.logp[:, 3:], logp[:, 2:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.entropy[:, 3:], entropy[:, 2:], rtol=1e-5, atol=1e-5)


def test_log_of_one_minus_exp_is_the_same_and_ours_has_a_slope_everywhere():
    """Where an answer is certain, theirs has the gradient NaN, since `where` passes on that of the branch not taken."""
    x = -torch.logspace(-6, 2, 200)
    torch.testing.assert_close(log1mexp(x), their_log1mexp(x), rtol=1e-6, atol=1e-7)

    def slope(function, at):
        point = torch.tensor([at], requires_grad=True)
        function(point).sum().backward()
        return point.grad

    assert slope(their_log1mexp, -1e-9).isnan().all()
    assert slope(log1mexp, -1e-9).isfinite().all()


def test_embedding_noise_is_as_strong_as_theirs_where_nothing_is_padded():
    """Transformers, which TRL uses for it, takes the padded length for L: there, an example's noise is the weaker the
    longer those are that it is laid beside. Ours follows the paper: L is the example's own length.
    """
    width, alpha = 2048, 5.0

    def theirs(length: int) -> float:
        table = torch.nn.Embedding(3, width)
        table.neftune_noise_alpha = alpha
        before = table(torch.zeros(1, length, dtype=torch.int64))
        return float((neftune_post_forward_hook(table, None, before) - before).detach().abs().max())

    ours = embedding_noise(torch.tensor([[1] * 6 + [0] * 10, [2] * 16]), width, alpha, seed=3).abs().amax((1, 2))
    for length, noise in zip((6, 16), ours.tolist(), strict=True):  # the largest of so many is the bound
        assert noise == pytest.approx(alpha / (length * width) ** 0.5, rel=1e-3)
        assert noise == pytest.approx(theirs(length), rel=2e-3)
