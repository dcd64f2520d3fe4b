"""Sets of settings to start KTO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import GLANCE, STARTER, Preset

PRESETS = (
    Preset("default", "Default", "One pass in which likes and dislikes count the same, however many there are."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "batch_size": 64,
            "micro_batch_size": 64,
            # at 2e-3, beta 0.1 and a whole pass it drifts 13 nats: every beta bears rates up to some limit, a low one
            # lower rates (TRL documentation, KTO, "Learning rate recommendations")
            "learning_rate": 1e-3,
            "beta": 0.5,
            "epochs": 0.5,
            "evaluate_every": 20,
            "sample_every": 40,
            "checkpoint_every": 50,
        },
    ),
    Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", GLANCE),
    Preset(
        "kto",
        "KTO",
        "One pass in batches of 32, both classes at weight 1, at a rate several times that of DPO.",
        {"batch_size": 32, "learning_rate": 5e-5, "balance": "given"},
        "Ethayarajh et al. 2024, arXiv:2402.01306, section 4.2",
    ),
)
