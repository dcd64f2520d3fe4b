"""Every preset is a set of settings that its task accepts."""

from __future__ import annotations

from dataclasses import MISSING, fields

import pytest

from rlhf_engine.contract.presets import Preset
from rlhf_engine.contract.spec import build_spec
from rlhf_engine.tasks import TASKS, presets_of

ALL = [(task.key, preset) for task in TASKS.values() if task.trains for preset in presets_of(task.key)]


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


PUBLISHED = {  # for all weights; adapters learn ten times as fast
    "openai_2019": {
        "rates": (1e-5, 1e-5),
        "batch": (512, 64, 4),  # answers, minibatch, passes
        "clips": (0.2, 0.2, 0.0),  # policy, value, score; 0 is off
        "value": ("shared", "zero", 0.1),
        "kl": (0.15, True, 6.0, 10_000),
        "gae": (1.0, 0.95),
        "sampler": (0.7, 24),
        "reward": ("none", True, "replace", 1.0),  # running scale, whitened, without an end
    },
    "instructgpt": {
        "rates": (8e-6, 9e-6),
        "batch": (512, 64, 1),
        "clips": (0.2, 0.2, 0.0),
        "value": ("adapter", "reward", 1.0),
        "kl": (0.02, False, 6.0, 10_000),
        "gae": (1.0, 0.95),
        "sampler": (1.0, 64),
        "reward": ("none", False, "nothing", 1.0),
    },
    "n_plus": {
        "rates": (3e-6, 3e-6),
        "batch": (512, 512, 4),
        "clips": (0.2, 0.2, 0.0),
        "value": ("adapter", "reward", 0.1),
        "kl": (0.05, False, 6.0, 10_000),
        "gae": (1.0, 0.95),
        "sampler": (0.7, 53),
        "reward": ("none", False, "replace", 1.0),
    },
    "ppo_max": {
        "rates": (5e-7, 1.5e-6),
        "batch": (128, 32, 1),
        "clips": (0.2, 0.2, 0.8),
        "value": ("adapter", "reward", 1.0),
        "kl": (0.02, False, 6.0, 10_000),
        "gae": (1.0, 0.95),
        "sampler": (0.8, 128),
        "reward": ("norm", False, "subtract", 1.0),
    },
    "openrlhf": {
        "rates": (1e-6, 9e-6),
        "batch": (1024, 128, 1),
        "clips": (0.2, 0.5, 10.0),
        "value": ("adapter", "reward", 1.0),
        "kl": (0.01, False, 6.0, 10_000),
        "gae": (1.0, 1.0),
        "sampler": (1.0, 64),
        "reward": ("none", False, "nothing", 1.0),
    },
}


@pytest.mark.parametrize("key", PUBLISHED)
def test_ppo_has_the_published_recipes(key: str):
    preset = next(preset for preset in presets_of("ppo") if preset.key == key)
    s = build_spec(TASKS["ppo"].spec, {"policy": "a", "reward_model": "b", "dataset": "c", **preset.values})
    assert PUBLISHED[key] == {
        "rates": pytest.approx((s.learning_rate / 10, s.value_learning_rate / 10)),
        "batch": (s.batch_size, s.minibatch_size, s.epochs),
        "clips": (s.clip, s.value_clip, s.score_clip),
        "value": (s.critic, s.value_init, s.value_coef),
        "kl": (s.kl_coef, s.adaptive_kl, s.kl_target, s.kl_horizon),
        "gae": (s.gamma, s.lam),
        "sampler": (s.temperature, s.response_tokens),
        "reward": (s.reward_scaling, s.whiten_rewards, s.missing_eos, s.missing_eos_penalty),
    }
    assert preset.source and s.kl_in == "reward" and s.kl_estimator == "k1"


def test_sft_has_the_published_recipes():
    values = {preset.key: preset.values for preset in presets_of("sft")}
    assert (values["conversations"]["batch_size"], values["conversations"]["max_tokens"]) == (128, 4096)
    assert (values["many_tasks"]["epochs"], values["many_tasks"]["schedule"]) == (2.0, "constant")
    assert values["noisy"] == {"neftune_alpha": 5.0}
