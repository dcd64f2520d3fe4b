"""One run, from its first event to its last, whatever starts it and whatever happens to it."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import (
    DiskFull,
    EngineError,
    OutOfMemory,
    RunCancelled,
    RunSuspended,
    StoreError,
)
from rlhf_engine.contract.events import Envelope, RunFinished, RunStarted
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.contract.spec import Spec
from rlhf_engine.contract.training import TrainingFields
from rlhf_engine.launch.forecast import dataset_lengths, foresee
from rlhf_engine.tasks import TASKS, task_of

BUG = "This is a bug in the engine."
log = logging.getLogger(__name__)


def execute(
    run_id: str,
    spec: Spec,
    publish: Callable[[Envelope], None],
    control: RunControl,
    project_root: Path,
    resume: bool = False,
    first_seq: int = 0,
    on_error: Callable[[BaseException], None] = lambda _: None,
) -> RunFinished:
    """Never raises: the first event published is a RunStarted, the last a RunFinished, which is also returned.

    `on_error` hears the exception itself, for whoever must do more than tell it.
    """
    reporter = Reporter(run_id, publish, first_seq)
    try:
        _work(run_id, spec, reporter, control, project_root, resume)
        end = RunFinished("completed")
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        end = ending_of(error)
        on_error(error)
    if end.traceback:
        log.error("Run %s failed.\n%s", run_id, end.traceback)
    try:
        reporter.emit(end)
    except Exception:  # a full disk or a listener's fault must not turn an ended run into an endless one
        log.exception("The end of run %s could not be told.", run_id)
    return end


def refuse(
    run_id: str, spec: Spec, publish: Callable[[Envelope], None], error: EngineError, first_seq: int = 0
) -> RunFinished:
    """The whole story of a run that could not even begin."""
    reporter = Reporter(run_id, publish, first_seq)
    end = RunFinished("failed", str(error), error.hint)
    reporter.emit(RunStarted(_key(spec), 0))
    reporter.emit(end)
    return end


def _work(run_id: str, spec: Spec, reporter: Reporter, control: RunControl, project_root: Path, resume: bool) -> None:
    reporter.emit(_started(run_id, spec, project_root, resume))
    task = task_of(spec)
    if control.cancelled:
        raise RunCancelled
    from rlhf_engine.runtime.context import RunContext  # imports torch; the window is open by now
    from rlhf_engine.runtime.device import device_errors

    with device_errors():
        if task.trains:
            _make_room()
        device = getattr(spec, "device", "auto")
        work = task.function()  # imports what it needs first: that is no memory of the run's own
        run = RunContext(project_root, run_id, reporter, control, spec.seed, resume, task.key, device)
        if isinstance(spec, TrainingFields):
            run.predicted = _foreseen(project_root, task.key, spec, run.device.type == "cuda")
        work(spec, run)


def ending_of(error: BaseException) -> RunFinished:
    """How a run ends that was left by this exception, in a person's words wherever there are any."""
    match error:
        case RunCancelled() | KeyboardInterrupt():
            return RunFinished("cancelled")
        case RunSuspended():
            return RunFinished("suspended")
        case EngineError():
            return RunFinished("failed", str(error), error.hint)
        case MemoryError():
            return RunFinished("failed", "The computer ran out of memory.", OutOfMemory.hint)
    known = as_engine_error(error)
    trace = "".join(traceback.format_exception(error))
    if known is not None:
        return RunFinished("failed", str(known), known.hint, trace)
    return RunFinished("failed", f"{type(error).__name__}: {error}", BUG, trace)


def _foreseen(project_root: Path, task: str, spec: Spec, on_gpu: bool) -> int:
    """Bytes that the run was foreseen to need, before any correction: what it takes teaches the next forecast."""
    values = {f.name: getattr(spec, f.name) for f in fields(spec)}
    found = foresee(project_root, task, values, on_gpu, dataset_lengths(project_root, task, values))
    return found.own if found else 0


def _make_room() -> None:
    """Models that stay in memory between questions give it back before a training run begins."""
    asked = sys.modules.get("rlhf_engine.tasks.generate.work")  # not imported: nothing can be kept then
    if asked is not None:
        asked.forget()


def _started(run_id: str, spec: Spec, project_root: Path, resume: bool) -> RunStarted:
    """`from_step` is the newest checkpoint's, so that a replay keeps the curve up to there.

    When that checkpoint turns out to be damaged, the context takes an older one and says so with another RunStarted.
    """
    from_step = 0
    if resume:
        folder = project_root / "runs" / run_id / "checkpoints"
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        from_step = max((int(name) for name in names if name.isdigit()), default=0)
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    return RunStarted(_key(spec), getattr(spec, "total_steps", 0), from_step, processes=processes)


def as_engine_error(error: BaseException) -> EngineError | None:
    """What the system refused, in a person's words; None for anything else, which is a bug."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if full or "No space left on device" in str(error):  # safetensors says it in words only
        where = f" while writing {error.filename}" if isinstance(error, OSError) and error.filename else ""
        return DiskFull(f"The disk is full{where}.")
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) and error.filename:
        return StoreError(f"{error.filename} may not be read or written.", "Check its owner and its permissions.")
    return None


def _key(spec: Any) -> str:
    return next((task.key for task in TASKS.values() if task.spec is type(spec)), type(spec).__name__)
