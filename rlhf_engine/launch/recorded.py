"""One run together with its traces: its folder, its row and events in runs.db, its log, its ear for other processes."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import EngineError, StoreError
from rlhf_engine.contract.events import Envelope, RunFinished
from rlhf_engine.contract.spec import Spec
from rlhf_engine.launch.control_file import ControlFile
from rlhf_engine.launch.execute import execute, refuse
from rlhf_engine.store.run_row import storable
from rlhf_engine.store.runs import RunsReader, RunsWriter
from rlhf_engine.tasks import spec_from_json, spec_to_json, task_of

log = logging.getLogger(__name__)


def carry_out(
    project_root: Path,
    run_id: str,
    spec: Spec,
    publish: Callable[[Envelope], None],
    control: RunControl,
    name: str = "",
    resume: bool = False,
    writer: RunsWriter | None = None,
    on_error: Callable[[BaseException], None] = lambda _: None,
) -> RunFinished:
    """`execute`, and keep what is said when the task is a kept one. Stored first, published second; never raises.

    Without `writer` the project's runs are held for the duration of this run.
    """
    if not task_of(spec).kept or not leads():
        return execute(run_id, spec, publish, control, project_root, resume, on_error=on_error)
    with ExitStack() as stack:
        try:
            if writer is None:
                writer = stack.enter_context(RunsWriter(project_root))
            folder = project_root / "runs" / run_id
            folder.mkdir(parents=True, exist_ok=True)
            spec_json = storable(spec_to_json(spec))
            if not resume:
                _write_whole(folder / "spec.json", spec_json)
            first = writer.start(run_id, spec_json, task_of(spec).key, name)
            stack.enter_context(_logged(folder / "run.log"))
            stack.enter_context(ControlFile(folder, control))
        except EngineError as error:
            on_error(error)
            return refuse(run_id, spec, publish, error, _next_seq(project_root, run_id) if resume else 0)
        except OSError as error:
            known = StoreError(f"{error.filename or project_root} cannot be written: {error.strerror}.")
            on_error(known)
            return refuse(run_id, spec, publish, known, _next_seq(project_root, run_id) if resume else 0)
        return execute(run_id, spec, _stored_first(writer, publish), control, project_root, resume, first, on_error)


def leads() -> bool:
    """Whether this is the process that speaks and writes for a run of several (torchrun numbers them in RANK)."""
    return os.environ.get("RANK", "0") == "0"


def spec_of(project_root: Path, run_id: str) -> Spec:
    """The spec of a run of this project.

    Raises:
        StoreError: there is no such run.
        SpecError: its spec does not hold, for example because a newer version wrote it.
    """
    if not run_id.isalnum():  # it becomes part of a path
        raise StoreError(f"{run_id!r} is not the id of a run.", "See `rlhf list`.")
    path = project_root / "runs" / run_id / "spec.json"
    try:
        spec: Spec = spec_from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"There is no run {run_id!r} in {project_root}.", "See `rlhf list`.") from error
    return spec


def require_resumable(project_root: Path, run_id: str) -> Spec:
    """The spec of a run that can be taken up again. Raises StoreError when it cannot be."""
    spec = spec_of(project_root, run_id)
    reader = RunsReader(project_root)
    try:
        row = reader.run(run_id)
    finally:
        reader.close()
    if row is not None and row.alive:
        raise StoreError(f"Run {run_id} is still going.", "Wait until it has ended, or suspend it first.")
    if row is not None and not row.resumable:
        raise StoreError(f"Run {run_id} is complete: there is nothing left to do.", "Start a new run instead.")
    return spec


def delete_run(project_root: Path, run_id: str, writer: RunsWriter) -> None:
    """Forget a run that has ended: its row, its story and its folder. Raises StoreError while it is going."""
    if not run_id.isalnum():
        raise StoreError(f"{run_id!r} is not the id of a run.")
    reader = RunsReader(project_root)
    try:
        row = reader.run(run_id)
    finally:
        reader.close()
    if row is not None and row.alive:
        raise StoreError(f"Run {run_id} is still going.", "Cancel it first.")
    writer.delete(run_id)
    shutil.rmtree(project_root / "runs" / run_id, ignore_errors=True)


def _stored_first(writer: RunsWriter, publish: Callable[[Envelope], None]) -> Callable[[Envelope], None]:
    def told(envelope: Envelope) -> None:
        try:
            writer.append(envelope)
        except EngineError:
            publish(envelope)  # listeners count on hearing every number; the writer will try this one again
            if not isinstance(envelope.event, RunFinished):
                raise
            log.exception("The end of run %s could not be stored.", envelope.run_id)
        else:
            publish(envelope)

    return told


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """What libraries and we ourselves log while a run goes on also lands in the run's own folder."""
    writing = logging.FileHandler(path, encoding="utf-8", delay=True)
    writing.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(writing)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(writing)
        writing.close()


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never half of it."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def _next_seq(project_root: Path, run_id: str) -> int:
    reader = RunsReader(project_root)
    try:
        return reader.next_seq(run_id)
    except StoreError:
        return 0  # the database is what is broken, and the message says so
    finally:
        reader.close()
