"""All random numbers that a run may draw, as one state that can be kept and put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class Randomness:
    """The run's own two generators, and the global ones of torch, numpy and Python, because libraries use those."""

    def __init__(self, rng: torch.Generator, sampling_rng: torch.Generator) -> None:
        self._rng, self._sampling_rng = rng, sampling_rng

    @staticmethod
    def seed_global(seed: int) -> None:
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)

    def state_dict(self) -> dict[str, Any]:
        version, words, gauss = random.getstate()
        kind, keys, position, has_gauss, cached = np.random.get_state()
        state: dict[str, Any] = {
            "rng": self._rng.get_state(),
            "sampling_rng": self._sampling_rng.get_state(),
            "torch": torch.get_rng_state(),
            "python": [version, list(words), gauss],
            "numpy": [str(kind), [int(k) for k in keys], int(position), int(has_gauss), float(cached)],
        }
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._rng.set_state(state["rng"])
        self._sampling_rng.set_state(state["sampling_rng"])
        torch.set_rng_state(state["torch"])
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
        kind, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
        if "cuda" in state and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"])
