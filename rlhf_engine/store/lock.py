"""A lock on a file that the system takes back when its holder dies, so that nobody ever has to remove it by hand."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import IO

from rlhf_engine.contract.errors import ProjectLocked
from rlhf_engine.store.database import store_errors

_WINDOWS_BYTE = 1 << 30  # Windows locks bytes, also against reading: one far behind the text


class FileLock:
    """Held from construction to `close()`, or until the process ends, however it ends.

    Raises:
        ProjectLocked: another process (or another lock in this one) holds it; the message says which.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        with store_errors(path):
            self._file: IO[str] = path.open("a+", encoding="utf-8")
        if not _take(self._file):
            self._file.seek(0)
            holder = _describe(self._file.read(4096))
            self._file.close()
            raise ProjectLocked(f"{what} is open in {holder}.")
        with store_errors(path):
            self._file.seek(0)
            self._file.truncate()
            json.dump({"pid": os.getpid(), "host": socket.gethostname()}, self._file)
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def _describe(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"another window or command (process {int(holder['pid'])} on {str(holder['host'])[:80]})"
    except (ValueError, KeyError, TypeError):
        return "another window or command"


def _take(file: IO[str]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(_WINDOWS_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
