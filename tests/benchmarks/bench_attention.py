"""Where plain products beat torch's blockwise attention: `python -m tests.benchmarks.bench_attention`. Prints figures.

One layer's attention over about 2,048 tokens, forward and backward, as sequences of equal length; the two take turns.
On a processor with AVX512-BF16, plain products won in bf16 up to 512 tokens and the blockwise kernel in fp32 at every
length; `models.unpadded.plain_wins` says which one is taken and why.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from rlhf_engine.models.attention import Attention, blockwise
from rlhf_engine.models.layout import Layout

TOKENS = 2048


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--width", type=int, default=64, help="of one head")
    parser.add_argument("--runs", type=int, default=7)
    asked = parser.parse_args()
    print(f"{'format':10}{'length':>8}{'plain, ms':>12}{'blockwise, ms':>15}{'ratio':>8}")
    for dtype in (torch.float32, torch.bfloat16):
        for length in (32, 64, 128, 256, 512, 1024):
            layout = Layout.of(torch.ones(TOKENS // length, length, dtype=torch.int64))
            q, k, v = (torch.randn(asked.heads, TOKENS, asked.width, dtype=dtype, requires_grad=True) for _ in range(3))
            both = (
                partial(Attention.apply, q, k, v, layout.pieces, 0.125, TOKENS),
                partial(blockwise, q, k, v, layout, 0.125, TOKENS),
            )
            times: tuple[list[float], list[float]] = ([], [])
            for _ in range(asked.runs):
                for each, attention in zip(times, both, strict=True):
                    each.append(seconds(attention))
            plainly, in_blocks = (1e3 * statistics.median(each) for each in times)
            name = str(dtype).removeprefix("torch.")
            print(f"{name:10}{length:>8}{plainly:>12.1f}{in_blocks:>15.1f}{in_blocks / plainly:>8.2f}")


def seconds(attention: Callable[[], Tensor]) -> float:
    begin = time.process_time()
    attention().sum().backward()
    return time.process_time() - begin


if __name__ == "__main__":
    main()
