"""The model card: what a stranger needs to know, put together from facts that `history` has picked.

No text of a dataset, a person or a folder gets in here by itself; a card that a person wrote is taken as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rlhf_engine import __version__
from rlhf_engine.tasks.export.compare import Agreement
from rlhf_engine.tasks.export.history import HUB_ID, RunFacts

TITLES = {  # those of the table of tasks, which a task does not read; a test compares them
    "sft": "Supervised fine-tuning",
    "reward": "Reward model",
    "dpo": "Direct preference optimisation",
    "kto": "Kahneman-Tversky optimisation",
    "orpo": "Odds ratio preference optimisation",
    "simpo": "Simple preference optimisation",
    "ppo": "PPO",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "reinforce": "REINFORCE++",
    "online_dpo": "Online DPO",
    "best_of_n": "Best of n",
}
_FORMS = {"merged": "one complete model", "adapter": "a LoRA adapter to put on its base"}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card is written from. `folder` stands for the model in examples: a Hub id, or the export's name;
    `formula` is how a reward model's heads become one score."""

    title: str
    folder: str
    base: str
    form: str
    dtype: str
    licence: str
    template: str
    agreement: Agreement | None
    runs: tuple[RunFacts, ...]
    formula: str = "each[0]"

    @property
    def scores(self) -> bool:
        return bool(self.runs) and self.runs[-1].task == "reward"


def write_card(facts: CardFacts, own: str = "") -> str:
    """The text of README.md. A person's own Markdown keeps its front matter if it has one, and gets ours if not."""
    if own.strip():
        return own if own.lstrip().startswith("---") else f"{_front_matter(facts)}\n{own.strip()}\n"
    parts = [
        _front_matter(facts),
        f"# {facts.title}\n",
        _summary(facts),
        _how_to_load(facts),
        "## How it was made\n",
        _lineage(facts),
        *(_run(run, number) for number, run in enumerate(facts.runs, 1)),
        "## Checked\n",
        f"{facts.agreement.sentence() if facts.agreement else 'Compared when it is written.'}\n",
        _versions(),
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(facts: CardFacts) -> str:
    """YAML in which every value is written as JSON, which YAML understands and which needs no guessing about quotes."""
    body: dict[str, Any] = {
        "library_name": "peft" if facts.form == "adapter" else "transformers",
        "pipeline_tag": "text-classification" if facts.scores else "text-generation",
        "tags": ["rlhf", *dict.fromkeys(run.task for run in facts.runs), "rlhf-studio"],
    }
    if facts.scores:
        body["tags"].append("reward-model")
    if HUB_ID.fullmatch(facts.base):
        body["base_model"] = facts.base
        body["base_model_relation"] = "adapter" if facts.form == "adapter" else "finetune"
    if facts.licence.strip():
        body["license"] = " ".join(facts.licence.split())
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in body.items()]
    return "\n".join(["---", *lines, "---", ""])


def _summary(facts: CardFacts) -> str:
    what = "A reward model" if facts.scores else "A language model"
    precision = f", weights in {facts.dtype}" if facts.form == "merged" else ""
    licence = f" Licence: {' '.join(facts.licence.split())}." if facts.licence.strip() else ""
    return f"{what}, as {_FORMS[facts.form]}{precision}. Base: {_code(facts.base)}.{licence}\n"


def _how_to_load(facts: CardFacts) -> str:
    adapter = facts.form == "adapter"
    fetched = facts.scores and HUB_ID.fullmatch(facts.folder)  # the head is a file of its own, so a folder is needed
    folder = f"snapshot_download({json.dumps(facts.folder)})" if fetched else json.dumps(facts.folder)
    imports = [
        "import torch" if facts.scores else "",
        "from huggingface_hub import snapshot_download" if fetched else "",
        "from peft import PeftModel" if adapter else "",
        "from safetensors.torch import load_file" if facts.scores else "",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
    ]
    if adapter:
        code = [
            f"folder, base = {folder}, {json.dumps(facts.base)}",
            "tokenizer = AutoTokenizer.from_pretrained(base)",
            "model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)",
        ]
    else:
        code = [
            f"folder = {folder}",
            "tokenizer = AutoTokenizer.from_pretrained(folder)",
            'model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")',
        ]
    if facts.scores:
        code += [
            'head = load_file(f"{folder}/head.safetensors")',
            "",
            "",
            "def score(ids):  # token ids of prompt, answer and end token",
            "    with torch.no_grad():",
            f"        trunk = {'model.base_model.model' if adapter else 'model'}.base_model",
            "        hidden = trunk(torch.tensor([ids])).last_hidden_state[0, -1].float()",
            '        each = head["linear.weight"] @ hidden + head["linear.bias"]',
            f'        return (({facts.formula} - head["mean"]) / head["std"]).item()',
        ]
    text = "\n".join([*filter(None, imports), "", *code])
    return f"## How to load it\n\n```python\n{text}\n```\n\n{_notes(facts)}\n"


def _notes(facts: CardFacts) -> str:
    notes = []
    if facts.form == "adapter" and not HUB_ID.fullmatch(facts.base):
        notes.append("The base is not on the Hub: put the folder that holds it in place of its name.")
    if facts.scores:
        notes.append("Scores are comparable between answers to the same prompt.")
    notes.append(
        {
            "chat": "Prompts go through the tokenizer's chat template.",
            "plain": "Prompts are plain text, without a chat template.",
        }.get(facts.template, "Prompts go through the tokenizer's chat template where it has one.")
    )
    return " ".join(notes)


def _lineage(facts: CardFacts) -> str:
    steps = [facts.base, *(TITLES.get(run.task, run.task) for run in facts.runs)]
    text = " → ".join(steps)
    for run in facts.runs:
        if run.reward:
            text += f"\n\nReward model: {' → '.join([facts.base, *(TITLES.get(r.task, r.task) for r in run.reward)])}"
    return text + "\n"


def _run(run: RunFacts, number: int) -> str:
    parts = [f"### {number}. {TITLES.get(run.task, run.task)}\n"]
    for data in run.datasets:
        labels = ", ".join(f"{rows} {source}" for source, rows in data.labels.items())
        weight = "" if data.weight is None else f", weight {data.weight:g} in the mixture"
        parts.append(
            f"Data: {_code(data.name)}, {data.rows} {data.kind}{weight}, hash {_code(data.hash)}; "
            f"labels by source: {labels}.\n"
        )
    if run.metrics:
        parts.append(_table("Last measured", "value", {name: f"{value:.4g}" for name, value in run.metrics.items()}))
    if run.settings:
        parts.append(_table("Setting", "value", {name: str(value) for name, value in run.settings.items()}))
    if run.reward:
        parts.append("Its reward model:\n")
        parts.extend(_run(step, n).replace("### ", "#### ", 1) for n, step in enumerate(run.reward, 1))
    return "\n".join(parts)


def _versions() -> str:
    found = {"rlhf-studio": __version__}
    for package in ("torch", "transformers", "peft", "safetensors"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return "Made with " + ", ".join(f"{name} {number}" for name, number in found.items()) + ".\n"


def _table(left: str, right: str, rows: dict[str, str]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|", *(f"| {_code(name)} | {value} |" for name, value in rows.items())]
    return "\n".join([*lines, ""])


def _code(text: str) -> str:
    """Someone's words inside Markdown, without the power to be Markdown."""
    plain = " ".join(text.replace("`", "'").replace("|", "/").split())
    return f"`{plain}`"


def summary_of(runs: Sequence[RunFacts]) -> str:
    """The runs in one word each, for a name: sft-ppo."""
    return "-".join(dict.fromkeys(run.task for run in runs))
