"""The worker as it is, with torch: a training run is killed, resumed and talked to."""

from __future__ import annotations

import os
import signal

import pytest

from rlhf_engine.contract.events import CheckpointSaved, Metrics, Produced, RunStarted, Text
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Demonstration
from rlhf_engine.launch.process_engine import ProcessEngine
from rlhf_engine.store.project import Project
from rlhf_engine.store.runs import RunsReader
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.launch.conftest import until


@pytest.mark.slow
def test_a_killed_training_run_is_resumed_and_its_model_answers(tmp_path, ear):
    Project.create(tmp_path).close()
    shown = [Demonstration(f"What is {i} plus one?", f"It is {i + 1}.") for i in range(80)]
    dataset = freeze(tmp_path, "demonstrations", shown, "sums", "test", {})
    spec = SFTSpec(
        model="starter", dataset=f"dataset:{dataset.hash}", epochs=2, batch_size=8, checkpoint_every=2, device="cpu"
    )
    engine = ProcessEngine(tmp_path, ear.publish, ear.on_state)
    try:
        until(lambda: ear.facts("ready"), 120)
        run_id = engine.submit(spec, "sums")
        until(lambda: ear.events(run_id, CheckpointSaved), 60)
        os.kill(engine.worker_pid, signal.SIGKILL)
        assert "SIGKILL" in ear.end(run_id).message
        engine.resume(run_id)
        until(lambda: len(ear.events(run_id, Produced)) == 1, 120)
        assert ear.end(run_id, 2).outcome == "completed"
        last = ear.events(run_id, RunStarted)[-1]
        assert last.from_step >= 2 and last.hardware and last.total_steps > 8
        assert [envelope.seq for envelope in ear.of(run_id)] == list(range(len(ear.of(run_id))))

        reader = RunsReader(tmp_path)
        losses = reader.metrics(run_id)["train/loss"]
        reader.close()
        assert [step for step, _ in losses] == list(range(1, last.total_steps + 1))
        assert losses[-1][1] < losses[0][1]

        talk = engine.submit(
            GenerateSpec(models=(f"run:{run_id}",), prompts=("What is 3 plus one?",), max_new_tokens=12)
        )
        assert ear.end(talk).outcome == "completed"
        assert "".join(piece.piece for piece in ear.events(talk, Text)).strip()
        assert ear.events(talk, Metrics) == []
    finally:
        assert engine.close(30)
