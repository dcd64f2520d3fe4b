"""Sets of settings to start DPO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import GLANCE, STARTER, Preset

PRESETS = (
    Preset("default", "Default", "One pass with the sigmoid loss and beta 0.1: for adapters on one machine."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "batch_size": 32,
            "micro_batch_size": 32,
            "learning_rate": 2e-3,
            "nll_coef": 0.2,
            "evaluate_every": 20,
            "sample_every": 40,
            "checkpoint_every": 50,
        },
    ),
    Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", GLANCE),
    Preset(
        "dpo",
        "DPO",
        "Batches of 64 at a constant rate after a warm-up.",
        {"batch_size": 64, "learning_rate": 1e-5, "schedule": "constant"},
        "Rafailov et al. 2023, arXiv:2305.18290, appendix B",
    ),
    Preset(
        "ipo",
        "IPO",
        "A squared loss on means per token that aims at one distance: for labels that are never in doubt.",
        {"loss": "ipo", "beta": 0.01, "batch_size": 64, "learning_rate": 5e-6, "schedule": "cosine"},
        "Azar et al. 2023, arXiv:2310.12036; beta and rate: Rasul et al. 2024, huggingface.co/blog/pref-tuning",
    ),
    Preset(
        "noisy",
        "Noisy labels",
        "The robust loss, for comparisons of which one in ten is the wrong way round.",
        {"loss": "robust", "label_smoothing": 0.1, "batch_size": 64},
        "Chowdhury et al. 2024, arXiv:2403.00409",
    ),
    Preset(
        "rpo",
        "With an NLL term",
        "The chosen answers are imitated too, which keeps them likely: for answers that are right or wrong.",
        {"nll_coef": 1.0, "learning_rate": 7e-6},
        "Pang et al. 2024, arXiv:2404.19733, section 3.1",
    ),
    Preset(
        "tulu_3",
        "Tulu 3",
        "Log-ratios per token with a large beta, in batches of 128: long answers have no larger say.",
        {"lengths": "mean", "beta": 5.0, "batch_size": 128, "learning_rate": 5e-6},
        "Lambert et al. 2024, arXiv:2411.15124, section 5",
    ),
)
