"""Sets of settings to start best of n from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Eight answers to each prompt; the best is learned once."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "updates": 50,
            "learning_rate": 3e-4,
            "batch_size": 64,
            "minibatch_size": 32,
            "micro_batch_size": 32,
            "response_tokens": 40,
            "temperature": 0.7,
            "checkpoint_every": 20,
        },
    ),
    Preset(
        "measure",
        "Only measure",
        "Writes the dataset and the curve of what best of n is worth, and learns nothing.",
        {"epochs": 0, "updates": 10},
    ),
    Preset(
        "llama2",
        "Llama 2",
        "Rejection sampling in a few large rounds: many answers to each prompt, the best one learned.",
        {"updates": 5, "batch_size": 2048, "minibatch_size": 1024, "group_size": 32, "learning_rate": 1e-4},
        "Touvron et al. 2023, arXiv:2307.09288, section 3.2.3 (figure 7)",
    ),
)
