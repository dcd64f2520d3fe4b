"""The noise on embeddings: as large as the paper says, the same wherever an example lies, and only while learning."""

from __future__ import annotations

import math

import pytest
import torch

from rlhf_engine.data.packing import lay
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.tasks.sft import train as sft
from rlhf_engine.tasks.sft.neftune import embedding_noise, noisy, step_seed
from tests.engine.small_project import curve, ended_well

EXAMPLES = [[5] * 10, [6] * 40, [7] * 3]


@pytest.fixture
def backbone(small):
    return Backbone(load_base(small.model, torch.device("cpu"), torch.float32))


def test_its_size_goes_by_the_tokens_of_the_example_and_not_of_the_row():
    segments = lay([[0], [1]], EXAMPLES, 0).segments
    noise = embedding_noise(segments, width=50, alpha=5.0, seed=1)
    for row, length in ((0, 10), (1, 40)):
        most = 5.0 / math.sqrt(length * 50)
        drawn = noise[row, :length]
        assert 0.99 * most < drawn.abs().max() <= most
        # a uniform number on +-a has the variance a^2 / 3, so that the whole has length alpha / sqrt(3)
        assert drawn.norm().item() == pytest.approx(5.0 / math.sqrt(3), rel=0.05)
        assert drawn.mean().abs() < 0.1 * most
    assert noise[0, 10:].abs().max() == 0  # padding


def test_an_example_gets_the_same_noise_in_a_row_of_its_own_beside_others_and_in_any_micro_batch():
    alone = embedding_noise(lay([[0], [1], [2]], EXAMPLES, 0).segments, 8, 5.0, 3)
    together = embedding_noise(lay([[2, 1], [0]], EXAMPLES, 0).segments, 8, 5.0, 3)
    later = embedding_noise(lay([[1]], EXAMPLES, 0).segments, 8, 5.0, 3)
    assert torch.equal(together[0, :3], alone[2, :3]) and torch.equal(together[0, 3:], alone[1, :40])
    assert torch.equal(together[1, :10], alone[0, :10]) and torch.equal(later[0], alone[1])
    twins = embedding_noise(lay([[0], [1]], [[5] * 10, [5] * 10], 0).segments, 8, 5.0, 3)
    assert not torch.equal(twins[0], twins[1])  # what is equally long, and equal, still has noise of its own
    assert not torch.equal(embedding_noise(lay([[1]], EXAMPLES, 0).segments, 8, 5.0, 4)[0], later[0])


def test_the_model_is_noisy_inside_the_block_alone(backbone):
    laid = lay([[0], [2]], EXAMPLES, 0)
    seen = []
    handle = backbone.base.model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: seen.append(out))

    def embedded():
        seen.clear()
        with torch.no_grad():
            backbone.hidden(laid.ids, laid.real.long())
        return seen[0]

    calm = embedded()
    handle.remove()
    with noisy(backbone, laid.segments, 5.0, 9):
        handle = backbone.base.model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: seen.append(out))
        wild = embedded()
        handle.remove()
    expected = embedding_noise(laid.segments, calm.shape[-1], 5.0, 9)[laid.real]  # padding is not embedded
    assert torch.allclose((wild - calm)[0], expected, atol=1e-6) and expected.abs().max() > 0.1
    handle = backbone.base.model.get_input_embeddings().register_forward_hook(lambda _m, _i, out: seen.append(out))
    assert torch.equal(embedded(), calm)
    with pytest.raises(ZeroDivisionError), noisy(backbone, laid.segments, 5.0, 9):
        raise ZeroDivisionError
    assert torch.equal(embedded(), calm)
    handle.remove()


def test_no_noise_draws_no_numbers():
    rng = torch.Generator().manual_seed(0)
    before = rng.get_state()
    assert step_seed(0.0, rng) == 0 and torch.equal(rng.get_state(), before)
    assert step_seed(5.0, rng) != step_seed(5.0, rng)


def test_measuring_and_previews_are_free_of_it(small, monkeypatch):
    """Every forward pass of a run is learning, measuring or previewing: only the first kind may be noisy."""
    hidden, noisy_passes = Backbone.hidden, []
    learning = []

    def spy(self, ids, attention, segments=None, wanted=None):
        hooks = len(self.base.model.get_input_embeddings()._forward_hooks)
        noisy_passes.append((bool(learning), bool(hooks)))
        return hidden(self, ids, attention, segments, wanted)

    learn = sft.learn

    def flagged(*given):
        learning.append(1)
        try:
            return learn(*given)
        finally:
            learning.clear()

    monkeypatch.setattr(Backbone, "hidden", spy)
    monkeypatch.setattr(sft, "learn", flagged)
    settings = {"epochs": 0.3, "evaluate_every": 1, "sample_every": 1}
    assert ended_well(small.run("noise", small.sft(neftune_alpha=5.0, **settings)))
    assert set(noisy_passes) == {(True, True), (False, False)}


def test_a_run_with_noise_is_the_same_every_time_and_another_without(small):
    settings = {"epochs": 0.3, "evaluate_every": 0, "sample_every": 0}
    first, second, calm = (
        curve(small.run(name, small.sft(neftune_alpha=alpha, **settings)))
        for name, alpha in (("n1", 5.0), ("n2", 5.0), ("n3", 0.0))
    )
    assert first == second
    assert first[1]["train/loss"] != calm[1]["train/loss"]


def test_computing_activations_again_meets_the_same_noise(small):
    settings = {"epochs": 0.3, "evaluate_every": 0, "sample_every": 0, "neftune_alpha": 20.0, "packing": True}
    kept, again = (
        curve(small.run(f"again-{on}", small.sft(activation_checkpointing=on, **settings))) for on in (False, True)
    )
    for step in kept:
        assert again[step]["train/loss"] == pytest.approx(kept[step]["train/loss"], abs=1e-5)
        assert again[step]["train/grad_norm"] == pytest.approx(kept[step]["train/grad_norm"], rel=1e-5)
