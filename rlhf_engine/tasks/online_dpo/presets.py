"""Sets of settings to start online DPO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Two answers to each prompt; the reward says which is better."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "updates": 50,
            "learning_rate": 5e-4,
            "beta": 0.3,
            "group_size": 4,
            "batch_size": 64,
            "minibatch_size": 32,
            "micro_batch_size": 32,
            "response_tokens": 40,
            "temperature": 0.7,
            "checkpoint_every": 20,
        },
    ),
    Preset(
        "oaif",
        "OAIF",
        "Two answers to each prompt, compared online, as online AI feedback was published.",
        {"batch_size": 128, "minibatch_size": 128, "learning_rate": 5e-6, "temperature": 0.9},
        "Guo et al. 2024, arXiv:2402.04792, section 4.1",
    ),
    Preset(
        "rlhf_workflow",
        "RLHF Workflow",
        "The best against the worst of eight answers, gone over twice.",
        {"batch_size": 128, "minibatch_size": 128, "group_size": 8, "learning_rate": 5e-6, "epochs": 2},
        "Dong et al. 2024, arXiv:2405.07863, section 4",
    ),
)
