"""Two processes that share a run compute what one computes, and only the first speaks and saves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine.contract.events import CheckpointSaved, Envelope, Metrics, RunFinished, RunStarted
from rlhf_engine.runtime.world import World
from rlhf_engine.tasks import spec_to_json
from tests.engine.small_project import SmallProject, ended_well

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")


def test_one_process_is_a_world_where_everything_is_free():
    world = World(0, 1, CPU)
    x = torch.tensor([2.0])
    world.sum_([x])
    assert x.item() == 2.0 and world.leads and world.gather(x) is x
    assert world.share([1, 2, 3]) == [1, 2, 3]
    assert (world.largest(3), world.agree(True), world.leaders(0.5)) == (3, True, 0.5)


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("rows", [0, 1, 4, 8])
def test_shares_are_blocks_that_together_are_all_rows_in_order(size, rows):
    shares = [World(rank, size, CPU).share(range(rows)) for rank in range(size)]
    assert [row for share in shares for row in share] == list(range(rows))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    torch.set_num_threads(1)
    project = SmallProject(tmp_path_factory.mktemp("world"))
    ended_well(project.run("rm", project.reward(epochs=0.3)))
    return project


GROUPS = {"grouping": "prompts", "ties": "rao-kupper", "heads": 2, "ensemble_score": "min"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def in_two_processes(project, specs):
    """What each of the two said: two lists of envelopes by run."""
    arguments = []
    for run_id, spec in specs.items():
        path = project.root / f"{run_id}.json"
        path.write_text(spec_to_json(spec))
        arguments += [run_id, str(path)]
    command = [sys.executable, "-m", "tests.engine.runtime.one_of_several", str(project.root), *arguments]
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    both = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env={**shared, "RANK": rank}
        )
        for rank in ("0", "1")
    ]
    try:
        said = [process.communicate(timeout=200) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said[0][1][-3000:] + said[1][1][-3000:]
    return [[Envelope.from_json(line) for line in out.splitlines() if line.startswith("{")] for out, _ in said]


def metrics(said, run_id):
    """Without the memory that each process takes."""
    told = [e.event for e in said if e.run_id == run_id and isinstance(e.event, Metrics)]
    return [Metrics(m.step, {k: v for k, v in m.values.items() if not k.startswith("memory/")}) for m in told]


@pytest.mark.slow
def test_two_processes_train_as_one_does(project):
    few = {"checkpoint_every": 1, "evaluate_every": 1, "sample_every": 1}
    odd = {"batch_size": 5, "micro_batch_size": 2}  # shares of three rows and of two, so of two passes and of one
    once = {"epochs": 1, "minibatch_size": 8}  # one step on the batch, so its ratio is that of no change at all
    specs = {
        "sft-2": project.sft(epochs=0.25, **few),
        "odd-2": project.sft(epochs=0.25, **few | odd),
        "mixed-2": project.sft_mixed(epochs=0.25, **few | odd),
        "reward-2": project.reward(epochs=0.25, normalise_on=8, **few),
        "groups-2": project.reward(dataset=project.ranked(), epochs=0.5, normalise_on=8, **few | odd | GROUPS),
        "ppo-2": project.ppo("run:rm", updates=2, value_warmup=0, checkpoint_every=1, micro_batch_size=2, **once),
    }
    leader, other = in_two_processes(project, specs)
    assert other == []
    for run_id, spec in specs.items():
        story = [e.event for e in leader if e.run_id == run_id]
        assert isinstance(story[0], RunStarted) and story[0].processes == 2
        assert isinstance(story[-1], RunFinished) and story[-1].outcome == "completed"
        assert sum(isinstance(e, CheckpointSaved) for e in story) == len(metrics(leader, run_id)) >= 2
        assert sorted(p.name for p in (project.root / "runs" / run_id).iterdir()) == ["adapter", "checkpoints"]
        if run_id == "ppo-2":
            continue  # each process draws its own answers
        alone = project.run(run_id.replace("2", "1"), spec)
        for a, b in zip(metrics(leader, run_id), metrics(alone, run_id.replace("2", "1")), strict=True):
            for values in (a.values, b.values):
                values.pop("train/padding", None)  # each process lays its own rows
            assert a.values == pytest.approx(b.values, abs=2e-4, rel=2e-4)
            assert a.values["train/loss"] == pytest.approx(b.values["train/loss"], abs=1e-5)
        two, one = (
            load_file(project.root / "runs" / r / "adapter" / "adapter_model.safetensors")
            for r in (run_id, run_id.replace("2", "1"))
        )
        assert all(torch.allclose(two[k], one[k], atol=2e-4) for k in one)
    first, second = metrics(leader, "ppo-2")
    assert first.values["objective/kl_sequence"] == 0.0
    assert first.values["policy/ratio_mean"] == pytest.approx(1.0, abs=1e-5)
    assert second.values["objective/kl_sequence"] != 0.0


@pytest.mark.slow
def test_two_processes_learn_preferences_as_one_does(project):
    """Means over pairs, tokens and classes, the baseline, and the reference's numbers, which they measure together."""
    odd = {"batch_size": 5, "micro_batch_size": 2, "checkpoint_every": 1, "evaluate_every": 1, "sample_every": 0}
    specs = {
        "dpo-2": project.dpo(epochs=0.2, nll_coef=0.3, **odd),
        "kto-2": project.kto(epochs=0.1, desirable_weight=2.0, precompute_reference=True, **odd),
    }
    leader, other = in_two_processes(project, specs)
    assert other == []
    for run_id, spec in specs.items():
        alone = project.run(run_id.replace("2", "1"), spec)
        told, told_alone = metrics(leader, run_id), metrics(alone, run_id.replace("2", "1"))
        assert [m.step for m in told] == [m.step for m in told_alone] and len(told) > 2
        for a, b in zip(told, told_alone, strict=True):
            certain = {name for name in b.values if not name.endswith("accuracy") or a.step > 1}
            assert {n: a.values[n] for n in certain} == pytest.approx(
                {n: b.values[n] for n in certain}, abs=2e-4, rel=2e-4
            ), (run_id, a.step)
    numbers = [
        load_file(project.root / "runs" / r / "reference" / "logprobs.safetensors")["total"] for r in ("kto-2", "kto-1")
    ]
    assert torch.allclose(*numbers, atol=1e-4)
