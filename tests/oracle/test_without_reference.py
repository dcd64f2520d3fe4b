"""ORPO and SimPO beside TRL's trainers of them, which it keeps among its experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoTokenizer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.turns import ALL, example
from rlhf_engine.tasks.orpo.spec import ORPOSpec
from rlhf_engine.tasks.orpo.train import losses as orpo
from rlhf_engine.tasks.sft.spec import SFTSpec
from rlhf_engine.tasks.sft.train import learn
from rlhf_engine.tasks.simpo.spec import SimPOSpec
from rlhf_engine.tasks.simpo.train import losses as simpo
from tests.oracle.ours import Step, added, assert_agree, differ, open_ours, our_step, scaled
from tests.oracle.pairs import step_on_pairs
from tests.oracle.texts import COMPARISONS, as_chats
from tests.oracle.theirs import open_theirs, settings, their_step

COMMON = {"model": "m", "dataset": "d", "batch_size": len(COMPARISONS), "micro_batch_size": 2, "device": "cpu"}


def our_pairs(folder: Path, root: Path, losses: Callable[..., Any], spec: Any) -> Step:
    return step_on_pairs(open_ours(folder, "policy"), root, losses, spec, COMPARISONS)


def our_chosen_texts(folder: Path, root: Path) -> Step:
    """Our SFT on the chosen answers, with the prompts' tokens trained too."""
    backbone = open_ours(folder, "policy")
    rows = [example(backbone.base.tokenizer, Demonstration(p, c), "chat", ALL) for p, c, _, _ in COMPARISONS]
    spec = SFTSpec(**COMMON)
    return our_step(backbone, "policy", root, lambda run, optimizer: learn(backbone, rows, spec, run, optimizer, 1e-5))


def their_pairs(folder: Path, out: Path, trainer: Any, config: Any, **more: Any) -> Step:
    made = trainer(
        model=open_theirs(folder, open_ours(folder, "policy").state("policy")),
        args=config(**settings(out, len(COMPARISONS), len(COMPARISONS), max_length=256, **more)),
        train_dataset=Dataset.from_list(as_chats(COMPARISONS)),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    return their_step(made)


@pytest.mark.parametrize("nll", [0.0, 0.4], ids=["SimPO", "with an NLL term"])
def test_simpo_agrees(folder, tmp_path, nll):
    theirs = {"loss_type": "simpo", "beta": 2.5, "simpo_gamma": 1.2, "cpo_alpha": nll}
    assert_agree(
        our_pairs(folder, tmp_path, simpo, SimPOSpec(**COMMON, beta=2.5, gamma=1.2, nll_coef=nll)),
        their_pairs(folder, tmp_path, CPOTrainer, CPOConfig, **theirs),
    )


def test_orpo_agrees_but_for_the_prompts_that_they_train_too(folder, tmp_path):
    """TRL takes ORPO's fine-tuning loss over prompt and answer together; the paper's equation 6 is about the answer
    given the prompt, and so is ours. With our SFT over all tokens in its place, the two agree.
    """
    theirs = their_pairs(folder, tmp_path, ORPOTrainer, ORPOConfig, beta=0.7)
    ours = our_pairs(folder, tmp_path, orpo, ORPOSpec(**COMMON, odds_weight=0.7))
    answers = our_pairs(folder, tmp_path, orpo, ORPOSpec(**COMMON, odds_weight=0.0))
    assert_agree(added(ours, scaled(answers, -1.0), our_chosen_texts(folder, tmp_path)), theirs)
    assert differ(ours, theirs)
