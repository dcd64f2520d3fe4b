"""Sets of settings to start SimPO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import GLANCE, STARTER, Preset

PRESETS = (
    Preset("default", "Default", "One pass with beta 2 and a margin of half of it."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "batch_size": 32,
            "micro_batch_size": 32,
            # at 2e-3 and 0.2 it drifts 6 nats and forgets what is true: the rate is the most critical setting, an SFT
            # loss helps (github.com/princeton-nlp/SimPO, "Hyperparameter tuning" and "Adding an extra sft loss")
            "learning_rate": 1e-3,
            "nll_coef": 1.0,
            "evaluate_every": 20,
            "sample_every": 40,
            "checkpoint_every": 50,
        },
    ),
    Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", GLANCE),
    Preset(
        "base",
        "SimPO, fine-tuned base",
        "For a base model after supervised fine-tuning: beta 2, margin 1, batches of 128.",
        {"beta": 2.0, "gamma": 1.0, "batch_size": 128, "learning_rate": 6e-6, "schedule": "cosine"},
        "Meng et al. 2024, arXiv:2405.14734, its published settings for Llama 3 base",
    ),
    Preset(
        "instruct",
        "SimPO, instruct model",
        "For a model that was trained on preferences before: beta 2.5 and a margin of 1.375.",
        {"beta": 2.5, "gamma": 1.375, "batch_size": 128, "learning_rate": 1e-5, "schedule": "cosine"},
        "Meng et al. 2024, arXiv:2405.14734, its published settings for Llama 3 instruct",
    ),
)
