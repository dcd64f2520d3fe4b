"""Sets of settings to start RLOO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Four answers to each prompt, gone over once, with a fixed KL penalty."),
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
        "back_to_basics",
        "Back to Basics",
        "Large batches of whole answers, a low rate and one pass: REINFORCE with the other answers for a baseline.",
        {
            "batch_size": 512,
            "minibatch_size": 512,
            "learning_rate": 1e-5,
            "kl_coef": 0.03,
            "missing_eos": "nothing",
            "score_clip": 0.0,
        },
        "Ahmadian et al. 2024, arXiv:2402.14740, appendix C",
    ),
)
