"""A reward list without any model: every kind of rule on tiny answers, weighted and named."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from rlhf_engine import consent
from rlhf_engine.contract.rewards import (
    AnswerReward,
    EnsembleReward,
    FormatReward,
    LengthReward,
    ModelReward,
    PythonReward,
    RepetitionReward,
    WordsReward,
)
from rlhf_engine.data.questions import Question
from rlhf_engine.models.sampling import Answer
from rlhf_engine.rewards.mix import Rewards
from rlhf_engine.tasks.ppo.spec import PPOSpec
from tests.engine.tiny import END, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
SCORES = {"run:a": [1.0, 2.0, 6.0], "run:b": [3.0, 2.0, 2.0], "run:c": [5.0, 2.0, 1.0]}
TEXTS = ("Yes, a good day.", "no no no no no", "It is 12.\n#### 12")


class Bench:
    """In place of reward models: numbers that were written down, and under which role each was opened."""

    device = torch.device("cpu")

    def __init__(self):
        self.opened = []

    def judge(self, ref, role):
        self.opened.append((ref, role))
        return lambda _asked, answers, _micro: torch.tensor(SCORES[ref][: len(answers)])


def rewards_of(*components, reward_model=""):
    inputs = {"policy": "starter", "dataset": "dataset:x", "value_init": "zero", "reward_model": reward_model}
    bench = Bench()
    return Rewards(PPOSpec(rewards=components, **inputs), bench, TOKENIZER), bench


def scored(rewards, texts=TEXTS, ended=True, reference="so\n#### 12"):
    answers = [
        Answer([*TOKENIZER.encode(text), *([END] if ended else [])], finish="eos" if ended else "length")
        for text in texts
    ]
    return rewards([Question("q?", [5], reference) for _ in texts], answers)


def test_each_rule_on_tiny_answers():
    rewards, _ = rewards_of(
        LengthReward(target=4, unit="words"),
        FormatReward(pattern=r"[.!?]$"),
        WordsReward(good=("good", "yes"), bad=("no",)),
        AnswerReward(),
        RepetitionReward(n=1),
    )
    parts = scored(rewards).parts
    assert parts["length"].tolist() == [1.0, 0.75, 0.75]  # four words, five, and five
    assert parts["format"].tolist() == [1.0, 0.0, 0.0]
    assert parts["words"].tolist() == [1.0, -1.0, 0.0]
    assert parts["answer"].tolist() == [0.0, 0.0, 1.0]
    repeated = parts["repetition"].tolist()
    assert repeated[1] < -0.5 and max(repeated) <= 0.0


@pytest.mark.parametrize("ended", [True, False])
def test_the_end_token_is_no_part_of_an_answer_to_a_rule(ended):
    rewards, _ = rewards_of(LengthReward(target=100, wanted="longer"))
    count = len(TOKENIZER.encode(TEXTS[0]))
    assert scored(rewards, TEXTS[:1], ended).parts["length"].item() == pytest.approx(count / 100)


def test_the_reward_is_the_weighted_sum_and_every_component_has_a_name_of_its_own():
    rewards, _ = rewards_of(
        LengthReward(target=4, unit="words", weight=0.5),
        LengthReward(target=10, unit="words", wanted="longer", weight=-2.0),
        FormatReward(pattern="Yes", weight=3.0),
        LengthReward(target=5, unit="words", wanted="shorter"),
        reward_model="run:a",
    )
    found = scored(rewards)
    assert list(found.parts) == ["model", "length", "length_2", "format", "length_3"]
    by_hand = [
        1.0 + 0.5 * 1.0 - 2 * 0.4 + 3 * 1.0 + 0.2,
        2.0 + 0.5 * 0.75 - 2 * 0.5 + 0.0,
        6.0 + 0.5 * 0.75 - 2 * 0.5 + 0.0,
    ]
    assert found.total.tolist() == pytest.approx(by_hand)
    assert rewards.describe() == "1 * model + 0.5 * length + -2 * length_2 + 3 * format + 1 * length_3"


@pytest.mark.parametrize(
    ("how", "by_hand"),
    [
        ("mean", [3.0, 2.0, 3.0]),
        ("min", [1.0, 2.0, 1.0]),
        ("lower", [3 - 0.5 * (8 / 3) ** 0.5, 2.0, 3 - 0.5 * (14 / 3) ** 0.5]),  # half a deviation below the mean
    ],
)
def test_an_ensemble_is_combined_as_by_hand(how, by_hand):
    ensemble = EnsembleReward(models=("run:a", "run:b", "run:c"), how=how, deviations=0.5, weight=2.0)
    rewards, _ = rewards_of(ensemble)
    found = scored(rewards)
    assert found.parts["ensemble"].tolist() == pytest.approx(by_hand)
    assert found.total.tolist() == pytest.approx([2 * number for number in by_hand])


def test_every_reward_model_gets_a_role_of_its_own():
    rewards, bench = rewards_of(
        ModelReward(model="run:b"),
        EnsembleReward(models=("run:a", "run:c")),
        EnsembleReward(models=("run:b", "run:c")),
        reward_model="run:a",
    )
    roles = [role for _, role in bench.opened]
    assert len(set(roles)) == len(roles) == 6 and roles[0] == "reward"
    assert scored(rewards).parts["model_2"].tolist() == SCORES["run:b"]


def test_a_function_of_ones_own_is_told_prompt_answer_and_reference(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))
    file = tmp_path / "mine.py"
    file.write_text("def reward(p, a, r):\n    return float(f'{p}|{a}|{r}' == 'q?|no|so') + 2 * (r is None)\n")
    consent.agree(file, consent.sha256_of(file))
    rewards, _ = rewards_of(PythonReward(file=str(file), weight=-1.0))
    assert scored(rewards, ("no", "yes"), reference="so").total.tolist() == [-1.0, 0.0]
    assert scored(rewards, ("no",), reference=None).total.tolist() == [-2.0]


def test_there_is_always_a_number_for_an_empty_answer():
    rewards, _ = rewards_of(
        LengthReward(), FormatReward(pattern="x"), WordsReward(), AnswerReward(), RepetitionReward()
    )
    found = rewards([SimpleNamespace(prompt="q?", reference=None)], [Answer([END], finish="eos")])
    assert {name: part.item() for name, part in found.parts.items()} == dict.fromkeys(found.parts, 0.0)
