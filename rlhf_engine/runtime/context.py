"""What a training loop is handed: its folder, its randomness, its safe points, its checkpoints and its voice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import CheckpointError, NotFinite, RunCancelled, RunSuspended
from rlhf_engine.contract.events import (
    Alert,
    CheckpointSaved,
    KnobChanged,
    Metrics,
    RunPaused,
    RunResumed,
    RunStarted,
    Stage,
)
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.runtime import checkpoints
from rlhf_engine.runtime.attempts import Attempts
from rlhf_engine.runtime.device import choose_device, hardware_sentence
from rlhf_engine.runtime.peaks import Peaks
from rlhf_engine.runtime.randomness import Randomness
from rlhf_engine.runtime.world import World


class RunContext:
    """One run, from inside. `folder` is its own; `rng` is the only randomness that may steer it.

    Torch's, numpy's and Python's global generators are seeded too, because libraries use them (LoRA's initial weights,
    dropout), and are part of every checkpoint.
    """

    def __init__(
        self,
        project_root: Path,
        run_id: str,
        reporter: Reporter,
        control: RunControl,
        seed: int,
        resume: bool = False,
        task: str = "",
        device: str = "auto",
    ) -> None:
        self.project_root, self.run_id, self.task = project_root, run_id, task
        self.folder = project_root / "runs" / run_id
        self.emit = reporter.emit
        self.seed = seed
        self.world = World.join(choose_device(device))
        self.device = self.world.device
        self.rng = torch.Generator().manual_seed(seed)  # the same on every process: the order of the data
        self.sampling_rng = torch.Generator(device=self.device).manual_seed(seed * 1_000_003 + self.world.rank)
        self.learning_rate_factor = 1.0
        self._control = control
        self._resume = resume
        self._kept: dict[str, Any] = {}
        self._inputs: dict[str, str] = {}
        self._keep_result: Callable[[], None] | None = None
        self._checkpoint_every, self._keep = 0, 2
        self._first_step = 1
        self._alerted: dict[str, int] = {}
        self._between_steps = False
        self.predicted = 0  # bytes that the run was foreseen to need on top of what its process held
        self._peaks = Peaks(self.device)
        self._randomness = Randomness(self.rng, self.sampling_rng)
        self._randomness.seed_global(seed)
        self.attempt = Attempts(self._randomness, self._peaks, self.emit, alone=self.world.size == 1)

    # What survives ------------------------------------------------------------------------------------------------

    def keep(
        self, *, inputs: dict[str, str], every: int, newest: int, result: Callable[[], None], **things: Any
    ) -> None:
        """Say what makes up the state of the run; a resumed run gets it all back here, exactly.

        Args:
            inputs: fingerprints of base, dataset and settings; a checkpoint made with others is refused.
            every: steps between checkpoints.
            newest: checkpoints that are kept.
            result: writes the run's result (its adapter) beside the checkpoint, so that a stopped run is usable.
            things: anything with `state_dict` and `load_state_dict`.
        """
        self._inputs, self._kept = inputs, things
        self.attempt.optimizers = [thing for thing in things.values() if isinstance(thing, torch.optim.Optimizer)]
        self._checkpoint_every, self._keep, self._keep_result = every, newest, result
        if not self._resume:
            return
        checkpoint = checkpoints.newest(self.folder / "checkpoints")
        if damaged := checkpoints.damaged_after(self.folder / "checkpoints", checkpoint.step if checkpoint else 0):
            steps = ", ".join(str(step) for step in damaged)
            what = f"checkpoint of step {steps} is" if len(damaged) == 1 else f"checkpoints of steps {steps} are"
            then = f"The run goes on from step {checkpoint.step}." if checkpoint else "No other one is left."
            self.emit(Alert("warning", f"The {what} damaged and cannot be used.", then))
        if checkpoint is None and damaged:
            self.emit(Alert("warning", "The run starts again from its beginning."))
            return
        if checkpoint is None:
            self.emit(Alert("info", "There is no checkpoint yet: the run starts again from its beginning."))
            return
        state = checkpoint.load()
        checkpoints.require_same(state["inputs"], inputs)
        if state["things"].keys() != things.keys():
            raise CheckpointError(
                f"The checkpoint of step {checkpoint.step} was written by another version of this task."
            )
        for name, thing in things.items():
            thing.load_state_dict(state["things"][name])
        self._randomness.load_state_dict(state["random"])
        self.attempt.load_state_dict(state.get("at_once", {}))  # older checkpoints do not know of it
        self.learning_rate_factor = state["learning_rate_factor"]
        self._first_step = checkpoint.step + 1
        if not self.world.leads:  # the leader's was saved; the others must not draw the same numbers
            self.sampling_rng.manual_seed((self.seed * 1_000_003 + self.world.rank) ^ (checkpoint.step << 32))

    def begin(self, total: int) -> None:
        """Announce the real number of steps and where they begin, once both are known."""
        self.emit(RunStarted(self.task, total, self._first_step - 1, hardware_sentence(), self.world.size))

    def steps(self, total: int) -> Iterator[int]:
        """The steps still to do, counted from 1, with a checkpoint after each that is due, and one at the end."""
        self.begin(total)
        for step in range(self._first_step, total + 1):
            self._between_steps = True
            self.safe_point()
            self._turn_knobs(step)
            self._between_steps = False
            self.attempt.step = step
            yield step
            suspended = self.world.agree(self._control.suspended)
            if suspended or step == total or step % self._checkpoint_every == 0:
                self.checkpoint(step)
            if suspended and step < total:
                raise RunSuspended

    def checkpoint(self, step: int) -> None:
        """Save everything needed to continue exactly, and the result as it is now."""
        if not self.world.leads:
            return
        state = {
            "inputs": self._inputs,
            "things": {name: thing.state_dict() for name, thing in self._kept.items()},
            "random": self._randomness.state_dict(),
            "learning_rate_factor": self.learning_rate_factor,
            "at_once": self.attempt.state_dict(),
        }
        path = checkpoints.save(self.folder / "checkpoints", step, state, self._keep)
        if self._keep_result is not None:
            self._keep_result()
        self.emit(CheckpointSaved(step, str(path.relative_to(self.project_root))))

    def at_once(self, wanted: int, there: int) -> int:
        """How many of `there` rows to take through memory at a time where the spec asks for `wanted`: fewer once memory
        has run out. To be asked inside what `attempt` is given."""
        return self.attempt.at_once(wanted, there)

    # Being listened to and listening ------------------------------------------------------------------------------

    def safe_point(self) -> None:
        """Wait here while paused; raise RunCancelled if asked to stop. Call it wherever nothing is half done.

        A run of several processes stops only between two steps.
        """
        if self.world.size > 1 and not self._between_steps:
            return  # the processes are not in step here, and must stop together
        if self._control.paused:
            self.emit(RunPaused())
            self._control.wait_until_going()
            self.emit(RunResumed())
        if self.world.agree(self._control.cancelled):
            raise RunCancelled

    def pause(self) -> None:
        """Wait at the next safe point until somebody lets the run go on. The leader waits, and the others for it."""
        if self.world.leads:
            self._control.pause()

    def stage(self, text: str, done: int = 0, total: int = 0) -> None:
        self.emit(Stage(text, done, total))

    def alert(self, key: str, level: str, text: str, hint: str, step: int, again_after: int = 50) -> None:
        """Say that something looks wrong, but not again for `again_after` steps."""
        if step - self._alerted.get(key, -again_after) >= again_after:
            self._alerted[key] = step
            self.emit(Alert(level, text, hint, step))

    def metrics(self, step: int, values: dict[str, float]) -> None:
        """Emit scalars averaged over the processes, with the memory taken. All must call it, with the same names."""
        values = values | self._peaks.told(self.predicted)
        if self.world.size > 1:
            row = torch.tensor(list(values.values()), device=self.device, dtype=torch.float64)
            self.world.sum_([row])
            values = dict(zip(values, (row / self.world.size).tolist(), strict=True))
        self.emit(Metrics(step, values))

    def _turn_knobs(self, step: int) -> None:
        for name, value in self._control.turned().items():
            if name == "learning_rate":
                self.learning_rate_factor = value
            self.emit(KnobChanged(step, name, value))
        self.learning_rate_factor = self.world.leaders(self.learning_rate_factor)

    # Learning -----------------------------------------------------------------------------------------------------

    def step(self, optimizer: torch.optim.Optimizer, learning_rate: float, max_norm: float) -> Tensor:
        """Add gradients over processes, clip, step and clear. Returns the norm before clipping. () fp32.

        A group of parameters with a "scale" learns at so many times the rate.

        Raises:
            NotFinite: the gradient is NaN or infinite; nothing was changed.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if self.world.size > 1:
            for p in parameters:  # a process without rows has no gradient, and must still add nothing
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            self.world.sum_([p.grad for p in parameters if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        if not bool(torch.isfinite(norm)):
            optimizer.zero_grad(set_to_none=True)
            raise NotFinite("The loss is no longer a finite number: its gradient is NaN or infinite.")
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * self.learning_rate_factor * group.get("scale", 1.0)
        self.attempt.weights_moved = True
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return norm


def adamw(parameters: Iterable[Tensor] | Iterable[dict[str, Any]], weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """AdamW with eps 1e-5, as in the PPO implementation of Huang et al. 2024 (N+ details). `step` sets the rate."""
    return torch.optim.AdamW(parameters, lr=0.0, eps=1e-5, weight_decay=weight_decay, foreach=True)


def scheduled(rate: float, schedule: str, warmup: float, step: int, total: int) -> float:
    """The learning rate of step `step` (from 1) of `total`: a rise over the share `warmup`, then the schedule."""
    rise = max(1, round(warmup * total)) if warmup else 0
    if step <= rise:
        return rate * step / rise
    left = (total - step + 1) / max(1, total - rise)
    if schedule == "linear":
        return rate * left
    if schedule == "cosine":
        return rate * 0.5 * (1 + float(np.cos(np.pi * (1 - left))))
    return rate


class Clock:
    """Where an update's time goes, in seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[f"time/{part}"] = self.seconds.get(f"time/{part}", 0.0) + time.perf_counter() - start


class Means:
    """Running means kept on the device: one synchronisation per update, not one per number."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, **values: Tensor) -> None:
        """A double underscore becomes a slash: `policy__loss` is plotted as policy/loss."""
        for name, value in values.items():
            key = name.replace("__", "/")
            self._sums[key] = self._sums.get(key, torch.zeros((), device=value.device)) + value.detach().float()
            self._counts[key] = self._counts.get(key, 0) + 1

    def result(self) -> dict[str, float]:
        if not self._sums:
            return {}
        means = torch.stack([total / self._counts[name] for name, total in self._sums.items()])
        return dict(zip(self._sums, means.tolist(), strict=True))
