"""Whether the weight files of a folder are whole, found from their headers in milliseconds, before any is loaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path

INDEX = "model.safetensors.index.json"
_MOST_HEADER = 100_000_000  # bytes; the format's own limit
_POINTER = b"version https://git-lfs"


def fault_in_weights(folder: Path) -> tuple[Path, str] | None:
    """The first weight file that is missing or damaged, and how in a person's words; None when all are whole."""
    for path in sorted(folder.glob("*.safetensors")):
        if fault := fault_in_file(path):
            return path, fault
    index = folder / INDEX
    if not index.is_file():
        return None
    try:
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return index, "is damaged"
    missing = [name for name in shards if not (folder / str(name)).is_file()]
    return (folder / str(missing[0]), f"is missing ({len(missing)} of {len(shards)} parts are)") if missing else None


def fault_in_file(path: Path) -> str:
    """What is wrong with one safetensors file; "" when its header accounts for every byte of it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(len(_POINTER))
            if head == _POINTER:
                return "is a Git LFS pointer, not the weights themselves"
            if len(head) < 8:
                return f"is cut off after {size} bytes"
            (length,) = struct.unpack("<Q", head[:8])
            if length > _MOST_HEADER:
                return "is not a safetensors file"
            file.seek(8)
            header = file.read(length)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if len(header) < length:
        return f"is cut off after {size} bytes"
    try:
        ends = [int(about["data_offsets"][1]) for name, about in json.loads(header).items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return "is not a safetensors file"
    expected = 8 + length + max(ends, default=0)
    return "" if size == expected else f"holds {size} bytes instead of {expected}"
