"""Sets of settings to start from, each with a sentence on why. No torch here: the window offers them.

Published learning rates are for training all weights; those below are ten times as high, as adapters need
(TRL documentation, "PEFT integration"). Answers too long for a small model are left to the person.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Preset:
    """`values` are the settings that differ from the task's defaults; everything else goes back to its default."""

    key: str
    title: str
    summary: str
    values: dict[str, Any] = field(default_factory=dict)
    source: str = ""


_STARTER = "For the starter model: a minute or two on two cores. Larger models want lower learning rates."

_GLANCE: dict[str, Any] = {"epochs": 0.2, "sample_every": 5, "evaluate_every": 5}

PRESETS: dict[str, tuple[Preset, ...]] = {
    "sft": (
        Preset("default", "Default", "Three passes over the demonstrations: for a few hundred to a few thousand."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
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
            "text",
            "Text as it is",
            "All tokens of plain text, packed, in one pass: to go on with pre-training on texts of a kind.",
            {"epochs": 1.0, "trained_on": "all tokens", "template": "plain", "packing": True},
        ),
    ),
    "reward": (
        Preset("default", "Default", "Two passes, scores kept near zero and given mean 0 and deviation 1 at the end."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
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
    ),
    "ppo": (
        Preset("default", "Default", "Small batches and a fixed KL penalty: for adapters on one machine."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
            {
                "updates": 50,
                "batch_size": 64,
                "minibatch_size": 32,
                "micro_batch_size": 32,
                "response_tokens": 40,
                "temperature": 0.7,
                "learning_rate": 5e-4,
                "value_learning_rate": 1e-3,
                "epochs": 2,
                "kl_coef": 0.1,
                "checkpoint_every": 20,
            },
        ),
        Preset(
            "quick",
            "Quick look",
            "Ten small updates: does the score move?",
            {
                "updates": 10,
                "batch_size": 32,
                "minibatch_size": 16,
                "epochs": 2,
                "response_tokens": 32,
                "value_warmup": 1,
                "sample_every": 2,
                "checkpoint_every": 5,
            },
        ),
        Preset(
            "openai_2019",
            "OpenAI 2019",
            "The first RLHF on language models: short answers, whitened rewards, a value head on the policy itself, "
            "and a KL penalty that moves so that the drift stays at 6 nats an answer.",
            {
                "batch_size": 512,
                "minibatch_size": 64,
                "epochs": 4,
                "learning_rate": 1e-4,
                "value_learning_rate": 1e-4,
                "warmup": 0.0,
                "kl_coef": 0.15,
                "adaptive_kl": True,
                "temperature": 0.7,
                "response_tokens": 24,
                "critic": "shared",
                "value_init": "zero",
                "value_coef": 0.1,
                "whiten_rewards": True,
                "missing_eos": "replace",
                "score_clip": 0.0,
                "value_warmup": 0,
            },
            "Ziegler et al. 2019, arXiv:1909.08593, as rebuilt by Huang et al. 2023 (N implementation details)",
        ),
        Preset(
            "instructgpt",
            "InstructGPT 2022",
            "Large batches gone over once, a low KL penalty, and the value model begun from the reward model. For "
            "PPO-ptx also choose demonstrations to mix in, with weight 27.8.",
            {
                "batch_size": 512,
                "minibatch_size": 64,
                "epochs": 1,
                "learning_rate": 8e-5,
                "value_learning_rate": 9e-5,
                "schedule": "constant",
                "warmup": 0.02,
                "kl_coef": 0.02,
                "missing_eos": "nothing",
                "score_clip": 0.0,
                "value_warmup": 0,
            },
            "Ouyang et al. 2022, arXiv:2203.02155, appendices C.4 and E (rates above 8e-6 diverged without PTX)",
        ),
        Preset(
            "n_plus",
            "N+ details",
            "The reproduction on TL;DR: four passes, KL penalty 0.05, and -1 for an answer without an end.",
            {
                "batch_size": 512,
                "minibatch_size": 512,
                "epochs": 4,
                "learning_rate": 3e-5,
                "value_learning_rate": 3e-5,
                "warmup": 0.0,
                "kl_coef": 0.05,
                "temperature": 0.7,
                "response_tokens": 53,
                "value_coef": 0.1,
                "missing_eos": "replace",
                "missing_eos_penalty": 1.0,
                "score_clip": 0.0,
                "value_warmup": 0,
            },
            "Huang et al. 2024, arXiv:2403.17031",
        ),
        Preset(
            "ppo_max",
            "PPO-max",
            "Scores normalised and clipped, low rates, and a value model that learns alone first.",
            {
                "batch_size": 128,
                "minibatch_size": 32,
                "epochs": 1,
                "learning_rate": 5e-6,
                "value_learning_rate": 1.5e-5,
                "warmup": 0.1,
                "kl_coef": 0.02,
                "temperature": 0.8,
                "response_tokens": 128,
                "reward_scaling": "norm",
                "score_clip": 0.8,
                "value_warmup": 20,
            },
            "Zheng et al. 2023, arXiv:2307.04964 (Secrets of RLHF, part I)",
        ),
        Preset(
            "openrlhf",
            "OpenRLHF",
            "Its defaults: one pass over a large batch, a very low KL penalty, returns without a guess (lambda 1), and "
            "a value model that learns nine times as fast as the policy.",
            {
                "batch_size": 1024,
                "minibatch_size": 128,
                "epochs": 1,
                "learning_rate": 1e-5,
                "value_learning_rate": 9e-5,
                "schedule": "cosine",
                "kl_coef": 0.01,
                "lam": 1.0,
                "value_clip": 0.5,
                "missing_eos": "nothing",
                "score_clip": 10.0,
                "value_warmup": 0,
            },
            "Hu et al. 2024, arXiv:2405.11143; train_ppo_ray.py of OpenRLHF 0.11",
        ),
    ),
    "dpo": (
        Preset("default", "Default", "One pass with the sigmoid loss and beta 0.1: for adapters on one machine."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
            {
                "batch_size": 32,
                "micro_batch_size": 32,
                "learning_rate": 1e-3,
                "evaluate_every": 20,
                "sample_every": 40,
                "checkpoint_every": 50,
            },
        ),
        Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", _GLANCE),
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
    ),
    "kto": (
        Preset("default", "Default", "One pass in which likes and dislikes count the same, however many there are."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
            {
                "batch_size": 64,
                "micro_batch_size": 64,
                "learning_rate": 1e-3,
                "evaluate_every": 20,
                "sample_every": 40,
                "checkpoint_every": 50,
            },
        ),
        Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", _GLANCE),
        Preset(
            "kto",
            "KTO",
            "One pass in batches of 32, both classes at weight 1, at a rate several times that of DPO.",
            {"batch_size": 32, "learning_rate": 5e-5, "balance": "given"},
            "Ethayarajh et al. 2024, arXiv:2402.01306, section 4.2",
        ),
    ),
    "orpo": (
        Preset("default", "Default", "One pass, fine-tuning and preference at once."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
            {
                "batch_size": 32,
                "micro_batch_size": 32,
                "learning_rate": 3e-3,
                "evaluate_every": 20,
                "sample_every": 40,
                "checkpoint_every": 50,
            },
        ),
        Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", _GLANCE),
        Preset(
            "orpo",
            "ORPO",
            "Five passes in batches of 32, from a base model that was never fine-tuned.",
            {"epochs": 5.0, "batch_size": 32, "learning_rate": 5e-5, "odds_weight": 0.1},
            "Hong et al. 2024, arXiv:2403.07691, and its published settings for Mistral",
        ),
    ),
    "simpo": (
        Preset("default", "Default", "One pass with beta 2 and a margin of half of it."),
        Preset(
            "starter",
            "Starter model",
            _STARTER,
            {
                "batch_size": 32,
                "micro_batch_size": 32,
                "learning_rate": 1e-3,
                "evaluate_every": 20,
                "sample_every": 40,
                "checkpoint_every": 50,
            },
        ),
        Preset("quick", "Quick look", "A fifth of a pass: does the held-out accuracy rise?", _GLANCE),
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
    ),
}


def presets_of(task: str) -> tuple[Preset, ...]:
    """The presets of a task, the first one for a start; a task without its own has its defaults."""
    return PRESETS.get(task, (Preset("default", "Default", "All settings at their defaults."),))
