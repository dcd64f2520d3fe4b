"""TRL's side of learning from given answers: its trainer generates and scores nothing of its own. Imports TRL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from torch import Tensor
from transformers import AutoTokenizer

from tests.oracle.practice import (
    ANSWERS,
    GROUP,
    LONGEST,
    NEAR,
    PROMPTS,
    REWARDS,
    TEMPERATURE,
    Apart,
    answer_ids,
    open_practice,
)
from tests.oracle.texts import said
from tests.oracle.theirs import open_theirs, put, settings


def given(
    trainer: Any,
    config: Any,
    folder: Path,
    out: Path,
    micro_batch: int = 6,
    rewards: Sequence[float] = REWARDS,
    apart: Apart = NEAR,
    **more: Any,
) -> tuple[Any, list[Tensor]]:
    """A trainer whose answers, rewards and policies are ours; and a list into which its advantages will be put.

    It is made with the reference's weights, which TRL copies; it scores the answers as the policy that wrote them, and
    learns from them as the policy of now.
    """
    ours = open_practice(folder, apart)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = answer_ids(tokenizer)
    worth = {tuple(ids): reward for ids, reward in zip(answers, rewards, strict=True)}
    about = {
        "num_generations": GROUP,
        "max_completion_length": LONGEST,
        "temperature": TEMPERATURE,
        "shuffle_dataset": False,
        **({"num_iterations": 2} if "GRPO" in config.__name__ else {}),  # or it would not measure the old policy
        **more,
    }
    made = trainer(
        model=open_theirs(folder, ours.state("reference")),
        reward_funcs=lambda completion_ids, **_: [worth[tuple(ids)] for ids in completion_ids],
        args=config(**settings(out, len(ANSWERS), micro_batch, **about)),
        train_dataset=Dataset.from_list([{"prompt": said("user", prompt)} for prompt in PROMPTS]),
        processing_class=tokenizer,
    )
    put(made.model, ours.state("old"))
    advantages: list[Tensor] = []
    score = made._generate_and_score_completions

    def scored(inputs: Any) -> Any:
        assert [row["prompt"][0]["content"] for row in inputs] == [p for p in PROMPTS for _ in range(GROUP)]
        batch = score(inputs)
        advantages.append(batch["advantages"].clone())
        put(made.model, ours.state("policy"))
        return batch

    made._generate_and_score_completions = scored
    made._generate_single_turn = lambda *_: answers if "RLOO" in config.__name__ else (answers, None)
    return made, advantages
