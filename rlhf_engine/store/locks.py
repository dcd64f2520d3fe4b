"""A lock on a file that the system lets go of when its holder dies, however it dies, and that says who holds it."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rlhf_engine.contract.errors import ProjectLocked, StoreError


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    host: str

    @property
    def here(self) -> bool:
        """Whether it is this very process."""
        return self.pid == os.getpid() and self.host == socket.gethostname()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class FileLock:
    """Held from construction until `release()` or the end of the process.

    Raises:
        ProjectLocked: someone else holds it. The message is `sentence` with the holder in place of {holder}.
    """

    def __init__(self, path: Path, sentence: str, hint: str = "", patience: float = 0.3) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(
                f"{path} cannot be opened: {error.strerror}.", "Check the folder's permissions."
            ) from error
        deadline = time.monotonic() + patience  # `holder` of another process takes the lock for an instant
        while not _take(self._file, shared=False):
            if time.monotonic() > deadline:
                os.close(self._file)
                self._file = None
                who = _written(path)
                raise ProjectLocked(sentence.format(holder=who or "another process"), hint)
            time.sleep(0.02)
        try:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except OSError as error:
            os.close(self._file)
            raise StoreError(f"{path} cannot be written: {error.strerror}.", "Check the space on its disk.") from error

    def release(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)  # closing is what unlocks; the file stays, since deleting it would race
            self._file = None


def holder(path: Path) -> Holder | None:
    """Who holds the lock now; None when nobody does."""
    who = _written(path)
    if who is None:
        return None
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return who  # not ours to open: what is written is all there is to know
    try:
        return None if _take(file, shared=True) else who
    finally:
        os.close(file)


def _written(path: Path) -> Holder | None:
    try:
        body = json.loads(path.read_bytes())
        return Holder(int(body["pid"]), str(body["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # never locked, let go, or being taken this instant


if sys.platform == "win32":
    import msvcrt

    def _take(file: int, shared: bool) -> bool:  # noqa: ARG001
        os.lseek(file, 2**30, os.SEEK_SET)  # beyond the text, which others must be able to read
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _take(file: int, shared: bool) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
