"""NEFTune: noise on what the embedding layer gives, in the forward passes of training and nowhere else.

Source: Jain et al. 2023, arXiv:2310.05914, algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_engine.models import unpadded
from rlhf_engine.models.backbone import Backbone


def embedding_noise(segments: Tensor, width: int, alpha: float, seed: int) -> Tensor:
    """Uniform on +-alpha / sqrt(L * width), L being the tokens of the example; 0 on padding. (B, T) -> (B, T, width).

    The noise of an example follows from `seed` and its number alone: wherever it lies, it gets the same.
    """
    noise = torch.zeros(*segments.shape, width, device=segments.device)
    for number in segments.unique().tolist():
        if number == 0:
            continue
        here = segments == number
        length = int(here.sum())
        rng = torch.Generator(device=segments.device).manual_seed(seed + number)
        drawn = torch.rand(length, width, generator=rng, device=segments.device)
        noise[here] = (2 * drawn - 1) * (alpha / math.sqrt(length * width))
    return noise


def step_seed(alpha: float, rng: torch.Generator) -> int:
    """What the noise of one optimiser step follows from; a run without noise draws nothing, and stays the run it was.

    With the run's own generator, which all processes have in the same state and every checkpoint keeps, the noise
    depends neither on micro-batches, packing or processes, nor on whether the run was cut.
    """
    return int(torch.randint(2**62, (), generator=rng)) if alpha else 0


@contextmanager
def noisy(backbone: Backbone, segments: Tensor, alpha: float, seed: int) -> Iterator[None]:
    """While the block lasts, the model's input embeddings of `segments` (B, T) carry noise."""
    if not alpha:
        yield
        return

    def add(_module: nn.Module, _inputs: Any, embedded: Tensor) -> Tensor:
        noise = embedding_noise(segments, embedded.shape[-1], alpha, seed).to(embedded.dtype)
        layout = unpadded.now()
        return embedded + (noise if layout is None else noise.flatten(0, 1)[layout.places].unsqueeze(0))

    handle = backbone.base.model.get_input_embeddings().register_forward_hook(add)
    backbone.shares = False  # examples that begin alike begin with noise of their own
    try:
        yield
    finally:
        backbone.shares = True
        handle.remove()
