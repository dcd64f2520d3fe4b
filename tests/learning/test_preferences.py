"""Does each preference loss teach the starter model whom people prefer, on prompts that it never saw?

From one SFT model, with the settings that the window offers for the starter model, on a part of the comparisons. The
measure is the same for all: on how many held-out comparisons the policy finds the chosen answer likelier per token.
One seed is enough to catch a sign or an off-by-one; RLHF_SEEDS=3 takes three.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from resources.starter import PROJECT
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Envelope
from rlhf_engine.contract.spec import build_spec
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import freeze, resolve
from rlhf_engine.data.records import Comparison, Rating, text_of
from rlhf_engine.launch.execute import execute
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.load import resolve as resolve_model
from rlhf_engine.preferences.answers import GivenAnswer
from rlhf_engine.preferences.pairs import Pair, pair_logprobs
from rlhf_engine.tasks import TASKS, presets_of
from tests.engine.small_project import curve, ended_well

pytestmark = [pytest.mark.learning, pytest.mark.timeout(1800)]
SEEDS = range(int(os.environ.get("RLHF_SEEDS", "1")))
PART = 0.25  # of a pass over the comparisons
LIFTED = 0.05  # what the accuracy must gain, of about 0.6; on as many comparisons 0.02 is noise
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "sigmoid": ("dpo", {}),
    "conservative": ("dpo", {"loss": "conservative", "label_smoothing": 0.1}),
    "robust": ("dpo", {"loss": "robust", "label_smoothing": 0.1}),
    "hinge": ("dpo", {"loss": "hinge"}),
    "ipo": ("dpo", {"loss": "ipo", "epochs": 0.5}),  # the slowest to begin with
    "kto": ("kto", {"epochs": 0.5}),  # as much as its recipe takes
    "orpo": ("orpo", {}),
    "simpo": ("simpo", {}),
}


class World:
    """The starter's data, an SFT model, and every held-out comparison."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.comparisons = resolve(root, str(PROJECT / "comparisons.jsonl"), "comparisons").info.ref
        self.ratings = self._one_rating_a_prompt()
        demonstrations = str(PROJECT / "demonstrations.jsonl")
        ended_well(self.run("sft", "sft", dataset=demonstrations, model="starter", epochs=1.5, evaluate_every=0))
        self.backbone = Backbone(load_base("starter", torch.device("cpu"), torch.float32))
        self.heldout = [self._pair(r) for r in self._records("heldout")]
        self.before = self.accuracy("sft")

    def run(self, run_id: str, task: str, **changed: Any) -> list[Envelope]:
        starter = next(preset.values for preset in presets_of(task) if preset.key == "starter")
        spec = build_spec(TASKS[task].spec, {**starter, "sample_every": 0, **changed})
        said: list[Envelope] = []
        execute(run_id, spec, said.append, RunControl(), self.root)
        return said

    def learn(self, name: str, seed: int, **changed: Any) -> float:
        """The accuracy after a run with the loss of that name."""
        task, settings = LOSSES[name]
        run_id = f"{name}-{seed}-{len(changed)}"
        settings = {"dataset": self.comparisons, "epochs": PART, **settings, **changed}
        said = self.run(run_id, task, model="run:sft", evaluate_every=0, seed=seed, **settings)
        assert ended_well(said)
        assert all(torch.isfinite(torch.tensor(list(values.values()))).all() for values in curve(said).values())
        return self.accuracy(run_id)

    @torch.no_grad()
    def accuracy(self, run_id: str) -> float:
        """Share of the held-out comparisons whose chosen answer a run's result finds likelier per token."""
        load_adapter(self.backbone, run_id, resolve_model(f"run:{run_id}", self.root))
        right = 0
        for start in range(0, len(self.heldout), 32):
            chosen, rejected = pair_logprobs(self.backbone, run_id, self.heldout[start : start + 32])
            right += int((chosen.mean > rejected.mean).sum())
        return right / len(self.heldout)

    def _records(self, split: str | None) -> list[Comparison]:
        found = resolve(self.root, self.comparisons, "comparisons").records(split)
        return [r for r in found if isinstance(r, Comparison)]

    def _pair(self, record: Comparison) -> Pair:
        tokenizer = self.backbone.base.tokenizer
        sides = (render(tokenizer, record.prompt, text) for text in (record.chosen, record.rejected))
        return Pair(*(GivenAnswer.of(side) for side in sides))

    def _one_rating_a_prompt(self) -> str:
        """Of each prompt one answer, liked or not: no two of them can be compared."""
        prompts: dict[str, Rating] = {}
        for record in self._records(None):
            liked = len(prompts) % 2 == 0
            answer = record.chosen if liked else record.rejected
            prompts.setdefault(text_of(record.prompt), Rating(record.prompt, answer, liked))
        return freeze(self.root, "ratings", prompts.values(), "one rating a prompt", "comparisons", {}).ref


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("preferences"))


def test_the_sft_model_does_not_know_yet_whom_people_prefer(world):
    assert len(world.heldout) > 400
    assert 0.5 < world.before < 0.68


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_lifts_the_accuracy_on_held_out_prompts(world, name, seed):
    assert world.learn(name, seed) >= world.before + LIFTED


@pytest.mark.parametrize("seed", SEEDS)
def test_kto_learns_from_ratings_alone(world, seed):
    assert world.learn("kto", seed, dataset=world.ratings, epochs=4.0) >= world.before + LIFTED
