"""KTO as it runs: its baseline, its balance, and learning from ratings alone."""

from __future__ import annotations

import json

import pytest
import torch

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Produced, Sample
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Rating, split_of
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.preferences.answers import answer_logprobs
from rlhf_engine.preferences.losses import kto_loss
from rlhf_engine.preferences.ratings import Rated, elsewhere, in_parts
from rlhf_engine.preferences.reference import POLICY, hold_reference, reference_logprobs
from rlhf_engine.tasks.kto import train as kto
from tests.engine.preferences.conftest import given, move
from tests.engine.preferences.test_pairs import of_split
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

QUICK = {"sample_every": 0, "evaluate_every": 0}
WEIGHTS = (1.5, 0.5)


def rated(backbone):
    prompts = [f"Where is number {n}?" for n in range(8)]
    texts = ["It is " + "very " * n + "far." for n in (0, 7, 1, 3, 5, 9, 2, 4)]
    answers = [given(backbone, p, t) for p, t in zip(prompts, texts, strict=True)]
    partners = elsewhere(answers, prompts, 256, 0)
    return [Rated(a, n % 3 != 0, b) for n, (a, b) in enumerate(zip(answers, partners, strict=True)) if b is not None]


def learned(small, inside, micro, seed=0, **changed):
    spec = small.kto(micro_batch_size=micro, batch_size=8, precompute_reference=False, **changed)
    torch.manual_seed(seed)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add(POLICY, new_lora(spec), trainable=True)
    hand = inside(spec)
    ratings = rated(backbone)
    hold_reference(backbone, resolve(spec.model, small.root), in_parts(ratings, 8), [], spec, hand.run)
    move(backbone)
    hand.keep_gradients()
    optimizer = optimizer_for(backbone, POLICY, spec)
    values = kto.learn(backbone, ratings, spec, WEIGHTS, hand.run, optimizer, 1e-3)
    return values, hand.gradients[0], backbone, ratings


def drifted(small, inside):
    """A seed for which the policy has drifted upwards: a baseline of 0 would hide where it comes from."""
    return next(s for s in range(20) if learned(small, inside, 8, s)[0]["train/baseline"] > 0.2)


def test_eight_by_one_learns_what_one_by_eight_learns(small, inside):
    seed = drifted(small, inside)
    (whole, a), (cut, b), (uneven, c) = (learned(small, inside, micro, seed)[:2] for micro in (8, 1, 3))
    assert equal_gradients(a, b) and equal_gradients(a, c)
    for name in whole:
        assert whole[name] == pytest.approx(cut[name], abs=1e-5) == pytest.approx(uneven[name], abs=1e-5), name


def test_the_step_is_the_formula_on_the_whole_batch(small, inside):
    seed = drifted(small, inside)
    values, _, backbone, ratings = learned(small, inside, 3, seed)

    @torch.no_grad()
    def ratio(answers):
        return answer_logprobs(backbone, POLICY, answers).total - reference_logprobs(backbone, answers)

    z = ratio([r.elsewhere for r in ratings]).mean().clamp(min=0)
    liked, d = torch.tensor([r.liked for r in ratings]), ratio([r.answer for r in ratings])
    assert values["train/baseline"] == pytest.approx(z.item(), abs=1e-4)
    assert values["train/loss"] == pytest.approx(kto_loss(d, liked, z, 0.1, *WEIGHTS).mean().item(), abs=1e-5)
    right = torch.where(liked, d > z, d < z).float().mean().item()
    assert values["train/accuracy"] == pytest.approx(right)
    assert values["train/chosen_reward"] == pytest.approx(0.1 * d[liked].mean().item(), abs=1e-5)
    assert values["train/rejected_reward"] == pytest.approx(0.1 * d[~liked].mean().item(), abs=1e-5)
    assert values["train/margin"] == pytest.approx(values["train/chosen_reward"] - values["train/rejected_reward"])


@pytest.mark.parametrize("precompute", [False, True])
def test_it_begins_at_half_the_weights_with_nothing_gained_or_lost(small, precompute):
    spec = small.kto(model="run:sft", epochs=0.2, desirable_weight=1.2, precompute_reference=precompute)
    said = small.run("start", spec)
    assert ended_well(said)
    before, first = curve(said)[0], curve(said)[1]
    assert before["heldout/loss"] == pytest.approx(0.55, abs=1e-6)  # as many liked as disliked: (1.2 + 1) / 2 / 2
    for name in ("margin", "chosen_reward", "rejected_reward", "baseline"):
        assert first[f"train/{name}"] == pytest.approx(0.0, abs=1e-4), name
        assert before[f"heldout/{name}"] == pytest.approx(0.0, abs=1e-4), name
    if not precompute:
        assert first["train/accuracy"] == 0.0 and before["heldout/margin"] == 0.0


def test_precomputed_equals_on_the_fly(small):
    a, b = (curve(small.run(f"kto-{p}", small.kto(model="run:sft", precompute_reference=p))) for p in (False, True))
    for step in a:
        for name in ("train/loss", "heldout/loss", "train/baseline"):
            if name in a[step]:
                assert a[step][name] == pytest.approx(b[step][name], abs=1e-5, rel=1e-5), (step, name)


def ratings_of(small, liked, name):
    """Of each prompt one answer, liked or not; nobody is asked to compare."""
    rows = [
        Rating(f"What is {i}?", f"It is {i}." if liked(i) else f"No idea about {i}", liked(i), "human")
        for i in range(80)
    ]
    return freeze(small.root, "ratings", rows, name, "test", {}).ref


def test_it_learns_from_ratings_alone(small):
    ref = ratings_of(small, lambda i: i % 2 == 0, "one each")
    said = small.run("alone", small.kto(dataset=ref, epochs=1.3))
    assert ended_well(said)
    steps = curve(said)
    last = steps[max(steps)]
    assert last["heldout/accuracy"] >= 0.9 and last["heldout/margin"] > 0.5
    assert last["train/loss"] < 0.35
    assert any(isinstance(e.event, Sample) for e in said)
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.facts["heldout/accuracy"] == last["heldout/accuracy"]
    about = json.loads((small.root / "runs/alone/adapter/model.json").read_text())
    assert (about["task"], about["dataset"]) == ("kto", ref)


@pytest.mark.parametrize(("liked", "text"), [(True, "ratings are likes"), (False, "is a like")])
def test_ratings_of_one_kind_are_said_to_be_little(small, liked, text):
    said = small.run("one-kind", small.kto(dataset=ratings_of(small, lambda _: liked, f"all {liked}"), epochs=0.3))
    assert ended_well(said)
    assert any(isinstance(e.event, Alert) and text in e.event.text and e.event.level == "warning" for e in said)
    names = set(curve(said)[1])
    assert ("train/chosen_reward" in names) is liked and ("train/rejected_reward" in names) is not liked
    assert "train/margin" not in names


def test_balance_gives_both_classes_the_same_say(small, inside):
    assert kto.balanced(30, 10, (1.0, 1.0)) == (1.0, 3.0)
    assert kto.balanced(10, 40, (4 / 3, 1.0)) == pytest.approx((16 / 3, 1.0))
    assert kto.balanced(7, 7, (1.0, 1.0)) == (1.0, 1.0)
    ref = ratings_of(small, lambda i: i % 4 == 0, "few likes")
    rows = [r for r in range(80) if split_of(f"What is {r}?") == "train"]
    likes = sum(i % 4 == 0 for i in rows)
    for balance, weights in (("auto", ((len(rows) - likes) / likes, 1.0)), ("given", (1.0, 1.0))):
        spec = small.kto(dataset=ref, balance=balance)
        hand = inside(spec)
        ratings = [Rated(None, i % 4 == 0, None) for i in rows]
        assert kto.weigh(ratings, spec, hand.run) == pytest.approx(weights)
        assert bool(hand.said) is (balance == "given")  # out of the paper's range
    text = hand.said[0].event.text
    assert f"are {likes / (len(rows) - likes):.2f} to 1" in text


def test_a_batch_without_one_class_says_nothing_of_it():
    sums = torch.tensor([2.0, 3.0, 4.0, 0.8, -6.0, 0.0, 0.0, 0.0])
    found = kto.told(kto.TRAIN, sums, torch.tensor(0.1))
    assert found == pytest.approx(
        {
            "train/loss": 0.5,
            "train/accuracy": 0.75,
            "train/chosen_reward": 0.2,
            "train/chosen_logp": -1.5,
            "train/baseline": 0.1,
        }
    )


def test_a_single_prompt_ends_in_a_sentence(small):
    (prompt,) = of_split("train", 1)
    ref = freeze(small.root, "ratings", [Rating(prompt, f"Yes {i}.", i > 2) for i in range(6)], "p", "test", {}).ref
    end = small.run("single", small.kto(dataset=ref))[-1].event
    assert end.outcome == "failed" and "are of one prompt" in end.message and end.hint and not end.traceback


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"batch_size": 1}, "batch_size"),
        ({"desirable_weight": 0.0, "undesirable_weight": 0.0}, "desirable_weight"),
        ({"balance": "equal"}, "balance"),
        ({"lora_dropout": 0.1}, "lora_dropout"),
        ({"undesirable_weight": -1.0}, "undesirable_weight"),
    ],
)
def test_a_setting_that_does_not_hold_is_named(small, changed, field):
    with pytest.raises(SpecError) as error:
        small.kto(**changed)
    assert error.value.field == field
