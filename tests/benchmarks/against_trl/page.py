"""The help page that the measurements become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from rlhf_engine.machine import memory, nvidia_driver, processor
from tests.benchmarks.against_trl import table
from tests.benchmarks.against_trl.bound import Shape, bytes_read
from tests.benchmarks.against_trl.table import Row, number
from tests.benchmarks.against_trl.works import ANSWER, EVEN, LIMITS, PAIR, RANK, WORKS, Size

FAST = ("amx_bf16", "avx512_bf16", "avx512f", "avx2")  # instructions worth naming, the fastest that is there


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one command measured. `flat` is by number format; `decoding` are the prompts' and answers' lengths."""

    size: Size
    device: str
    runs: int
    threads: int
    rows: list[Row]
    versions: Sequence[str]
    rates: Mapping[str, Mapping[Shape, float]]
    flat: Mapping[str, Mapping[int, float]]
    bandwidth: float
    decoding: tuple[list[int], list[int]]
    today: date


def page(found: Findings) -> str:
    parts = [
        "# Speed and memory against TRL",
        f"The same work done by the engine and by TRL: the same model (a random Llama of {found.size.name}), LoRA of "
        f"rank {RANK} on all seven projections, the same texts, number format, batches, epochs and number of tokens. "
        "Made by",
        "```\npython -m tests.benchmarks.against_trl --write resources/help/benchmarks.md\n```",
        machine(found),
        table.targets(found.rows),
        f"Medians of {found.runs} pairs of processes that took turns, ours and TRL's; the ratios are medians of the "
        "pairs' own, and spread is the least and the greatest of them. The first step of each process is left out. "
        f"Memory is the peak of the whole process{', on the GPU' if found.device == 'cuda' else ''}. Tokens compares "
        "what both sides learned from or wrote, padding not counted.",
        work(),
    ]
    if any(row.phases for row in found.rows):
        parts += ["## Where the time goes", table.phases(found.rows)]
    if any(row.work.kind != "generate" for row in found.rows):
        parts += [
            "## Against matmul alone",
            "The update phase beside the time that its matrix products alone would take at the speed they have on this "
            "machine. Each token is counted once through the frozen layers forwards and once back, and three times "
            "through the adapters; padding and everything that is no product count nothing.",
            table.against_matmul(found.rows, found.size, found.rates),
            table.speeds(found.rates),
        ]
    if found.flat:
        parts += [
            "## Cost of a token",
            f"One token forwards and back in SFT, with so many examples of {EVEN} tokens in a batch.",
            table.flat(found.flat),
        ]
    if found.bandwidth:
        parts += ["## Decoding against memory bandwidth", *decoding(found)]
    return "\n\n".join([*parts, "See [which method when](methods) for what the methods are."]) + "\n"


def machine(found: Findings) -> str:
    """Where, when and with what."""
    seen, gpus = processor(), nvidia_driver().gpus
    fast = next((name for name in FAST if name in seen.flags), "")
    where = (
        f"{seen.name or 'a processor'}{f' with {fast}' if fast else ''}, {seen.cores} cores, {found.threads} threads"
    )
    on = f"{gpus[0].name}, {gpus[0].memory / 1e9:.0f} GB, beside " if found.device == "cuda" and gpus else ""
    there = f"{on}{where}, {found.threads} threads, {memory()[0] / 1e9:.0f} GB of memory"
    return f"{found.today:%Y-%m-%d}: {there}. {'; '.join(found.versions)}."


def work() -> str:
    """What the works are."""
    ppo, sft, dpo, rloo = (WORKS[key] for key in ("ppo", "sft", "dpo", "rloo"))
    lines = (
        f"PPO: {ppo.examples} episodes per update, prompts of 16 to 64 tokens, answers of {ANSWER}, {ppo.epochs} "
        f"epochs in micro-batches of {ppo.micro_batch}; the reward model on the same base, the value model an adapter "
        "with a head. TRL's is 0.29, one of the last with PPO.",
        f"SFT: {sft.examples} demonstrations of 16 to 256 tokens per step.",
        f"Reward model and DPO: {dpo.examples} pairs of {PAIR} tokens per step.",
        f"RLOO and GRPO: {rloo.examples} answers of {ANSWER} tokens per step, {rloo.group} to a prompt, rewarded by a "
        "list of words.",
        f"Generation: answers of {LIMITS[0]} to {LIMITS[1]} tokens, drawn at random, to 64 prompts. TRL's side is "
        "`model.generate`, on 16 or on 64 rows at a time, whichever was faster.",
    )
    return "\n".join(f"- {line}" for line in lines)


def decoding(found: Findings) -> list[str]:
    """How near generation comes to the speed at which the weights can be fetched."""
    least = bytes_read(found.size, *found.decoding) / found.bandwidth
    most = sum(found.decoding[1]) / least
    lines = [
        f"- {row.work.title}: {number(row.ours)} tokens/s, {row.ours / most:.0%} of {number(most)}."
        for row in found.rows
        if row.work.kind == "generate" and row.work.dtype == "bf16"
    ]
    return [
        f"The GPU copies {found.bandwidth / 1e9:,.0f} GB/s. All weights must be fetched for each step, and what is "
        "kept of the tokens before it for each token.",
        "\n".join(lines),
    ]
