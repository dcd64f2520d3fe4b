"""Fetching a model from the Hub, with its bytes told and a way to stop at any moment."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from rlhf_engine.contract import errors
from rlhf_engine.contract.errors import EngineError, HubError
from rlhf_engine.contract.events import Produced
from rlhf_engine.models.folders import check_model, folder_facts
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.download.spec import DownloadSpec

_PATIENCE = 0.1  # seconds between two looks at the stop switch
_END = None


def download_model(spec: DownloadSpec, run: RunContext) -> None:
    """Put `spec.repo` into the Hub's cache, or find it there. What was fetched before a stop is kept for the next time.

    Raises:
        HubError: the Hub refused or could not be reached. ModelError: it is no model that can be used here.
        DiskFull: it does not fit.
    """
    run.stage(f"Asking the Hub for {spec.repo}")
    folder = Path(_fetched(spec.repo, run))
    check_model(folder, spec.repo)
    facts = folder_facts(folder, spec.repo)
    told = {"repo": spec.repo, "parameters": facts.parameters, "bytes": facts.bytes}
    run.emit(Produced("model", str(folder), told))


def _fetched(repo: str, run: RunContext) -> str:
    with _fetching(repo) as said:
        while True:
            run.safe_point()
            try:
                line = said.get(timeout=_PATIENCE)
            except queue.Empty:
                continue
            if line is _END:
                raise HubError(f"The download of {repo} broke off.", "Try again; what is already here is kept.")
            body: dict[str, Any] = json.loads(line)
            if "error" in body:
                raise _error(body)
            if "folder" in body:
                return str(body["folder"])
            run.stage(body["text"], body["done"], body["total"])


@contextlib.contextmanager
def _fetching(repo: str) -> Iterator[queue.SimpleQueue[str | None]]:
    """The lines that the fetching process says, then None. The process is gone after the block."""
    command = [sys.executable, "-m", "rlhf_engine.tasks.download.fetch", repo]
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
    kind = getattr(errors, body["error"], EngineError)
    made: EngineError = kind(body["message"], body["hint"])
    return made
