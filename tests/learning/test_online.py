"""Do the methods on one's own answers learn? Rules whose best answer is known, a random model, and bounds.

A method joins by its row in METHODS. One seed is enough to catch a sign or an off-by-one; RLHF_SEEDS=3 takes three.
That a wrong reference is refused before the first step is held by tests/engine/tasks/ppo/test_train.py.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from rlhf_engine import consent
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Alert, Envelope
from rlhf_engine.contract.rewards import LengthReward, PythonReward
from rlhf_engine.launch.execute import execute
from rlhf_engine.tasks import TASKS
from tests.engine.small_project import curve, ended_well
from tests.learning.letters import letter_model, letter_prompts

pytestmark = [pytest.mark.learning, pytest.mark.timeout(600)]
SEEDS = range(int(os.environ.get("RLHF_SEEDS", "1")))
METHODS: dict[str, dict[str, Any]] = {
    "ppo": {"epochs": 3, "value_init": "zero", "value_warmup": 0, "value_learning_rate": 1e-2},
    "rloo": {"epochs": 3},
    "grpo": {"epochs": 3},
    "reinforce": {"epochs": 3},
    "online_dpo": {"epochs": 3, "group_size": 4, "beta": 0.05},
}
FREE: dict[str, dict[str, Any]] = {"online_dpo": {}}  # where the KL penalty is another setting than kl_coef
HELD: dict[str, dict[str, Any]] = {"online_dpo": {"beta": 10.0, "loss": "ipo"}}
HELD_BELOW = {"online_dpo": 0.15}  # nats per token; only pairs are pulled back, not every answer
LONGEST = 20  # tokens, where length is what pays


def every(test: Any) -> Any:
    """The test for each method and seed."""
    return pytest.mark.parametrize("method", METHODS)(pytest.mark.parametrize("seed", SEEDS)(test))


class World:
    """A project with two models: of eight letters, and of four, the arms of a bandit."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.eight = self._of("abcdefgh", 2)
        self.four = self._of("abcd", 3)

    def _of(self, letters: str, length: int) -> dict[str, str]:
        model = letter_model(self.root / letters, letters)
        return {"policy": str(model), "dataset": letter_prompts(self.root, letters, length)}

    def rule(self, name: str, expression: str, weight: float = 1.0) -> PythonReward:
        """A reward written as a Python expression of the answer, and agreed to."""
        file = self.root / f"{name}.py"
        file.write_text(f"def reward(prompt, answer, reference):\n    return float({expression})\n")
        consent.agree(file, consent.sha256_of(file))
        return PythonReward(file=str(file), weight=weight)

    def learn(self, method: str, run_id: str, seed: int, reward: Any, **changed: Any) -> list[Envelope]:
        """What a run of a dozen updates said."""
        settings: dict[str, Any] = {"reward_model": "", "rewards": (reward,), "updates": 12, "batch_size": 64}
        settings |= {"micro_batch_size": 64, "response_tokens": 4, "learning_rate": 3e-3, "lora_rank": 4}
        settings |= {"warmup": 0.0, "missing_eos": "nothing", "score_clip": 0.0, "template": "plain", "device": "cpu"}
        settings |= {"sample_every": 0, "checkpoint_every": 1000, "seed": seed, "minibatch_size": 32}
        settings |= FREE.get(method, {"kl_coef": 0.0})
        said: list[Envelope] = []
        spec = TASKS[method].spec(**settings | METHODS[method] | changed)
        execute(f"{method}-{run_id}-{seed}", spec, said.append, RunControl(), self.root)
        assert ended_well(said)
        return said


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("letters")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLHF_STUDIO_HOME", str(root / "home"))
        yield World(root)


def at_the_end(said: list[Envelope], name: str) -> float:
    """The mean over the last three updates: one batch is a small sample."""
    return sum(step[name] for step in list(curve(said).values())[-3:]) / 3


@every
def test_the_share_of_a_letter_rises_and_a_high_kl_penalty_holds_it(world, method, seed):
    share = world.rule("share", "answer.count('a') / max(len(answer), 1)")
    settings = {"updates": 18, **world.eight}
    free = world.learn(method, "free", seed, share, **settings)
    held = world.learn(method, "held", seed, share, **settings | HELD.get(method, {"kl_coef": 10.0}))
    assert curve(free)[1]["objective/score"] < 0.15  # about a tenth, as of ten tokens
    assert at_the_end(free, "objective/score") > 0.4
    assert at_the_end(free, "objective/kl_token_k3") > 0.3
    assert at_the_end(held, "objective/kl_token_k3") < HELD_BELOW.get(method, 0.05)
    assert at_the_end(held, "objective/score") < 0.2


@every
def test_of_four_arms_the_best_is_found_and_with_the_sign_turned_the_worst(world, method, seed):
    found = {}
    for sign in (1.0, -1.0):
        arms = world.rule("arms", "'abcd'.find(answer[:1]) / 3 if answer else 0.5", sign)
        settings = {"response_tokens": 1, "learning_rate": 1e-2, **world.four}
        found[sign] = sign * at_the_end(world.learn(method, f"arms{sign:g}", seed, arms, **settings), "objective/score")
    assert found[1.0] > 0.9 and found[-1.0] < 0.1, found


@every
def test_where_length_pays_answers_grow_to_the_limit_and_it_is_said_unless_the_limit_costs(world, method, seed):
    longer = LengthReward(target=LONGEST, wanted="longer")
    settings = {"response_tokens": LONGEST, "learning_rate": 5e-3, **world.eight}
    for buffer in (0, LONGEST // 2):
        said = world.learn(method, f"long{buffer}", seed, longer, overlong_buffer=buffer, **settings)
        alerts = [e.event for e in said if isinstance(e.event, Alert) and "paying for length" in e.event.text]
        length = at_the_end(said, "answers/length_mean")
        if buffer:  # half of the limit is free, and beyond it each token costs more than it brings
            assert length < 13 and not alerts
        else:
            assert length > 18 and alerts[0].level == "danger" and "over-long buffer" in alerts[0].hint
