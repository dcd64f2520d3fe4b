"""Reward modelling as it runs: gradients, normalising, and how it ends when something is wrong."""

from __future__ import annotations

import json
import math

import pytest
import torch

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Alert, Curve, Metrics, Produced, RunFinished, Sample
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, half_of, split_of
from rlhf_engine.launch.execute import execute
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.heads import ScalarHead
from rlhf_engine.models.load import load_base
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.tasks.reward import train as reward
from rlhf_engine.tasks.reward.groups import Pair, bootstrap_weights, grouped
from rlhf_engine.tasks.reward.ties import TieThreshold
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

QUICK = {"sample_every": 0, "evaluate_every": 0}


def said_of_prompts():
    """Twelve comparisons of five prompts with up to four answers each, ties among them: what grouping has to sort."""
    texts = [
        "It is far.",
        "It is very very far, so far that nobody went.",
        "No.",
        "I do not know, but we can find out.",
    ]
    said = [
        *[(0, 1, 2, 3), (0, 0, 2, 1), (0, 0, 1, 2), (0, 3, 2, 0)],
        *[(1, 1, 0, 1), (1, 0, 3, 2), (1, 1, 3, 3)],
        *[(2, 2, 3, 2), (2, 0, 1, 0)],
        *[(3, 3, 0, 1), (3, 3, 1, 1)],
        *[(4, 0, 2, 2)],
    ]
    return [Comparison(f"Where is {n}?", texts[a], texts[b], strength) for n, a, b, strength in said]


def learned(small, inside, micro, rows=None, **changed):
    """What one step says, its gradients by parameter, and how many micro-batches it took."""
    spec = small.reward(micro_batch_size=micro, batch_size=64, **changed)
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add("reward", new_lora(spec), trainable=True)
    backbone.load_state("reward", {k: v + 0.02 * torch.randn_like(v) for k, v in backbone.state("reward").items()})
    head = ScalarHead(backbone.hidden_size, count=spec.heads, rule=spec.ensemble_score, k=spec.ensemble_k)
    backbone.put_head("reward", head, trainable=True)
    hand = inside(spec)
    hand.keep_gradients()
    tokenizer, pairs, passes = backbone.base.tokenizer, [], []
    for row in rows if rows is not None else said_of_prompts():
        good, bad = (render(tokenizer, row.prompt, text) for text in (row.chosen, row.rejected))
        pairs.append(Pair(good.ids, bad.ids, good.prompt_length, row))
    groups = grouped(pairs, "Those", spec, hand.run)
    optimizer = optimizer_for(backbone, "reward", spec)
    ties = TieThreshold.of(spec, groups)
    if ties.learned:
        ties.join(optimizer, spec.learning_rate)
    each_score = backbone.each_score
    backbone.each_score = lambda *given: passes.append(1) or each_score(*given)
    values = reward.learn(backbone, groups, ties, spec, hand.run, optimizer, 1e-3)
    return values, hand.gradients[0], len(passes)


SETTINGS = {
    "pairs": {"margin": 0.3, "label_smoothing": 0.1, "centering": 0.05},
    "split": {"ties": "split", "margin": 0.3},
    "prompts": {"grouping": "prompts", "ties": "rao-kupper", "margin": 0.3, "label_smoothing": 0.1},
    "fixed threshold": {"ties": "rao-kupper", "tie_theta": 1.7},
    "best": {"grouping": "best", "centering": 0.05},
    "order": {"grouping": "order"},
    "heads": {"grouping": "prompts", "ties": "split", "heads": 3, "ensemble_score": "min"},
    "heads of lists": {"grouping": "best", "heads": 2},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_eight_by_one_learns_what_one_by_eight_learns(small, inside, settings):
    cuts = [learned(small, inside, micro, **settings) for micro in (16, 1, 3)]
    assert cuts[0][2] == 1 < cuts[2][2] <= cuts[1][2]
    for values, gradients, _ in cuts[1:]:
        assert equal_gradients(cuts[0][1], gradients)
        assert values == pytest.approx(cuts[0][0], abs=1e-5)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_order_of_the_comparisons_does_not_matter(small, inside, settings):
    values, gradients, _ = learned(small, inside, 16, **settings)
    turned, back, _ = learned(small, inside, 16, said_of_prompts()[::-1], **settings)
    assert equal_gradients(gradients, back) and turned == pytest.approx(values, abs=1e-5)


def test_an_answer_of_several_comparisons_is_scored_once(small, inside, monkeypatch):
    scored = []
    each_score = Backbone.each_score

    def spy(self, name, sequences, micro_batch=64):
        scored.append(len(sequences))
        return each_score(self, name, sequences, micro_batch)

    monkeypatch.setattr(Backbone, "each_score", spy)
    learned(small, inside, 64, ties="split")
    learned(small, inside, 64, ties="split", grouping="prompts")
    assert scored == [24, 16]  # two of each comparison; 4 + 3 + 4 + 3 + 2 answers of five prompts


def test_each_prompt_has_the_same_say_however_much_was_said_of_it(small, inside):
    """One comparison said thrice is one comparison, where prompts are examples; by itself it would count thrice."""
    first, other = said_of_prompts()[0], said_of_prompts()[11]
    _, once, _ = learned(small, inside, 16, [first, other], grouping="prompts")
    _, thrice, _ = learned(small, inside, 16, [first, first, first, other], grouping="prompts")
    assert equal_gradients(once, thrice)
    _, by_pairs, _ = learned(small, inside, 16, [first, first, first, other])
    assert max(float((a - b).abs().max()) for a, b in zip(once, by_pairs, strict=True)) > 1e-3


def test_one_comparison_a_prompt_is_the_same_in_every_grouping(small, inside):
    rows = [row for row in said_of_prompts() if row.strength][::4]
    assert len({row.prompt for row in rows}) == len(rows)
    values, gradients, _ = learned(small, inside, 16, rows, centering=0.05)
    for grouping in ("prompts", "best", "order"):
        same, equal, _ = learned(small, inside, 16, rows, grouping=grouping, centering=0.05)
        assert equal_gradients(gradients, equal) and same == pytest.approx(values, abs=1e-5)


def test_a_tie_alone_pulls_scores_together_and_says_nothing_of_accuracy(small, inside):
    tie = [row for row in said_of_prompts() if row.tied][:1]
    values, gradients, _ = learned(small, inside, 8, tie, ties="split", centering=0.0)
    assert values.keys() == {"train/loss", "train/centre", "train/grad_norm"} and values["train/loss"] > math.log(2)
    turned = [Comparison(tie[0].prompt, tie[0].rejected, tie[0].chosen, 0)]
    assert equal_gradients(gradients, learned(small, inside, 8, turned, ties="split", centering=0.0)[1])


def test_heads_learn_from_the_prompts_they_drew(small, inside):
    """The gradient of a head that did not draw a prompt is zero, whatever the others do."""
    weights = {n: bootstrap_weights(f"Where is {n}?", 3, 0) for n in range(5)}
    n = next(n for n in weights if 0.0 in weights[n] and any(weights[n]))
    rows = [row for row in said_of_prompts() if row.prompt == f"Where is {n}?"]
    _, gradients, _ = learned(small, inside, 8, rows, grouping="prompts", heads=3)
    (of_heads,) = [g for g in gradients if g.shape == (3, 32)]
    assert [bool(row.abs().sum() > 0) for row in of_heads] == [weight > 0 for weight in weights[n]]


def test_it_learns_to_tell_the_sides_apart(small):
    said = small.run("apart", small.reward())
    assert ended_well(said)
    steps = curve(said)
    last = steps[max(steps)]
    assert last["heldout/accuracy"] >= 0.9 and last["heldout/margin"] > 0.5
    assert last["heldout/loss"] < steps[3]["heldout/loss"] < 1.5
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.what == "reward_model" and made.facts["heldout/accuracy"] == last["heldout/accuracy"]
    samples = [e.event for e in said if isinstance(e.event, Sample)]
    assert samples and all(s.score is not None and s.reference.startswith("No idea") for s in samples)
    curves = [e.event for e in said if isinstance(e.event, Curve)]
    assert [c.step for c in curves] == [step for step in steps if "heldout/loss" in steps[step]]
    assert all(sum(c.columns["count"]) == made.facts["heldout_pairs"] for c in curves)


def of_split(split, count=12):
    prompts = (f"Word {i}?" for i in range(10_000))
    return [p for p, _ in zip((p for p in prompts if split_of(p) == split), range(count), strict=False)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Comparison(p, "Yes.", "No.") for p in of_split("heldout")], "has no comparisons to train on."),
        (
            [Comparison(p, "Yes. " * 300, "No.") for p in of_split("train")],
            "All 12 comparisons (train) are longer than 256",
        ),
    ],
    ids=["held out", "too long"],
)
def test_nothing_to_train_on_ends_in_a_sentence(small, rows, message):
    ref = freeze(small.root, "comparisons", rows, "bad", "test", {}).ref
    end = small.run("bad", small.reward(dataset=ref))[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed" and end.hint and not end.traceback
    assert message in end.message


def test_prompts_are_no_comparisons(small):
    end = small.run("kind", small.reward(dataset=small.prompts))[-1].event
    assert end.outcome == "failed" and "comparisons" in end.message and not end.traceback


def test_a_pair_is_left_out_when_either_side_is_too_long(small):
    rows = [Comparison(p, "Yes.", "No.") for p in of_split("train", 8)]
    rows += [Comparison(p, "Yes.", "No. " * 300) for p in of_split("train", 9)[8:]]
    rows += [Comparison(p, "Yes. " * 300, "No.") for p in of_split("train", 10)[9:]]
    ref = freeze(small.root, "comparisons", rows, "long", "test", {}).ref
    said = small.run("long-pairs", small.reward(dataset=ref, epochs=1, normalise_on=0))
    assert ended_well(said)
    assert any(isinstance(e.event, Alert) and "2 of 10 comparisons (train)" in e.event.text for e in said)


# Whole runs with all of it -----------------------------------------------------------------------------------------


FULL = {"grouping": "prompts", "ties": "rao-kupper", "heads": 3, "ensemble_score": "lower", "ensemble_k": 0.5}


@pytest.mark.parametrize(
    "settings",
    [FULL, {"grouping": "best"}, {"grouping": "order"}, {"ties": "split", "margin": 0.5}],
    ids=["prompts", "best", "order", "split"],
)
def test_it_learns_an_order_whatever_the_grouping(small, settings):
    spec = small.reward(dataset=small.ranked(), epochs=6 if "grouping" in settings else 2, normalise_on=8, **settings)
    said = small.run(f"many-{settings.get('grouping')}", spec)
    assert ended_well(said)
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.facts["heldout/accuracy"] >= 0.8
    assert made.facts["heldout_ties"] == made.facts["heldout_pairs"] / 5
    if settings.get("heads"):
        assert made.facts["heldout/disagreement"] > 0 and 1.0 < made.facts["tie_theta"] < 10
    about = json.loads((small.root / "runs" / said[0].run_id / "adapter/model.json").read_text())
    assert about["prompts_from"] == "all" and about["facts"] == made.facts


def test_a_run_with_heads_and_a_learned_threshold_is_resumed_bit_by_bit(small):
    spec = small.reward(dataset=small.ranked(), epochs=2, normalise_on=8, checkpoint_every=1, **FULL)
    whole = small.run("full-whole", spec)
    control, said = RunControl(), []

    def suspend_at_three(envelope):
        said.append(envelope)
        if isinstance(envelope.event, Metrics) and envelope.event.step == 3:
            control.suspend()

    assert execute("full-cut", spec, suspend_at_three, control, small.root).outcome == "suspended"
    rest = small.run("full-cut", spec, resume=True)
    assert ended_well(rest) and curve(said + rest) == curve(whole) and len(curve(whole)) > 5
    for file in ("adapter_model.safetensors", "head.safetensors"):
        one, two = ((small.root / "runs" / run / "adapter" / file).read_bytes() for run in ("full-whole", "full-cut"))
        assert one == two


def test_a_gold_proxy_never_meets_the_proxys_prompts(small, monkeypatch):
    met = {}
    learn = reward.learn

    def spy(backbone, batch, *rest):
        texts = (backbone.base.tokenizer.decode(group.answers[0]) for group in batch)
        met.setdefault(half, set()).update(text.split("?")[0] for text in texts)
        return learn(backbone, batch, *rest)

    monkeypatch.setattr(reward, "learn", spy)
    for half in ("first half", "second half"):
        run_id = half.replace(" ", "-")
        assert ended_well(small.run(run_id, small.reward(prompts_from=half, epochs=2, normalise_on=8, **QUICK)))
        about = json.loads((small.root / "runs" / run_id / "adapter/model.json").read_text())
        assert about["prompts_from"] == half
    assert min(len(prompts) for prompts in met.values()) > 20 and not met["first half"] & met["second half"]


def test_no_prompt_in_a_half_is_a_sentence(small):
    prompt = next(p for p in of_split("train", 20) if half_of(p) == "first")
    ref = freeze(small.root, "comparisons", [Comparison(prompt, "Yes.", "No.")], "one", "test", {}).ref
    end = small.run("half", small.reward(dataset=ref, prompts_from="second half"))[-1].event
    assert end.outcome == "failed" and "one has no comparisons to train on in the second half of" in end.message


def test_an_unmeasured_model_is_not_handed_over_in_silence(small):
    rows = [Comparison(p, "Yes.", "No.") for p in of_split("train", 12)]
    ref = freeze(small.root, "comparisons", rows, "all train", "test", {}).ref
    said = small.run("unmeasured", small.reward(dataset=ref, normalise_on=0))
    assert ended_well(said)
    assert any(isinstance(e.event, Alert) and "no held-out comparisons" in e.event.text for e in said)
