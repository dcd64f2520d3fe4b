"""DPO and its variants beside trl.DPOTrainer: one policy adapter, one reference adapter, unlike each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.tasks.dpo.spec import DPOSpec
from rlhf_engine.tasks.dpo.train import losses
from tests.oracle.ours import Step, added, assert_agree, differ, open_ours, scaled
from tests.oracle.pairs import step_on_pairs
from tests.oracle.texts import COMPARISONS, as_chats
from tests.oracle.theirs import open_theirs, put, settings, their_step

BETA = 0.3


def our_dpo(folder: Path, root: Path, rows: Sequence = COMPARISONS, micro_batch: int = 2, **loss: Any) -> Step:
    backbone = open_ours(folder, "policy", "reference")
    loss = {"beta": BETA, **loss}
    spec = DPOSpec(model="m", dataset="d", batch_size=len(rows), micro_batch_size=micro_batch, device="cpu", **loss)
    return step_on_pairs(backbone, root, losses, spec, rows)


def trainer(folder: Path, out: Path, rows: Sequence = COMPARISONS, micro_batch: int = 3, **more: Any) -> DPOTrainer:
    ours = open_ours(folder, "policy", "reference")
    made = DPOTrainer(
        model=open_theirs(folder, ours.state("reference")),  # TRL copies this adapter to be its reference
        args=DPOConfig(**settings(out, len(rows), micro_batch, **{"beta": BETA, **more})),
        train_dataset=Dataset.from_list(as_chats(rows)),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    put(made.model, ours.state("policy"))
    return made


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"loss": "hinge"}, {"loss_type": "hinge"}),
        ({"loss": "ipo"}, {"loss_type": "ipo"}),
        ({"loss": "robust", "label_smoothing": 0.2}, {"loss_type": "robust", "label_smoothing": 0.2}),
        ({"lengths": "mean", "beta": 3.0}, {"loss_type": "sigmoid_norm", "beta": 3.0}),
    ],
    ids=["sigmoid", "hinge", "ipo", "robust", "sigmoid of means"],
)
def test_loss_and_gradients_agree(folder, tmp_path, ours, theirs):
    assert_agree(our_dpo(folder, tmp_path, **ours), their_step(trainer(folder, tmp_path, **theirs)))


def test_the_conservative_loss_agrees_with_the_sorted_one_of_single_pairs(folder, tmp_path):
    """TRL no longer smooths the labels of its sigmoid loss; of AOT, which smooths, nothing is left but the conservative
    loss where a micro-batch is one pair, since there is nothing to sort.
    """
    ours = our_dpo(folder, tmp_path, loss="conservative", label_smoothing=0.2)
    theirs = trainer(folder, tmp_path, micro_batch=1, loss_type="aot", label_smoothing=0.2)
    assert_agree(ours, their_step(theirs))


def test_smoothing_of_the_sigmoid_loss_is_ignored_there_and_refused_here(folder, tmp_path):
    assert_agree(our_dpo(folder, tmp_path), their_step(trainer(folder, tmp_path, label_smoothing=0.2)))
    with pytest.raises(SpecError, match="expects no wrong labels"):
        our_dpo(folder, tmp_path, label_smoothing=0.2)


def test_the_nll_term_agrees_on_a_whole_batch_and_is_cut_otherwise(folder, tmp_path):
    """Both divide the term by the chosen tokens, we by the whole step's, TRL by each micro-batch's: there, a token of a
    micro-batch with short answers counts for more.
    """
    sft = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}
    ours = our_dpo(folder, tmp_path, nll_coef=0.5)
    assert_agree(ours, their_step(trainer(folder, tmp_path, micro_batch=6, **sft)))

    cut = their_step(trainer(folder, tmp_path, micro_batch=2, **sft))
    parts = [our_dpo(folder, tmp_path, COMPARISONS[i : i + 2], nll_coef=0.5) for i in (0, 2, 4)]
    assert_agree(scaled(added(*parts), 1 / 3), cut)
    assert differ(ours, cut)
