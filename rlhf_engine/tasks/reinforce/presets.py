"""Sets of settings to start REINFORCE++ from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Four answers to each prompt for a baseline, KL per token in the reward."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "updates": 50,
            "learning_rate": 1e-3,
            "epochs": 2,
            "kl_coef": 0.1,
            "batch_size": 64,
            "minibatch_size": 32,
            "micro_batch_size": 32,
            "response_tokens": 40,
            "temperature": 0.7,
            "checkpoint_every": 20,
        },
    ),
    Preset(
        "plain",
        "REINFORCE++",
        "One answer to each prompt and no baseline: only the normalising over the update remains.",
        {"baseline": "none", "group_size": 1, "learning_rate": 5e-6, "kl_coef": 0.01, "score_clip": 10.0},
        "Hu et al. 2025, arXiv:2501.03262; OpenRLHF's defaults",
    ),
    Preset(
        "baseline",
        "REINFORCE++ with baseline",
        "The group's mean as the baseline, KL by k2 in the loss, and advantages normalised over the update.",
        {
            "group_size": 8,
            "learning_rate": 5e-6,
            "kl_coef": 0.01,
            "kl_in": "loss",
            "kl_estimator": "k2",
            "score_clip": 10.0,
        },
        "Hu et al. 2025, arXiv:2501.03262, section 3.2",
    ),
)
