"""A demo or a shoot-out on paper: plots as PNG and a short report in Markdown beside them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # there may be no screen

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from resources.starter.judge import RULE
from rlhf_engine.cli.demo import Findings
from rlhf_engine.cli.shootout import SAMPLES, Outcome, cells
from rlhf_engine.tasks.metric_help import about_metric

Curve = list[tuple[int, float]]
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#7F7F7F"
PLOTS = {
    "sft": ("Supervised fine-tuning", (("train/loss", "heldout/loss"), ("heldout/token_accuracy",)), "step"),
    "reward": ("Reward model", (("train/loss", "heldout/loss"), ("train/accuracy", "heldout/accuracy")), "step"),
    "ppo": (
        "PPO",
        (("objective/score",), ("objective/kl_sequence",), ("answers/length_mean",), ("objective/entropy",)),
        "update",
    ),
}


def write_report(found: Findings, out: Path) -> Path:
    """Write plots and `report.md` into `out` and return it."""
    out.mkdir(parents=True, exist_ok=True)
    for name, (title, panels, unit) in PLOTS.items():
        _plot(found.curves[name], title, panels, unit, out / f"{name}.png")
    _frontier(found, out / "frontier.png")
    _scores(found, out / "rewards.png")
    (out / "report.md").write_text(_words(found), encoding="utf-8")
    return out


def write_shootout(outcomes: list[Outcome], seed: int, out: Path) -> None:
    """Write `shootout.md` with the table, `shootout.png` with the frontier and `shootout.json` with the figures."""
    out.mkdir(parents=True, exist_ok=True)
    figure, axis = plt.subplots(figsize=(7, 4.6), layout="constrained")
    colours = mpl.colormaps["tab10"]
    for i, o in enumerate(outcomes):
        error = [[o.win_rate - o.low], [o.high - o.win_rate]]
        axis.errorbar([o.drift], [o.win_rate], yerr=error, fmt="o", color=colours(i % 10), capsize=3)
        axis.annotate(o.title, (o.drift, o.win_rate), xytext=(7, 4), textcoords="offset points", fontsize=8)
    axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axis.set_ylabel("gold judge prefers it over SFT")
    axis.yaxis.set_major_formatter(mpl.ticker.PercentFormatter(1.0, 0))
    _finish(axis, "KL to the SFT model, nats per answer", legend=False, title="What was gained, and what it cost")
    figure.savefig(out / "shootout.png", dpi=120)
    plt.close(figure)
    (out / "shootout.json").write_text(json.dumps([asdict(o) for o in outcomes], indent=1), encoding="utf-8")
    (out / "shootout.md").write_text(shootout_words(outcomes, seed), encoding="utf-8")


def shootout_words(outcomes: list[Outcome], seed: int) -> str:
    """The table of a shoot-out in Markdown, with what its columns mean."""
    heads = ("Method", "Gold win rate", "95 % interval", "KL", "Score", "Correct", "Polite", "Words", "Written", "s")
    rows = [" | ".join(("", *row, "")).strip() for row in cells(outcomes)]
    return "\n".join(
        [
            " | ".join(("", *heads, "")).strip(),
            "|---" * len(heads) + "|",
            *rows,
            "",
            f"Seed {seed}. All start from the same SFT model and answer the same held-out prompts, {SAMPLES} times.",
            "Win rate: how often the gold rule prefers the answer to the SFT model's (a tie is a half), with a 95 %",
            "bootstrap interval over prompts. KL: nats per answer from the SFT model, measured on those answers; for",
            "the best of n, the bound ln n - (n - 1) / n. Score: the reward model's. Written: answers written in",
            "training. s: seconds of training on this machine.",
            "",
        ]
    )


def _plot(curves: dict[str, Curve], title: str, panels: tuple[tuple[str, ...], ...], unit: str, path: Path) -> None:
    figure, axes = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.2), layout="constrained", squeeze=False)
    figure.suptitle(title)
    for axis, names in zip(axes[0], panels, strict=True):
        for name, colour in zip(names, (BLUE, ORANGE), strict=False):
            axis.plot(*_columns(curves[name]), color=colour, linewidth=1.5, label=about_metric(name).label)
        _finish(axis, unit, legend=len(names) > 1, title=about_metric(names[0]).title if len(names) == 1 else "")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _frontier(found: Findings, path: Path) -> None:
    """Reward against KL: what was paid for what was gained."""
    figure, axis = plt.subplots(figsize=(5, 3.6), layout="constrained")
    kl, score = found.curves["ppo"]["objective/kl_sequence"], found.curves["ppo"]["objective/score"]
    axis.plot([v for _, v in kl], [v for _, v in score], color=BLUE, linewidth=1, alpha=0.6)
    axis.scatter([v for _, v in kl], [v for _, v in score], c=[s for s, _ in kl], cmap="viridis", s=14)
    axis.set_ylabel("mean reward")
    _finish(axis, "KL to the SFT model, nats per answer", legend=False, title="What the reward cost")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _scores(found: Findings, path: Path) -> None:
    figure, axis = plt.subplots(figsize=(5, 3.6), layout="constrained")
    for answers, colour in ((found.base, GREY), (found.sft, ORANGE), (found.ppo, GREEN)):
        axis.hist(answers.scores, bins=24, color=colour, alpha=0.55, label=answers.model)
    axis.set_ylabel("held-out prompts")
    _finish(axis, "reward", legend=True, title="Rewards of the answers")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _finish(axis: Axes, x: str, legend: bool, title: str) -> None:
    axis.set_xlabel(x)
    axis.set_title(title, fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    if legend:
        axis.legend(frameon=False, fontsize=8)


def _columns(curve: Curve) -> tuple[list[int], list[float]]:
    return [step for step, _ in curve], [value for _, value in curve]


def _words(found: Findings) -> str:
    rows = [
        f"| {m.model} | {m.well_formed:.0%} | {m.correct:.0%} | {m.polite:.0%} | {m.words:.1f} "
        f"| {sum(m.scores) / len(m.scores):+.2f} |"
        for m in (found.base, found.sft, found.ppo)
    ]
    examples = []
    for i, prompt in enumerate(found.prompts[:8]):
        examples += [f"**{prompt}**", ""]
        examples += [
            f"- {m.model}: `{_one_line(m.texts[i])}` ({m.scores[i]:+.2f})" for m in (found.base, found.sft, found.ppo)
        ]
        examples.append("")
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in found.seconds.items())
    return "\n".join(
        [
            "# The starter model, taken through RLHF",
            "",
            f"Seed {found.seed}. {len(found.prompts)} held-out prompts, which no step trained on. {times}.",
            "",
            "| model | well formed | correct | polite | words | mean reward |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"- Reward model: {found.reward_accuracy:.0%} of held-out pairs in the right order.",
            f"- PPO gained {found.reward_gain:+.2f} standard deviations of the SFT model's rewards,",
            f"  at a KL of {found.kl:.1f} nats per answer in its last update.",
            f"- The gold judge prefers PPO over SFT on {found.gold_win_rate:.0%} of the prompts (ties count half).",
            "",
            "![](sft.png)",
            "![](reward.png)",
            "![](ppo.png)",
            "![](frontier.png)",
            "![](rewards.png)",
            "",
            "## Answers",
            "",
            *examples,
            "## The gold judge's rule",
            "",
            "\n".join(f"> {line}" for line in RULE.splitlines()),
            "",
        ]
    )


def _one_line(text: str) -> str:
    return text.replace("`", "'").replace("\n", " ")[:160]
