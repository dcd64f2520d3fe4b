"""Supervised fine-tuning as it runs: what it learns from, and how it ends when something is wrong."""

from __future__ import annotations

import errno

import pytest
import torch

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, CheckpointSaved, Metrics, Produced, RunFinished, Sample
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Demonstration, split_of
from rlhf_engine.data.turns import example
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.runtime import checkpoints
from rlhf_engine.runtime.context import adamw
from rlhf_engine.tasks.sft import train as sft
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients

QUICK = {"sample_every": 0, "evaluate_every": 0}


def end(said):
    assert isinstance(said[-1].event, RunFinished)
    return said[-1].event


def failed(said, message):
    assert end(said).outcome == "failed" and end(said).hint and not end(said).traceback, end(said)
    assert message in end(said).message
    return True


def alerts(said):
    return [e.event.text for e in said if isinstance(e.event, Alert)]


def test_exactly_the_answer_and_its_end_are_learned_from(small, monkeypatch):
    seen = []

    def spy(backbone, ids, attention, mask, **more):
        seen.extend(zip(ids, attention, mask, strict=True))
        return token_logprobs(backbone, ids, attention, mask, **more)

    monkeypatch.setattr(sft, "token_logprobs", spy)
    assert ended_well(small.run("mask", small.sft(epochs=0.3, **QUICK)))
    tokenizer = load_base(small.model, torch.device("cpu"), torch.float32).tokenizer
    assert len(seen) >= 16
    for ids, attention, mask in seen:
        real = attention.bool()
        prompt, answer = tokenizer.decode(ids[real & ~mask]), tokenizer.decode(ids[mask])
        number = prompt.removeprefix("<|user|>What is ").removesuffix("?<|end|><|assistant|>")
        assert number.isdigit() and answer == f"It is {number}.<|end|>"
        assert not (mask & ~real).any() and not mask[0]


TALK = [
    {"role": "user", "content": "Who is it?"},
    {"role": "assistant", "content": "It is Mara, who came over the hill."},
    {"role": "user", "content": "And now?"},
]
ROWS = [  # lengths differ: means of means would not do
    Demonstration(TALK if n % 2 else "What is it?", "It is " + "very " * n + "far.") for n in (0, 7, 1, 3, 0, 12, 2, 5)
]


def learned(small, inside, names=(), **settings):
    """What one step on `ROWS` measures, and its gradients."""
    spec = small.sft(batch_size=8, **settings)
    torch.manual_seed(0)
    backbone = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    backbone.add("policy", new_lora(spec), trainable=True)
    backbone.load_state("policy", {k: v + 0.02 * torch.randn_like(v) for k, v in backbone.state("policy").items()})
    hand = inside(spec)
    hand.keep_gradients()
    batch = [example(backbone.base.tokenizer, row, trained_on=spec.trained_on) for row in ROWS]
    values = sft.learn(backbone, batch, spec, hand.run, adamw(backbone.parameters_of("policy")), 1e-3, names)
    return values, hand.gradients[0]


@pytest.mark.parametrize(
    "settings",
    [{}, {"trained_on": "assistant turns"}, {"trained_on": "all tokens"}, {"neftune_alpha": 20.0}],
    ids=["answer", "turns", "all", "noise"],
)
def test_eight_by_one_learns_what_one_by_eight_learns_and_packing_changes_nothing(small, inside, settings):
    whole, a = learned(small, inside, micro_batch_size=8, **settings)
    cuts = [{"micro_batch_size": 1}, {"micro_batch_size": 3}]
    packed = [{"packing": True, "micro_batch_size": m, "max_tokens": t} for m, t in ((8, 256), (1, 256), (2, 90))]
    for cut in cuts + packed:
        values, b = learned(small, inside, **cut, **settings)
        assert equal_gradients(a, b), cut
        assert values["train/loss"] == pytest.approx(whole["train/loss"], abs=1e-5)
        assert values["train/token_accuracy"] == pytest.approx(whole["train/token_accuracy"], abs=1e-6)
        assert values["train/tokens"] == whole["train/tokens"]


def test_more_is_learned_from_turns_and_most_from_all_tokens(small, inside):
    tokens = [
        learned(small, inside, trained_on=what)[0]["train/tokens"]
        for what in ("answer", "assistant turns", "all tokens")
    ]
    tokenizer = load_base(small.model, torch.device("cpu"), torch.float32).tokenizer
    said = len(tokenizer("It is Mara, who came over the hill.<|end|>").input_ids)
    assert tokens[1] - tokens[0] == said * sum(row.prompt is TALK for row in ROWS)
    assert tokens[2] > tokens[1]


def test_packing_leaves_less_padding(small, inside):
    loose, packed = (learned(small, inside, micro_batch_size=8, packing=on, max_tokens=120)[0] for on in (False, True))
    assert 0 <= packed["train/padding"] < 0.2 * loose["train/padding"] < 0.2
    alone, _ = learned(small, inside, micro_batch_size=1)
    assert alone["train/padding"] == 0


def test_examples_that_see_each_other_are_found_out(small, inside, monkeypatch):
    """The negative control: packed rows, read as if each were one text."""
    apart, a = learned(small, inside, packing=True)
    hidden = Backbone.hidden
    monkeypatch.setattr(
        Backbone, "hidden", lambda self, ids, attention, _segments=None, **_: hidden(self, ids, attention)
    )
    mixed_up, b = learned(small, inside, packing=True)
    assert abs(apart["train/loss"] - mixed_up["train/loss"]) > 1e-3
    with pytest.raises(AssertionError):
        equal_gradients(a, b)


def test_a_packed_run_is_the_same_course(small):
    loose, packed = (
        small.run(f"packed-{on}", small.sft(packing=on, epochs=0.5, evaluate_every=2, sample_every=0))
        for on in (False, True)
    )
    assert ended_well(loose) and ended_well(packed)
    a, b = curve(loose), curve(packed)
    assert a.keys() == b.keys() and len(a) > 3
    for step in a:
        for name in ("train/loss", "heldout/loss"):
            assert a[step].get(name) == pytest.approx(b[step].get(name), abs=1e-4), (step, name)
        assert b[step]["train/padding"] <= a[step]["train/padding"]


def test_a_model_that_cannot_keep_examples_apart_is_refused(small, monkeypatch):
    hidden = Backbone.hidden
    monkeypatch.setattr(
        Backbone, "hidden", lambda self, ids, attention, _segments=None, **_: hidden(self, ids, attention)
    )
    assert failed(small.run("leaks", small.sft(packing=True)), "does not keep examples apart")


def test_the_loss_falls_and_everything_is_told(small):
    said = small.run("falls", small.sft())
    assert ended_well(said)
    steps = curve(said)
    assert steps[max(steps)]["train/loss"] < 0.6 * steps[1]["train/loss"]
    assert {"heldout/loss", "heldout/perplexity", "heldout/token_accuracy"} <= steps[max(steps)].keys()
    assert steps[max(steps)]["train/token_accuracy"] > steps[1]["train/token_accuracy"]
    assert any(isinstance(e.event, Sample) and e.event.reference.startswith("It is") for e in said)
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert (made.what, made.path) == ("adapter", "runs/falls/adapter")


def test_a_first_loss_is_the_base_models_own(small):
    """The adapter begins as nothing, so step 1 measures the base: the number must be its plain cross-entropy."""
    spec = small.sft(epochs=0.1, batch_size=72, micro_batch_size=72, **QUICK)
    said = small.run("first", spec)
    base = load_base(small.model, torch.device("cpu"), torch.float32)
    nats = tokens = 0.0
    for i in range(80):
        if split_of(f"What is {i}?") == "train":
            row = render(base.tokenizer, f"What is {i}?", f"It is {i}.")
            ids = torch.tensor([row.ids])
            labels = torch.where(torch.tensor([row.completion_mask]), ids, -100)
            with torch.no_grad():
                mean = base.model(input_ids=ids, labels=labels).loss.item()
            nats, tokens = nats + mean * sum(row.completion_mask), tokens + sum(row.completion_mask)
    used = curve(said)[1]["train/tokens"]
    tolerance = 1e-4 if used == tokens else 0.5  # a few rows may not fill the batch
    assert curve(said)[1]["train/loss"] == pytest.approx(nats / tokens, abs=tolerance)


def of_split(split, count=12):
    prompts = (f"Word {i}?" for i in range(10_000))
    return [p for p, _ in zip((p for p in prompts if split_of(p) == split), range(count), strict=False)]


def test_only_held_out_prompts_are_nothing_to_train_on(small):
    rows = [Demonstration(p, "Yes.") for p in of_split("heldout")]
    ref = freeze(small.root, "demonstrations", rows, "only held out", "test", {}).ref
    assert failed(small.run("empty", small.sft(dataset=ref)), "only held out has no demonstrations to train on.")


def test_the_wrong_kind_of_data_is_named(small):
    assert failed(small.run("kind", small.sft(dataset=small.prompts)), "demonstrations")
    assert failed(small.run("gone", small.sft(dataset="dataset:0000000000000000")), "0000000000000000")


def test_what_is_too_long_is_left_out_and_counted(small):
    short = [Demonstration(p, "Yes.") for p in of_split("train")]
    long = [Demonstration(p, "Yes. " * 300) for p in of_split("train", 15)[12:]]
    held = [Demonstration(p, "Yes. " * 300) for p in of_split("heldout", 2)]
    ref = freeze(small.root, "demonstrations", short + long + held, "long", "test", {}).ref
    said = small.run("long", small.sft(dataset=ref, epochs=1))
    assert ended_well(said)  # although everything held out is too long to be measured
    assert any("3 of 15 demonstrations (train) are longer than 256 tokens" in text for text in alerts(said))
    assert any("2 of 2 demonstrations (heldout)" in text for text in alerts(said))
    assert [e.event.step for e in said if isinstance(e.event, Metrics)] == [1]


def test_when_all_is_too_long_nothing_is_trained(small):
    ref = freeze(
        small.root, "demonstrations", [Demonstration(p, "Yes. " * 300) for p in of_split("train")], "l", "t", {}
    ).ref
    assert failed(small.run("all-long", small.sft(dataset=ref)), "All 12 demonstrations (train) are longer than 256")


def test_a_loss_that_is_no_number_ends_the_run_and_costs_only_its_steps(small, monkeypatch):
    spec = small.sft(epochs=1, **QUICK)
    whole = small.run("finite", spec)
    real, calls = sft.nll_loss, []

    def poisoned(*args):
        calls.append(1)
        return real(*args) * (float("nan") if len(calls) == 10 else 1)  # the fifth step, second half

    monkeypatch.setattr(sft, "nll_loss", poisoned)
    said = small.run("nan", spec)
    assert failed(said, "no longer a finite number") and "checkpoint" in end(said).hint
    found = checkpoints.newest(small.root / "runs" / "nan" / "checkpoints")
    assert found is not None and found.step == 4
    assert all(torch.isfinite(t).all() for t in found.load()["things"]["policy"]["adapter"].values())
    monkeypatch.undo()
    rest = small.run("nan", spec, resume=True)
    assert ended_well(rest) and curve(said) | curve(rest) == curve(whole)


def test_a_full_disk_ends_in_a_sentence_and_the_last_checkpoint_stays(small, monkeypatch):
    write, calls = checkpoints._write, []

    def full(folder, state):
        calls.append(1)
        if len(calls) == 2:
            folder.mkdir()
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        write(folder, state)

    monkeypatch.setattr(checkpoints, "_write", full)
    said = small.run("full", small.sft(epochs=1, **QUICK))
    assert failed(said, "The checkpoint of step 4 could not be written")
    assert "resume the run" in end(said).hint
    assert [e.event.step for e in said if isinstance(e.event, CheckpointSaved)] == [2]
    assert checkpoints.newest(small.root / "runs" / "full" / "checkpoints").step == 2


def test_a_run_goes_on_from_another_runs_result(small):
    said = small.run("more", small.sft(model="run:sft", epochs=0.2, **QUICK))
    assert ended_well(said)
    fresh = small.run("fresh-start", small.sft(epochs=0.2, **QUICK))
    assert curve(said)[1]["train/loss"] < 0.9 * curve(fresh)[1]["train/loss"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0.0),
        ("learning_rate", 1.0),
        ("batch_size", 0),
        ("model", ""),
        ("dtype", "fp8"),
        ("lora_rank", 2.5),
        ("seed", True),
    ],
)
def test_a_setting_that_does_not_hold_is_named(small, field, value):
    with pytest.raises(SpecError) as error:
        small.sft(**{field: value})
    assert error.value.field == field
