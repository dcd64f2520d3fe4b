"""Where an export goes: a name that is safe on every system, no folder overwritten, and nothing half done."""

from __future__ import annotations

import errno
import os
import re
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from rlhf_engine.contract.errors import DiskFull, SpecError, StoreError

_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_ASIDE = ".tmp-export-"


def safe_name(words: str, otherwise: str = "model") -> str:
    """A folder's name from anything a person may have written: letters, digits, dots and dashes, at most 80."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:80].strip("-._")
    if not name:
        return otherwise
    return f"{otherwise}-{name}" if name.split(".")[0].lower() in _RESERVED else name


def parent_of_exports(project_root: Path, asked: str) -> Path:
    """The folder in which exports get their own: the project's, or the one asked for. Nothing is made yet.

    Raises:
        SpecError: a relative folder that leads out of the project, or one that is a file.
    """
    if not asked.strip():
        return project_root / "exports"
    folder = Path(asked.strip()).expanduser()
    if not folder.is_absolute():
        folder = (project_root / folder).resolve()
        if not folder.is_relative_to(project_root.resolve()):
            raise SpecError("folder", f"The folder {asked} leads out of the project.", "Give its full path.")
    if folder.exists() and not folder.is_dir():
        raise SpecError("folder", f"{asked} is a file, not a folder.")
    return folder


def free_folder(parent: Path, name: str) -> Path:
    """`parent / name`, or with -2, -3 ... when that is taken."""
    number = 1
    while (folder := parent / (name if number == 1 else f"{name}-{number}")).exists():
        number += 1
    return folder


def require_space(parent: Path, needed: int) -> None:
    """Raise DiskFull now, rather than after minutes of writing."""
    existing = next(folder for folder in (parent, *parent.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise DiskFull(
            f"The export needs {needed / 1e6:.0f} MB, but {free / 1e6:.0f} MB are free.",
            "Free some space, and export again.",
        )


@contextmanager
def written_aside(parent: Path, run_id: str) -> Iterator[Path]:
    """A folder to fill. It is gone after the block unless `publish` has given it its name."""
    aside = parent / f"{_ASIDE}{run_id}-{os.getpid()}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        aside.mkdir()
    except OSError as error:
        raise _not_written(parent, error) from error
    try:
        yield aside
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise _not_written(parent, error) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def publish(aside: Path, parent: Path, name: str) -> Path:
    """Give a finished folder its final name, all at once and durably. Returns where it now is."""
    for path in aside.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    while True:
        final = free_folder(parent, name)
        try:
            aside.rename(final)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # someone took the name in this very moment
                continue
            raise
        break
    if os.name != "nt":
        handle = os.open(parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    return final


def _sweep(parent: Path) -> None:
    """Delete what exports left behind whose process was killed."""
    for leftover in parent.glob(f"{_ASIDE}*"):
        pid = leftover.name.rpartition("-")[2]
        if pid.isdigit() and (int(pid) == os.getpid() or not psutil.pid_exists(int(pid))):
            shutil.rmtree(leftover, ignore_errors=True)


def _not_written(parent: Path, error: OSError) -> StoreError | DiskFull:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk became full while writing the export.", "Free some space, and export again.")
    return StoreError(f"{parent} cannot be written: {error.strerror}.", "Choose another folder.")
