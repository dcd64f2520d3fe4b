"""Sets of settings to start a reward model from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Two passes, scores kept near zero and given mean 0 and deviation 1 at the end."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "epochs": 2.0,
            "batch_size": 32,
            "micro_batch_size": 32,
            "learning_rate": 2e-3,
            "response_tokens": 40,
            "checkpoint_every": 50,
        },
    ),
    Preset(
        "quick",
        "Quick look",
        "A third of a pass: enough to see whether accuracy leaves 50 %.",
        {"epochs": 0.34, "sample_every": 5, "evaluate_every": 5, "normalise_on": 32},
    ),
    Preset(
        "instructgpt",
        "InstructGPT",
        "One pass in batches of 64 prompts, each with all its comparisons as one example: spread over many steps, "
        "pairs that share an answer overfit.",
        {
            "grouping": "prompts",
            "epochs": 1.0,
            "batch_size": 64,
            "learning_rate": 9e-5,
            "schedule": "cosine",
            "centering": 0.0,
        },
        "Ouyang et al. 2022, arXiv:2203.02155, section 3.5 and appendix C.2",
    ),
    Preset(
        "margins",
        "Llama 2 margins",
        "One pass in which a much better answer must also score much higher.",
        {"epochs": 1.0, "margin": 1.0, "centering": 0.0},
        "Touvron et al. 2023, arXiv:2307.09288, section 3.2.2",
    ),
    Preset(
        "ensemble",
        "Ensemble",
        "Five heads on one adapter, scored by their mean less one deviation: where they disagree, the score is low "
        "and a policy finds less to exploit.",
        {"heads": 5, "ensemble_score": "lower", "ensemble_k": 1.0},
        "Coste et al. 2023, arXiv:2310.02743; Eisenstein et al. 2023, arXiv:2312.09244",
    ),
    Preset(
        "gold",
        "Gold proxy",
        "A judge for the judge: learns from the second half of the prompts alone. Train the reward model itself on "
        "the first half, and see whether what it rewards is rewarded here too.",
        {"prompts_from": "second half"},
        "Gao et al. 2022, arXiv:2210.10760, section 2",
    ),
)
