"""The same engine without a process."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Metrics, RunStarted
from rlhf_engine.launch.thread_engine import ThreadEngine
from rlhf_engine.store.runs import RunsReader
from tests.engine.launch.conftest import until
from tests.engine.launch.tiny_task import TinySpec


@pytest.fixture
def engine(tmp_path, ear):
    engine = ThreadEngine(tmp_path, ear.publish)
    yield engine
    engine.close(10)


def test_runs_are_done_in_order(engine, ear):
    first, second = engine.submit(TinySpec(steps=1000, pause=0.01)), engine.submit(TinySpec())
    until(lambda: engine.running == first)
    assert engine.waiting == [second]
    engine.control(first).cancel()
    assert ear.end(first).outcome == "cancelled" and ear.end(second).outcome == "completed"


def test_a_suspended_run_goes_on_from_its_checkpoint(engine, ear):
    run_id = engine.submit(TinySpec(steps=4, pause=0.05))
    until(lambda: ear.events(run_id, Metrics))
    engine.control(run_id).suspend()
    assert ear.end(run_id).outcome == "suspended"
    until(lambda: engine.running is None)
    engine.resume(run_id)
    assert ear.end(run_id, 2).outcome == "completed"
    assert ear.events(run_id, RunStarted)[-1].from_step > 0
    assert [envelope.seq for envelope in ear.of(run_id)] == list(range(len(ear.of(run_id))))


def test_closing_tells_the_end_of_everything(tmp_path, ear):
    engine = ThreadEngine(tmp_path, ear.publish)
    first, second = engine.submit(TinySpec(steps=1000, pause=0.01)), engine.submit(TinySpec())
    until(lambda: ear.events(first, Metrics))
    assert engine.close(10)
    assert ear.end(first).outcome == ear.end(second).outcome == "cancelled"
    with pytest.raises(RuntimeError):
        engine.submit(TinySpec())


def test_closing_does_not_wait_for_ever(tmp_path, ear):
    engine = ThreadEngine(tmp_path, ear.publish)
    run_id = engine.submit(TinySpec(steps=1, pause=1.0))
    until(lambda: ear.events(run_id, Metrics))
    assert not engine.close(0.1)
    assert engine.close(10)


def test_the_switches_of_a_run_that_has_ended_are_connected_to_nothing(engine, ear):
    run_id = engine.submit(TinySpec())
    ear.end(run_id)
    engine.control(run_id).cancel()
    assert ear.end(engine.submit(TinySpec())).outcome == "completed"


def test_a_run_is_renamed_and_deleted(engine, ear, tmp_path):
    run_id = engine.submit(TinySpec(), "old")
    ear.end(run_id)
    until(lambda: engine.running is None)
    engine.rename(run_id, name="new")
    reader = RunsReader(tmp_path)
    assert reader.run(run_id).name == "new"
    engine.delete(run_id)
    assert reader.runs() == [] and not (tmp_path / "runs" / run_id).exists()
    reader.close()


def test_what_is_no_spec_is_refused_where_it_is_submitted(engine):
    with pytest.raises(SpecError, match="No task takes a str"):
        engine.submit("sft")
