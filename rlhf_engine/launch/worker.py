"""The process that owns torch, the GPU and the writing of runs.db: `python -m rlhf_engine.launch.worker --project DIR`.

It reads one JSON object per line from stdin:
    {"do": "submit", "run", "spec", "name", "resume"}    {"do": "control", "run", "command", "value"}
    {"do": "rename", "run", "name", "note"}    {"do": "delete", "run"}    {"do": "close"}
and writes one per line to stdout: envelopes as they are, and between them
    {"hello": {...}}    {"ready": {...}}    {"waiting": run, "holder"}    {"dropped": run}    {"changed": run}
    {"refused": sentence, "hint", "run"}
When stdin ends, whoever started it is gone: a kept run in progress is finished first, everything else is let go.
SIGTERM makes a training run save a checkpoint and lie down. After the driver has lost the device it ends with exit code
AGAIN, because only a fresh process can use the device.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import queue
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from rlhf_engine import __version__
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import DeviceLost, EngineError, ProjectLocked
from rlhf_engine.contract.events import Envelope, RunFinished, RunStarted
from rlhf_engine.contract.reporter import Reporter
from rlhf_engine.contract.spec import Spec
from rlhf_engine.launch.recorded import carry_out, delete_run
from rlhf_engine.launch.worker_streams import AGAIN, keep_log_small, prepare_environment, take_pipe
from rlhf_engine.store.runs import RunsReader, RunsWriter
from rlhf_engine.tasks import spec_from_json, task_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    run_id: str
    spec: Spec
    name: str
    resume: bool
    control: RunControl = field(default_factory=RunControl)

    @property
    def kept(self) -> bool:
        return task_of(self.spec).kept

    @property
    def trains(self) -> bool:
        return task_of(self.spec).trains


class Worker:
    """Runs happen on the main thread, since CUDA and signals like it there; a second thread obeys what is asked."""

    def __init__(self, project_root: Path, orders: BinaryIO, pipe: BinaryIO) -> None:
        self._root = project_root
        self._pipe: BinaryIO | None = pipe
        self._pipe_guard = threading.Lock()
        self._asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._waiting: deque[Order] = deque()
        self._current: Order | None = None
        self._writer: RunsWriter | None = None
        self._ending = self._device_lost = False
        self._changed = threading.Condition()
        self._reader = RunsReader(project_root)
        threading.Thread(target=self._listen, args=(orders,), name="rlhf-worker-stdin", daemon=True).start()
        threading.Thread(target=self._obey_all, name="rlhf-worker-commands", daemon=True).start()

    def work(self, warm_up: Callable[[], dict[str, Any]]) -> int:
        """Do orders until told to end. Returns the exit code."""
        # A queue's put is the one thing that a signal may do safely, whatever the main thread was in the middle of.
        signal.signal(signal.SIGTERM, lambda *_: self._asked.put({"do": "terminate"}))
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        self.tell({"hello": {**who, "version": __version__, "python": platform.python_version()}})
        self.tell({"ready": warm_up()})
        while (order := self._next()) is not None:
            keep_log_small(self._root)
            self._carry_out(order)
            self._done()
            if self._device_lost:
                return AGAIN
        return 0

    def _carry_out(self, order: Order) -> None:
        carry_out(
            self._root,
            order.run_id,
            order.spec,
            self._publish,
            order.control,
            order.name,
            order.resume,
            self._writer,
            self._met,
        )

    def tell(self, body: dict[str, Any]) -> None:
        self._write(json.dumps(body, ensure_ascii=False))

    def _met(self, error: BaseException) -> None:
        self._device_lost = self._device_lost or isinstance(error, DeviceLost)

    def _publish(self, envelope: Envelope) -> None:
        self._write(envelope.to_json())

    def _write(self, line: str) -> None:
        with self._pipe_guard:
            if self._pipe is None:
                return
            try:
                self._pipe.write(line.encode("utf-8", "replace") + b"\n")
                self._pipe.flush()
            except OSError:
                self._pipe = None  # the window is gone, and will read the rest from runs.db

    # What to do next ----------------------------------------------------------------------------------------------

    def _next(self) -> Order | None:
        """Wait for an order that can be done now. None means that it is time to go."""
        told = ""
        with self._changed:
            while True:
                if self._ending and not self._waiting:
                    return None
                order = next((order for order in self._waiting if self._can_start(order)), None)
                if order is not None:
                    self._waiting.remove(order)
                    self._current = order
                    return order
                if self._waiting and told != self._waiting[0].run_id:
                    told = self._waiting[0].run_id
                    self.tell({"waiting": told, "holder": str(self._reader.at_work() or "another process")})
                self._changed.wait(0.5 if self._waiting else None)

    def _can_start(self, order: Order) -> bool:
        """A kept run needs the project's runs for itself; while another process has them, answers can be written."""
        if not order.kept or self._writer is not None:
            return True
        try:
            self._writer = RunsWriter(self._root, patience=0.1)
        except ProjectLocked:
            return False
        except EngineError:
            pass  # a damaged runs.db: the run itself meets the same error and tells it
        return True

    def _done(self) -> None:
        with self._changed:
            self._current = None
            if self._writer is not None and not any(order.kept for order in self._waiting):
                self._writer.close()  # so that the command line may do a run meanwhile
                self._writer = None

    # What is asked ------------------------------------------------------------------------------------------------

    def _listen(self, orders: BinaryIO) -> None:
        for line in orders:
            try:
                body = json.loads(line)
                body["do"]
            except (ValueError, KeyError, TypeError):
                log.error("Not an order: %r", line[:200])
            else:
                self._asked.put(body)
        self._asked.put({"do": "finish"})

    def _obey_all(self) -> None:
        while True:
            body = self._asked.get()
            try:
                with self._changed:
                    self._obey(body)
                    self._changed.notify_all()
            except EngineError as error:
                self.tell({"refused": str(error), "hint": error.hint, "run": body.get("run", "")})
            except Exception:
                log.exception("The order %r could not be obeyed.", body.get("do"))

    def _obey(self, body: dict[str, Any]) -> None:
        match body["do"]:
            case "submit":
                spec = spec_from_json(body["spec"])
                self._waiting.append(Order(body["run"], spec, body.get("name", ""), body.get("resume", False)))
            case "control":
                self._control(body["run"], body["command"], body.get("value", 0.0))
            case "rename":
                with self._writing() as writer:
                    writer.rename(body["run"], body.get("name"), body.get("note"))
                self.tell({"changed": body["run"]})
            case "delete":
                with self._writing() as writer:
                    delete_run(self._root, body["run"], writer)
                self.tell({"changed": body["run"]})
            case "close":
                self._ending = True
                for order in list(self._waiting):
                    self._drop(order)
                if self._current:
                    self._current.control.cancel()
            case "terminate" | "finish":
                self._let_go(at_once=body["do"] == "terminate")
            case unknown:
                log.error("Not an order: %r", unknown)

    def _control(self, run_id: str, command: str, value: float) -> None:
        if self._current and self._current.run_id == run_id:
            self._current.control.obey(command, value)
        waiting = next((order for order in self._waiting if order.run_id == run_id), None)
        if waiting is not None and command in ("cancel", "suspend"):
            self._drop(waiting)
        elif waiting is not None:
            waiting.control.obey(command, value)

    def _drop(self, order: Order) -> None:
        """A run that never started is told as cancelled and leaves no trace; one to be resumed stays as it was."""
        self._waiting.remove(order)
        if not order.resume:
            reporter = Reporter(order.run_id, self._publish)
            reporter.emit(RunStarted(task_of(order.spec).key, order.spec.total_steps))
            reporter.emit(RunFinished("cancelled"))
        self.tell({"dropped": order.run_id})

    def _let_go(self, at_once: bool) -> None:
        """Nobody listens any more (or the system shuts down, with `at_once`): end, but lose nothing that is kept."""
        again, self._ending = self._ending, True
        self._waiting.clear()
        current = self._current
        if current is None or not current.kept or (at_once and again):
            os._exit(0)  # torch may be half imported, or inside a long kernel: there is nothing worth waiting for
        if current.trains and (at_once or current.control.paused):
            current.control.suspend()  # paused with nobody left to say go on
        elif at_once:
            current.control.cancel()
        else:
            current.control.resume()

    @contextmanager
    def _writing(self) -> Iterator[RunsWriter]:
        """The writer in use, or one for the moment."""
        if self._writer is not None:
            yield self._writer
        else:
            with RunsWriter(self._root) as writer:
                yield writer


def import_torch() -> dict[str, Any]:
    """The slow imports, before anyone asks for a run. Returns what there is to know about the device."""
    try:
        from rlhf_engine.runtime import context, device

        facts = {**device.describe(), "imported": context.__name__}
        import peft
        import transformers
    except ImportError as error:
        log.exception("The engine is not complete.")
        return {"error": f"The engine is not complete: {error}", "hint": "See `rlhf doctor`."}
    return {**facts, "transformers": transformers.__version__, "peft": peft.__version__}


def main(arguments: Iterable[str] | None = None, warm_up: Callable[[], dict[str, Any]] = import_torch) -> NoReturn:
    parser = argparse.ArgumentParser(prog="rlhf-worker")
    parser.add_argument("--project", type=Path, required=True)
    root = parser.parse_args(None if arguments is None else list(arguments)).project.absolute()
    pipe = take_pipe(root)
    prepare_environment()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    code = 1
    try:
        code = Worker(root, sys.stdin.buffer, pipe).work(warm_up)
    except Exception:
        log.exception("The worker met an error.")
    finally:
        logging.shutdown()
        # The ordinary way out waits for locks that the thread reading stdin holds, and aborts.
        os._exit(code)


if __name__ == "__main__":
    main()
