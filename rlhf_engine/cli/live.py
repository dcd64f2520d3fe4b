"""A run as it is seen in a terminal: one `match` over the same events that the window draws."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from rlhf_engine.contract import events
from rlhf_engine.contract.events import Envelope
from rlhf_engine.judging.steps import outcome_words, step_name
from rlhf_engine.tasks import TASKS

QUIET = 5.0  # seconds between lines where there is no terminal to draw a bar on
LEVELS = {"info": "cyan", "warning": "yellow", "danger": "bold red"}


class LiveRun:
    """Shows envelopes on `console`; use it with `with`. Everything a model or a file says is shown as plain text."""

    def __init__(self, console: Console, samples: bool = False, answers: bool = False) -> None:
        self._console = console
        self._samples, self._answers = samples, answers
        self._task = ""
        self._last: dict[str, float] = {}
        self._step = self._total = self._saved = 0
        self._next_line = 0.0
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal or answers,
        )
        self._bar = self._progress.add_task("", total=None, numbers="")

    def __enter__(self) -> LiveRun:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, envelope: Envelope) -> None:
        match envelope.event:
            case events.RunStarted(task=task, total_steps=total, from_step=step):
                title = (TASKS[task].title if task in TASKS else "") or task
                if not self._task and not self._answers:
                    self._print(Text(f"{title}, run {envelope.run_id}", "dim"))
                self._task, self._step, self._total, self._saved = task, step, total, step
                self._draw(description=title, completed=step, total=total or None)
            case events.Stage(text=text, done=done, total=total):
                counted = f" {done}/{total}" if total else ""
                self._draw(description=text + counted)
                self._line(text + counted)
            case events.Metrics(step=step, values=values):
                self._step = step
                self._last.update(values)
                self._draw(completed=step, numbers=self.numbers())
                self._line(f"step {step}/{self._total or '?'}  {self.numbers()}")
            case events.Sample() as sample if self._samples:
                score = "" if sample.score is None else f"  (score {sample.score:.3f})"
                self._print(Text(f"step {sample.step}{score}\n  {sample.prompt.strip()}", "dim"))
                self._print(Text(f"  {sample.completion.strip()}"))
            case events.Text(answer=0, piece=piece, finish=finish) if self._answers:
                self._console.out(piece, end="\n" if finish else "", highlight=False)
            case events.Text(answer=number, piece=piece) if self._task == "revise":
                self._print(Text(f"{step_name(number)}:", "dim"))
                self._print(Text(piece or "(nothing)"))
            case events.Produced(what="revision", facts=facts):
                self._print(Text(outcome_words(facts)))
            case events.KnobChanged(name=name, value=value, step=step):
                self._print(Text(f"step {step}: {name} is now x{value:g}"))
            case events.Alert(level=level, text=text, hint=hint):
                self._print(Text(" ".join(filter(None, (text, hint))), LEVELS.get(level, "")))
            case events.Produced(what=what, path=path) if not self._answers:
                self._print(Text(f"{what.replace('_', ' ')}: {path}"))
            case events.CheckpointSaved(step=step):
                self._saved = step
            case events.RunPaused():
                self._print(Text("Paused."))
            case events.RunResumed():
                self._print(Text("Going on."))
            case events.RunFinished(outcome=outcome):
                numbers = self.numbers()
                if not self._answers:
                    self._print(
                        Text(f"{outcome.capitalize()}." + (f"  step {self._step}  {numbers}" if numbers else ""))
                    )
                if self._saved and outcome != "completed":
                    words = f"Step {self._saved} is saved: `rlhf resume {envelope.run_id}` goes on from there."
                    self._print(Text(words))

    def numbers(self) -> str:
        """The metrics that the task shows first, as "loss 0.123  kl 0.045"."""
        charts = TASKS[self._task].charts if self._task in TASKS else ()
        known = [name for name in charts if name in self._last] or list(self._last)[:4]
        return "  ".join(f"{name} {self._last[name]:.4g}" for name in known)

    def _draw(self, **changes: Any) -> None:
        self._progress.update(self._bar, **changes)

    def _line(self, text: str) -> None:
        if not self._console.is_terminal and not self._answers and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + QUIET
            self._print(Text(text))

    def _print(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)


def json_lines(console: Console) -> Callable[[Envelope], None]:
    """Print each envelope as the line of JSON that also goes through the pipe and into the store."""
    return lambda envelope: console.out(envelope.to_json(), highlight=False)
