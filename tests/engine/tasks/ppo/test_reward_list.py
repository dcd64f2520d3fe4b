"""Runs whose reward is a list: models of two bases, rules, exact answers and a function of one's own."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine import consent
from rlhf_engine.contract.events import Alert, Envelope, RunFinished, Sample
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
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Demonstration
from rlhf_engine.rewards.rules import same_answer
from rlhf_engine.rollouts import rollout as rolling
from rlhf_engine.tasks import spec_to_json
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.ppo.hand import RM, Hand
from tests.engine.tasks.ppo.told_answers import told_answers
from tests.engine.tiny import tiny_model

ROOT = Path(__file__).parents[4]
REAL = Path(os.environ.get("RLHF_REAL_DATA", ROOT.parent / "shared" / "real")) / "data"
QUIET = {"sample_every": 0, "checkpoint_every": 100}
RULES_ALONE = {"reward_model": "", "value_init": "zero", "value_warmup": 0}
OTHER = "run:rm-of-another-base"


@pytest.fixture(scope="module", autouse=True)
def other(small):
    """A reward model on another base, with a tokenizer that has no chat template."""
    model = str(tiny_model(small.root / "another", seed=1, hidden=16, chat=False))
    quick = {"epochs": 0.3, "sample_every": 0, "evaluate_every": 0, "normalise_on": 16}
    assert ended_well(small.run(OTHER.removeprefix("run:"), small.reward(model=model, **quick)))


def failed(said):
    end = said[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed" and not end.traceback
    return end


# Components -----------------------------------------------------------------------------------------------------------


def test_every_component_of_a_run_is_told_by_itself(small):
    weights = {"model": 1.0, "model_2": 0.5, "length": -0.3, "length_2": 2.0, "words": 1.0}
    rewards = (
        ModelReward(model=OTHER, weight=0.5),
        LengthReward(target=4, weight=-0.3),
        LengthReward(target=9, unit="characters", wanted="shorter", weight=2.0),
        WordsReward(),
    )
    said = small.run("list", small.ppo(RM, updates=2, rewards=rewards, sample_every=1, checkpoint_every=100))
    assert ended_well(said)
    for values in curve(said).values():
        parts = {name.removeprefix("component/"): v for name, v in values.items() if name.startswith("component/")}
        assert parts.keys() == weights.keys()
        assert values["objective/score"] == pytest.approx(sum(weights[n] * parts[n] for n in parts), abs=1e-5)
    assert all(isinstance(e.event.score, float) for e in said if isinstance(e.event, Sample))
    about = json.loads((small.root / "runs" / "list" / "adapter" / "model.json").read_text())
    assert [one["kind"] for one in about["rewards"]] == ["model", "length", "length", "words"]


def test_reward_models_of_two_bases_judge_the_same_answers_and_an_ensemble_combines_them(small, inside):
    rewards = (EnsembleReward(models=(RM, OTHER), how="lower", deviations=2.0),)
    hand = Hand(small, inside, reward_model="", value_init="zero", rewards=rewards)
    found = hand.roll()
    mine, theirs = (Hand(small, inside, reward_model=ref, value_init="zero").roll().raw_scores for ref in (RM, OTHER))
    # of two numbers the deviation is half their distance
    by_hand = (mine + theirs) / 2 - 2 * (mine - theirs).abs() / 2
    torch.testing.assert_close(found.raw_scores, by_hand, atol=1e-5, rtol=0)
    assert not torch.allclose(mine, theirs)
    first, second = (hand.actors.rewards.bench.judges[ref].backbone for ref in (RM, OTHER))
    assert first is hand.actors.backbone and second is not first


def test_a_run_needs_no_reward_model(small):
    rewards = (FormatReward(pattern="[aeiou]"), RepetitionReward(n=2, weight=0.5))
    said = small.run("rules", small.ppo(rewards=rewards, updates=3, **RULES_ALONE, **QUIET))
    assert ended_well(said)
    assert curve(said)[1]["objective/kl_sequence"] == 0.0 != curve(said)[3]["objective/kl_sequence"]
    assert "reward/above_p99" not in curve(said)[1]
    assert ended_well(small.run("rules", small.ppo(rewards=rewards, updates=3, **RULES_ALONE, **QUIET), resume=True))


# Answers to compare with ----------------------------------------------------------------------------------------------


@pytest.fixture
def agreed(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))

    def write(body, agree=True):
        file = tmp_path / "mine.py"
        file.write_text(f"def reward(prompt, answer, reference):\n    {body}\n")
        if agree:
            consent.agree(file, consent.sha256_of(file))
        return str(file)

    return write


def sums(small):
    rows = [Demonstration(f"What is {i} and {i}?", f"Twice {i}.\n#### {2 * i}") for i in range(60)]
    return freeze(small.root, "demonstrations", rows, "sums", "test", {}).ref


def test_a_demonstrations_answer_reaches_the_reward_with_its_own_prompt(small, agreed):
    check = "return float(reference.endswith('#### ' + str(2 * int(prompt.split()[2]))))"
    rewards = (PythonReward(file=agreed(check)), AnswerReward())
    settings = {"updates": 2, "checkpoint_every": 100, "sample_every": 1}
    said = small.run("sums", small.ppo(dataset=sums(small), rewards=rewards, **settings, **RULES_ALONE))
    assert ended_well(said)
    for values in curve(said).values():
        assert values["component/python"] == 1.0 and values["component/answer"] == 0.0
    shown = [e.event.score for e in said if isinstance(e.event, Sample)]
    assert len(shown) > 2 and set(shown) == {1.0}  # also held-out ones are compared with theirs


def test_prompts_without_answers_to_compare_with_are_refused(small):
    end = failed(small.run("no-answers", small.ppo(rewards=(AnswerReward(),), **RULES_ALONE)))
    assert "prompts of p come without a demonstration, but the reward compares" in end.message
    assert "dataset of demonstrations" in end.hint


# A function of one's own ----------------------------------------------------------------------------------------------


def test_code_is_run_only_after_a_yes_and_a_checkpoint_knows_which(small, agreed):
    file = agreed("return len(answer) / 10", agree=False)
    spec = small.ppo(rewards=(LengthReward(), PythonReward(file=file)), updates=2, **RULES_ALONE, **QUIET)
    end = failed(small.run("code", spec))
    assert f"{file} has not been agreed to be run here" in end.message and f"rlhf allow {file}" in end.hint
    agreed("return len(answer) / 10")
    assert ended_well(small.run("code", spec))
    assert ended_well(small.run("code", spec, resume=True))
    agreed("return len(answer) / 20")  # changed, and agreed to
    end = failed(small.run("code", spec, resume=True))
    assert "The checkpoint was made with another code of component 2 (" in end.message


def test_a_function_that_fails_ends_the_run_in_a_sentence(small, agreed):
    spec = small.ppo(rewards=(PythonReward(file=agreed("return 1 / 0")),), **RULES_ALONE)
    end = failed(small.run("broken-code", spec))
    assert "ZeroDivisionError: division by zero (line 2)" in end.message and end.hint


# Two processes --------------------------------------------------------------------------------------------------------


def in_two_processes(root, specs):
    """What the leader said. Both write the answers of `told_answers`."""
    arguments = []
    for run_id, spec in specs.items():
        path = root / f"{run_id}.json"
        path.write_text(spec_to_json(spec))
        arguments += [run_id, str(path)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "tests.engine.tasks.ppo.told_answers", str(root), *arguments]
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, cwd=ROOT, env={**shared, "RANK": rank}, **streams) for rank in ("0", "1")]
    try:
        said = [process.communicate(timeout=400) for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said[0][1][-3000:] + said[1][1][-3000:]
    assert not said[1][0].strip()
    return [Envelope.from_json(line) for line in said[0][0].splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_two_processes_learn_from_a_reward_list_as_one_does(small, monkeypatch):
    lists = (ModelReward(model=OTHER, weight=0.5), LengthReward(target=4, weight=-0.3), WordsReward())
    common = {"rewards": lists, "updates": 2, "value_warmup": 0, "gold_model": OTHER, "entropy_coef": 0.01, **QUIET}
    shared = {"critic": "shared", "value_init": "zero", "kl_in": "loss", "kl_estimator": "k3"}
    mixed = {"ptx_coef": 0.5, "ptx_dataset": small.demonstrations, "minibatch_size": 2, "batch_size": 6}
    specs = {"own-2": small.ppo(RM, **common, **mixed), "shared-2": small.ppo(RM, **common, **shared)}
    said = in_two_processes(small.root, specs)
    monkeypatch.setattr(rolling, "complete", told_answers)
    for run_id, spec in specs.items():
        two = [e for e in said if e.run_id == run_id]
        one = small.run(run_id.replace("2", "1"), spec)
        assert ended_well(two) and ended_well(one)
        together, alone = curve(two), curve(one)
        assert together.keys() == alone.keys() == {1, 2}
        for step, values in alone.items():
            assert together[step] == pytest.approx(values, rel=1e-4, abs=1e-5)
        assert alone[2]["policy/ratio_max"] > 1.0 and "component/model_2" in alone[2]
        a, b = (
            load_file(small.root / "runs" / name / "adapter" / "adapter_model.safetensors")
            for name in (run_id, run_id.replace("2", "1"))
        )
        assert all(torch.allclose(a[key], b[key], atol=1e-4) for key in b)


# Real problems --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there is no real data at {REAL}; set RLHF_REAL_DATA")
def test_real_problems_with_exact_answers(small):
    rows = [json.loads(line) for line in (REAL / "gsm8k" / "test.jsonl").read_text().splitlines()]
    demonstrations = [Demonstration(row["question"], row["answer"]) for row in rows]
    answers = [row.completion for row in demonstrations]
    assert len(answers) == 1319
    assert all(same_answer(text, text, "####", True) == 1.0 for text in answers)
    wrong = sum(same_answer(a, b, "####", True) for a, b in itertools.pairwise(answers))
    assert wrong / len(answers) < 0.02  # two neighbours now and then have the same answer

    ref = freeze(small.root, "demonstrations", demonstrations, "gsm8k", "test", {}).ref
    rewards = (AnswerReward(), FormatReward(pattern=r"#### -?[\d,.]+$", weight=0.1))
    settings = {"updates": 1, "response_tokens": 8, "sample_every": 1, "checkpoint_every": 100}
    spec = small.ppo(policy="starter", dataset=ref, rewards=rewards, **settings, **RULES_ALONE)
    said = small.run("gsm8k", spec)
    assert ended_well(said)
    assert curve(said)[1]["component/answer"] == 0.0  # nobody expected it to
    left_out = [e.event.text for e in said if isinstance(e.event, Alert) and "prompts are longer than" in e.event.text]
    assert len(left_out) <= 1
