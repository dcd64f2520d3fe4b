"""The reward model is trained again while one judges: after so many verdicts, one at a time, never in the way."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf_engine.choosing.orders import DISAGREE
from rlhf_engine.choosing.scores import FILE, PairScore, write_scores
from rlhf_engine.contract.events import Envelope, RunFinished, RunStarted
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison
from rlhf_engine.launch.growth import Growth
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import spec_to_json
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.score.spec import ScoreSpec
from studio.retraining import Retraining, newest_recipe


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


def trained(session: Any, run: str = "rm", dataset: str = "dataset:old") -> None:
    spec = RewardSpec(model="starter", dataset=dataset, epochs=3.0, labels=8)
    with RunsWriter(session.root) as writer:
        writer.start(run, spec_to_json(spec), "reward")
        for n, event in enumerate((RunStarted("reward", 1), RunFinished("completed"))):
            writer.append(Envelope(run, n, 1e9 + n, event))


def test_after_so_many_verdicts_it_is_trained_on_all_of_them_and_then_scores(
    retraining: Retraining, session: Any, qtbot: Any
) -> None:
    trained(session)
    judge(session, 2)
    qtbot.wait(50)
    assert not session.quiet.submitted
    judge(session, 1)
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 1, timeout=5000)
    run, spec, name = session.quiet.submitted[0]
    assert (spec.model, spec.epochs, spec.labels) == ("starter", 3.0, 0) and spec.dataset != "dataset:old"
    assert name == "Reward model, 3 verdicts"
    judge(session, 4)
    qtbot.wait(100)
    assert len(session.quiet.submitted) == 1  # one at a time
    session.quiet.say(run, RunStarted("reward", 5))
    session.quiet.say(run, RunFinished("completed"))
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 2, timeout=5000)
    assert session.quiet.submitted[1][1] == ScoreSpec(reward_model=f"run:{run}", device=session.settings.device)
    assert retraining.own == {made[0] for made in session.quiet.submitted}  # the window leaves it to tell of them


def test_when_the_pairs_have_scores_it_says_where_model_and_person_disagree_one_click_away(
    retraining: Retraining, session: Any, qtbot: Any
) -> None:
    trained(session)
    said: list[tuple[str, str, Any]] = []
    gone: list[tuple[str, dict[str, Any]]] = []
    session.toasted.connect(lambda _level, text, action, do: said.append((text, action, do)))
    session.panel_requested.connect(lambda panel, hints: gone.append((panel, hints)))
    judge(session, 3)
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 1, timeout=5000)
    session.quiet.say(session.quiet.submitted[0][0], RunFinished("completed"))
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 2, timeout=5000)
    run, spec, _ = session.quiet.submitted[1]
    pairs = [str(row["pair_id"]) for row in session.labels.standing_comparisons()]
    folder = session.root / "runs" / run
    folder.mkdir(parents=True)
    write_scores(folder / FILE, [PairScore(pair, 0.0, 1.0 - 2 * n) for n, pair in enumerate(pairs[:2])])  # b, then a
    with RunsWriter(session.root) as writer:
        writer.start(run, spec_to_json(spec), "score")
        for n, event in enumerate((RunStarted("score", 1), RunFinished("completed"))):
            writer.append(Envelope(run, n, 2e9 + n, event))
    session.quiet.say(run, RunFinished("completed"))
    qtbot.waitUntil(lambda: len(said) == 1, timeout=5000)
    text, action, do = said[0]
    assert text.endswith("It disagrees with you on 1 of 2.") and action == "Look"
    do()
    assert gone == [("compare", {"order": DISAGREE})]


def test_a_share_of_ai_labels_stays_as_it_was_chosen(session: Any) -> None:
    told = {"labels": {"people": 1, "ai": 1, "ai_share_wanted": 0.5}}
    ref = freeze(session.root, "comparisons", [Comparison("Q", "good", "bad")], "mixed", "labels", told).ref
    assert newest_recipe(session.root) == (Growth(None, 0, ()), 0.0)
    trained(session)
    assert newest_recipe(session.root)[1] == 0.0  # its dataset is gone
    trained(session, "mixed", ref)
    growth, share = newest_recipe(session.root)
    assert growth.settings is not None and growth.settings.dataset == ref and share == 0.5


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
