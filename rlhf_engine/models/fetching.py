"""Fetching from the Hub in a process of its own, with its bytes told and a way to stop at any moment."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any

from rlhf_engine.contract import errors
from rlhf_engine.contract.errors import EngineError, HubError, SpecError
from rlhf_engine.runtime.context import RunContext

_PATIENCE = 0.1  # seconds between two looks at the stop switch
_END = None


def fetched(asked: Mapping[str, Any], run: RunContext) -> dict[str, Any]:
    """What `fetch` finds for a request (see there). What was fetched before a stop is kept for the next time.

    Raises:
        HubError: the Hub refused or could not be reached, or the process broke off. DiskFull: it does not fit.
        ModelError, DataError, SpecError: there is nothing in the repository that could be used, or not what was named.
    """
    with _fetching(asked) as said:
        while True:
            run.safe_point()
            try:
                line = said.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if line is _END:
                raise HubError(
                    f"The download of {asked['repo']} broke off.", "Try again; what is already here is kept."
                )
            body: dict[str, Any] = json.loads(line)
            if "error" in body:
                raise _error(body)
            if "found" in body:
                return dict(body["found"])
            run.stage(body["text"], body["done"], body["total"])


@contextlib.contextmanager
def _fetching(asked: Mapping[str, Any]) -> Iterator[queue.SimpleQueue[str | None]]:
    """The lines that the fetching process says, then None. The process is gone after the block."""
    command = [sys.executable, "-m", "rlhf_engine.models.fetch", json.dumps(dict(asked))]
    said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert child.stdout is not None
    assert child.stdin is not None
    reader = threading.Thread(target=_read, args=(child.stdout, said), daemon=True)
    reader.start()
    try:
        yield said
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdin.close()
        reader.join(5)
        child.stdout.close()


def _read(stream: IO[str], said: queue.SimpleQueue[str | None]) -> None:
    for line in stream:
        said.put(line)
    said.put(_END)


def _error(body: dict[str, Any]) -> EngineError:
    """The error that the other process met."""
    if body["error"] == "SpecError":
        return SpecError(body["field"], body["message"], body["hint"])
    kind = getattr(errors, body["error"], EngineError)
    made: EngineError = kind(body["message"], body["hint"])
    return made
