"""Every kind of work the engine can do. Adding one is a folder beside these and a row in `TASKS`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.presets import Preset
from rlhf_engine.contract.spec import Spec, build_spec, spec_body
from rlhf_engine.tasks.best_of_n.spec import BestOfNSpec
from rlhf_engine.tasks.check_data.spec import CheckSpec
from rlhf_engine.tasks.constitution.spec import ConstitutionSpec, ReviseSpec
from rlhf_engine.tasks.download.spec import DownloadSpec
from rlhf_engine.tasks.dpo.spec import DPOSpec
from rlhf_engine.tasks.evaluate.spec import EvaluateSpec
from rlhf_engine.tasks.export.spec import ExportSpec
from rlhf_engine.tasks.export_data.spec import ExportDataSpec
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.grpo.spec import GRPOSpec
from rlhf_engine.tasks.import_data.spec import ImportSpec
from rlhf_engine.tasks.judge.spec import JudgeSpec
from rlhf_engine.tasks.kto.spec import KTOSpec
from rlhf_engine.tasks.online_dpo.spec import OnlineDPOSpec
from rlhf_engine.tasks.orpo.spec import ORPOSpec
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tasks.reinforce.spec import ReinforceSpec
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.rloo.spec import RLOOSpec
from rlhf_engine.tasks.score.spec import ScoreSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tasks.simpo.spec import SimPOSpec


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of work. `trains` ones are offered in the Train panel; `kept` ones have a row in the runs list.

    All that a window or a page of help has to know of a method stands here, so that none of them names one.
    """

    key: str
    title: str
    summary: str
    spec: type[Any]
    work: str  # "module:function", imported only when a run starts, so that the window opens without torch
    trains: bool = False
    kept: bool = True
    charts: tuple[str, ...] = ()  # the metrics that the live view shows first
    family: str = ""  # one of FAMILIES: the heading under which a training task is offered
    short: str = ""  # the title in as few words as people use, where that is another
    beside: tuple[str, str] = ("Answer now", "The starting model's answer")  # what the two texts of a sample are
    metrics: tuple[str, ...] = ()  # patterns of the metrics it measures, where they are not those of its family
    adapters: int = 1  # how many a run holds in memory at once, each with its optimiser

    @property
    def scores(self) -> bool:
        """Whether what it makes gives answers a score, instead of writing them."""
        return self.family == REWARD

    @property
    def measures(self) -> tuple[str, ...]:
        """Patterns of the names of its metrics, such as "answers/*"."""
        return self.metrics or MEASURES.get(self.family, ())

    @property
    def full_title(self) -> str:
        """The title, with the short one behind it where that is another: "Reward model", "… optimisation (DPO)"."""
        return f"{self.title} ({self.short})" if self.short else self.title

    @property
    def name(self) -> str:
        return self.short or self.title

    def function(self) -> Callable[..., None]:
        module, _, name = self.work.partition(":")
        function: Callable[..., None] = getattr(import_module(module), name)
        return function


SUPERVISED, REWARD, PREFERENCES, ONLINE = "Supervised", "Reward model", "From preferences", "Online"
FAMILIES = {  # in the order of the work, each with what its methods learn from
    SUPERVISED: "Learn from demonstrations of good answers.",
    REWARD: "Learn to tell good answers from bad ones.",
    PREFERENCES: "Learn straight from what people judged, without writing answers.",
    ONLINE: "Write answers, have them scored, and make the good ones likelier.",
}

# Patterns of the names of metrics, for the help: what a method's page explains.
_COURSE = ("train/loss", "train/grad_norm", "train/learning_rate", "train/epoch", "heldout/loss", "memory/*")
_ANSWERS = (
    *("objective/*", "answers/*", "reward/*", "component/*", "time/*", "memory/*", "train/learning_rate"),
    *("policy/loss", "policy/grad_norm", "policy/clip_fraction", "groups/zero_std"),
)
MEASURES = {
    SUPERVISED: (
        *_COURSE,
        *("train/padding", "train/token_accuracy", "train/tokens", "heldout/perplexity", "heldout/token_accuracy"),
        *("train/loss/", "train/epoch/", "heldout/loss/"),
    ),
    REWARD: (
        *_COURSE,
        *("train/accuracy", "train/margin", "train/centre", "train/tie_theta"),
        *("heldout/accuracy*", "heldout/margin", "heldout/*_wins", "heldout/calibration_error", "heldout/confidence"),
        *("heldout/disagreement", "heldout/length_correlation", "heldout/reliability", "heldout/tie_margin"),
    ),
    PREFERENCES: (
        *_COURSE,
        *("train/accuracy", "train/ranking_accuracy", "train/margin", "train/chosen_*", "train/rejected_*"),
        *("heldout/accuracy", "heldout/ranking_accuracy", "heldout/margin", "heldout/chosen_*", "heldout/rejected_*"),
    ),
    ONLINE: (*_ANSWERS, "policy/*", "groups/spread"),
}

TASKS = {
    task.key: task
    for task in (
        Task(
            "sft",
            "Supervised fine-tuning",
            "Teach a base model to answer, from demonstrations.",
            SFTSpec,
            "rlhf_engine.tasks.sft.train:train",
            trains=True,
            charts=("train/loss", "heldout/loss", "heldout/token_accuracy", "train/grad_norm"),
            family=SUPERVISED,
            short="SFT",
            beside=("Answer now", "Demonstration"),
        ),
        Task(
            "reward",
            "Reward model",
            "Learn a score from comparisons.",
            RewardSpec,
            "rlhf_engine.tasks.reward.train:train",
            trains=True,
            charts=(
                "train/loss",
                "heldout/accuracy",
                "heldout/margin",
                "train/accuracy",
                "heldout/longer_wins",
                "heldout/calibration_error",
            ),
            family=REWARD,
            beside=("Chosen answer", "Rejected answer, with its score"),
        ),
        Task(
            "dpo",
            "Direct preference optimisation",
            "Improve a policy from comparisons, without a reward model.",
            DPOSpec,
            "rlhf_engine.tasks.dpo.train:train",
            trains=True,
            charts=("train/loss", "heldout/accuracy", "heldout/margin", "heldout/chosen_logp"),
            family=PREFERENCES,
            short="DPO",
            adapters=2,  # policy and reference
        ),
        Task(
            "kto",
            "Kahneman-Tversky optimisation",
            "Improve a policy from answers that were liked or not.",
            KTOSpec,
            "rlhf_engine.tasks.kto.train:train",
            trains=True,
            charts=("train/loss", "heldout/accuracy", "heldout/margin", "train/baseline"),
            family=PREFERENCES,
            metrics=(*MEASURES[PREFERENCES], "*/baseline"),
            short="KTO",
            adapters=2,  # policy and reference
        ),
        Task(
            "orpo",
            "Odds ratio preference optimisation",
            "Fine-tune on chosen answers and away from rejected ones at once.",
            ORPOSpec,
            "rlhf_engine.tasks.orpo.train:train",
            trains=True,
            charts=("train/loss", "heldout/accuracy", "heldout/margin", "heldout/chosen_logp"),
            family=PREFERENCES,
            short="ORPO",
        ),
        Task(
            "simpo",
            "Simple preference optimisation",
            "Improve a policy from comparisons, without any second model.",
            SimPOSpec,
            "rlhf_engine.tasks.simpo.train:train",
            trains=True,
            charts=("train/loss", "heldout/accuracy", "heldout/margin", "heldout/chosen_logp"),
            family=PREFERENCES,
            short="SimPO",
        ),
        Task(
            "ppo",
            "PPO",
            "Improve a policy against a reward model, held near its start by a KL penalty.",
            PPOSpec,
            "rlhf_engine.tasks.ppo.train:train",
            trains=True,
            charts=("objective/score", "objective/kl_sequence", "policy/loss", "value/loss"),
            family=ONLINE,
            metrics=(*_ANSWERS, "policy/*", "value/*"),
            adapters=4,  # policy, reference, reward and value
        ),
        Task(
            "rloo",
            "RLOO",
            "Several answers per prompt, each compared with the mean of the others: no value model.",
            RLOOSpec,
            "rlhf_engine.tasks.rloo.train:train",
            trains=True,
            charts=("objective/score", "objective/kl_sequence", "policy/loss", "groups/spread"),
            family=ONLINE,
            adapters=3,  # policy, reference and reward
        ),
        Task(
            "grpo",
            "GRPO",
            "Groups of answers, each pushed by its distance from the group's mean. Also DAPO, Dr. GRPO and GSPO.",
            GRPOSpec,
            "rlhf_engine.tasks.grpo.train:train",
            trains=True,
            charts=("objective/score", "objective/kl_sequence", "policy/loss", "groups/zero_std"),
            family=ONLINE,
            adapters=3,
        ),
        Task(
            "reinforce",
            "REINFORCE++",
            "The policy gradient itself, against a baseline, normalised over the update.",
            ReinforceSpec,
            "rlhf_engine.tasks.reinforce.train:train",
            trains=True,
            charts=("objective/score", "objective/kl_sequence", "policy/loss", "groups/spread"),
            family=ONLINE,
            adapters=3,
        ),
        Task(
            "online_dpo",
            "Online DPO",
            "The reward picks the best and the worst of each prompt's answers, and the pair is learned by DPO.",
            OnlineDPOSpec,
            "rlhf_engine.tasks.online_dpo.train:train",
            trains=True,
            charts=("objective/score", "objective/kl_sequence", "policy/loss", "pairs/accuracy"),
            family=ONLINE,
            metrics=(*_ANSWERS, "pairs/*", "groups/spread"),
            adapters=3,
        ),
        Task(
            "best_of_n",
            "Best of n",
            "Write n answers, keep the best, learn to write those; or only measure and keep them.",
            BestOfNSpec,
            "rlhf_engine.tasks.best_of_n.train:train",
            trains=True,
            charts=("objective/score", "groups/best", "objective/kl_sequence", "policy/loss"),
            family=ONLINE,
            metrics=(*_ANSWERS, "groups/*", "pairs/margin", "best_of_n/*"),
            adapters=3,
        ),
        Task(
            "generate",
            "Generate",
            "Write answers.",
            GenerateSpec,
            "rlhf_engine.tasks.generate.work:generate",
            kept=False,
        ),
        Task(
            "evaluate",
            "Evaluate",
            "Models side by side on the same prompts: score, length and drift.",
            EvaluateSpec,
            "rlhf_engine.tasks.evaluate.work:evaluate",
        ),
        Task(
            "score",
            "Score pairs",
            "A reward model's view of the pairs of this project, to choose the next ones to judge.",
            ScoreSpec,
            "rlhf_engine.tasks.score.work:score",
        ),
        Task(
            "judge",
            "Judge",
            "A local model judges pairs, in both orders.",
            JudgeSpec,
            "rlhf_engine.tasks.judge.work:judge",
            charts=("judge/ties", "judge/first_shown", "judge/confidence", "canary/fooled"),
            beside=("Preferred by the judge", "The other answer"),
            metrics=("judge/*", "canary/*"),
        ),
        Task(
            "constitution",
            "Constitution",
            "A model criticises and revises its own answers by principles.",
            ConstitutionSpec,
            "rlhf_engine.tasks.constitution.work:constitution",
            charts=("revision/preferred", "revision/ties", "revision/changed"),
            beside=("Revised answer", "First answer"),
            metrics=("revision/*",),
        ),
        Task(
            "revise",
            "Revise",
            "One answer, criticised and revised step by step.",
            ReviseSpec,
            "rlhf_engine.tasks.constitution.work:revise",
            kept=False,
        ),
        Task(
            "export",
            "Export",
            "Write a model for others to load.",
            ExportSpec,
            "rlhf_engine.tasks.export.work:export",
        ),
        Task(
            "import_data",
            "Import data",
            "Read a file into a dataset.",
            ImportSpec,
            "rlhf_engine.tasks.import_data.work:import_data",
        ),
        Task(
            "export_data",
            "Export data",
            "Write a dataset for others to load.",
            ExportDataSpec,
            "rlhf_engine.tasks.export_data.work:export_data",
        ),
        Task(
            "check_data",
            "Check data",
            "Look for duplicates, leaks and pairs that say nothing.",
            CheckSpec,
            "rlhf_engine.tasks.check_data.work:check_data",
            kept=False,
        ),
        Task(
            "download",
            "Download",
            "Fetch a model or a dataset from the Hub.",
            DownloadSpec,
            "rlhf_engine.tasks.download.work:download",
            kept=False,
        ),
    )
}


def presets_of(key: str) -> tuple[Preset, ...]:
    """Sets of settings to start a task from, the first one for a start: those in its folder, or all its defaults."""
    module = f"rlhf_engine.tasks.{key}.presets"
    try:
        found: tuple[Preset, ...] = import_module(module).PRESETS
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # it is there, and misses something itself
        return (Preset("default", "Default", "All settings at their defaults."),)
    return found


def task_of(spec: object) -> Task:
    """The row of `TASKS` that a spec belongs to. Raises SpecError for anything that is no spec of ours."""
    for task in TASKS.values():
        if task.spec is type(spec):
            return task
    raise SpecError("task", f"No task takes a {type(spec).__name__}.")


def spec_to_json(spec: Spec) -> str:
    return json.dumps({"task": task_of(spec).key, **spec_body(spec)}, ensure_ascii=False)


def spec_from_json(text: str) -> Any:
    """A spec from JSON text: an object with "task" and the task's own settings.

    Raises:
        SpecError: text that is no JSON object, an unknown task, or a setting that does not hold.
    """
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecError(
            "", f"The spec is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    if not isinstance(body, dict) or "task" not in body:
        raise SpecError(
            "task", 'A spec is a JSON object with a "task" and its settings.', f"Tasks: {', '.join(TASKS)}."
        )
    key = body.pop("task")
    if not isinstance(key, str) or key not in TASKS:
        raise SpecError("task", f"There is no task {key!r}.", f"Tasks: {', '.join(TASKS)}.")
    return build_spec(TASKS[key].spec, body)
