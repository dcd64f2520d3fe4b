"""What an engine knows of a run that its worker does, how its switches are thrown, and what its death is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rlhf_engine.contract.events import RunFinished
from rlhf_engine.contract.spec import Spec
from rlhf_engine.launch.worker_process import ending_in_words
from rlhf_engine.tasks import task_of

RESUME = "Resume the run from its last checkpoint."


@dataclass(slots=True)
class RemoteRun:
    run_id: str
    spec: Spec
    name: str = ""
    resume: bool = False
    started: bool = False
    ended: bool = False
    sent_to: int = 0  # the worker that has it, by process id

    @property
    def kept(self) -> bool:
        return task_of(self.spec).kept


class RemoteSwitches:
    """The switches of a run in another process. Throwing one never waits."""

    def __init__(self, ask: Callable[[str, float], None]) -> None:
        self._ask = ask

    def cancel(self) -> None:
        self._ask("cancel", 0.0)

    def suspend(self) -> None:
        self._ask("suspend", 0.0)

    def pause(self) -> None:
        self._ask("pause", 0.0)

    def resume(self) -> None:
        self._ask("resume", 0.0)

    def turn(self, knob: str, value: float) -> None:
        self._ask(knob, value)


def ending_with(code: int) -> RunFinished:
    """What to tell of a process that ended with this exit code; negative is minus the signal's number."""
    return RunFinished("failed", ending_in_words(code), RESUME)
