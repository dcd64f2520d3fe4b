"""Several datasets in one run: drawn by their weights, measured apart, remembered by hash."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Metrics, RunFinished, RunStarted, Sample
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, Demonstration
from rlhf_engine.launch.execute import execute
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.order import Mixture
from rlhf_engine.tasks.sft import train as sft
from rlhf_engine.tasks.sft.parts import in_turn, open_parts
from tests.engine.small_project import curve, ended_well

QUICK = {"sample_every": 0, "evaluate_every": 0}


@pytest.fixture(scope="module")
def others(small):
    """Twenty capitals, whose name is a path, and forty comparisons, whose chosen answers are demonstrations too."""
    capitals = [Demonstration(f"Capital {i}?", f"Town {i}.") for i in range(20)]
    pairs = [Comparison(f"Sum {i}?", f"It makes {i}.", "No idea.") for i in range(40)]
    return (
        freeze(small.root, "demonstrations", capitals, "/home/carol/my capitals.jsonl", "test").ref,
        freeze(small.root, "comparisons", pairs, "sums", "test").ref,
    )


def entries(refs, weights):
    return [{"kind": "dataset", "dataset": ref, "weight": w} for ref, w in zip(refs, weights, strict=True)]


def drawn(small, run_id, monkeypatch, **settings):
    """How many examples of each dataset every step learned from, and what the run said."""
    taken, learn = [], sft.learn

    def spy(backbone, batch, spec, run, optimizer, rate, names):
        taken.append(Counter(names))
        return learn(backbone, batch, spec, run, optimizer, rate, names)

    monkeypatch.setattr(sft, "learn", spy)
    said = small.run(run_id, small.sft(**QUICK | settings))
    assert ended_well(said)
    return taken, said


def test_every_batch_is_drawn_by_weight(small, others, monkeypatch):
    taken, said = drawn(small, "by-weight", monkeypatch, epochs=0.5, mixture=entries(others, (2.0, 1.0)))
    assert {tuple(sorted(one.items())) for one in taken} == {(("d", 2), ("my_capitals", 4), ("sums", 2))}
    steps = curve(said)
    assert len(steps) == round(0.5 * (small_train(small, others) // 8))
    last = steps[max(steps)]
    capitals = sum(one["my_capitals"] for one in taken)
    assert last["train/epoch/my_capitals"] == pytest.approx(capitals / trained_rows(small, others[0]))


def trained_rows(small, ref):
    part = open_parts(small.sft(dataset=ref), _Here(small.root))[0]
    return len(part.demonstrations("train"))


def small_train(small, others):
    return sum(trained_rows(small, ref) for ref in (small.demonstrations, *others))


class _Here:
    def __init__(self, root):
        self.project_root = root


def test_by_size_all_datasets_are_laid_together(small, others, monkeypatch):
    settings = {"mixing": "by size", "mixture": entries(others, (1.0, 1.0)), "epochs": 1.0}
    taken, said = drawn(small, "by-size", monkeypatch, **settings)
    sums = sum(taken, Counter())
    for name, ref in (("d", small.demonstrations), ("my_capitals", others[0]), ("sums", others[1])):
        assert sums[name] == pytest.approx(trained_rows(small, ref), abs=3)  # what does not fill the last batch
    last = curve(said)[max(curve(said))]
    assert all(last[f"train/epoch/{name}"] == pytest.approx(1.0, abs=0.15) for name in sums)


@pytest.mark.parametrize("packing", [False, True])
def test_losses_of_the_datasets_add_up_to_that_of_the_step(small, others, monkeypatch, packing):
    nats_by_tokens, losses = {"train/loss": [], "heldout/loss": []}, sft.losses

    def spy(metric, names, nats, tokens):
        nats_by_tokens[metric].append(sum(nats) / sum(tokens))
        return losses(metric, names, nats, tokens)

    monkeypatch.setattr(sft, "losses", spy)
    settings = {"evaluate_every": 2, "mixture": entries(others, (1.0, 0.5)), "epochs": 0.3, "packing": packing}
    taken, said = drawn(small, f"apart-{packing}", monkeypatch, **settings)
    steps = curve(said)
    for step, values in steps.items():
        names = {name.rpartition("/")[2] for name in values if name.startswith("train/loss/")}
        assert names == set(taken[step - 1])
        assert values["train/loss"] == pytest.approx(nats_by_tokens["train/loss"][step - 1], abs=1e-5)
    measured = [values for values in steps.values() if "heldout/loss" in values]
    assert len(measured) >= 2
    for values, expected in zip(measured, nats_by_tokens["heldout/loss"], strict=False):  # once more at the end
        assert values["heldout/loss"] == pytest.approx(expected, abs=1e-5)
        parts = [value for name, value in values.items() if name.startswith("heldout/loss/")]
        assert len(parts) == 3 and min(parts) < values["heldout/loss"] < max(parts)


def test_the_loss_per_dataset_is_its_nats_by_its_tokens():
    found = sft.losses("train/loss", ["a", "b", "a"], [6.0, 5.0, 2.0], [3, 10, 1])
    assert found == {"train/loss/a": pytest.approx(2.0), "train/loss/b": pytest.approx(0.5)}
    assert sft.losses("train/loss", ["", ""], [6.0, 5.0], [3, 10]) == sft.losses("x", [], [1.0], [1]) == {}


def test_the_result_and_the_checkpoint_remember_every_dataset(small, others, monkeypatch):
    kept = {}
    keep = RunContext.keep
    monkeypatch.setattr(RunContext, "keep", lambda self, **given: (kept.update(given), keep(self, **given))[1])
    assert ended_well(small.run("told", small.sft(mixture=entries(others, (2.0, 0.5)), epochs=0.1, **QUICK)))
    about = json.loads((small.root / "runs" / "told" / "adapter" / "model.json").read_text(encoding="utf-8"))
    assert about["dataset"] == small.demonstrations
    assert about["mixture"] == [{"dataset": others[0], "weight": 2.0}, {"dataset": others[1], "weight": 0.5}]
    assert kept["inputs"]["mixture"] == " ".join(ref.removeprefix("dataset:") for ref in others)
    assert ended_well(small.run("alone", small.sft(epochs=0.1, **QUICK)))
    assert "mixture" not in kept["inputs"]
    about = json.loads((small.root / "runs" / "alone" / "adapter" / "model.json").read_text(encoding="utf-8"))
    assert "mixture" not in about


def test_equal_names_are_told_apart_and_samples_come_from_all(small, others):
    spec = small.sft(mixture=entries((small.demonstrations, *others), (1.0, 1.0, 1.0)))
    parts = open_parts(spec, _Here(small.root))
    assert [part.name for part in parts] == ["d", "d-2", "my_capitals", "sums"]
    shown = in_turn(parts, "heldout", 4)
    assert [row.prompt.split()[0] for row in shown] == ["What", "What", "Capital", "Sum"]
    said = small.run("shown", small.sft(mixture=entries(others, (1.0, 1.0)), epochs=0.2, sample_every=2))
    assert {e.event.prompt.split()[0] for e in said if isinstance(e.event, Sample)} == {"What", "Capital", "Sum"}


def test_one_dataset_alone_is_the_run_it_always_was(small):
    plain = small.run("plain", small.sft(epochs=0.3, **QUICK))
    again = small.run("plain-again", small.sft(epochs=0.3, mixture=[], mixing="by size", **QUICK))
    assert curve(plain) == curve(again)
    assert not any(name.count("/") > 1 for values in curve(plain).values() for name in values)


def test_a_dataset_that_cannot_be_mixed_in_is_named(small, others):
    def ends(run_id, ref):
        end = small.run(run_id, small.sft(mixture=entries((others[0], ref), (1.0, 1.0)), **QUICK))[-1].event
        assert isinstance(end, RunFinished) and end.outcome == "failed" and end.hint, end
        return end.message

    long = [Demonstration(f"Tell {i}.", "Yes. " * 300) for i in range(9)]
    assert "0000000000000000" in ends("gone", "dataset:0000000000000000")
    assert "holds prompts, but demonstrations are needed" in ends("kind", small.prompts)
    ref = freeze(small.root, "demonstrations", long, "long ones", "test").ref
    assert "demonstrations of long ones (train) are longer than 256 tokens" in ends("long", ref)


def test_what_is_too_long_is_counted_by_dataset(small, others):
    rows = [Demonstration(f"Say {i}.", "Yes. " * (300 if i < 5 else 1)) for i in range(60)]
    ref = freeze(small.root, "demonstrations", rows, "mixed", "test").ref
    said = small.run("left", small.sft(mixture=entries((ref,), (1.0,)), epochs=0.1, **QUICK))
    assert ended_well(said)
    assert any("demonstrations of mixed (train) are longer" in e.event.text for e in said if isinstance(e.event, Alert))


def test_a_file_that_changed_meanwhile_is_another_mixture(small, tmp_path):
    """The settings name a path, which stays the same: the checkpoint knows what was in it."""
    file = tmp_path / "more.jsonl"
    file.write_text("".join(f'{{"prompt": "Say {i}", "completion": "Yes {i}."}}\n' for i in range(40)))
    spec = small.sft(mixture=entries((str(file),), (1.0,)), epochs=0.5, **QUICK)
    control = RunControl()

    def suspend(envelope):
        if isinstance(envelope.event, Metrics) and envelope.event.step == 3:
            control.suspend()

    assert execute("changed", spec, suspend, control, small.root).outcome == "suspended"
    file.write_text(file.read_text().replace("Yes", "No"))
    end = small.run("changed", spec, resume=True)[-1].event
    assert end.outcome == "failed" and "was made with another mixture (" in end.message and end.hint


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"kind": "dataset", "dataset": ""}, "Mixed with, entry 1: Demonstrations has not been chosen."),
        ({"kind": "dataset", "dataset": "d", "weight": 0}, "Mixed with, entry 1: Weight is 0.0, but must be between"),
        ({"kind": "poems", "dataset": "d"}, "Mixed with, entry 1: there is no kind 'poems'."),
    ],
)
def test_an_entry_that_does_not_hold_is_named(small, entry, sentence):
    with pytest.raises(SpecError) as error:
        small.sft(mixture=[entry])
    assert error.value.field == "mixture" and str(error.value).startswith(sentence)


def test_steps_are_counted_and_numbered_as_ever(small, others):
    said = small.run("count", small.sft(mixture=entries(others, (1.0, 1.0)), epochs=0.4, **QUICK))
    totals = [e.event.total_steps for e in said if isinstance(e.event, RunStarted)]
    assert totals[-1] == len([e for e in said if isinstance(e.event, Metrics)]) == max(curve(said))


def test_without_its_place_in_the_mixture_another_run_is_gone_on_with(small, others, monkeypatch):
    """The negative control of resuming: what each dataset has left and is owed is needed."""
    spec = small.sft(mixture=entries(others, (1.0, 0.3)), epochs=0.6, checkpoint_every=2, **QUICK)
    whole = curve(small.run("whole-mixture", spec))
    control = RunControl()

    def suspend(envelope):
        if isinstance(envelope.event, Metrics) and envelope.event.step == 4:
            control.suspend()

    execute("part-mixture", spec, suspend, control, small.root)
    monkeypatch.setattr(Mixture, "load_state_dict", lambda *_: None)
    rest = curve(small.run("part-mixture", spec, resume=True))
    assert min(rest) == 5 and any(rest[step] != whole[step] for step in rest)
