"""Sets of settings to start ORPO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import GLANCE, STARTER, Preset

PRESETS = (
    Preset("default", "Default", "One pass, fine-tuning and preference at once."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "batch_size": 32,
            "micro_batch_size": 32,
            "learning_rate": 3e-3,
            "odds_weight": 1.0,
            "evaluate_every": 20,
            "sample_every": 40,
            "checkpoint_every": 50,
        },
    ),
    Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", GLANCE),
    Preset(
        "orpo",
        "ORPO",
        "Five passes in batches of 32, from a base model that was never fine-tuned.",
        {"epochs": 5.0, "batch_size": 32, "learning_rate": 5e-5, "odds_weight": 0.1},
        "Hong et al. 2024, arXiv:2403.07691, and its published settings for Mistral",
    ),
)
