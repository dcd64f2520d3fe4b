"""From a spec to what its run will take, and what earlier runs taught."""

from __future__ import annotations

from dataclasses import fields

import pytest

from rlhf_engine.contract.events import Envelope, Metrics, RunFinished, RunStarted
from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.launch.forecast import advise, dataset_lengths, forecast, foresee
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import TASKS, spec_to_json, task_of
from tests.engine.small_project import SmallProject


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return SmallProject(tmp_path_factory.mktemp("small"))


def values_of(spec):
    return task_of(spec).key, {f.name: getattr(spec, f.name) for f in fields(spec)}


def peak(small, spec, **more):
    task, values = values_of(spec)
    return foresee(small.root, task, values, False, dataset_lengths(small.root, task, values), **more).own


def test_every_training_task_can_be_foreseen(small):
    for key, task in TASKS.items():
        if task.trains and issubclass(task.spec, TrainingFields):
            policy = "policy" if any(f.name == "policy" for f in fields(task.spec)) else "model"
            found = foresee(small.root, key, {policy: "starter"}, on_gpu=False)
            assert found is not None and found.phases.keys() >= {"load", "scoring", "update"}
            assert all(size >= 0 for parts in found.phases.values() for size in parts.values())
            assert ("rollout" in found.phases) or key not in ("ppo", "grpo")


def test_what_lowers_the_memory_lowers_the_forecast(small):
    spec = small.sft(micro_batch_size=8)
    whole = peak(small, spec)
    for change in ({"micro_batch_size": 4}, {"activation_checkpointing": True}):
        assert peak(small, small.sft(**{"micro_batch_size": 8} | change)) < whole, change
    values = {"model": "starter"}  # of no dataset yet: every example may be as long as allowed
    told = advise(small.root, "sft", values, False, forecast(small.root, "sft", values, False))
    assert {"micro_batch_size": 1} in [one.changes for one in told]
    assert [one.own for one in told] == sorted(one.own for one in told)


def test_a_micro_batch_is_no_larger_than_the_batch(small):
    assert peak(small, small.sft(micro_batch_size=64)) == peak(small, small.sft(micro_batch_size=8))


def test_a_dataset_says_how_long_its_examples_are(small):
    task, values = values_of(small.sft())
    lengths = dataset_lengths(small.root, task, values)
    assert 0 < lengths.mean <= lengths.example < 64 and lengths.prompt < lengths.example
    assert peak(small, small.sft(max_tokens=4096)) == peak(small, small.sft(max_tokens=256))


def test_a_model_that_is_not_here_cannot_be_foreseen(small):
    assert foresee(small.root, "sft", {"model": "owner/name"}, on_gpu=False) is None


def test_completed_runs_on_this_machine_correct_the_next_forecast(small):
    spec = small.sft()
    task, values = values_of(spec)
    before = forecast(small.root, task, values, False, "CPU, 2 threads")
    with RunsWriter(small.root) as writer:
        for run_id, hardware, start, top in (
            ("a", "CPU, 2 threads", 400.0, 700.0),
            ("b", "CPU, 9 threads", 1.0, 999.0),
        ):
            writer.start(run_id, spec_to_json(spec), task)
            told = {"memory/start": start, "memory/peak": top, "memory/predicted": 200.0}
            events = (RunStarted(task, 1, hardware=hardware), Metrics(1, told), RunFinished("completed"))
            writer.append(*(Envelope(run_id, n, float(n), event) for n, event in enumerate(events)))
    after = forecast(small.root, task, values, False, "CPU, 2 threads")
    assert (after.correction.runs, after.correction.process) == (1, 400_000_000)
    assert after.own == pytest.approx(1.5 * before.own, rel=1e-6)  # it took 300 of 200
    assert forecast(small.root, task, values | {"dtype": "bf16"}, False).correction.runs == 0
