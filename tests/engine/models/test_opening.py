"""What a checkpoint calls the settings it was made with."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf_engine.contract.fields import param
from rlhf_engine.models.opening import settings_fingerprint
from rlhf_engine.tasks.sft.spec import SFTSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Later(SFTSpec):
    """The same task in a later version of the program."""

    glow: int = param(3, "Glow", "Something new.", between=(0, 9))


def test_a_setting_that_a_later_version_adds_does_not_end_a_run():
    old = settings_fingerprint(SFTSpec(model="m", dataset="d", seed=5))
    assert settings_fingerprint(Later(model="m", dataset="d", seed=5)) == old
    assert settings_fingerprint(Later(model="m", dataset="d", seed=5, glow=4)) != old


def test_any_other_choice_is_another_run():
    spec = {"model": "m", "dataset": "d"}
    prints = [
        settings_fingerprint(SFTSpec(**spec | more)) for more in ({}, {"seed": 1}, {"model": "n"}, {"epochs": 1.0})
    ]
    assert len(set(prints)) == 4
