"""Answers that depend on nothing but their prompt, so that two processes and one write the same.

Call it as `python -m tests.engine.tasks.ppo.told_answers ROOT RUN SPEC [RUN SPEC ...]` for one process of several.
"""

from __future__ import annotations

import runpy
from typing import Any

import torch

from rlhf_engine.models.sampling import Answer
from rlhf_engine.rollouts import rollout
from tests.engine.tiny import END


def told_answers(
    _backbone: Any, _role: str, prompts: list[list[int]], sampler: Any, *_: Any, **__: Any
) -> list[Answer]:
    """In place of `sampling.complete`: one to `max_new_tokens` tokens, some with an end and some cut off."""
    answers = []
    for prompt in prompts:
        rng = torch.Generator().manual_seed(sum((i + 1) * token for i, token in enumerate(prompt)))
        length = int(torch.randint(1, sampler.max_new_tokens + 1, (1,), generator=rng))
        tokens = torch.randint(5, 300, (length,), generator=rng).tolist()
        ended = length < sampler.max_new_tokens
        answers.append(Answer([*tokens[:-1], END] if ended else tokens, finish="eos" if ended else "length"))
    return answers


if __name__ == "__main__":
    rollout.complete = told_answers  # type: ignore[assignment]
    runpy.run_module("tests.engine.runtime.one_of_several", run_name="__main__")
