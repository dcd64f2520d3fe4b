"""Sets of settings to start supervised fine-tuning from. No torch here: the window offers them."""

from __future__ import annotations

from rlhf_engine.contract.presets import STARTER, Preset

PRESETS = (
    Preset("default", "Default", "Three passes over the demonstrations: for a few hundred to a few thousand."),
    Preset(
        "starter",
        "Starter model",
        STARTER,
        {
            "epochs": 3.0,
            "batch_size": 32,
            "micro_batch_size": 32,
            "learning_rate": 3e-3,
            "evaluate_every": 20,
            "sample_every": 40,
            "checkpoint_every": 50,
        },
    ),
    Preset(
        "quick",
        "Quick look",
        "A third of a pass with frequent samples: does it work at all?",
        {"epochs": 0.34, "sample_every": 5, "evaluate_every": 5},
    ),
    Preset(
        "gentle",
        "Gentle",
        "Two passes with a lower, cosine-shaped rate: for models of billions of parameters, which learn faster.",
        {"epochs": 2.0, "learning_rate": 5e-5, "schedule": "cosine"},
    ),
    Preset(
        "conversations",
        "Conversations",
        "Every turn of the assistant in long conversations, from a mixture of datasets laid together by size.",
        {
            "epochs": 2.0,
            "learning_rate": 5e-5,
            "batch_size": 128,
            "micro_batch_size": 2,
            "max_tokens": 4096,
            "trained_on": "assistant turns",
            "mixing": "by size",
            "packing": True,
        },
        "Lambert et al. 2024, arXiv:2411.15124 (Tülu 3, the 8B model)",
    ),
    Preset(
        "many_tasks",
        "Many tasks",
        "A definition and examples in each prompt, and all tasks alike: add each as a dataset of the mixture.",
        {
            "epochs": 2.0,
            "learning_rate": 5e-4,
            "schedule": "constant",
            "warmup": 0.0,
            "max_tokens": 1152,
            "micro_batch_size": 4,
            "mixing": "by weight",
            "packing": True,
        },
        "Wang et al. 2022, arXiv:2204.07705 (Super-NaturalInstructions, Tk-Instruct 3B)",
    ),
    Preset(
        "noisy",
        "Noisy embeddings",
        "Noise on the input embeddings, against learning by heart: for few demonstrations and longer answers.",
        {"neftune_alpha": 5.0},
        "Jain et al. 2023, arXiv:2310.05914 (NEFTune)",
    ),
    Preset(
        "all_weights",
        "All weights",
        "Full fine-tuning of a small model, at the rate that is published for it: a complete model comes out.",
        {"trained": "all-weights", "learning_rate": 2e-5, "batch_size": 128, "micro_batch_size": 4},
        "Taori et al. 2023 (Stanford Alpaca): three passes, 2e-5, batches of 128",
    ),
    Preset(
        "qlora",
        "QLoRA",
        "A model of billions of parameters on one NVIDIA GPU: its base in 4 bits, activations computed again.",
        {
            "quantise": "4bit",
            "activation_checkpointing": True,
            "lora_rank": 64,
            "lora_alpha": 16.0,
            "lora_dropout": 0.1,
            "schedule": "constant",
            "max_grad_norm": 0.3,
            "micro_batch_size": 4,
            "max_tokens": 512,
        },
        "Dettmers et al. 2023, arXiv:2305.14314, appendix B.2 (7B and 13B)",
    ),
    Preset(
        "text",
        "Text as it is",
        "All tokens of plain text, packed, in one pass: to go on with pre-training on texts of a kind.",
        {"epochs": 1.0, "trained_on": "all tokens", "template": "plain", "packing": True},
    ),
)
