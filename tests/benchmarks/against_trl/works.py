"""The work that both sides do: how much of it, in which format, and what is aimed at. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

RANK, ALPHA = 16, 32
PROMPT = (16, 64)  # tokens of a prompt, from and to
DEMONSTRATION = (16, 256)  # tokens of a demonstration, prompt and end token among them
PAIR = 384  # tokens of a comparison, its prompt counted twice: each has as many, whichever batch it falls into
ANSWER = 64  # tokens of every answer that is written in training
EVEN, EVENS = 104, 64  # tokens of an example, and how many there are, where all are as long
LIMITS = (8, 256)  # tokens of the answers that are only generated
GOOD, BAD = tuple(f"w{i}" for i in range(100, 150)), tuple(f"w{i}" for i in range(200, 250))  # what RLOO, GRPO reward
LONGEST = 400  # of any of these


@dataclass(frozen=True, slots=True)
class Size:
    """The shape of the random Llama."""

    name: str
    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    intermediate: int
    vocabulary: int


SMALL = Size("13.8 million parameters", 6, 384, 6, 6, 1024, 8192)  # for a processor
LARGE = Size("0.5 billion parameters", 24, 1280, 20, 5, 3584, 32_768)  # for a GPU
SIZES = {"small": SMALL, "large": LARGE}


@dataclass(frozen=True, slots=True)
class Work:
    """`examples` are those of one step: episodes, demonstrations, pairs or completions. `steps` has a first one that
    is not measured. `faster` and `smaller` are the targets: ours by theirs, 0 where there is none."""

    key: str
    kind: str
    title: str
    unit: str
    dtype: str
    examples: int
    steps: int
    faster: float
    smaller: float
    epochs: int = 1
    group: int = 1
    micro_batch: int = 8


_FP32 = (
    Work("ppo", "ppo", "PPO", "episodes", "fp32", 32, 2, 2.0, 0.6, epochs=4),
    Work("sft", "sft", "SFT, mixed lengths", "tokens", "fp32", 32, 3, 2.0, 0.8),
    Work("reward", "reward", "Reward model", "pairs", "fp32", 16, 3, 1.5, 0.8),
    Work("dpo", "dpo", "DPO", "pairs", "fp32", 16, 3, 1.8, 0.7),
    Work("rloo", "rloo", "RLOO", "completions", "fp32", 32, 2, 2.5, 0.7, group=4),
    Work("grpo", "grpo", "GRPO", "completions", "fp32", 32, 2, 2.5, 0.7, group=4),
    Work("greedy", "generate", "Generation, greedy", "tokens", "fp32", 64, 1, 2.5, 0.7),
    Work("sampled", "generate", "Generation, sampled", "tokens", "fp32", 64, 1, 2.5, 0.7),
)


def _in_bf16(work: Work) -> Work:
    targets = (4.0, 0.5) if work.key == "ppo" else (work.faster, work.smaller)
    return replace(work, key=f"{work.key}-bf16", dtype="bf16", faster=targets[0], smaller=targets[1])


WORKS = {work.key: work for each in _FP32 for work in (each, _in_bf16(each))}
SCALING = {key: replace(WORKS[key], key=f"even-{key}", kind="even") for key in ("sft", "sft-bf16")}
USUAL = ("ppo", "ppo-bf16", "sft", "reward", "dpo", "rloo", "grpo", "greedy", "sampled")
ON_A_GPU = tuple(key for key in WORKS if key.endswith("-bf16"))


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement, as a process is told of it. `rows` are those that `model.generate` is given at a time."""

    work: Work
    folder: str  # what `material` made
    device: str
    rows: int = 0
    profile: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Job:
        return cls(**{**body, "work": Work(**body["work"])})
