"""The numbers that pick tokens, and the picking."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.models.drawing import Noise, Sampler, draw

CPU = torch.device("cpu")


def noise(answers=1, seed=0):
    return Noise(answers, torch.Generator().manual_seed(seed), CPU)


def grid(answers, places, seed=0):
    rows, columns = torch.meshgrid(torch.arange(answers), torch.arange(places), indexing="ij")
    return noise(answers, seed).at(rows.flatten(), columns.flatten()).view(answers, places)


def test_the_first_numbers_are_those_of_splitmix():
    """Worked out with Python's whole numbers: SplitMix64's finaliser of seed + n * step, again of that + t * step."""
    seed = int(torch.randint(1 << 62, (1,), generator=torch.Generator().manual_seed(0)))
    full, step = (1 << 64) - 1, 0x9E3779B97F4A7C15

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & full
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & full
        return x ^ (x >> 31)

    def at(n, t):
        return (mix((mix((seed + step * (n + 1)) & full) + step * (t + 1)) & full) >> 16) / 2**48

    assert grid(3, 4).tolist() == [[at(n, t) for t in range(4)] for n in range(3)]


def test_numbers_are_uniform_and_those_of_neighbours_have_nothing_to_do_with_each_other():
    found = grid(200, 200)
    assert found.min() >= 0 and found.max() < 1
    # Standard deviations for 40,000 uniform numbers: 0.0014 of the mean, 0.005 of a correlation.
    assert found.mean() == pytest.approx(0.5, abs=0.006)
    counts = torch.histc(found.float(), 10, 0, 1)
    assert ((counts - 4000) ** 2 / 4000).sum() < 27.9  # chi-squared with nine degrees of freedom, one in a thousand
    centred = (found - 0.5) * 12**0.5
    for shifted in (centred.roll(1, 0), centred.roll(1, 1), centred.t()):
        assert (centred * shifted).mean() == pytest.approx(0.0, abs=0.02)


def test_a_number_depends_on_seed_answer_and_place_and_not_on_how_many_answers_there_are():
    assert torch.equal(grid(2, 5), grid(9, 5)[:2])
    assert not torch.equal(grid(2, 5), grid(2, 5, seed=1))


def test_a_generator_is_asked_once_whatever_is_drawn():
    one, many = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    Noise(1, one, CPU)
    Noise(1000, many, CPU)
    assert torch.equal(one.get_state(), many.get_state())


def test_the_number_is_looked_up_in_the_sums_of_the_probabilities():
    logits = torch.tensor([0.5, 0.0, 0.3, 0.2]).log().repeat(6, 1)  # sums .5 .5 .8 1
    picks = torch.tensor([0.0, 0.499, 0.501, 0.799, 0.801, 1 - 2.0**-48], dtype=torch.float64)
    drawn = draw(logits, Sampler(1), picks)
    assert drawn.tokens.tolist() == [0, 0, 2, 2, 3, 3]  # never token 1, which has no share
    assert drawn.logp.exp().tolist() == pytest.approx([0.5, 0.5, 0.3, 0.3, 0.2, 0.2])


def test_a_temperature_sharpens_before_anything_is_looked_up():
    logits = torch.tensor([[0.8, 0.2]]).log()  # squared and made to sum to one: 16/17 and 1/17
    assert draw(logits, Sampler(1, 0.5), torch.tensor([0.94]).double()).tokens.item() == 0  # 16/17 is 0.9412
    assert draw(logits, Sampler(1, 0.5), torch.tensor([0.942]).double()).tokens.item() == 1
    assert draw(logits, Sampler(1, 0.5), torch.tensor([0.0]).double()).logp.exp().item() == pytest.approx(16 / 17)
