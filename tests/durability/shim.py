"""Builds disk.c, and speaks to it from a process that it was loaded into."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def buildable() -> bool:
    return sys.platform == "linux" and shutil.which("cc") is not None


def build(folder: Path) -> Path:
    library = folder / "disk.so"
    source = Path(__file__).with_name("disk.c")
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    return library


def environment(library: Path, watched: Path, log: Path | None = None) -> dict[str, str]:
    """For a process that is to have its disk watched."""
    told = {"LD_PRELOAD": str(library), "DISK_ROOT": str(watched.resolve()), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **told, **({"DISK_LOG": str(log)} if log else {})}


def fast_folder() -> str | None:
    """In memory where there is such a place: only the shim's word for what is on the disk counts."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="rlhf-durability-", dir=fast_folder())


class Disk:
    """The disk of this process. Without the shim nothing here may be called."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.disk_free.restype = ctypes.c_long

    def note(self, text: str) -> None:
        """Put a note among what was written."""
        self._library.disk_note(text.encode("ascii"))

    def fill(self, writes: int) -> None:
        """Have room for so many writes more."""
        self._library.disk_fill(ctypes.c_long(writes))

    def free(self) -> int:
        """Have room again. Returns how many writes were refused."""
        return int(self._library.disk_free())
