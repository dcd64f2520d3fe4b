"""Which device and number format a run uses, and what torch's errors mean in a person's words."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import torch

from rlhf_engine.contract.errors import DeviceLost, ModelError, OutOfMemory

SMALL = 10_000_000  # parameters below which products are too small a part of the work for their format to matter


def choose_device(wanted: str = "auto") -> torch.device:
    """The torch device for a spec's `device`. Raises ModelError when CUDA is asked for and not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "A CUDA device was asked for, but torch sees none.", "Choose device auto or cpu; see `rlhf doctor`."
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def choose_dtype(wanted: str, device: torch.device, parameters: int = 0) -> torch.dtype:
    """The number format of a frozen base of that many parameters, unless the spec names one.

    bf16 on CUDA, and on a processor that multiplies in it (AMX, AVX512-BF16) for models large enough to gain by it;
    fp32 otherwise.
    """
    if wanted == "auto":
        gains = device.type == "cuda" or (parameters >= SMALL and _multiplies_in_bf16())
        return torch.bfloat16 if gains else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16}[wanted]


def _multiplies_in_bf16() -> bool:
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def describe() -> dict[str, Any]:
    """What the worker tells about the machine: device name, memory in bytes, threads, torch version."""
    facts: dict[str, Any] = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        facts |= {"device": torch.cuda.get_device_name(), "memory_total": total, "memory_free": free}
    else:
        memory = psutil.virtual_memory()
        facts |= {"device": f"CPU, {torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() > 1)}
        facts |= {"memory_total": memory.total, "memory_free": memory.available}
    return facts


def hardware_sentence() -> str:
    """One short phrase for RunStarted."""
    return str(describe()["device"])


def peak_memory(device: torch.device | None = None) -> float:
    """Peak memory of this process so far, in bytes: on the GPU, where there is one or `device` is it, else resident."""
    if device.type == "cuda" if device is not None else torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset)
    import resource  # Unix only

    scale = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale)


def out_of_memory(error: BaseException) -> bool:
    """Whether this is how torch or Python say that there was no memory left."""
    refused = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return refused or isinstance(error, torch.OutOfMemoryError | MemoryError)


@contextmanager
def device_errors() -> Iterator[None]:
    """Say in the studio's words what torch says in the driver's."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise OutOfMemory("The GPU ran out of memory.") from error
    except torch.AcceleratorError as error:
        raise DeviceLost("The GPU stopped answering.") from error
    except RuntimeError as error:
        if out_of_memory(error):
            raise OutOfMemory("The machine ran out of memory.") from error
        raise
