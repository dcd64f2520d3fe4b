"""Which settings of a reward model go together."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.models.heads import RULES
from rlhf_engine.tasks.reward.spec import RewardSpec


def spec(**settings):
    return RewardSpec(model="starter", dataset="d.jsonl", **settings)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"label_smoothing": 0.5}, "label_smoothing"),
        ({"margin": -1.0}, "margin"),
        ({"dataset": " "}, "dataset"),
        ({"centering": float("nan")}, "centering"),
        ({"heads": 17}, "heads"),
        ({"ensemble_score": "median"}, "ensemble_score"),
        ({"prompts_from": "third half"}, "prompts_from"),
        ({"tie_theta": 1.0}, "tie_theta"),
        ({"tie_theta": 0.5}, "tie_theta"),
        ({"grouping": "best", "ties": "split"}, "ties"),
        ({"grouping": "order", "margin": 0.5}, "margin"),
        ({"grouping": "best", "label_smoothing": 0.1}, "label_smoothing"),
        ({"heads": 3, "ensemble_score": "min", "normalise_on": 0}, "normalise_on"),
    ],
)
def test_a_setting_that_does_not_hold_is_named(settings, field):
    with pytest.raises(SpecError) as error:
        RewardSpec(**{"model": "starter", "dataset": "d.jsonl", **settings})
    assert error.value.field == field and str(error.value).endswith(".")


@pytest.mark.parametrize(
    "settings",
    [
        {"tie_theta": 1.2, "ties": "rao-kupper"},
        {"grouping": "prompts", "ties": "split", "margin": 1.0, "label_smoothing": 0.2},
        {"heads": 3, "normalise_on": 0},
        {"ensemble_score": "min", "normalise_on": 0},
    ],
)
def test_what_goes_together_is_taken(settings):
    assert all(getattr(spec(**settings), name) == value for name, value in settings.items())


def test_the_form_offers_the_rules_that_heads_know():
    (field,) = [f for f in RewardSpec.__dataclass_fields__.values() if f.name == "ensemble_score"]
    assert field.metadata["param"].choices == RULES
