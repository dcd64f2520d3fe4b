"""`rlhf shootout`: every method from the same SFT model, on the same prompts and preferences, judged by the gold rule.

Methods that write answers write the same number of them; those that learn from comparisons see all of them. Each is an
ordinary run of an ordinary project, with the settings that the window offers for the starter model.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from resources.starter.judge import judge, prefer
from rlhf_engine.cli.demo import StepFailed, frozen_labels, reward_spec, sft_spec, starter_settings
from rlhf_engine.cli.here import do_run
from rlhf_engine.contract.events import Envelope, Produced
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.evaluate.spec import EvaluateSpec

BEST_OF = 8
SAMPLES = 4  # answers to each held-out prompt
RESAMPLED = 2000  # bootstrap samples of the prompts
PREFERENCE = ("dpo", "kto", "orpo", "simpo")
ONLINE = ("rloo", "grpo", "reinforce", "online_dpo", "best_of_n", "ppo")
USUAL = ("dpo", "kto", "rloo", "grpo", "ppo")


@dataclass(frozen=True)
class Outcome:
    """What one method came to on the held-out prompts. Shares are 0..1, drift is nats per answer; `low` and `high` are
    the bounds of a 95 % bootstrap interval of the win rate, over prompts."""

    method: str
    title: str
    win_rate: float
    low: float
    high: float
    drift: float
    score: float
    correct: float
    polite: float
    words: float
    written: int  # answers written in training
    seconds: float


def shootout(
    out: Path | None,
    project: Path | None,
    methods: Sequence[str],
    seed: int = 0,
    as_json: bool = False,
) -> int:
    """Run every method, judge their answers, and write table and plot. Exit code."""
    from rlhf_engine.cli.report import write_shootout

    out = (out or Path("rlhf-shootout")).absolute()
    root = (project or out / "project").absolute()
    console = Console(highlight=False, stderr=as_json)
    console.print(f"A shoot-out of {', '.join(methods)} in {root}", markup=False)
    try:
        outcomes = compare(root, methods, seed, as_json, lambda text: console.print(text, markup=False))
    except StepFailed as failed:
        return failed.code
    write_shootout(outcomes, seed, out)
    console.print(table_of(outcomes))
    console.print(f"Table and plot: {out}", markup=False)
    if as_json:
        print(json.dumps({"shootout": [asdict(outcome) for outcome in outcomes]}))
    return 0


def compare(root: Path, methods: Sequence[str], seed: int, as_json: bool, say: Callable[[str], None]) -> list[Outcome]:
    """The outcome of SFT, of the best of its answers, and of each method.

    Raises:
        StepFailed: a run failed or was cancelled; it has said why.
    """
    datasets = frozen_labels(root)
    seconds: dict[str, float] = {}

    def do(name: str, title: str, spec: Any) -> tuple[str, dict[str, Any]]:
        started, run_id = time.perf_counter(), new_run_id()
        say(title)
        facts: dict[str, Any] = {}

        def listen(envelope: Envelope) -> None:
            if isinstance(envelope.event, Produced):
                facts.update(envelope.event.facts)

        if code := do_run(root, run_id, spec, name=f"Shoot-out: {title}", as_json=as_json, also=listen):
            raise StepFailed(code)
        seconds[name] = time.perf_counter() - started
        return f"run:{run_id}", facts

    sft, _ = do("sft", TASKS["sft"].title, sft_spec(datasets["demonstrations"], seed))
    reward, _ = do("reward", TASKS["reward"].title, reward_spec(sft, datasets["comparisons"], seed))
    made = {"sft": sft}
    for method in methods:
        made[method], _ = do(method, TASKS[method].title, spec_for(method, sft, reward, datasets, seed))

    usual = starter_settings("ppo")
    ask = {
        "dataset": datasets["prompts"],
        "reference": sft,
        "reward_model": reward,
        "samples": SAMPLES,
        "temperature": usual["temperature"],
        "response_tokens": usual["response_tokens"],
        "seed": seed,
    }
    run, facts = do("answers", "Answers to the held-out prompts", EvaluateSpec(models=tuple(made.values()), **ask))
    best_run, best_facts = do("best", f"Best of {BEST_OF}", EvaluateSpec(models=(sft,), best_of=BEST_OF, **ask))
    said = answers_of(root, run)
    before = said[sft]
    rows = [(name, title_of(name), said[ref], facts["models"][ref]) for name, ref in made.items()]
    best = ("best", f"Best of {BEST_OF}", answers_of(root, best_run)[sft], best_facts["models"][sft])
    return [
        judged(name, title, before, answers, figures, written_by(name), seconds.get(name, 0.0), seed)
        for name, title, answers, figures in (rows[0], best, *rows[1:])
    ]


def spec_for(method: str, sft: str, reward: str, datasets: dict[str, str], seed: int) -> Any:
    """A method's spec with the starter model's settings, on what every method is given."""
    settings = starter_settings(method)
    if method in PREFERENCE:
        return TASKS[method].spec(model=sft, dataset=datasets["comparisons"], seed=seed, **settings)
    return TASKS[method].spec(policy=sft, reward_model=reward, dataset=datasets["prompts"], seed=seed, **settings)


def title_of(method: str) -> str:
    return TASKS[method].short or TASKS[method].title


def written_by(method: str) -> int:
    """How many answers a method writes in training, with the settings of the starter model."""
    if method not in ONLINE:
        return 0
    settings = starter_settings(method)
    return int(settings["updates"] * settings["batch_size"])


def answers_of(root: Path, ref: str) -> dict[str, list[dict[str, Any]]]:
    """The answers that an evaluation kept, by model."""
    found: dict[str, list[dict[str, Any]]] = {}
    file = root / "runs" / ref.removeprefix("run:") / "answers.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["model"], []).append(row)
    return found


def judged(
    method: str,
    title: str,
    before: list[dict[str, Any]],
    answers: list[dict[str, Any]],
    figures: dict[str, float],
    written: int,
    seconds: float,
    seed: int,
) -> Outcome:
    """What the gold rule says of a method's answers, against the SFT model's to the same prompts in the same places."""
    wins = [win(row["prompt"], a["text"], row["text"]) for a, row in zip(before, answers, strict=True)]
    verdicts = [judge(row["prompt"], row["text"]) for row in answers]
    low, high = interval([wins[i : i + SAMPLES] for i in range(0, len(wins), SAMPLES)], seed)
    count = len(wins)
    return Outcome(
        method,
        title,
        sum(wins) / count,
        low,
        high,
        figures["kl_sequence"],
        figures["score"],
        sum(bool(v.correct) for v in verdicts) / count,
        sum(v.well_formed and v.polite for v in verdicts) / count,
        sum(v.words for v in verdicts) / count,
        written,
        seconds,
    )


def win(prompt: str, before: str, after: str) -> float:
    """1 where the gold rule prefers `after`, a half for a tie."""
    return {"b": 1.0, "tie": 0.5}.get(prefer(prompt, before, after).winner, 0.0)


def interval(by_prompt: list[list[float]], seed: int, level: float = 0.95) -> tuple[float, float]:
    """Bootstrap interval of the mean, with the prompts drawn anew: answers to one prompt are not independent.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3 (percentiles).
    """
    rng = random.Random(seed)
    means = [sum(wins) / len(wins) for wins in by_prompt]
    drawn = sorted(sum(rng.choices(means, k=len(means))) / len(means) for _ in range(RESAMPLED))
    cut = round((1 - level) / 2 * RESAMPLED)
    return drawn[cut], drawn[-1 - cut]


def table_of(outcomes: list[Outcome]) -> Table:
    """The outcomes as a table for the terminal."""
    table = Table(title="Against SFT, on held-out prompts", title_justify="left")
    for column in ("", "gold win", "95 % interval", "KL", "score", "correct", "polite", "words", "written", "s"):
        table.add_column(column, justify="left" if not column else "right")
    for row in cells(outcomes):
        table.add_row(*row)
    return table


def cells(outcomes: list[Outcome]) -> list[tuple[str, ...]]:
    return [
        (
            o.title,
            f"{o.win_rate:.0%}",
            f"{o.low:.0%} to {o.high:.0%}",
            f"{o.drift:.2f}",
            f"{o.score:+.2f}",
            f"{o.correct:.0%}",
            f"{o.polite:.0%}",
            f"{o.words:.1f}",
            f"{o.written:,}" if o.written else "",
            f"{o.seconds:.0f}" if o.seconds else "",
        )
        for o in outcomes
    ]
