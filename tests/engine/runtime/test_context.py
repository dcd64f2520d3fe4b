"""A run from inside: what it says when it is paused, stopped, turned or broken, and what it remembers."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
import torch

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import CheckpointError, NotFinite, RunCancelled, RunSuspended
from rlhf_engine.contract.events import Alert, CheckpointSaved, KnobChanged, Metrics, RunPaused, RunResumed, RunStarted
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.runtime.context import Means, RunContext, adamw, scheduled
from rlhf_engine.runtime.world import World


class Walk:
    """A run of nothing but a weight that goes downhill. `said` holds its events."""

    def __init__(self, root, resume=False, control=None, every=2, **inputs):
        self.said = []
        self.control = control or RunControl()
        reporter = Reporter("r", lambda envelope: self.said.append(envelope.event))
        self.run = RunContext(root, "r", reporter, self.control, seed=3, resume=resume, task="walk", device="cpu")
        self.weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        self.optimizer = adamw([self.weight])
        self.kept_results = 0
        self.drawn: list[float] = []
        self.run.keep(
            inputs={"base": "b", **inputs},
            every=every,
            newest=2,
            result=self.keep_result,
            optimizer=self.optimizer,
            weight=Holds(self.weight),
        )

    def keep_result(self):
        self.kept_results += 1

    def steps(self, total, at=lambda _: None):
        for step in self.run.steps(total):
            noise = torch.rand(2, generator=self.run.rng) + torch.rand(2) + random.random() + np.random.rand()
            self.drawn.append(noise.sum().item())
            (self.weight * noise).sum().backward()
            self.run.step(self.optimizer, 0.01, 100.0)
            self.run.metrics(step, {"weight": self.weight.sum().item()})
            at(step)

    def kinds(self, *wanted):
        return [type(e).__name__ for e in self.said if not wanted or isinstance(e, wanted)]


class Holds:
    def __init__(self, weight):
        self.weight = weight

    def state_dict(self):
        return {"weight": self.weight.detach()}

    def load_state_dict(self, state):
        self.weight.data.copy_(state["weight"])


def curve(walk):
    return {e.step: e.values["weight"] for e in walk.said if isinstance(e, Metrics)}


def test_steps_are_announced_counted_from_one_and_saved_where_due(tmp_path):
    walk = Walk(tmp_path)
    walk.steps(5)
    assert isinstance(walk.said[0], RunStarted) and (walk.said[0].total_steps, walk.said[0].from_step) == (5, 0)
    assert list(curve(walk)) == [1, 2, 3, 4, 5]
    assert [e.step for e in walk.said if isinstance(e, CheckpointSaved)] == [2, 4, 5]
    assert walk.kept_results == 3


def test_pausing_waits_and_says_so_in_order(tmp_path):
    walk = Walk(tmp_path, every=100)
    seen = {}

    def at(step):
        if step == 2:
            walk.control.pause()
            threading.Timer(0.3, walk.control.resume).start()
            seen["from"] = time.monotonic()
        if step == 3:
            seen["to"] = time.monotonic()

    walk.steps(3, at)
    assert walk.kinds(Metrics, RunPaused, RunResumed) == ["Metrics", "Metrics", "RunPaused", "RunResumed", "Metrics"]
    assert seen["to"] - seen["from"] >= 0.29


@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_that_pauses_itself_waits_only_where_somebody_can_let_it_go_on(tmp_path, rank):
    walk = Walk(tmp_path)
    walk.run.world = World(rank, 2, walk.run.device)
    walk.run.pause()
    assert walk.control.paused == (rank == 0)  # the others wait for the leader, and have no switch of their own


def test_a_paused_run_can_be_cancelled(tmp_path):
    walk = Walk(tmp_path)
    walk.control.pause()
    threading.Timer(0.1, walk.control.cancel).start()
    with pytest.raises(RunCancelled):
        walk.steps(3)
    assert walk.kinds() == ["RunStarted", "RunPaused", "RunResumed"]


def test_cancelling_stops_before_the_next_step_and_keeps_what_was_saved(tmp_path):
    walk = Walk(tmp_path)
    with pytest.raises(RunCancelled):
        walk.steps(9, lambda step: walk.control.cancel() if step == 3 else None)
    assert list(curve(walk)) == [1, 2, 3]
    assert [e.step for e in walk.said if isinstance(e, CheckpointSaved)] == [2]


def test_suspending_saves_at_once(tmp_path):
    walk = Walk(tmp_path, every=100)
    with pytest.raises(RunSuspended):
        walk.steps(9, lambda step: walk.control.suspend() if step == 3 else None)
    assert walk.kinds()[-2:] == ["Metrics", "CheckpointSaved"] and walk.said[-1].step == 3


def test_suspending_at_the_last_step_is_finishing(tmp_path):
    walk = Walk(tmp_path)
    walk.steps(2, lambda step: walk.control.suspend() if step == 2 else None)
    assert walk.said[-1] == CheckpointSaved(2, "runs/r/checkpoints/00000002")


def test_a_resumed_run_draws_the_numbers_and_walks_the_path_of_one_that_was_not_stopped(tmp_path):
    whole = Walk(tmp_path / "whole")
    whole.steps(6)
    first = Walk(tmp_path / "cut")
    with pytest.raises(RunSuspended):
        first.steps(6, lambda step: first.control.suspend() if step == 3 else None)
    second = Walk(tmp_path / "cut", resume=True)
    second.steps(6)
    assert first.drawn + second.drawn == whole.drawn
    assert curve(first) | curve(second) == curve(whole)
    assert [e.from_step for e in second.said if isinstance(e, RunStarted)] == [3]
    assert torch.equal(second.weight, whole.weight)


def test_a_run_that_had_finished_has_nothing_left_to_do(tmp_path):
    Walk(tmp_path).steps(2)
    walk = Walk(tmp_path, resume=True)
    walk.steps(2)
    assert curve(walk) == {}


def test_a_checkpoint_of_other_inputs_or_other_things_is_refused(tmp_path):
    Walk(tmp_path).steps(2)
    with pytest.raises(CheckpointError, match="another dataset"):
        Walk(tmp_path, resume=True, dataset="d")
    walk = Walk(tmp_path)
    walk.run._resume = True
    with pytest.raises(CheckpointError, match="another version of this task"):
        walk.run.keep(inputs={"base": "b"}, every=1, newest=1, result=lambda: None, weight=Holds(walk.weight))


def test_a_damaged_newest_checkpoint_costs_only_its_own_steps(tmp_path):
    Walk(tmp_path).steps(4)
    (tmp_path / "runs/r/checkpoints/00000004/tensors.safetensors").write_bytes(b"")
    walk = Walk(tmp_path, resume=True)
    walk.steps(4)
    assert list(curve(walk)) == [3, 4]


def test_turning_the_learning_rate_changes_the_optimisers_and_is_said(tmp_path):
    walk = Walk(tmp_path, every=1)
    rates = {}

    def at(step):
        rates[step] = walk.optimizer.param_groups[0]["lr"]
        if step == 2:
            walk.control.turn("learning_rate", 0.25)

    walk.steps(4, at)
    assert rates == {1: 0.01, 2: 0.01, 3: 0.0025, 4: 0.0025}
    assert [e for e in walk.said if isinstance(e, KnobChanged)] == [KnobChanged(3, "learning_rate", 0.25)]
    again = Walk(tmp_path, resume=True)
    assert again.run.learning_rate_factor == 0.25
    again.steps(5, at)
    assert rates[5] == 0.0025


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_no_number_changes_nothing(tmp_path, bad):
    walk = Walk(tmp_path)
    walk.steps(2)
    before, moments = walk.weight.clone(), walk.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    walk.weight.grad = torch.tensor([bad, 1.0])
    with pytest.raises(NotFinite, match="NaN or infinite") as error:
        walk.run.step(walk.optimizer, 0.01, 1.0)
    assert "lower learning rate" in error.value.hint
    assert torch.equal(walk.weight, before) and walk.weight.grad is None
    assert torch.equal(walk.optimizer.state_dict()["state"][0]["exp_avg"], moments)


def test_gradients_are_clipped_for_real_and_the_norm_before_is_told(tmp_path):
    walk = Walk(tmp_path)
    sgd = torch.optim.SGD([walk.weight], lr=0.0)
    walk.weight.grad = torch.tensor([3.0, 4.0])
    norm = walk.run.step(sgd, learning_rate=1.0, max_norm=1.0)
    assert norm.item() == 5.0
    assert walk.weight.tolist() == pytest.approx([1.0 - 0.6, 2.0 - 0.8], abs=1e-5)


def test_the_first_step_of_adamw_is_the_learning_rate_with_an_epsilon_of_1e_5(tmp_path):
    # m/(1-b1) = g and sqrt(v/(1-b2)) = |g|, so the step is lr * g / (|g| + 1e-5): half of lr for g = 1e-5
    weight = torch.nn.Parameter(torch.zeros(2))
    walk = Walk(tmp_path)
    weight.grad = torch.tensor([1.0, 1e-5])
    walk.run.step(adamw([weight]), learning_rate=0.1, max_norm=10.0)
    assert weight.tolist() == pytest.approx([-0.1, -0.05], rel=1e-3)


def test_an_alert_is_not_repeated_for_a_while(tmp_path):
    walk = Walk(tmp_path)
    for step in (1, 2, 50, 51, 60):
        walk.run.alert("kl", "warning", "The drift is large.", "Raise beta.", step)
    walk.run.alert("norm", "warning", "Another.", "", 60)
    assert [e.step for e in walk.said if isinstance(e, Alert)] == [1, 51, 60]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        # rate 1, ten steps, 20 % warm-up: 1/2 and 2/2, then eight steps of the schedule
        ("constant", [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ("cosine", [0.5, 1, 1, 0.961940, 0.853553, 0.691342, 0.5, 0.308658, 0.146447, 0.038060]),
    ],
)
def test_the_learning_rate_by_hand(schedule, rates):
    found = [scheduled(1.0, schedule, 0.2, step, 10) for step in range(1, 11)]
    assert found == pytest.approx(rates, abs=1e-6)


def test_without_warm_up_the_first_step_has_the_full_rate_and_a_single_step_too():
    assert scheduled(0.3, "linear", 0.0, 1, 4) == 0.3
    assert scheduled(0.3, "linear", 0.0, 4, 4) == pytest.approx(0.075)
    assert scheduled(0.3, "cosine", 0.5, 1, 1) == 0.3


def test_means_are_taken_over_what_was_added():
    means = Means()
    means.add(policy__loss=torch.tensor(1.0), a=torch.tensor(2))
    means.add(policy__loss=torch.tensor(4.0))
    assert means.result() == {"policy/loss": 2.5, "a": 2.0}
    assert Means().result() == {}
