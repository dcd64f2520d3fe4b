"""The reward model is trained again while one judges: after so many verdicts, one at a time, never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf_engine.contract.events import Envelope, RunFinished, RunStarted
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import spec_to_json
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.score.spec import ScoreSpec
from studio.retraining import Retraining


@pytest.fixture
def retraining(session: Any) -> Retraining:
    made = Retraining(session)
    session.settings.retrain_every = 3
    return made


def judge(session: Any, count: int) -> None:
    for n in range(count):
        pair = session.labels.add_pair(f"Q{n} {session.labels.count('pairs')}", "yes", "no")
        session.labels.judge(pair, "a")
        session.announce(session.labels.last_change)


def trained(session: Any) -> None:
    spec = RewardSpec(model="starter", dataset="dataset:old", epochs=3.0, labels=8)
    with RunsWriter(session.root) as writer:
        writer.start("rm", spec_to_json(spec), "reward")
        for n, event in enumerate((RunStarted("reward", 1), RunFinished("completed"))):
            writer.append(Envelope("rm", n, 1e9 + n, event))


def test_after_so_many_verdicts_it_is_trained_on_all_of_them_and_then_scores(
    retraining: Retraining, session: Any, qtbot: Any
) -> None:
    trained(session)
    judge(session, 2)
    qtbot.wait(50)
    assert not session.quiet.submitted
    judge(session, 2)  # the first one only began the count
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 1, timeout=5000)
    run, spec, name = session.quiet.submitted[0]
    assert (spec.model, spec.epochs, spec.labels) == ("starter", 3.0, 0) and spec.dataset != "dataset:old"
    assert name == "Reward model, 4 verdicts"
    judge(session, 4)
    qtbot.wait(100)
    assert len(session.quiet.submitted) == 1  # one at a time
    session.quiet.say(run, RunStarted("reward", 5))
    session.quiet.say(run, RunFinished("completed"))
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 2, timeout=5000)
    assert session.quiet.submitted[1][1] == ScoreSpec(reward_model=f"run:{run}", device=session.settings.device)


def test_without_a_reward_model_it_says_so_once(retraining: Retraining, session: Any, qtbot: Any) -> None:
    said: list[str] = []
    session.toasted.connect(lambda _level, text, _action, _do: said.append(text))
    judge(session, 5)
    qtbot.waitUntil(lambda: len(said) == 1, timeout=5000)
    assert "train a first one" in said[0] and not session.quiet.submitted


def test_it_is_off_unless_it_is_wished_for(session: Any, qtbot: Any) -> None:
    made = Retraining(session)
    trained(session)
    assert session.settings.retrain_every == 0
    judge(session, 6)
    qtbot.wait(50)
    assert not session.quiet.submitted and made.verdicts() == 6
