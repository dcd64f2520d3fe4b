"""Devices and formats, and the driver's errors in words."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.contract.errors import DeviceLost, ModelError, OutOfMemory
from rlhf_engine.runtime.device import (
    choose_device,
    choose_dtype,
    describe,
    device_errors,
    hardware_sentence,
    peak_memory,
)


def test_auto_takes_a_gpu_when_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert (choose_device("auto").type, choose_device("cpu").type, choose_device("cuda").type) == (
        "cuda",
        "cpu",
        "cuda",
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ModelError, match="torch sees none") as error:
        choose_device("cuda")
    assert error.value.hint


def test_a_large_model_is_in_bf16_where_the_processor_multiplies_in_it(monkeypatch):
    cpu = torch.device("cpu")
    for able, large in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert (choose_dtype("auto", cpu, 10_000_000) == torch.bfloat16) is large
        assert choose_dtype("auto", cpu, 9_999_999) == torch.float32
        assert choose_dtype("fp32", cpu, 10_000_000) == torch.float32


def test_formats_follow_the_device_unless_one_is_named():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_dtype("auto", cpu) == torch.float32 and choose_dtype("auto", cuda) == torch.bfloat16
    assert choose_dtype("bf16", cpu) == torch.bfloat16 and choose_dtype("fp32", cuda) == torch.float32


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemory),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), DeviceLost),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), OutOfMemory),
    ],
)
def test_what_the_driver_says_becomes_a_sentence_with_a_hint(error, becomes):
    with pytest.raises(becomes) as raised, device_errors():
        raise error
    assert raised.value.hint and raised.value.__cause__ is error


def test_a_real_allocation_that_cannot_be_met_is_out_of_memory():
    with pytest.raises(OutOfMemory), device_errors():
        torch.empty(1 << 60, dtype=torch.uint8)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), device_errors():
        raise RuntimeError("shapes do not match")


def test_the_machine_is_described():
    facts = describe()
    assert 0 < facts["memory_free"] <= facts["memory_total"]
    assert hardware_sentence() == facts["device"]
    assert 1e6 < peak_memory() < 1e13
