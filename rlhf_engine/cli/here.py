"""Doing a run in this very process: Ctrl-C stops it at a safe point, and what libraries print stays out of sight."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from rlhf_engine.cli.live import LiveRun, json_lines
from rlhf_engine.cli.outcome import BUG, BUG_SENTENCE, INTERRUPTED, code_of
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import ProjectLocked
from rlhf_engine.contract.events import Envelope, RunFinished
from rlhf_engine.contract.spec import Spec
from rlhf_engine.launch.recorded import carry_out, leads
from rlhf_engine.launch.worker_streams import LOG, prepare_environment, rotate
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import task_of


def do_run(
    root: Path,
    run_id: str,
    spec: Spec,
    name: str = "",
    resume: bool = False,
    as_json: bool = False,
    samples: bool = False,
    answers: bool = False,
    also: Callable[[Envelope], None] = lambda _: None,
) -> int:
    """Do a run to its end, showing it. Returns the exit code. `also` hears every envelope, on the run's thread.

    Raises:
        ProjectLocked: another process is doing a run in this project.
    """
    prepare_environment()
    errors: list[BaseException] = []
    console = Console(file=sys.stdout, highlight=False)
    writer = RunsWriter(root) if task_of(spec).kept and leads() else None
    try:
        with _out_of_sight(root), LiveRun(console, samples, answers) as live:
            show = json_lines(console) if as_json else live.show

            def publish(envelope: Envelope) -> None:
                show(envelope)
                also(envelope)

            def work(control: RunControl) -> RunFinished:
                return carry_out(root, run_id, spec, publish, control, name, resume, writer, errors.append)

            end = _interruptible(work)
    finally:
        if writer is not None:
            writer.close()
    code = code_of(errors[-1] if errors else None)
    if end.outcome == "failed":
        code = code or 1
        if not as_json:
            _tell(end, code)
    return code


def take_labels_in(root: Path, as_json: bool = False) -> None:
    """Take the labels that a run has written into the project, unless a window has it open: that one takes them in."""
    from rlhf_engine.store.project import Project
    from rlhf_engine.store.taking import take_in, waiting_labels

    if not waiting_labels(root):
        return
    said = "The window that has the project open takes the labels in."
    try:
        with Project.open(root) as project:
            said = f"{take_in(project.labels, root):,} facts were added to the project's labels."
    except ProjectLocked:
        pass
    if not as_json:
        sys.stdout.write(f"{said}\n")


def _interruptible(work: Callable[[RunControl], RunFinished]) -> RunFinished:
    """The run has a thread of its own, because a signal's handler must not touch the switches that it may be holding.

    The first Ctrl-C asks the run to stop, the second ends the process; SIGTERM suspends the run.
    """
    control = RunControl()
    ends: list[RunFinished] = []
    thread = threading.Thread(target=lambda: ends.append(work(control)), name="rlhf-run", daemon=True)
    caught: list[int] = []
    before = {which: signal.signal(which, lambda number, _: caught.append(number)) for which in _signals()}
    try:
        thread.start()
        obeyed = 0
        while thread.is_alive():
            thread.join(0.1)
            for number in caught[obeyed:]:
                obeyed += 1
                if number == signal.SIGTERM:
                    control.suspend()
                elif caught.count(signal.SIGINT) > 1:
                    os._exit(INTERRUPTED)  # inside a long step; all that was stored is safe
                else:
                    control.cancel()
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    return ends[0]


def _signals() -> tuple[signal.Signals, ...]:
    on_main_thread = threading.current_thread() is threading.main_thread()
    return (signal.SIGINT, signal.SIGTERM) if on_main_thread else ()


def _tell(end: RunFinished, code: int) -> None:
    if code == BUG:
        sys.stderr.write(end.traceback)
    hint = BUG_SENTENCE if code == BUG else end.hint
    sys.stderr.write(end.message + "\n" + (f"{hint}\n" if hint else ""))


_log: IO[Any] | None = None


@contextmanager
def _out_of_sight(root: Path) -> Iterator[None]:
    """Send what Python code prints to the project's worker.log. Loggers keep the stream, so it is never closed."""
    global _log
    if _log is None or Path(_log.name) != root / LOG:
        rotate(root / LOG)
        _log = (root / LOG).open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    with redirect_stdout(_log), redirect_stderr(_log):
        yield
