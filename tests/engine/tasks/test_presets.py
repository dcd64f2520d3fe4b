"""Every preset is a set of settings that its task accepts."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from rlhf_engine.contract.spec import build_spec
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.presets import PRESETS, Preset, presets_of

ALL = [(task, preset) for task, presets in PRESETS.items() for preset in presets]


@pytest.mark.parametrize(("task", "preset"), ALL, ids=lambda x: x.key if isinstance(x, Preset) else x)
def test_a_preset_makes_a_spec(task: str, preset: Preset):
    spec_type = TASKS[task].spec
    inputs = {f.name: "starter" for f in fields(spec_type) if f.default is MISSING or f.name == "reward_model"}
    spec = build_spec(spec_type, {**inputs, **preset.values})
    assert all(getattr(spec, name) == value for name, value in preset.values.items())
    assert preset.summary.endswith((".", "?"))


@pytest.mark.parametrize(("task", "preset"), ALL, ids=lambda x: x.key if isinstance(x, Preset) else x)
def test_a_preset_chooses_no_model_and_no_data(task: str, preset: Preset):
    inputs = {f.name for f in fields(TASKS[task].spec) if f.metadata.get("param") and f.metadata["param"].picks}
    assert not inputs & preset.values.keys()


def test_every_training_task_begins_with_its_defaults():
    for task in TASKS.values():
        if task.trains:
            assert presets_of(task.key)[0].values == {}


def test_ppo_has_the_published_recipes():
    values = {preset.key: preset.values for preset in presets_of("ppo")}
    assert (values["instructgpt"]["kl_coef"], values["instructgpt"]["epochs"]) == (0.02, 1)
    assert (values["n_plus"]["temperature"], values["n_plus"]["response_tokens"]) == (0.7, 53)
    assert (values["ppo_max"]["score_clip"], values["ppo_max"]["reward_scaling"]) == (0.8, "norm")
