"""Checkpoints that survive a kill at any moment: written aside, listed in a manifest, synced, then renamed.

A checkpoint is a folder `checkpoints/<step>` of safetensors and JSON, never a pickle. State of any shape (nested
dictionaries and lists of tensors and plain values) is split into the two and put together again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from rlhf_engine.contract.errors import CheckpointError, DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TENSORS, _STATE, _MANIFEST = "tensors.safetensors", "state.json", "MANIFEST.json"
_TENSOR = "__tensor__"
_PAIRS = "__pairs__"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    step: int
    folder: Path

    def load(self) -> dict[str, Any]:
        """The state that was saved. Tensors come back on the CPU."""
        tensors = load_file(self.folder / _TENSORS)
        body = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
        state: dict[str, Any] = _join(body, tensors)
        return state


def save(folder: Path, step: int, state: dict[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint and forget all but the newest `keep`. A kill at any moment leaves the last one whole.

    Raises:
        DiskFull: there was no space; older checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    final, aside = folder / f"{step:08d}", folder / f".tmp-{step:08d}-{os.getpid()}"
    try:
        _write(aside, state)
        if final.exists():  # a resumed run reached a step that it had already saved
            final.rename(folder / f".del-{step:08d}")
        aside.rename(final)
        _sync_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        if _no_space(error):
            free = shutil.disk_usage(folder).free / 1e6
            raise DiskFull(f"The checkpoint of step {step} could not be written: {free:.0f} MB are free.") from error
        raise
    found = sorted(_all(folder), key=lambda c: c.step)
    later = [c for c in found if c.step > step]  # damaged: the run went on from before them; they must not push us out
    for old in [*found[: len(found) - len(later)][:-keep], *later]:
        doomed = folder / f".del-{old.folder.name}"
        old.folder.rename(doomed)
        shutil.rmtree(doomed)
    sweep(folder)
    return final


def newest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint whose every file is as its manifest says; None when there is none."""
    for checkpoint in sorted(_all(folder), key=lambda c: -c.step):
        if _whole(checkpoint.folder):
            return checkpoint
    return None


def damaged_after(folder: Path, step: int) -> list[int]:
    """Steps of the checkpoints later than `step` that cannot be used: a file is missing or not as it was written."""
    return sorted(c.step for c in _all(folder) if c.step > step and not _whole(c.folder))


def sweep(folder: Path) -> None:
    """Delete what an interrupted save left behind."""
    for leftover in (*folder.glob(".tmp-*"), *folder.glob(".del-*")):
        shutil.rmtree(leftover, ignore_errors=True)


def require_same(saved: dict[str, str], now: dict[str, str]) -> None:
    """Raise CheckpointError when what the run is made of is not what the checkpoint was made of."""
    for name in sorted(saved.keys() | now.keys()):
        if saved.get(name) != now.get(name):
            raise CheckpointError(
                f"The checkpoint was made with another {name} ({saved.get(name)}, now {now.get(name)}).",
                "Put the old one back to continue this run, or start a new run.",
            )


def write_folder(final: Path, files: dict[str, bytes | dict[str, Tensor]]) -> None:
    """Write a whole folder at once: readers see the old one or the new one, never half of either."""
    with written_aside(final) as aside:
        for name, content in files.items():
            if isinstance(content, bytes):
                (aside / name).write_bytes(content)
            else:
                save_file({key: value.detach().cpu().contiguous() for key, value in content.items()}, aside / name)


@contextmanager
def written_aside(final: Path) -> Iterator[Path]:
    """An empty folder to fill. It takes the place of `final` when the block ends, and is gone if the block fails."""
    for leftover in final.parent.glob(f".tmp-{final.name}-*"):  # of a process that was killed while it wrote
        shutil.rmtree(leftover, ignore_errors=True)
    aside = final.with_name(f".tmp-{final.name}-{os.getpid()}")
    aside.mkdir(parents=True)
    try:
        yield aside
        for path in aside.iterdir():
            _sync_file(path)
        _sync_folder(aside)
    except BaseException:  # a full disk is not to be filled further
        shutil.rmtree(aside, ignore_errors=True)
        raise
    if final.exists():
        doomed = final.with_name(f".del-{final.name}")
        shutil.rmtree(doomed, ignore_errors=True)
        final.rename(doomed)
        aside.rename(final)
        shutil.rmtree(doomed)
    else:
        aside.rename(final)
    _sync_folder(final.parent)


def _no_space(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(f"(os error {number})" in str(error) for number in _FULL)  # safetensors has only words


def _write(folder: Path, state: dict[str, Any]) -> None:
    tensors: dict[str, Tensor] = {}
    body = _split(state, "", tensors)
    folder.mkdir()
    save_file(tensors, folder / _TENSORS)
    (folder / _STATE).write_text(json.dumps(body), encoding="utf-8")
    manifest = {path.name: {"size": path.stat().st_size, "sha256": _sha256(path)} for path in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    for path in folder.iterdir():
        _sync_file(path)
    _sync_folder(folder)


def _all(folder: Path) -> list[Checkpoint]:
    return [Checkpoint(int(path.name), path) for path in folder.glob("[0-9]*") if path.name.isdigit()]


def _whole(folder: Path) -> bool:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        return all(
            (folder / name).stat().st_size == manifest[name]["size"]
            and _sha256(folder / name) == manifest[name]["sha256"]
            for name in (_TENSORS, _STATE)
        )
    except (OSError, ValueError, KeyError, TypeError):  # a file is missing, or the manifest itself is damaged
        return False


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """`value` with every tensor moved to `tensors` and replaced by its name; other values must be plain JSON."""
    if isinstance(value, Tensor):
        name = f"{len(tensors)}{path}"  # numbered: {"a": {"b": x}, "a/b": y} holds two
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {_TENSOR: name}
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _split(inner, f"{path}/{key}", tensors) for key, inner in value.items()}
        # optimizers number their parameters, and JSON would turn 0 into "0"
        return {_PAIRS: [[key, _split(inner, f"{path}/{key}", tensors)] for key, inner in value.items()]}
    if isinstance(value, list | tuple):
        return [_split(inner, f"{path}/{i}", tensors) for i, inner in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint holds no {type(value).__name__} (at {path})")


def _join(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_TENSOR}:
            return tensors[value[_TENSOR]]
        if value.keys() == {_PAIRS}:
            return {key: _join(inner, tensors) for key, inner in value[_PAIRS]}
        return {key: _join(inner, tensors) for key, inner in value.items()}
    return [_join(inner, tensors) for inner in value] if isinstance(value, list) else value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and rename is journalled
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
