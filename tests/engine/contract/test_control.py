"""A run's switches: thrown from anywhere, felt at the next safe point."""

from __future__ import annotations

import threading

import pytest

from rlhf_engine.contract.control import COMMANDS, RunControl


def test_a_fresh_control_asks_for_nothing():
    control = RunControl()
    assert not (control.paused or control.cancelled or control.suspended) and control.turned() == {}
    control.wait_until_going()


@pytest.mark.parametrize("wake", ["resume", "cancel", "suspend"])
def test_a_paused_run_is_woken_by_every_word_that_needs_it_awake(wake):
    control = RunControl()
    control.pause()
    assert control.paused
    woken = threading.Event()
    waiting = threading.Thread(target=lambda: (control.wait_until_going(), woken.set()), daemon=True)
    waiting.start()
    assert not woken.wait(0.05)
    control.obey(wake)
    assert woken.wait(2) and not control.paused
    assert (control.cancelled, control.suspended) == (wake == "cancel", wake == "suspend")


def test_a_knob_is_taken_once_and_the_last_turn_counts():
    control = RunControl()
    control.turn("learning_rate", 0.5)
    control.obey("learning_rate", 0.25)
    assert control.turned() == {"learning_rate": 0.25} and control.turned() == {}


def test_every_command_is_known_and_no_other():
    for command in COMMANDS:
        RunControl().obey(command, 1.0)
    with pytest.raises(ValueError, match="'explode' is not one of pause, resume"):
        RunControl().obey("explode")
