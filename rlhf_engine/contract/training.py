"""Settings that every kind of training shares, declared once; a task's spec inherits them and may change a default."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import about, param


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFields:
    """How to walk downhill, what to keep on the way, and the shape of a new LoRA adapter.

    A model that already carries an adapter keeps that one's shape and trains on.
    Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models".
    """

    learning_rate: float = param(
        1e-4, "Learning rate", "AdamW step size for the adapter.", between=(1e-8, 1e-1), log_scale=True
    )
    batch_size: int = param(16, "Batch size", "Examples per optimiser step.", between=(1, 4096))
    micro_batch_size: int = param(
        16,
        "Micro-batch size",
        "Examples in memory at once. It changes speed and memory, not what is learned.",
        between=(1, 4096),
        group="Memory",
        advanced=True,
    )
    max_tokens: int = param(
        256,
        "Longest example",
        "Prompt and answer together. Longer examples are left out and counted, never cut.",
        between=(8, 131_072),
        unit="tokens",
        group="Memory",
        advanced=True,
    )
    warmup: float = param(
        0.03,
        "Warm-up",
        "Share of the run during which the learning rate rises from zero.",
        between=(0.0, 0.5),
        group="Optimisation",
        advanced=True,
    )
    schedule: str = param(
        "linear",
        "Schedule",
        "How the learning rate falls after the warm-up.",
        choices=("constant", "linear", "cosine"),
        group="Optimisation",
        advanced=True,
    )
    weight_decay: float = param(
        0.0,
        "Weight decay",
        "Pull of the adapter's weights towards zero.",
        between=(0.0, 1.0),
        group="Optimisation",
        advanced=True,
    )
    max_grad_norm: float = param(
        1.0,
        "Gradient clip",
        "Largest gradient norm that a step may use; the norm before clipping is what is plotted.",
        between=(0.001, 1000.0),
        group="Optimisation",
        advanced=True,
    )
    checkpoint_every: int = param(
        25,
        "Checkpoint every",
        "A checkpoint holds all that is needed to continue the run exactly.",
        between=(1, 1_000_000),
        unit="steps",
        group="Keeping",
        advanced=True,
    )
    keep_checkpoints: int = param(
        2, "Checkpoints kept", "Older ones are deleted.", between=(1, 100), group="Keeping", advanced=True
    )
    sample_every: int = param(
        10,
        "Samples every",
        "How often to write answers to a few fixed held-out prompts. It does not disturb the run. 0 is never.",
        between=(0, 1_000_000),
        unit="steps",
        group="Keeping",
        advanced=True,
    )
    sample_prompts: int = param(
        4,
        "Sampled prompts",
        "How many held-out prompts that is. Where the answers are judged blind, more prompts make the win rate surer, "
        "and no answer comes so often that it is known again.",
        between=(1, 32),
        unit="prompts",
        group="Keeping",
        advanced=True,
    )
    dtype: str = param(
        "auto",
        "Base precision",
        "Number format of the frozen base; adapters are always fp32. Auto is bf16 on CUDA, and for models of ten "
        "million weights or more on a processor that multiplies in it (AMX, AVX512-BF16); fp32 otherwise.",
        choices=("auto", "fp32", "bf16"),
        group="Memory",
        advanced=True,
    )
    quantise: str = param(
        "none",
        "Quantise base",
        "4bit keeps the frozen base in a quarter of the memory of bf16, a little less exact. It needs an NVIDIA GPU "
        "and bitsandbytes. The adapter is exported onto the base in full precision.",
        choices=("none", "4bit"),
        group="Memory",
        advanced=True,
        source="Dettmers et al. 2023, arXiv:2305.14314 (QLoRA)",
    )
    device: str = param(
        "auto",
        "Device",
        "Where the model lives. Auto takes a GPU when there is one.",
        choices=("auto", "cpu", "cuda"),
        group="Memory",
        advanced=True,
    )
    activation_checkpointing: bool = param(
        False,
        "Recompute activations",
        "Keep little for the backward pass and compute the rest again: far less memory, about a third slower, the same "
        "numbers. Sampling is not touched.",
        group="Memory",
        advanced=True,
        source="Chen et al. 2016, arXiv:1604.06174",
    )
    template: str = param(
        "auto",
        "Prompt format",
        "Auto uses the tokenizer's chat template where it has one, and plain text otherwise.",
        choices=("auto", "chat", "plain"),
        group="Data",
        advanced=True,
    )
    seed: int = param(
        0,
        "Seed",
        "Same seed, same data and same machine give the same run, bit for bit on a CPU.",
        between=(0, 2**31 - 1),
    )
    trained: str = param(
        "adapter",
        "Trained",
        "adapter: a small LoRA beside the frozen base. all-weights: a copy of the whole model, for small ones. That "
        "takes 16 bytes per parameter, and wants about a tenth of an adapter's learning rate.",
        choices=("adapter", "all-weights"),
        group="Adapter",
        advanced=True,
    )
    lora_rank: int = param(
        16, "LoRA rank", "Width of the adapter: more can learn more.", between=(1, 1024), group="Adapter", advanced=True
    )
    lora_alpha: float = param(
        32.0,
        "LoRA alpha",
        "The adapter's output is scaled by alpha / rank, or by alpha / sqrt(rank) as rslora.",
        between=(0.1, 4096.0),
        group="Adapter",
        advanced=True,
    )
    lora_variant: str = param(
        "lora",
        "LoRA variant",
        "lora scales by alpha / rank. rslora scales by alpha / sqrt(rank), so that a high rank still learns. dora "
        "learns the length of each output's weights apart from their direction: slower, and often a little better.",
        choices=("lora", "rslora", "dora"),
        group="Adapter",
        advanced=True,
        source="Kalajdzievski 2023, arXiv:2312.03732 (rsLoRA); Liu et al. 2024, arXiv:2402.09353 (DoRA)",
    )
    lora_init: str = param(
        "default",
        "LoRA start",
        "default adds nothing at first. pissa and olora train the largest parts of each weight itself: the model is "
        "the same at first, each step moves it further, and the adapter's file has twice the rank.",
        choices=("default", "pissa", "olora"),
        group="Adapter",
        advanced=True,
        source="Meng et al. 2024, arXiv:2404.02948 (PiSSA); Büyükakyüz 2024, arXiv:2406.01775 (OLoRA)",
    )
    lora_plus_ratio: float = param(
        1.0,
        "LoRA+ ratio",
        "How many times faster the B matrices learn than the A matrices. 1 is plain LoRA; the paper suggests 16.",
        between=(0.1, 1000.0),
        log_scale=True,
        group="Adapter",
        advanced=True,
        source="Hayou et al. 2024, arXiv:2402.12354, section 5",
    )
    lora_dropout: float = param(
        0.0,
        "LoRA dropout",
        "Share of the adapter's inputs dropped while training.",
        between=(0.0, 0.9),
        group="Adapter",
        advanced=True,
    )
    lora_targets: str = param(
        "all-linear",
        "LoRA targets",
        "Which layers get an adapter: all-linear, or names separated by commas, such as q_proj,v_proj.",
        group="Adapter",
        advanced=True,
    )

    def check_together(self) -> None:
        """Raise SpecError for settings of the adapter that contradict each other."""
        if self.trained == "all-weights":
            self._check_whole()
        if self.quantise == "4bit" and self.device == "cpu":
            raise SpecError(
                "quantise",
                "A base in 4 bits needs a CUDA GPU, but the device is cpu.",
                "Set it to none, or the device.",
            )
        if self.lora_variant == "dora" and self.lora_init != "default":
            raise SpecError(
                "lora_init",
                f"LoRA start is {self.lora_init}, but a dora adapter has one start only.",
                "Choose default, or another variant.",
            )
        if not [name for name in self.lora_targets.split(",") if name.strip()]:
            raise SpecError("lora_targets", "LoRA targets are empty.", "Choose all-linear, or names of layers.")

    def _check_whole(self) -> None:
        """Where all weights are trained there is no adapter, and a setting of it would mean nothing."""
        if self.quantise != "none":
            raise SpecError(
                "quantise",
                f"The base is to be in {self.quantise.replace('bit', ' bits')}, and such weights cannot be trained.",
                "Set it to none, or train an adapter.",
            )
        usual = {f.name: f.default for f in fields(TrainingFields)}
        for name in ("lora_variant", "lora_init", "lora_plus_ratio", "lora_dropout"):
            if getattr(self, name) != usual[name]:
                raise SpecError(
                    name,
                    f"{_label(name)} is {getattr(self, name)}, but with all-weights there is no adapter.",
                    f"Set it to {usual[name]}, or train an adapter.",
                )


def _label(name: str) -> str:
    (found,) = (about(f) for f in fields(TrainingFields) if f.name == name)
    return found.label if found is not None else name


@dataclass(frozen=True, slots=True, kw_only=True)
class CourseFields(TrainingFields):
    """What training on a fixed set of examples adds: how often to go through them, and how often to measure."""

    epochs: float = param(1.0, "Epochs", "Passes over the examples.", between=(0.01, 1000.0))
    evaluate_every: int = param(
        10,
        "Evaluate every",
        "How often to measure on held-out prompts. 0 is only at the end.",
        between=(0, 1_000_000),
        unit="steps",
        group="Keeping",
        advanced=True,
    )

    @property
    def total_steps(self) -> int:
        return 0  # known once the examples are read
