"""A project so small that a whole run takes seconds: a random two-layer model, eighty rows of each kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Envelope, Metrics, RunFinished
from rlhf_engine.contract.online import PenalisedFields
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.dpo.spec import DPOSpec
from rlhf_engine.tasks.kto.spec import KTOSpec
from rlhf_engine.tasks.orpo.spec import ORPOSpec
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tasks.simpo.spec import SimPOSpec
from tests.engine.tiny import tiny_model

CLOCKED = ("time/", "memory/", "answers/tokens_per_second")  # what may differ between two equal runs
COMMON: dict[str, Any] = {"batch_size": 8, "micro_batch_size": 4, "device": "cpu", "checkpoint_every": 2}


class SmallProject:
    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.model = str(tiny_model(root / "tiny"))
        self.demonstrations = freeze(
            root, "demonstrations", [Demonstration(f"What is {i}?", f"It is {i}.") for i in range(80)], "d", "test", {}
        ).ref
        pairs = [Comparison(f"What is {i}?", f"It is {i}.", f"No idea about {i}") for i in range(80)]
        self.comparisons = freeze(root, "comparisons", pairs, "c", "test", {}).ref
        self.prompts = freeze(root, "prompts", [PromptRecord(f"What is {i}?") for i in range(80)], "p", "test", {}).ref

    def ranked(self) -> str:
        """Forty prompts, each with four answers that are ranked by how often they say "very", and with a tie."""
        rows = []
        for n in range(40):
            a, b, c, d = ("It is " + "very " * k + f"far from {n}." for k in (3, 2, 1, 0))
            pairs = ((a, b, 1), (b, c, 1), (c, d, 1), (a, c, 2), (a, d, 3), (b + " So.", b, 0))
            rows += [Comparison(f"Where is {n}?", better, worse, strength) for better, worse, strength in pairs]
        return freeze(self.root, "comparisons", rows, "ranked", "test", {}).ref

    def sft(self, **changed: Any) -> SFTSpec:
        inputs = {"model": self.model, "dataset": self.demonstrations}
        settings = {"epochs": 1.3, "learning_rate": 5e-3, "evaluate_every": 3, "sample_every": 3}
        return SFTSpec(**COMMON | inputs | settings | changed)

    def sft_mixed(self, **changed: Any) -> SFTSpec:
        """Two datasets, one of conversations, every turn trained, packed in rows, with noise on the embeddings."""
        talks = [
            Demonstration(
                [
                    {"role": "user", "content": f"What is {i}?"},
                    {"role": "assistant", "content": f"It is {i}."},
                    {"role": "user", "content": "And one more?"},
                ],
                f"It is {i + 1}.",
            )
            for i in range(40)
        ]
        further = {"kind": "dataset", "dataset": freeze(self.root, "demonstrations", talks, "talks", "test").ref}
        more = {"trained_on": "assistant turns", "packing": True, "neftune_alpha": 5.0, "mixture": [further]}
        return self.sft(**{"max_tokens": 120, "micro_batch_size": 2} | more | changed)

    def reward(self, **changed: Any) -> RewardSpec:
        settings = {"epochs": 1.3, "learning_rate": 5e-3, "evaluate_every": 3, "sample_every": 3, "response_tokens": 6}
        inputs = {"model": self.model, "dataset": self.comparisons}
        return RewardSpec(**COMMON | inputs | settings | changed)

    def dpo(self, **changed: Any) -> DPOSpec:
        return DPOSpec(**self._preferences(changed))

    def kto(self, **changed: Any) -> KTOSpec:
        return KTOSpec(**self._preferences({"epochs": 0.65, "precompute_reference": True} | changed))

    def orpo(self, **changed: Any) -> ORPOSpec:
        return ORPOSpec(**self._preferences(changed))

    def simpo(self, **changed: Any) -> SimPOSpec:
        return SimPOSpec(**self._preferences(changed))

    def _preferences(self, changed: dict[str, Any]) -> dict[str, Any]:
        inputs = {"model": self.model, "dataset": self.comparisons}
        settings = {"epochs": 1.3, "learning_rate": 5e-3, "evaluate_every": 3, "sample_every": 3}
        return COMMON | inputs | settings | changed

    def ppo(self, reward_model: str, **changed: Any) -> PPOSpec:
        settings = {"updates": 10, "learning_rate": 1e-3, "epochs": 2, "minibatch_size": 4, "response_tokens": 6}
        inputs = {"policy": self.model, "reward_model": reward_model, "dataset": self.prompts}
        more = {"adaptive_kl": True, "reward_scaling": "norm", "value_warmup": 1, "sample_every": 3}
        return PPOSpec(**COMMON | inputs | settings | more | changed)

    def online(self, task: str, reward_model: str, **changed: Any) -> Any:
        """A spec of one of the methods that compare the answers to a prompt with each other, or of PPO."""
        if task == "ppo":
            return self.ppo(reward_model, **changed)
        settings = {"updates": 10, "learning_rate": 1e-3, "epochs": 2, "minibatch_size": 4, "response_tokens": 6}
        inputs = {"policy": self.model, "reward_model": reward_model, "dataset": self.prompts}
        more = {"reward_scaling": "norm", "group_size": 2, "sample_every": 3}
        more |= {"adaptive_kl": True} if issubclass(TASKS[task].spec, PenalisedFields) else {}
        return TASKS[task].spec(**COMMON | inputs | settings | more | changed)

    def run(self, run_id: str, spec: Any, control: RunControl | None = None, resume: bool = False) -> list[Envelope]:
        said: list[Envelope] = []
        execute(run_id, spec, said.append, control or RunControl(), self.root, resume)
        return said


def ended_well(said: list[Envelope]) -> bool:
    end = said[-1].event
    assert isinstance(end, RunFinished)
    assert end.outcome == "completed", f"{end.message} {end.hint}\n{end.traceback}"
    return True


def curve(said: list[Envelope]) -> dict[int, dict[str, float]]:
    """Metrics by step, without what depends on the clock; a later word on a step replaces an earlier one."""
    return {
        e.event.step: {k: v for k, v in e.event.values.items() if not k.startswith(CLOCKED)}
        for e in said
        if isinstance(e.event, Metrics)
    }
