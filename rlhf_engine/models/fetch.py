"""The process that fetches from the Hub: `python -m rlhf_engine.models.fetch '{"repo": "owner/name"}'`.

The Hub's library has no way to stop a download; a process has one. It says its progress in lines of JSON, the last of
which is what it has found or the error, and it ends with whoever started it. `fetching` is the other side.

The request says which "repo"; of a dataset also `"kind": "dataset"`, the "revision", and the "config" and "split" that
are wanted, unless it is only asked to "list" what there is.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.models.hub import download

_EVERY = 0.1  # seconds between two lines of progress


class _Teller:
    """Progress comes from several threads; the last word of each stretch is always told."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._last = 0.0

    def progress(self, text: str, done: int, total: int) -> None:
        now = time.monotonic()
        with self._guard:
            if now - self._last < _EVERY and done != total:
                return
            self._last = now
            say({"text": text, "done": done, "total": total})


def say(body: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


def end_with_parent() -> None:
    """Stdin is a pipe that nobody writes to: it ends when the process at its other end does."""
    sys.stdin.buffer.read()
    os._exit(1)


def found(asked: dict[str, Any]) -> dict[str, Any]:
    """What is to be told at the end. Raises EngineError as `hub.download` and `hub_datasets` do."""
    tell = _Teller().progress
    if asked.get("kind") == "dataset":
        return _dataset(asked, tell)
    return {"folder": str(download(asked["repo"], tell))}


def _dataset(asked: dict[str, Any], tell: Any) -> dict[str, Any]:
    from rlhf_engine.models.hub_datasets import fetch, listing_of, part_of

    listing = listing_of(asked["repo"], asked.get("revision", ""))
    told: dict[str, Any] = {
        "repo": listing.repo,
        "revision": listing.revision,
        "converted": listing.converted,
        "parts": [
            {"config": part.config, "split": part.split, "size": part.size, "partial": part.partial}
            for part in listing.parts
        ],
    }
    if asked.get("list"):
        return told
    part = part_of(listing, asked.get("config", ""), asked.get("split", ""))
    files = [str(file) for file in fetch(listing, part, tell)]
    return {**told, "config": part.config, "split": part.split, "partial": part.partial, "files": files}


def main() -> int:
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        say({"found": found(json.loads(sys.argv[1]))})
    except EngineError as error:
        body = {"error": type(error).__name__, "message": str(error), "hint": error.hint}
        say({**body, "field": error.field} if isinstance(error, SpecError) else body)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
