"""The engine as a process of its own: a crash, an out-of-memory or a kill there cannot take the window along."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Envelope, RunFinished
from rlhf_engine.contract.spec import Spec
from rlhf_engine.launch.control_file import throw
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.launch.follow import Follower
from rlhf_engine.launch.recorded import require_resumable
from rlhf_engine.launch.remote import RESUME, RemoteRun, RemoteSwitches, ending_with
from rlhf_engine.launch.stories import Stories
from rlhf_engine.launch.worker_process import WorkerProcess
from rlhf_engine.launch.worker_streams import AGAIN
from rlhf_engine.store.runs import RunsReader
from rlhf_engine.tasks import spec_to_json, task_of

log = logging.getLogger(__name__)


class ProcessEngine:
    """Supervises one worker process, from one thread named `rlhf-engine`.

    `publish` and `on_state` are called on that thread and must not block; `engine.py` lists what `on_state` hears.
    A run of another process in this project is followed too: it is published like our own, and its switches work.
    """

    def __init__(
        self,
        project_root: Path,
        publish: Callable[[Envelope], None],
        on_state: Callable[[str, dict[str, Any]], None] | None = None,
        command: Sequence[str] = (),
    ) -> None:
        self._root = project_root.absolute()
        self._on_state = on_state or (lambda _state, _facts: None)
        self._command = command
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._orders: list[RemoteRun] = []  # submitted and not ended, in order
        self._worker: WorkerProcess | None = None
        self._reader = RunsReader(self._root)
        self._stories = Stories(self._reader, publish)
        self._follower = Follower(self._root, self._reader)
        self._closing = self._over = self._restarting = False
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="rlhf-engine", daemon=True)
        self._inbox.put(self._start_worker)
        self._thread.start()

    # Called from any thread ---------------------------------------------------------------------------------------

    def submit(self, spec: Spec, name: str = "") -> str:
        order = RemoteRun(new_run_id(), spec, name)
        self._line_up(order)
        return order.run_id

    def resume(self, run_id: str) -> None:
        spec = require_resumable(self._root, run_id)
        self._stories.go_on(run_id)
        self._line_up(RemoteRun(run_id, spec, resume=True))

    def control(self, run_id: str) -> RemoteSwitches:
        return RemoteSwitches(lambda command, value: self._inbox.put(lambda: self._throw(run_id, command, value)))

    def rename(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        """Change a run's name or note; `on_state` hears "changed", or "refused"."""
        self._inbox.put(lambda: self._ask({"do": "rename", "run": run_id, "name": name, "note": note}))

    def delete(self, run_id: str) -> None:
        """Forget a run and delete its folder; `on_state` hears "changed", or "refused"."""
        self._inbox.put(lambda: self._ask({"do": "delete", "run": run_id}))

    def restart(self) -> None:
        """End the worker, whatever it is doing, and start a fresh one, which goes on with what waits."""
        self._inbox.put(self._restart)

    @property
    def running(self) -> str | None:
        """The run in progress: our worker's, else one of another process that is being followed."""
        with self._guard:
            ours = next((order.run_id for order in self._orders if order.started), None)
        return ours or self._follower.run_id

    @property
    def waiting(self) -> list[str]:
        with self._guard:
            return [order.run_id for order in self._orders if not order.started]

    @property
    def worker_pid(self) -> int | None:
        worker = self._worker
        return worker.pid if worker and not worker.gone else None

    def close(self, timeout: float = 30.0, leave_running: bool = False) -> bool:
        """Cancel everything and end the worker; after `timeout` seconds it is killed, and the answer is False.

        With `leave_running` a kept run in progress goes on without us, and what waits behind it is given up.
        """
        self._inbox.put(lambda: self._close(timeout, leave_running))
        self._thread.join(timeout + 10)
        self._reader.close()
        return self._ended_well and not self._thread.is_alive()

    _ended_well = True

    def _line_up(self, order: RemoteRun) -> None:
        task_of(order.spec)  # what is no spec is refused here, not on the engine's thread
        if self._closing:
            raise RuntimeError("The engine has been closed.")
        with self._guard:
            self._orders.append(order)
        self._inbox.put(lambda: self._send(order))

    # The engine's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over:
            with contextlib.suppress(queue.Empty):
                self._do(self._inbox.get(timeout=0.2))
            self._do(self._follow)
            if self._closing and not self._over and time.monotonic() > self._deadline:
                self._ended_well = False
                self._do(self._kill)
        self._tell_state("stopped", {})

    def _do(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:  # a fault of a listener or of one message must not end the engine for good
            log.exception("The engine thread met an error.")

    def _start_worker(self) -> None:
        self._tell_state("starting", {})
        self._worker = WorkerProcess(self._root, self._inbox.put, self._hear, self._worker_gone, self._command)

    def _restart(self) -> None:
        if self._worker is None or self._worker.gone:
            self._start_worker()
        else:
            self._restarting = True
            self._worker.kill()

    def _send(self, order: RemoteRun) -> None:
        if self._closing or order.ended:
            return
        try:
            worker = self._living_worker()
        except OSError as error:
            sentence = f"The engine process could not be started: {error.strerror}."
            self._tell_story(order, RunFinished("failed", sentence, "See `rlhf doctor`."))
            return
        if order.sent_to != worker.pid:
            order.sent_to = worker.pid
            body = {"do": "submit", "run": order.run_id, "spec": spec_to_json(order.spec), "name": order.name}
            self._ask({**body, "resume": order.resume})

    def _ask(self, body: dict[str, Any]) -> None:
        self._living_worker().write(json.dumps(body, ensure_ascii=False))

    def _living_worker(self) -> WorkerProcess:
        if self._worker is None or self._worker.gone:
            self._start_worker()
        assert self._worker is not None
        return self._worker

    def _throw(self, run_id: str, command: str, value: float) -> None:
        if any(order.run_id == run_id for order in self._orders):
            self._ask({"do": "control", "run": run_id, "command": command, "value": value})
        elif run_id == self._follower.run_id:
            try:
                throw(self._root / "runs" / run_id, command, value)
            except EngineError as error:
                self._tell_state("refused", {"message": str(error), "hint": error.hint, "run": run_id})

    def _hear(self, line: str) -> None:
        """One line of the worker's."""
        body = json.loads(line)
        match body:
            case {"kind": _, "run": _}:
                self._pass_on(Envelope.from_json(line))
            case {"hello": facts}:
                self._tell_state("warming", facts)
            case {"ready": facts}:
                self._tell_state("ready", facts)
            case {"waiting": run_id, "holder": holder}:
                self._tell_state("waiting", {"run": run_id, "holder": holder})
            case {"dropped": run_id}:
                self._forget(run_id)
                self._tell_state("dropped", {"run": run_id})
            case {"changed": run_id}:
                self._tell_state("changed", {"run": run_id})
            case {"refused": message, "hint": hint, "run": run_id}:
                self._tell_state("refused", {"message": message, "hint": hint, "run": run_id})
                self._refused(run_id, message, hint)
            case _:
                log.error("Not a message: %.200s", line)

    def _pass_on(self, envelope: Envelope) -> None:
        order = next((order for order in self._orders if order.run_id == envelope.run_id), None)
        if order is not None:
            order.started = True
            if order.kept:
                self._stories.catch_up(order.run_id, envelope.seq)
            if isinstance(envelope.event, RunFinished):
                self._forget(order.run_id)
        self._stories.say(envelope)

    def _refused(self, run_id: str, message: str, hint: str) -> None:
        """The worker could not even read an order: its story is told here."""
        order = next((order for order in self._orders if order.run_id == run_id and not order.started), None)
        if order is not None:
            self._tell_story(order, RunFinished("failed", message, hint))

    def _worker_gone(self, code: int) -> None:
        worker, self._worker = self._worker, None
        if self._closing:
            self._ended_well = self._ended_well and code == 0
            for order in list(self._orders):
                self._tell_story(order, ending_with(code) if order.started and code else RunFinished("cancelled"))
            self._over = True
            return
        if code == AGAIN or self._restarting:
            self._restarting = False
            for order in [order for order in self._orders if order.started]:
                self._tell_story(order, RunFinished("failed", "The engine was restarted.", RESUME))
            self._start_worker()
            for order in list(self._orders):
                self._send(order)
            return
        end = ending_with(code)
        self._tell_state("died", {"message": end.message, "hint": end.hint, "log": str(worker.log) if worker else ""})
        if self._orders:  # the one it was doing, or could not begin: never try that one again unasked
            first = next((order for order in self._orders if order.started), self._orders[0])
            self._tell_story(first, end if first.kept and first.started else replace(end, hint="Start it again."))
        for order in list(self._orders):
            self._send(order)

    def _tell_story(self, order: RemoteRun, end: RunFinished) -> None:
        """Bring the story of a run that our worker will not finish to its end."""
        if order.kept:
            self._stories.catch_up(order.run_id)  # stored, but the pipe broke before it got here
        self._forget(order.run_id)
        if not self._stories.end(order.run_id, order.spec, end):
            self._tell_state("dropped", {"run": order.run_id})  # it was to be resumed, and has the end that it had

    def _forget(self, run_id: str) -> None:
        with self._guard:
            for order in self._orders:
                if order.run_id == run_id:
                    order.ended = True
            self._orders = [order for order in self._orders if order.run_id != run_id]

    def _follow(self) -> None:
        ours = self._worker.pid if self._worker else None
        for news in self._follower.news(ours):
            if isinstance(news, Envelope):
                self._stories.say(news)
            else:
                self._tell_state(*news)

    def _close(self, timeout: float, leave_running: bool) -> None:
        self._closing = True
        self._deadline = time.monotonic() + timeout
        if self._worker is None:
            self._worker_gone(0)
        elif leave_running:
            self._worker.let_go()
            for order in [order for order in self._orders if not (order.started and order.kept)]:
                self._tell_story(order, RunFinished("cancelled"))
            self._over = True
        else:
            self._worker.write(json.dumps({"do": "close"}))
            if not any(order.started for order in self._orders):
                self._worker.close_stdin()  # it ends at once then, even in the middle of importing torch

    def _kill(self) -> None:
        self._deadline = time.monotonic() + 10
        if self._worker is None:
            self._over = True
        else:
            self._worker.kill()

    def _tell_state(self, state: str, facts: dict[str, Any]) -> None:
        try:
            self._on_state(state, facts)
        except Exception:
            log.exception("A listener failed on %r.", state)
