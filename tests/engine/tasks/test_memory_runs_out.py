"""Memory that runs out in the middle of a step: it is done again with half as much at once, as if it had begun so."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Alert, CheckpointSaved, RunFinished
from rlhf_engine.runtime.attempts import Attempts
from rlhf_engine.runtime.checkpoints import newest
from tests.engine.small_project import curve, ended_well


class Memory:
    """Refuses the `forward`-th pass through a model in the `attempt`-th attempt of a phase, or from there on.

    Or, as what to compare with, has that attempt begin with half as much at once and refuses nothing.
    """

    def __init__(self, monkeypatch, phase, attempt, forward=2, for_ever=False, halved=0):
        self.attempts = self.passes = self.refused = 0
        self.inside = False
        tried, embedded = Attempts.__call__, torch.nn.Embedding.forward

        def call(attempts, phase_now, work, *args, **kwargs):
            def first(*args, **kwargs):
                self.passes = 0
                return work(*args, **kwargs)

            self.attempts += phase_now == phase
            self.inside = phase_now == phase and self.attempts == attempt
            if self.inside and halved:
                attempts.limits["answers" if phase == "rollout" else "rows"] = halved
            try:
                return tried(attempts, phase_now, first, *args, **kwargs)
            finally:
                self.inside = False

        def embed(module, ids):
            self.passes += 1
            if self.inside and not halved and self.passes >= forward and (for_ever or not self.refused):
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return embedded(module, ids)

        monkeypatch.setattr(Attempts, "__call__", call)
        monkeypatch.setattr(torch.nn.Embedding, "forward", embed)


SPECS = {
    "sft": lambda small: small.sft(epochs=0.5, lora_dropout=0.2, neftune_alpha=5.0),
    "packed": lambda small: small.sft_mixed(epochs=0.3, max_tokens=70),
    "reward": lambda small: small.reward(epochs=0.5, heads=2, normalise_on=8),
    "dpo": lambda small: small.dpo(epochs=0.5),
    "kto": lambda small: small.kto(epochs=0.3),
    "ppo": lambda small: small.ppo("run:rm", updates=3, value_warmup=0, **PTX(small)),
    "grpo": lambda small: small.online("grpo", "run:rm", updates=3, micro_batch_size=2),
    "online_dpo": lambda small: small.online("online_dpo", "run:rm", updates=3, micro_batch_size=2),
    "best_of_n": lambda small: small.online("best_of_n", "run:rm", updates=3, minibatch_size=8, micro_batch_size=2),
}


def PTX(small):
    return {"ptx_coef": 0.5, "ptx_dataset": small.demonstrations}


def outcome(small, run_id, spec, **more):
    """Weights and curves of a run that ended well, and what it alerted to."""
    said = small.run(run_id, spec, **more)
    assert ended_well(said)
    weights = load_file(small.root / "runs" / run_id / "adapter" / "adapter_model.safetensors")
    return weights, curve(said), [e.event for e in said if isinstance(e.event, Alert) and "Memory" in e.event.text]


def same(a, b):
    (weights, numbers, _), (others, other_numbers, _) = a, b
    assert numbers == other_numbers
    assert weights.keys() == others.keys() and all(torch.equal(weights[k], others[k]) for k in weights)
    return True


@pytest.mark.parametrize("task", SPECS)
def test_a_step_is_done_again_with_half_the_micro_batch_bit_for_bit_as_if_it_had_begun_so(small, task, monkeypatch):
    attempt = {"ppo": 7, "grpo": 7, "online_dpo": 7, "best_of_n": 4}.get(task, 3)  # one in the middle of the run
    forward = {"dpo": 3, "kto": 4, "online_dpo": 3}.get(task, 2)  # after a first backward pass
    with monkeypatch.context() as patch:
        memory = Memory(patch, "update", attempt, forward)
        found = outcome(small, f"{task}-out", SPECS[task](small))
    assert memory.refused == 1
    (alert,) = found[2]
    assert alert.level == "warning" and alert.step >= 2
    assert "done again with a micro-batch of " in alert.text and alert.text.endswith("and the run goes on with that.")
    with monkeypatch.context() as patch:
        half = int(alert.text.partition("micro-batch of ")[2].split()[0])
        Memory(patch, "update", attempt, halved=half)
        begun = outcome(small, f"{task}-half", SPECS[task](small))
    assert begun[2] == [] and same(found, begun)


@pytest.mark.parametrize(("phase", "attempt"), [("rollout", 2), ("scoring", 3), ("scoring", 4)])
def test_memory_may_also_run_out_while_answers_are_written_or_scored(small, phase, attempt, monkeypatch):
    spec = SPECS["ppo"](small)
    with monkeypatch.context() as patch:
        memory = Memory(patch, phase, attempt)
        found = outcome(small, f"{phase}{attempt}-out", spec)
    assert memory.refused == 1 and len(found[2]) == 1 and f"({phase})" in found[2][0].text
    with monkeypatch.context() as patch:
        Memory(patch, phase, attempt, halved=4 if phase == "rollout" else 2)
        begun = outcome(small, f"{phase}{attempt}-half", spec)
    assert same(found, begun)


def test_the_first_step_can_be_the_one(small, monkeypatch):
    with monkeypatch.context() as patch:
        Memory(patch, "update", 1)
        found = outcome(small, "first-out", small.sft(epochs=0.5))
    assert same(found, outcome(small, "first-half", small.sft(epochs=0.5, micro_batch_size=2)))


def test_a_resumed_run_keeps_to_the_smaller_micro_batch(small, monkeypatch):
    spec = small.sft(epochs=0.7, lora_dropout=0.2)
    with monkeypatch.context() as patch:
        Memory(patch, "update", 3)
        whole = outcome(small, "kept-whole", spec)
    control, said = RunControl(), []
    with monkeypatch.context() as patch:
        Memory(patch, "update", 3)

        def suspend(envelope):
            said.append(envelope)
            if isinstance(envelope.event, CheckpointSaved) and envelope.event.step == 4:
                control.suspend()

        from rlhf_engine.launch.execute import execute

        execute("kept-cut", spec, suspend, control, small.root)
    assert said[-1].event.outcome == "suspended"
    state = newest(small.root / "runs" / "kept-cut" / "checkpoints").load()
    assert state["at_once"] == {"rows": 2}
    weights, _, alerts = outcome(small, "kept-cut", spec, resume=True)
    assert alerts == [] and all(torch.equal(weights[k], whole[0][k]) for k in weights)


def test_where_one_row_is_too_many_the_run_ends_with_a_sentence(small, monkeypatch):
    with monkeypatch.context() as patch:
        memory = Memory(patch, "update", 2, forward=1, for_ever=True)
        said = small.run("too-small", small.sft(epochs=0.5))
    assert memory.refused == 3  # 4, 2 and 1
    end = said[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed" and not end.traceback
    assert end.message == "Memory ran out at step 2 (update), though the micro-batch is 1 already."
    assert "recompute activations" in end.hint


def test_weights_that_have_begun_to_change_are_not_tried_again(small, monkeypatch):
    def step(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    end = small.run("moved", small.sft(epochs=0.5))[-1].event
    assert end.outcome == "failed" and "while the weights were being changed" in end.message


def test_another_error_is_not_taken_for_a_lack_of_memory(small, monkeypatch):
    def forward(*_args):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(torch.nn.Embedding, "forward", forward)
    end = small.run("other", small.sft(epochs=0.5))[-1].event
    assert "shapes do not match" in end.message


def test_what_every_phase_took_is_told(small):
    said = small.run("peaks", small.ppo("run:rm", updates=2))
    last = [e.event.values for e in said if type(e.event).__name__ == "Metrics"][-1]
    phases = {name: last[f"memory/{name}"] for name in ("load", "rollout", "scoring", "update")}
    assert all(last["memory/start"] * 0.9 < mb <= last["memory/peak"] for mb in phases.values())
    assert last["memory/predicted"] > 0  # on top of the start, before any correction
