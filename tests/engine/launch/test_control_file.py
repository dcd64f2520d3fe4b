"""Switches thrown through a file."""

from __future__ import annotations

import time

import pytest

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import StoreError
from rlhf_engine.launch.control_file import NAME, ControlFile, throw
from tests.engine.launch.conftest import until


def test_every_switch_arrives_in_order_and_once(tmp_path):
    control = RunControl()
    with ControlFile(tmp_path, control, every=0.01):
        throw(tmp_path, "pause")
        until(lambda: control.paused)
        throw(tmp_path, "learning_rate", 0.5)
        throw(tmp_path, "resume")
        until(lambda: not control.paused)
        assert control.turned() == {"learning_rate": 0.5}
        throw(tmp_path, "suspend")
        throw(tmp_path, "cancel")
        until(lambda: control.cancelled and control.suspended)
        assert control.turned() == {}


def test_what_was_meant_for_an_earlier_life_of_the_run_is_forgotten(tmp_path):
    throw(tmp_path, "cancel")
    control = RunControl()
    with ControlFile(tmp_path, control, every=0.01):
        throw(tmp_path, "pause")
        until(lambda: control.paused)
    assert not control.cancelled


def test_half_a_line_and_nonsense_do_no_harm(tmp_path):
    control = RunControl()
    with ControlFile(tmp_path, control, every=0.01):
        with (tmp_path / NAME).open("ab") as file:
            file.write(b'nonsense\n[1]\n{"command": "explode"}\n\xff\n{"command": "pa')
            file.flush()
            time.sleep(0.1)
            file.write(b'use", "value": 0}\n')
        until(lambda: control.paused)
    assert not control.cancelled


def test_a_run_without_a_folder_cannot_be_told_anything(tmp_path):
    with pytest.raises(StoreError, match=r"control\.json cannot be written"):
        throw(tmp_path / "nobody", "cancel")
    with pytest.raises(ValueError, match="explode"):
        throw(tmp_path, "explode")
