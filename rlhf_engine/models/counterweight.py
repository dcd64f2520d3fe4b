"""PiSSA and OLoRA on a base that many roles share.

Both start the adapter at large parts of the weight itself, W = W' + s B0 A0, and train A and B on the rest W'.
Published code writes W' into the base. Here the base belongs to every role, so the rest is made beside it: a second,
frozen LoRA with A0 and -B0 takes out what the first one starts with,

    W + s (B A - B0 A0) = W' + s B A,

and together they are one ordinary LoRA of twice the rank, which any program loads on the original base. Outputs and
gradients are the published ones; before the first step the sum is W, to rounding.

Sources: Meng et al. 2024, "PiSSA", arXiv:2404.02948, equations 2 and 3; Büyükakyüz 2024, "OLoRA", arXiv:2406.01775,
algorithm 1.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor

STARTS = ("pissa", "olora")
EXACT = 1024  # matrices narrower than this get the exact singular values
SPARE = 8  # directions beyond those wanted: without them the last ones come out mixed (Halko et al. 2011, section 4.2)
ITERATIONS = 16  # of the randomised decomposition of wider ones: as in the paper, section 5.4


def factors(weight: Tensor, rank: int, scaling: float, start: str) -> tuple[Tensor, Tensor]:
    """A0 (r, in) and B0 (out, r), fp32, of a weight (out, in): the part s B0 A0 of it that the adapter starts with.

    pissa: the largest singular values and their vectors, the root of each value on either side, divided by the scaling.
    olora: the first rows of R and columns of Q in W = Q R; the scaling stays outside.
    """
    weight = weight.float()
    if start == "olora":
        q, r = torch.linalg.qr(weight)
        return r[:rank].contiguous(), q[:, :rank].contiguous()
    if min(weight.shape) <= EXACT:
        u, s, vh = torch.linalg.svd(weight, full_matrices=False)
        v = vh.T
    else:
        u, s, v = torch.svd_lowrank(weight, min(rank + SPARE, *weight.shape), niter=ITERATIONS)
    root = (s[:rank] / scaling).sqrt()
    return (root.unsqueeze(1) * v[:, :rank].T).contiguous(), (u[:, :rank] * root).contiguous()


@torch.no_grad()
def put_start(layer: LoraLayer, name: str, still: str, start: str) -> None:
    """Set the adapter `name` of a layer to where it starts, and `still` to what takes that out again."""
    weight = dequantize_module_weight(layer.get_base_layer()).detach()
    if getattr(layer, "fan_in_fan_out", False):  # GPT-2 keeps its weights (in, out)
        weight = weight.T
    a, b = factors(weight, layer.r[name], layer.scaling[name], start)
    for adapter, sign in ((name, 1), (still, -1)):
        layer.lora_A[adapter].weight.data.copy_(a)  # type: ignore[operator]
        layer.lora_B[adapter].weight.data.copy_(sign * b)  # type: ignore[operator]


def with_rank(config: LoraConfig, rank: int, dropout: float | None = None) -> LoraConfig:
    """The same adapter with another rank and the same scaling of its output."""
    ratio = rank / config.r
    return replace(
        config,
        r=rank,
        lora_alpha=config.lora_alpha * (math.sqrt(ratio) if config.use_rslora else ratio),  # type: ignore[arg-type]
        lora_dropout=config.lora_dropout if dropout is None else dropout,
        init_lora_weights=True,
    )
