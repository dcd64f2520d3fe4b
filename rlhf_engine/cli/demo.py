"""`rlhf demo`: the starter model taken through supervised fine-tuning, a reward model and PPO, and what came of it.

Every step is an ordinary run of an ordinary project. What is measured is measured on prompts that no step trained on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from resources.starter.judge import judge, prefer
from rlhf_engine.cli.here import do_run
from rlhf_engine.contract.events import Envelope, Metrics, Produced
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.store.project import Project, is_project
from rlhf_engine.tasks import presets_of
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.sft.spec import SFTSpec

DATASETS = ("prompts", "demonstrations", "comparisons")


@dataclass
class Answers:
    """What one model answered to the held-out prompts, and what the gold judge says of it. Shares are 0..1."""

    model: str
    texts: list[str]
    scores: list[float]
    well_formed: float
    correct: float
    polite: float
    words: float


@dataclass
class Findings:
    """What a demo showed. Rewards are in standard deviations of the SFT model's; KL is nats per answer."""

    seed: int
    prompts: list[str]
    base: Answers
    sft: Answers
    ppo: Answers
    reward_accuracy: float
    reward_gain: float
    kl: float
    gold_win_rate: float
    seconds: dict[str, float]
    runs: dict[str, str]
    curves: dict[str, dict[str, list[tuple[int, float]]]] = field(default_factory=dict)


def starter_settings(task: str) -> dict[str, Any]:
    """What the window offers as the preset for the starter model."""
    return next(preset.values for preset in presets_of(task) if preset.key == "starter")


def sft_spec(dataset: str, seed: int) -> SFTSpec:
    return SFTSpec(model="starter", dataset=dataset, seed=seed, **starter_settings("sft"))


def reward_spec(model: str, dataset: str, seed: int) -> RewardSpec:
    return RewardSpec(model=model, dataset=dataset, seed=seed, **starter_settings("reward"))


def ppo_spec(policy: str, reward_model: str, dataset: str, seed: int) -> PPOSpec:
    return PPOSpec(policy=policy, reward_model=reward_model, dataset=dataset, seed=seed, **starter_settings("ppo"))


def demo(out: Path | None = None, project: Path | None = None, as_json: bool = False, seed: int = 0) -> int:
    """Make a starter project in `out` (or use `project`), run everything on it and write the report. Exit code."""
    from rlhf_engine.cli.report import write_report

    out = (out or Path("rlhf-demo")).absolute()
    root = (project or out / "project").absolute()
    console = Console(highlight=False, stderr=as_json)
    console.print(f"Taking the starter model through RLHF in {root}", markup=False)
    try:
        found = take_through(root, seed, as_json, lambda text: console.print(text, markup=False))
    except StepFailed as failed:
        return failed.code
    folder = write_report(found, out)
    console.print(summary(found))
    console.print(f"Report and plots: {folder}", markup=False)
    if as_json:
        print(json.dumps({"report": str(folder), **{k: v for k, v in asdict(found).items() if k != "curves"}}))
    return 0


class StepFailed(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"a step of the demo ended with exit code {code}")
        self.code = code


def take_through(root: Path, seed: int, as_json: bool, say: Callable[[str], None]) -> Findings:
    """SFT, reward model, PPO, and answers of all three policies to the held-out prompts.

    Raises:
        StepFailed: a run failed or was cancelled; it has said why.
    """
    datasets = frozen_labels(root)
    runs: dict[str, str] = {}
    seconds: dict[str, float] = {}
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    facts: dict[str, dict[str, Any]] = {}

    def do(name: str, title: str, spec: Any) -> str:
        started, run_id = time.perf_counter(), new_run_id()
        say(title)
        curve: dict[str, list[tuple[int, float]]] = {}

        def listen(envelope: Envelope) -> None:
            match envelope.event:
                case Metrics(step=step, values=values):
                    for metric, value in values.items():
                        curve.setdefault(metric, []).append((step, value))
                case Produced(facts=made):
                    facts[name] = made

        if code := do_run(root, run_id, spec, name=f"Demo: {title}", as_json=as_json, also=listen):
            raise StepFailed(code)
        runs[name], seconds[name], curves[name] = run_id, time.perf_counter() - started, curve
        return f"run:{run_id}"

    sft = do("sft", "Supervised fine-tuning on demonstrations", sft_spec(datasets["demonstrations"], seed))
    reward = do("reward", "Reward model from comparisons", reward_spec(sft, datasets["comparisons"], seed))
    ppo = do("ppo", "PPO against the reward model", ppo_spec(sft, reward, datasets["prompts"], seed))

    prompts = [str(r.prompt) for r in open_dataset(root, datasets["prompts"]).records("heldout")]
    ask = GenerateSpec(
        models=("starter", sft, ppo),
        prompts=tuple(prompts),
        max_new_tokens=starter_settings("ppo")["response_tokens"],
        temperature=starter_settings("ppo")["temperature"],  # what is measured is what was trained
        alternatives=0,
        reward_model=reward,
        seed=seed,
    )
    do("answers", f"Answers to {len(prompts)} held-out prompts", ask)
    written = facts["answers"]["answers"]
    by_model = [written[i * len(prompts) : (i + 1) * len(prompts)] for i in range(3)]
    base, tuned, improved = (
        judged(name, prompts, answers) for name, answers in zip(("base", "SFT", "PPO"), by_model, strict=True)
    )
    mean, std = _moments(tuned.scores)
    return Findings(
        seed,
        prompts,
        base,
        tuned,
        improved,
        facts["reward"]["heldout/accuracy"],
        (_moments(improved.scores)[0] - mean) / std,
        curves["ppo"]["objective/kl_sequence"][-1][1],
        win_rate(prompts, tuned.texts, improved.texts),
        seconds,
        runs,
        curves,
    )


def judged(model: str, prompts: list[str], answers: list[dict[str, Any]]) -> Answers:
    """The gold judge's view of a model's answers."""
    texts = [answer["text"] for answer in answers]
    verdicts = [judge(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    count = len(verdicts)
    return Answers(
        model,
        texts,
        [answer["score"] for answer in answers],
        sum(v.well_formed for v in verdicts) / count,
        sum(bool(v.correct) for v in verdicts) / count,
        sum(v.well_formed and v.polite for v in verdicts) / count,
        sum(v.words for v in verdicts) / count,
    )


def win_rate(prompts: list[str], before: list[str], after: list[str]) -> float:
    """Share of prompts on which the gold judge prefers `after`; ties count half."""
    winners = [prefer(p, a, b).winner for p, a, b in zip(prompts, before, after, strict=True)]
    return (winners.count("b") + 0.5 * winners.count("tie")) / len(winners)


def summary(found: Findings) -> Table:
    """The figures of a demo as a table for the terminal."""
    table = Table(title="On held-out prompts", title_justify="left")
    for column in ("", "base", "SFT", "PPO"):
        table.add_column(column, justify="left" if not column else "right")
    models = (found.base, found.sft, found.ppo)
    for label, name in (("well formed", "well_formed"), ("correct", "correct"), ("polite", "polite")):
        table.add_row(label, *(f"{getattr(m, name):.0%}" for m in models))
    table.add_row("words", *(f"{m.words:.1f}" for m in models))
    table.add_row("reward", *(f"{_moments(m.scores)[0]:+.2f}" for m in models))
    table.add_section()
    table.add_row("reward model, held-out accuracy", "", "", f"{found.reward_accuracy:.0%}")
    table.add_row("reward gained, in deviations of SFT", "", "", f"{found.reward_gain:+.2f}")
    table.add_row("KL to SFT at the last update, nats per answer", "", "", f"{found.kl:.1f}")
    table.add_row("gold judge prefers PPO over SFT", "", "", f"{found.gold_win_rate:.0%}")
    table.add_row("time, seconds", "", "", f"{sum(found.seconds.values()):.0f}")
    return table


def frozen_labels(root: Path) -> dict[str, str]:
    """The project's records, frozen; the project is made when it is not there."""
    with Project.open(root) if is_project(root) else Project.create_starter(root, "Demo") as project:
        return {
            kind: freeze(root, kind, project.labels.records(kind), kind.capitalize(), "labels of the project", {}).ref
            for kind in DATASETS
        }


def _moments(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, (sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)) ** 0.5
