"""The process that fetches one model: `python -m rlhf_engine.tasks.download.fetch owner/name`.

The Hub's library has no way to stop a download; a process has one. It says its progress in lines of JSON, the last of
which is the folder or the error, and it ends with whoever started it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

from rlhf_engine.contract.errors import EngineError
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


def main() -> int:
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        say({"folder": str(download(sys.argv[1], _Teller().progress))})
    except EngineError as error:
        say({"error": type(error).__name__, "message": str(error), "hint": error.hint})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
