"""A run that was killed and resumed is the run that was not: weights and curves, bit for bit."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Alert, CheckpointSaved, Envelope, Metrics, Produced, RunFinished, RunStarted
from rlhf_engine.tasks import spec_to_json
from tests.engine.small_project import SmallProject, curve, ended_well

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    torch.set_num_threads(1)
    project = SmallProject(tmp_path_factory.mktemp("project"))
    ended_well(project.run("rm", project.reward()))
    return project


ONLINE = ["ppo", "rloo", "grpo", "reinforce", "online_dpo", "best_of_n"]


def spec_for(project, task):
    return project.online(task, "run:rm") if task in ONLINE else getattr(project, task)()


def weights(project, run_id):
    folder = project.root / "runs" / run_id / "adapter"
    return {f.name: load_file(f) for f in sorted(folder.glob("*.safetensors"))}


def same(a, b):
    assert a.keys() == b.keys()
    for file in a:
        assert a[file].keys() == b[file].keys()
        assert all(torch.equal(a[file][key], b[file][key]) for key in a[file]), file
    return True


def start(project, run_id, spec, *more):
    path = project.root / f"{run_id}.json"
    path.write_text(spec_to_json(spec))
    command = [sys.executable, "-m", "tests.engine.run_once", str(project.root), run_id, str(path), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)


@pytest.mark.parametrize("task", ["sft", "sft_mixed", "reward", *ONLINE, "dpo", "kto", "orpo", "simpo"])
def test_ten_steps_equal_a_kill_at_a_random_moment_and_a_resume(project, task):
    spec = spec_for(project, task)
    whole = project.run(f"{task}-whole", spec)
    assert ended_well(whole)
    assert len(curve(whole)) >= 10

    first = start(project, f"{task}-cut", spec)
    lines: list[str] = []
    after = random.Random(time.time_ns()).randint(1, 8)
    for line in first.stdout:
        lines.append(line)
        if sum('"kind": "Metrics"' in said for said in lines) >= after:
            break
    first.kill()  # SIGKILL: nothing can be tidied up
    lines += first.stdout.readlines()
    first.stdout.close()
    first.wait()
    second = start(project, f"{task}-cut", spec, "resume")
    resumed, _ = second.communicate(timeout=120)
    assert second.returncode == 0, resumed[-2000:]

    told = [Envelope.from_json(line) for line in (*lines, *resumed.splitlines()) if line.rstrip().endswith("}")]
    assert curve(told) == curve(whole), f"killed after step {after}"
    assert same(weights(project, f"{task}-whole"), weights(project, f"{task}-cut"))


@pytest.mark.parametrize("task", ["sft", "reward", *ONLINE, "dpo", "kto"])
def test_a_run_killed_after_its_last_checkpoint_still_hands_over_its_result(project, task):
    spec = spec_for(project, task)
    whole = project.run(f"{task}-last", spec)
    made, facts = weights(project, f"{task}-last"), produced(whole)
    again = project.run(f"{task}-last", spec, resume=True)  # all steps are done, the result is not yet told
    assert ended_well(again) and curve(again) == {}
    assert produced(again) == facts and facts
    assert same(weights(project, f"{task}-last"), made)


def produced(said):
    (facts,) = [e.event.facts for e in said if isinstance(e.event, Produced) and e.event.what != "dataset"]
    return facts


def test_every_step_said_twice_says_the_same(project):
    spec = project.sft(checkpoint_every=4)
    control = RunControl()
    said: list[Envelope] = []

    def stop_at_six(envelope):
        said.append(envelope)
        if isinstance(envelope.event, Metrics) and envelope.event.step == 6:
            control.cancel()

    from rlhf_engine.launch.execute import execute

    assert execute("twice", spec, stop_at_six, control, project.root).outcome == "cancelled"
    again = project.run("twice", spec, resume=True)
    assert [e.event.from_step for e in again if isinstance(e.event, RunStarted)][-1] == 4
    for step in (5, 6):
        assert curve(said)[step] == curve(again)[step]


@pytest.mark.parametrize("task", ["sft", "sft_mixed", "ppo"])
def test_suspending_saves_at_once_and_goes_on_exactly(project, task):
    spec = spec_for(project, task)
    from rlhf_engine.launch.execute import execute

    control = RunControl()
    said: list[Envelope] = []

    def suspend_at_three(envelope):
        said.append(envelope)
        if isinstance(envelope.event, Metrics) and envelope.event.step == 3:
            control.suspend()

    assert execute(f"{task}-rest", spec, suspend_at_three, control, project.root).outcome == "suspended"
    assert [e.event.step for e in said if isinstance(e.event, CheckpointSaved)][-1] == 3
    rest = project.run(f"{task}-rest", spec, resume=True)
    assert curve(said + rest) == curve(project.run(f"{task}-straight", spec))


@pytest.mark.parametrize("task", ["ppo", "grpo", "online_dpo", "best_of_n"])
def test_observers_are_free(project, task):
    """Previews, evaluations, pauses and checkpoints change no bit of a run."""
    seen = project.online(task, "run:rm", sample_every=1, checkpoint_every=1, updates=4)
    blind = project.online(task, "run:rm", sample_every=0, checkpoint_every=100, updates=4)
    control = RunControl()
    control.pause()
    from threading import Timer

    timer = Timer(0.5, control.resume)
    timer.start()
    a = project.run(f"seen-{task}", seen, control)
    b = project.run(f"blind-{task}", blind)
    timer.join()
    assert curve(a) == curve(b)
    assert same(weights(project, f"seen-{task}"), weights(project, f"blind-{task}"))


@pytest.mark.parametrize("task", ["dpo", "kto"])
def test_observers_of_a_course_are_free(project, task):
    """Evaluations too, and the measuring of the point from which they start."""
    often, never = {"evaluate_every": 1, "sample_every": 1}, {"evaluate_every": 0, "sample_every": 0}
    seen, blind = (
        project.run(f"{task}-{n}", getattr(project, task)(epochs=0.4, checkpoint_every=every, **watched))
        for n, (every, watched) in enumerate([(1, often), (100, never)])
    )

    def learned(said):
        return {
            step: {k: v for k, v in values.items() if k.startswith("train/")} for step, values in curve(said).items()
        }

    assert ended_well(seen) and learned(seen) == learned(blind)
    assert same(weights(project, f"{task}-0"), weights(project, f"{task}-1"))


def test_a_checkpoint_made_with_other_data_is_refused(project):
    spec = project.sft()
    control = RunControl()
    said = []

    def stop(envelope):
        said.append(envelope)
        if isinstance(envelope.event, CheckpointSaved):
            control.cancel()

    from rlhf_engine.launch.execute import execute

    execute("swapped", spec, stop, control, project.root)
    end = project.run("swapped", project.sft(learning_rate=1e-3), resume=True)[-1].event
    assert isinstance(end, RunFinished)
    assert end.outcome == "failed"
    assert "another settings" in end.message


@pytest.mark.parametrize(("swapped", "named"), [("start", "starting adapter"), ("judge", "reward adapter")])
def test_a_run_whose_models_were_trained_on_meanwhile_is_not_gone_on_with(project, swapped, named):
    """`run:<id>` names a run, and a run that was resumed holds other weights under the same name."""
    for run_id, spec in (("start", project.sft(epochs=0.2)), ("judge", project.reward(epochs=0.2, normalise_on=8))):
        assert ended_well(project.run(run_id, spec))
    spec = project.ppo("run:judge", policy="run:start", updates=2, sample_every=0)
    assert ended_well(project.run(f"on-{swapped}", spec))
    weights_file = project.root / "runs" / swapped / "adapter" / "adapter_model.safetensors"
    save_file({key: tensor + 0.1 for key, tensor in load_file(weights_file).items()}, weights_file)
    end = project.run(f"on-{swapped}", spec, resume=True)[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed"
    assert f"The checkpoint was made with another {named} (" in end.message and end.hint


def test_a_run_without_a_checkpoint_starts_again_and_says_so(project):
    said = project.run("fresh", project.sft(epochs=0.3), resume=True)
    assert ended_well(said)
    assert any(isinstance(e.event, Alert) and "no checkpoint" in e.event.text for e in said)


@pytest.mark.parametrize(
    "forgotten", ["policy", "value", "policy_optimizer", "value_optimizer", "order", "moments", "beta"]
)
def test_each_kept_thing_is_needed(project, forgotten, monkeypatch):
    """The negative control: a checkpoint that lacks any one of them does not continue the same run."""
    from rlhf_engine.runtime.context import RunContext

    spec = project.ppo("run:rm", batch_size=16, minibatch_size=8, updates=8)
    whole = curve(project.run(f"all-{forgotten}", spec))
    keep = RunContext.keep

    class Forgetful:
        def __init__(self, thing):
            self.thing = thing

        def state_dict(self):
            return self.thing.state_dict()

        def load_state_dict(self, state):
            """Restores nothing."""

    def forgetful(self, **kept):
        keep(self, **kept | {forgotten: Forgetful(kept[forgotten])})

    control = RunControl()

    def suspend(envelope):
        if isinstance(envelope.event, Metrics) and envelope.event.step == 3:
            control.suspend()

    from rlhf_engine.launch.execute import execute

    execute(f"part-{forgotten}", spec, suspend, control, project.root)
    monkeypatch.setattr(RunContext, "keep", forgetful)
    rest = curve(project.run(f"part-{forgotten}", spec, resume=True))
    assert rest
    assert any(rest[step] != whole[step] for step in rest)
