"""Sets of settings to start GRPO from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Four answers to each prompt; every answer counts the same, KL is in the loss."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "updates": 50,
            "learning_rate": 1e-3,
            "epochs": 2,
            "kl_coef": 0.15,
            "batch_size": 64,
            "minibatch_size": 32,
            "micro_batch_size": 32,
            "response_tokens": 40,
            "temperature": 0.7,
            "checkpoint_every": 20,
        },
    ),
    Preset(
        "deepseek_math",
        "DeepSeekMath",
        "Groups of 64 and a KL penalty of 0.04 in the loss, as GRPO was published.",
        {
            "batch_size": 1024,
            "minibatch_size": 1024,
            "group_size": 64,
            "response_tokens": 1024,
            "max_tokens": 2048,
            "learning_rate": 1e-5,
            "missing_eos": "nothing",
            "score_clip": 0.0,
        },
        "Shao et al. 2024, arXiv:2402.03300, section 4.2",
    ),
    Preset(
        "dapo",
        "DAPO",
        "Every token counts the same, ratios may rise further than they fall, long answers fade out, and no KL.",
        {
            "batch_size": 512,
            "minibatch_size": 32,
            "group_size": 16,
            "learning_rate": 1e-5,
            "kl_coef": 0.0,
            "clip_high": 0.28,
            "aggregation": "token",
            "drop_flat_groups": True,
            "mask_truncated": True,
            "overlong_buffer": 16,
            "missing_eos": "nothing",
            "score_clip": 0.0,
        },
        "Yu et al. 2025, arXiv:2503.14476, section 4.1",
    ),
    Preset(
        "dr_grpo",
        "Dr. GRPO",
        "Not divided by the group's deviation nor by the answer's own length, which favours long answers; no KL.",
        {
            "batch_size": 128,
            "minibatch_size": 128,
            "group_size": 8,
            "learning_rate": 1e-5,
            "kl_coef": 0.0,
            "aggregation": "fixed",
            "scale_advantages": "none",
            "missing_eos": "nothing",
            "score_clip": 0.0,
        },
        "Liu et al. 2025, arXiv:2503.20783, section 3.1",
    ),
    Preset(
        "gspo",
        "GSPO",
        "One ratio for a whole answer, the geometric mean of its tokens', clipped very tightly.",
        {"level": "sequence mean", "clip": 0.0003, "clip_high": 0.0004, "kl_coef": 0.0},
        "Zheng et al. 2025, arXiv:2507.18071, section 5.1",
    ),
)
