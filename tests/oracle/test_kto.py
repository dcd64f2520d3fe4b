"""KTO beside trl.KTOTrainer: policy and reference adapters unlike each other, and the same mismatched pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoTokenizer
from trl import KTOConfig, KTOTrainer

from rlhf_engine.data.chat import render
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.preferences.answers import GivenAnswer
from rlhf_engine.preferences.ratings import Rated
from rlhf_engine.tasks.kto.spec import KTOSpec
from rlhf_engine.tasks.kto.train import learn
from tests.oracle.ours import Step, added, assert_agree, differ, open_ours, our_step, scaled
from tests.oracle.texts import COMPARISONS, said
from tests.oracle.theirs import open_theirs, put, settings, their_step

RATINGS = [(p, c, True) for p, c, _, _ in COMPARISONS[:4]] + [(p, r, False) for p, _, r, _ in COMPARISONS[4:]]
BETA, WEIGHTS = 0.6, (1.5, 2.0)
ABOVE, BELOW = ("reference", "policy"), ("policy", "reference")


def rotated(backbone: Backbone, rows: Sequence) -> list[Rated]:
    """Each answer, and behind its prompt the one before it in the batch: the mismatched pairs of TRL."""
    answers = [GivenAnswer.of(render(backbone.base.tokenizer, p, a, "chat")) for p, a, _ in rows]

    def behind(i: int) -> GivenAnswer:
        prompt = answers[i].ids[: answers[i].mask.index(True)]
        other = answers[i - 1].ids[answers[i - 1].mask.index(True) :]
        return GivenAnswer(prompt + other, [False] * len(prompt) + [True] * len(other))

    return [Rated(answers[i], liked, behind(i)) for i, (_, _, liked) in enumerate(rows)]


def start(folder: Path, roles: tuple[str, ...]) -> Backbone:
    """With these adapters the policy finds answers to other prompts likelier than the reference does, and the baseline
    is above 0; with the two exchanged it is below, and held at 0.
    """
    backbone = open_ours(folder, *roles)
    if roles[0] != "policy":
        states = {role: backbone.state(role) for role in roles}
        backbone = open_ours(folder, "policy", "reference")
        for role, state in states.items():
            backbone.load_state(role, state)
    return backbone


def our_kto(folder: Path, root: Path, rows: Sequence = RATINGS, micro_batch: int = 2, roles: Any = ABOVE) -> Step:
    backbone = start(folder, roles)
    about = {"batch_size": len(rows), "micro_batch_size": micro_batch, "device": "cpu", "beta": BETA}
    spec = KTOSpec(model="m", dataset="d", balance="given", **about)
    ratings = rotated(backbone, rows)
    return our_step(
        backbone,
        "policy",
        root,
        lambda run, optimizer: learn(backbone, ratings, spec, WEIGHTS, run, optimizer, 1e-5),
    )


def trainer(folder: Path, out: Path, micro_batch: int = 6, roles: Any = ABOVE) -> KTOTrainer:
    ours = start(folder, roles)
    examples = [{"prompt": said("user", p), "completion": said("assistant", a), "label": k} for p, a, k in RATINGS]
    about = {"beta": BETA, "desirable_weight": WEIGHTS[0], "undesirable_weight": WEIGHTS[1]}
    made = KTOTrainer(
        model=open_theirs(folder, ours.state("reference")),  # TRL copies this adapter to be its reference
        args=KTOConfig(**settings(out, len(RATINGS), micro_batch, **about)),
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    put(made.model, ours.state("policy"))
    return made


@pytest.mark.parametrize("roles", [ABOVE, BELOW], ids=["above", "held at 0"])
def test_loss_and_gradients_agree_with_the_baseline(folder, tmp_path, roles):
    made = trainer(folder, tmp_path, roles=roles)
    assert_agree(our_kto(folder, tmp_path, roles=roles), their_step(made))
    (baseline,) = (row["kl"] for row in made.state.log_history if "kl" in row)
    assert baseline > 0.5 if roles == ABOVE else baseline == 0.0


def test_their_baseline_is_a_micro_batches_and_ours_the_whole_steps(folder, tmp_path):
    """The paper's estimate wants many answers. TRL takes as many as a micro-batch holds, so how a step is cut changes
    what is learned; ours is the mean over the step, whatever fits into memory.
    """
    theirs = their_step(trainer(folder, tmp_path, micro_batch=3))
    parts = [our_kto(folder, tmp_path, RATINGS[i : i + 3]) for i in (0, 3)]
    assert_agree(scaled(added(*parts), 1 / 2), theirs)
    assert differ(our_kto(folder, tmp_path), theirs)
