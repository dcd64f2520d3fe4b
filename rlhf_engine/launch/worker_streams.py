"""Where a worker's output goes: the pipe belongs to the protocol alone; whatever libraries print goes to a log file."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

LOG = "worker.log"
AGAIN = 75  # exit code: start another one and go on with what waits
LARGEST = 2_000_000  # bytes; one older file is kept beside the current one


def take_pipe(project_root: Path) -> BinaryIO:
    """Keep stdout for ourselves under another number, and point 1 and 2 at the project's worker.log."""
    pipe = os.fdopen(os.dup(1), "wb")
    _point_at(project_root / LOG)
    # Progress bars and prints of libraries end up here: never lose a run over a character the log cannot spell.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)  # type: ignore[union-attr]
    return pipe


def keep_log_small(project_root: Path) -> None:
    """Begin a new worker.log when the current one has grown large; the old one becomes worker.log.1."""
    path = project_root / LOG
    if rotate(path):
        sys.stdout.flush()
        sys.stderr.flush()
        _point_at(path)


def rotate(path: Path) -> bool:
    try:
        if path.stat().st_size < LARGEST:
            return False
        path.replace(path.with_name(path.name + ".1"))
    except OSError:
        return False  # absent, or held open on Windows: a long log is better than none
    return True


def prepare_environment() -> None:
    """What must be said before torch and transformers are imported. What a person has set stays."""
    import psutil

    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(cores))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def _point_at(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
