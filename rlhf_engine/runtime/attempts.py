"""Work that memory may be too small for: measured, and where memory runs out done again with half as much at once.

Nothing is left of an attempt that failed: its gradients are cleared and its random numbers put back. So the next one is
bit for bit what it would have been as the first, in a run that had that smaller size from this step on. Against the
larger size it is the same sum in another order: what is learned differs by rounding alone.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from rlhf_engine.contract.errors import OutOfMemory
from rlhf_engine.contract.events import Alert
from rlhf_engine.runtime.device import out_of_memory
from rlhf_engine.runtime.peaks import ROLLOUT, Peaks
from rlhf_engine.runtime.randomness import Randomness

P = ParamSpec("P")
T = TypeVar("T")
ROWS, ANSWERS = "rows", "answers"  # what is halved: rows of a forward pass, or answers that are written side by side


class Attempts:
    """How a run tries things. `optimizers` are those whose gradients an attempt may leave behind; `step` is told in
    messages; `limits` say what memory was found to be too small for, and are part of a checkpoint."""

    def __init__(self, randomness: Randomness, peaks: Peaks, emit: Callable[[Alert], None], alone: bool) -> None:
        """`alone`: of several processes one cannot go back by itself, and the run ends as it would without this."""
        self._randomness, self._peaks, self._emit, self._alone = randomness, peaks, emit, alone
        self.optimizers: list[torch.optim.Optimizer] = []
        self.limits: dict[str, int] = {}
        self.step = 0
        self.weights_moved = False  # from here on an attempt cannot be taken back
        self._kind, self._used = ROWS, 0

    def __call__(self, phase: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, which asks `at_once` for how much it may take at a time.

        It must change nothing but gradients, random numbers and what it returns, until it steps an optimiser.

        Raises:
            OutOfMemory: also where only one goes through at a time, or where weights had already begun to change.
        """
        while True:
            before, self._used, self.weights_moved = self._randomness.state_dict(), 0, False
            self._kind = ANSWERS if phase == ROLLOUT else ROWS
            try:
                with self._peaks(phase):
                    return work(*args, **kwargs)
            except (RuntimeError, MemoryError) as error:
                if not self._alone or not out_of_memory(error):
                    raise
                self._halve(phase, error)
            finally:
                self._kind = ROWS
            self._undo(before)  # not above: until the exception is gone, it holds what filled the memory

    def at_once(self, wanted: int, there: int) -> int:
        """How many of `there` to take at a time where `wanted` are asked for: fewer once memory has run out."""
        size = max(1, min(wanted, there, self.limits.get(self._kind, wanted)))
        self._used = max(self._used, size)
        return size

    def _halve(self, phase: str, error: BaseException) -> None:
        where = f"Memory ran out at step {self.step} ({phase})" if self.step else f"Memory ran out ({phase})"
        if self.weights_moved:
            text = f"{where} while the weights were being changed, which no smaller micro-batch makes easier."
            raise OutOfMemory(text, "Train a smaller adapter or model. Resuming repeats the step.") from error
        if self._used <= 1:
            raise OutOfMemory(f"{where}, though {_ONE[self._kind]}.", _LAST[self._kind]) from error
        now = self._used // 2
        self.limits[self._kind] = now
        self._emit(
            Alert("warning", f"{where}: {_NEXT[self._kind].format(now, self._used)}", _THEN[self._kind], self.step)
        )

    def _undo(self, before: dict[str, Any]) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        gc.collect()  # graphs hold each other in circles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._randomness.load_state_dict(before)

    def state_dict(self) -> dict[str, int]:
        return dict(self.limits)

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.limits = dict(state)


_NEXT = {
    ROWS: "it is done again with a micro-batch of {0} instead of {1}, and the run goes on with that.",
    ANSWERS: "it is done again with {0} answers written side by side instead of {1}, and the run goes on with that.",
}
_THEN = {
    ROWS: "What is learned is the same up to rounding. See `rlhf fit` for a size to begin with next time.",
    ANSWERS: "What is written is the same up to rounding. A shorter response takes less memory.",
}
_ONE = {ROWS: "the micro-batch is 1 already", ANSWERS: "answers are written one by one already"}
_LAST = {
    ROWS: "Shorten the longest example or response, recompute activations, or take a base in bf16 or a smaller one.",
    ANSWERS: "Lower the response length, or take a base in bf16 or a smaller one.",
}
