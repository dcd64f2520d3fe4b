"""What this machine can do at its best: products of the shapes that the models have, and memory. Prints JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from tests.benchmarks.against_trl.bound import shapes_of
from tests.benchmarks.against_trl.works import SIZES

ROWS = 832  # tokens of a micro-batch: eight answers of 64 tokens to prompts of 40
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}
LEAST = 0.3  # seconds that each is repeated for


def main(size: str, device: str) -> dict[str, Any]:
    shapes = shapes_of(SIZES[size])
    rates = {
        name: {f"{n}x{m}": product(n, m, number_format, device) for n, m in shapes}
        for name, number_format in FORMATS.items()
    }
    found: dict[str, Any] = {"rates": rates, "threads": torch.get_num_threads(), "gpu": ""}
    if device == "cuda":
        found |= {"bandwidth": bandwidth(), "gpu": torch.cuda.get_device_name()}
    return found


def product(inputs: int, outputs: int, number_format: torch.dtype, device: str) -> float:
    """Operations per second of a linear layer forwards and back to its inputs, half of each."""
    hidden = torch.randn(ROWS, inputs, device=device).to(number_format)
    weight = torch.randn(outputs, inputs, device=device).to(number_format)
    above = torch.randn(ROWS, outputs, device=device).to(number_format)

    def once() -> None:
        torch.nn.functional.linear(hidden, weight)
        above @ weight

    return 4.0 * ROWS * inputs * outputs / seconds(once, device)


def bandwidth() -> float:
    """Bytes per second of the GPU's memory, read and written, while a gigabyte is copied."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2.0 * 2**30 / seconds(lambda: target.copy_(source), "cuda")


def seconds(once: Callable[[], object], device: str) -> float:
    """The least that it takes: three rounds, of which the quickest counts."""

    def round_of(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            once()
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    round_of(3)
    count = max(3, int(LEAST / max(round_of(3) / 3, 1e-6)))
    return min(round_of(count) for _ in range(3)) / count


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2])))
