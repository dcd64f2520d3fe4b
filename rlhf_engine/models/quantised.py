"""A base in 4 bits: a quarter of the memory of bf16, for adapters on models that would not fit otherwise."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig

from rlhf_engine.contract.errors import ModelError


def four_bits(device: torch.device, dtype: torch.dtype) -> BitsAndBytesConfig:
    """How to load a base in 4 bits: NormalFloat with its scales quantised once more, products taken in `dtype`.

    Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, section 3.

    Raises:
        ModelError: this machine or this installation cannot.
    """
    if device.type != "cuda":
        raise ModelError(
            f"A base in 4 bits needs a CUDA GPU, and this run is on the {device.type.upper()}.",
            'Set "Quantise base" to none, or run it on a machine with an NVIDIA GPU.',
        )
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            "A base in 4 bits needs bitsandbytes, which is not installed.",
            "pip install 'rlhf-studio[4bit]', or set \"Quantise base\" to none.",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
