"""Reward modelling beside trl.RewardTrainer, whose head is the same linear map without a bias."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed: run `python packaging/dev.py oracle`")

from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from trl import RewardConfig, RewardTrainer

from rlhf_engine.data.chat import render
from rlhf_engine.data.records import Comparison
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.reward.groups import Pair, grouped
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.reward.ties import TieThreshold
from rlhf_engine.tasks.reward.train import learn
from tests.oracle.ours import Step, added, assert_agree, differ, open_ours, our_step, scaled
from tests.oracle.texts import COMPARISONS, as_chats
from tests.oracle.theirs import adapted, settings, their_step

MARGIN = 0.5


def start(folder: Path) -> Backbone:
    """Ours, with a head whose weights are given and whose bias is 0, as if it had none."""
    backbone = open_ours(folder, "reward")
    head = backbone.add_head("reward", trainable=True)
    with torch.no_grad():
        head.linear.weight.copy_(
            0.3 * torch.randn(head.linear.weight.shape, generator=torch.Generator().manual_seed(1))
        )
    return backbone


def our_reward(folder: Path, root: Path, rows: tuple = COMPARISONS, micro_batch: int = 2, **loss: Any) -> Step:
    backbone = start(folder)
    tokenizer = backbone.base.tokenizer
    sides = [(render(tokenizer, p, c, "chat"), render(tokenizer, p, r, "chat")) for p, c, r, _ in rows]
    pairs = [Pair(c.ids, r.ids, c.prompt_length, Comparison(*row)) for (c, r), row in zip(sides, rows, strict=True)]
    spec = RewardSpec(model="m", dataset="d", batch_size=len(rows), micro_batch_size=micro_batch, device="cpu", **loss)

    def whole(run: RunContext, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """We plot the Bradley-Terry loss and the centre apart; what is minimised, and what TRL plots, is their sum."""
        groups = grouped(pairs, "these", spec, run)
        values = learn(backbone, groups, TieThreshold(), spec, run, optimizer, 1e-4)
        return {"train/loss": values["train/loss"] + spec.centering * values["train/centre"]}

    return our_step(backbone, "reward", root, whole)


def trainer(
    folder: Path, out: Path, rows: tuple = COMPARISONS, micro_batch: int = 2, margin: bool = False, **more: Any
) -> Any:
    ours = start(folder)
    base = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    with torch.no_grad():
        base.score.weight.copy_(ours.heads["reward"].linear.weight)
    model = adapted(base, ours.state("reward"), task_type="SEQ_CLS", modules_to_save=["score"])
    examples = as_chats(rows)
    if margin:
        examples = [{**e, "margin": MARGIN * (row[3] - 1)} for e, row in zip(examples, rows, strict=True)]
    return RewardTrainer(
        model=model,
        args=RewardConfig(**settings(out, len(rows), micro_batch, **more)),
        train_dataset=Dataset.from_list(examples),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )


def their_reward(*args: Any, **more: Any) -> Step:
    step = their_step(trainer(*args, **more))
    head = [name for name in step.gradients if "score" in name]
    assert len(head) == 1
    return Step(step.loss, {("head.weight" if n in head else n): g for n, g in step.gradients.items()})


def without_bias(step: Step) -> Step:
    return Step(step.loss, {name: g for name, g in step.gradients.items() if name != "head.bias"})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"centering": 0.0}, {}),
        ({"centering": 0.05}, {"center_rewards_coefficient": 0.05}),
        ({"centering": 0.0, "margin": MARGIN}, {"margin": True}),
    ],
    ids=["Bradley-Terry", "centred", "with margins"],
)
def test_loss_and_gradients_agree(folder, tmp_path, ours, theirs):
    assert_agree(without_bias(our_reward(folder, tmp_path, **ours)), their_reward(folder, tmp_path, **theirs))


def test_our_bias_feels_the_centering_alone(folder, tmp_path):
    """It cancels in a difference of scores, so a head with a bias learns the same ranking as TRL's head without one."""
    apart, centred = (our_reward(folder, tmp_path, centering=c).gradients["head.bias"].item() for c in (0.0, 0.05))
    assert abs(apart) < 1e-6 < 1e-3 < abs(centred)


def test_pairs_of_a_short_last_micro_batch_weigh_more_there(folder, tmp_path):
    """TRL averages each micro-batch and then the averages: of five pairs cut 2 + 2 + 1, the last counts for two.

    Ours weighs every pair alike however the step is cut, which is what a batch size of five says.
    """
    rows = COMPARISONS[:5]
    theirs = their_reward(folder, tmp_path, rows, center_rewards_coefficient=0.05)
    ours = without_bias(our_reward(folder, tmp_path, rows, centering=0.05))
    cut = [without_bias(our_reward(folder, tmp_path, rows[i : i + 2], centering=0.05)) for i in (0, 2, 4)]
    assert_agree(scaled(added(*cut), 1 / 3), theirs)
    assert differ(ours, theirs)


def test_a_comparison_becomes_the_same_tokens(folder, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for (prompt, chosen, rejected, _), row in zip(COMPARISONS, trainer(folder, tmp_path).train_dataset, strict=True):
        assert render(tokenizer, prompt, chosen, "chat").ids == row["chosen_ids"]
        assert render(tokenizer, prompt, rejected, "chat").ids == row["rejected_ids"]


def test_their_head_reads_the_last_id_that_is_not_padding_and_ours_the_last_token(folder):
    """Where the pad token is also the end token (Qwen, GPT-2), transformers' classifier looks for the last id that is
    not padding and reads the token before the end. Ours reads by length, so the end token is scored as it was trained.
    """
    ours = start(folder)
    base = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
    with torch.no_grad():
        base.score.weight.copy_(ours.heads["reward"].linear.weight)
    theirs = adapted(base, ours.state("reward"), task_type="SEQ_CLS", modules_to_save=["score"]).eval()
    ids = render(ours.base.tokenizer, "Who knows?", "We can.", "chat").ids

    def score(pad: int) -> float:
        base.config.pad_token_id = pad
        one = torch.tensor([ids])
        return theirs(input_ids=one, attention_mask=torch.ones_like(one)).logits.item()

    end = ours.base.tokenizer.eos_token_id
    assert score(pad=0) == pytest.approx(ours.score("reward", [ids]).item(), rel=1e-5)
    before = ours.score("reward", [ids[:-1]]).item()
    assert score(pad=end) == pytest.approx(before, rel=1e-5)
    assert before != pytest.approx(ours.score("reward", [ids]).item(), rel=0.05)
