"""Which pair comes next: chosen in one row, followed by the queue, with the reason in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt

from rlhf_engine.choosing.scores import FILE, PairScore, write_scores
from rlhf_engine.contract.events import Envelope, Event, Produced, RunFinished, RunStarted
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import spec_to_json
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.score.spec import ScoreSpec
from studio.panels.compare import ComparePanel
from studio.panels.compare.plan import newest_scores, read_plan

WORDS = ["harbour", "bread", "violin", "mountain", "orchard"]


def recorded(root: Path, run: str, spec: Any, task: str, *made: Event) -> None:
    """A run that completed."""
    said: tuple[Event, ...] = (RunStarted(task, 1), *made, RunFinished("completed"))
    with RunsWriter(root) as writer:
        writer.start(run, spec_to_json(spec), task)
        writer.append(*(Envelope(run, n, 1e9 + n, event) for n, event in enumerate(said)))


def trained(root: Path) -> None:
    recorded(root, "rm", RewardSpec(model="starter", dataset="dataset:x"), "reward")
    (root / "runs" / "rm" / "adapter").mkdir(parents=True)


def scored(root: Path, margins: dict[str, float], run: str = "sc") -> None:
    recorded(root, run, ScoreSpec(reward_model="run:rm"), "score")
    (root / "runs" / run).mkdir(parents=True, exist_ok=True)
    write_scores(root / "runs" / run / FILE, [PairScore(id, m, 0.0, abs(m)) for id, m in margins.items()])


@pytest.fixture
def pairs(session: Any) -> list[str]:
    return [session.labels.add_pair(f"About the {w}", f"{w} is good", f"no {w} at all") for w in WORDS]


@pytest.fixture
def panel(session: Any, pairs: list[str], qtbot: Any) -> ComparePanel:
    made = ComparePanel(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    with qtbot.waitActive(made):
        made.show()
    made.on_shown()
    return made


def current(panel: ComparePanel) -> str:
    assert panel.queue is not None and panel.queue.current is not None
    return panel.queue.current.id


def choose(panel: ComparePanel, strategy: str, qtbot: Any) -> None:
    with qtbot.waitSignal(panel.next.planned, timeout=5000):
        panel.next.choose(strategy)


def test_pairs_come_by_age_and_without_a_reason_until_another_order_is_chosen(
    panel: ComparePanel, pairs: list[str]
) -> None:
    assert current(panel) == pairs[0] and panel.next.reason.text() == ""


def test_the_most_uncertain_pair_comes_first_and_says_so(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    trained(session.root)
    scored(session.root, dict(zip(pairs, (2.0, -0.1, 1.0, 0.4), strict=False)))
    choose(panel, "uncertain", qtbot)
    assert current(panel) == pairs[1]
    assert "52%" in panel.next.reason.text() and "1 of 5 pairs have no score yet" in panel.next.reason.text()
    assert panel.next.act.text() == "Score the pairs" and panel.next.act.isVisible()
    seen = []
    for _ in range(5):
        seen.append(current(panel))
        panel.pairs.judge("left", 2)
        qtbot.wait(1)
    assert seen == [pairs[n] for n in (1, 3, 2, 0, 4)]
    assert panel.queue is not None and panel.queue.current is None


def test_a_pair_is_not_asked_twice_when_the_order_is_made_again(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    choose(panel, "random", qtbot)
    first = current(panel)
    panel.pairs.judge("left", 2)
    second = current(panel)
    with qtbot.waitSignal(panel.next.planned, timeout=5000):
        panel.next.read()
    assert current(panel) == second  # what is on the screen stays
    rest = []
    while panel.queue is not None and panel.queue.current is not None:
        rest.append(current(panel))
        panel.pairs.judge("left", 2)
    assert sorted([first, *rest]) == sorted(pairs)


def test_without_a_reward_model_one_is_offered_and_with_one_it_reads_the_pairs(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    asked: list[Any] = []
    session.panel_requested.connect(lambda name, hints: asked.append((name, hints)))
    choose(panel, "uncertain", qtbot)
    assert "train one first" in panel.next.reason.text() and panel.next.act.text() == "Train a reward model"
    panel.next.act.click()
    assert asked and asked[0][0] == "train"
    trained(session.root)
    with qtbot.waitSignal(panel.next.planned, timeout=5000):
        panel.next.read()
    panel.next.act.click()
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 1, timeout=5000)
    assert session.quiet.submitted[0][1] == ScoreSpec(reward_model="run:rm", device=session.settings.device)
    assert panel.next.act.isHidden() and "reads the pairs" in panel.next.reason.text()


def test_the_queue_of_disagreements_is_one_click_and_a_verdict_there_judges_anew(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    for id in pairs[:3]:
        session.labels.judge(id, "a", author=panel.queue.author if panel.queue else "")
    trained(session.root)
    scored(session.root, {pairs[0]: 1.0, pairs[1]: -0.5, pairs[2]: -2.0})
    choose(panel, "disagree", qtbot)
    assert current(panel) == pairs[2] and "88%" in panel.next.reason.text()
    assert panel.queue is not None and panel.queue.current is not None and panel.queue.current.standing is not None
    panel.pairs.judge("left" if panel.queue.current.left == "b" else "right", 2)
    assert current(panel) == pairs[1]
    assert session.labels.pair_as_judged(pairs[2])["winner"] == "b"
    panel.pairs.judge("skip", 2)
    assert current(panel) in pairs[3:]  # then those that wait


def test_what_was_judged_before_the_order_was_made_is_asked_again_and_what_came_after_is_not(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    trained(session.root)
    for _ in range(2):
        assert panel.queue is not None and panel.queue.current is not None
        panel.pairs.judge("left" if panel.queue.current.left == "a" else "right", 2)  # A is better
    scored(session.root, {pairs[0]: -1.0, pairs[1]: -2.0})  # for the model B is
    choose(panel, "disagree", qtbot)
    assert current(panel) == pairs[1]  # though it was judged in this sitting
    panel.pairs.judge("tie", 2)
    panel.asked.reload()  # the order is an old one now
    assert current(panel) == pairs[0]
    scored(session.root, {pairs[0]: 1.0, pairs[2]: 1.0}, "newer")
    with qtbot.waitSignal(panel.next.planned, timeout=5000) as planned:
        panel.receive({"order": "disagree"})  # it is chosen already
        panel.next.read()  # something else changed meanwhile
    assert planned.args == [True] and not panel.next.plan.turns
    assert current(panel) in pairs[2:]


def test_pairs_that_are_asked_for_come_before_every_order_until_they_are_judged(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    session.labels.judge(pairs[4], "a", author=panel.queue.author if panel.queue else "")
    panel.receive({"first": [pairs[3], pairs[4], pairs[2]]})
    assert current(panel) == pairs[3]
    choose(panel, "random", qtbot)
    assert current(panel) == pairs[3]
    panel.pairs.judge("left", 2)
    panel.asked.reload()
    assert current(panel) == pairs[2]  # the one that is judged already is not asked again
    panel.pairs.judge("left", 2)
    with qtbot.waitSignal(panel.next.planned, timeout=5000):
        panel.next.read(chosen=True)
    assert current(panel) in pairs[:2]


def test_the_models_vote_is_told_after_the_verdict_and_only_if_wished(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    trained(session.root)
    scored(session.root, dict.fromkeys(pairs, 1.0))
    choose(panel, "uncertain", qtbot)
    assert panel.queue is not None and panel.queue.current is not None
    assert "73%" in panel.next.reason.text()  # but not for which of them
    panel.pairs.judge("left" if panel.queue.current.left == "a" else "right", 2)
    assert "reward model" not in panel.pairs.last.text()
    panel.next.vote_action.trigger()
    panel.pairs.judge("left" if panel.queue.current.left == "a" else "right", 2)
    assert "The reward model says the same (73%)" in panel.pairs.last.text()
    panel.pairs.judge("left" if panel.queue.current.left == "b" else "right", 2)
    assert "The reward model says otherwise (73%)" in panel.pairs.last.text()


def test_what_a_rule_said_is_not_shown_before_in_an_order_either(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    for id in pairs:
        session.labels.judge(id, "a", source="rule")
    session.announce(session.labels.last_change)
    panel.sources.again.setChecked(True)
    choose(panel, "random", qtbot)
    assert panel.queue is not None and panel.queue.current is not None
    assert panel.queue.current.standing is None and panel.queue.current.pair["said"] == "a"


def test_damaged_scores_are_told_and_judging_goes_on(
    panel: ComparePanel, session: Any, pairs: list[str], qtbot: Any
) -> None:
    trained(session.root)
    scored(session.root, {})
    (session.root / "runs" / "sc" / FILE).write_text("{")
    panel.next.choose("uncertain")
    qtbot.waitUntil(lambda: "is no score" in panel.next.reason.text(), timeout=5000)
    assert current(panel) == pairs[0]


def test_the_newest_scores_and_reward_model_are_found(session: Any, pairs: list[str]) -> None:
    assert newest_scores(session.root) == (newest_scores(session.root)[0], "")
    trained(session.root)
    scored(session.root, {pairs[0]: 1.0}, "old")
    scored(session.root, {pairs[1]: 2.0}, "new")
    scores, judge = newest_scores(session.root)
    assert (scores.run, set(scores.of), judge) == ("new", {pairs[1]}, "run:rm")
    plan = read_plan(session.root, "coverage")
    assert sorted(plan.ids) == sorted(pairs) and plan.unscored == 0


def test_how_many_more_is_answered_in_a_sentence_and_measured_by_runs(
    panel: ComparePanel, session: Any, qtbot: Any
) -> None:
    root = session.root
    panel.next.how_many.trigger()
    qtbot.waitUntil(lambda: "no reward model" in panel.how_many.said.text(), timeout=5000)
    for run, labels, accuracy in (("whole", 0, 0.8), ("half", 200, 0.75)):
        spec = RewardSpec(model="starter", dataset="dataset:x", labels=labels)
        facts = {"labels": labels or 400, "heldout/accuracy": accuracy, "heldout_pairs": 500}
        recorded(root, run, spec, "reward", Produced("reward_model", "a", facts))
    panel.how_many.read()
    qtbot.waitUntil(lambda: panel.how_many.measure.text() == "Measure (2 runs)", timeout=5000)
    panel.how_many.measure.click()
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 2, timeout=5000)
    assert [spec.labels for _, spec, _ in session.quiet.submitted] == [50, 100]
    spec = RewardSpec(model="starter", dataset="dataset:x", labels=50)
    with RunsWriter(root) as writer:
        writer.start("stopped", spec_to_json(spec), "reward")
        stopped = (RunStarted("reward", 9), RunFinished("cancelled"))
        writer.append(*(Envelope("stopped", n, 1e9 + n, event) for n, event in enumerate(stopped)))
    panel.how_many.read()
    qtbot.waitUntil(lambda: panel.how_many.measure.isVisible(), timeout=5000)
    panel.how_many.measure.click()
    qtbot.waitUntil(lambda: len(session.quiet.submitted) == 3, timeout=5000)
    assert session.quiet.resumed == ["stopped"] and session.quiet.submitted[2][1].labels == 100
    facts = {"labels": 100, "heldout/accuracy": 0.68, "heldout_pairs": 500}
    spec = RewardSpec(model="starter", dataset="dataset:x", labels=100)
    recorded(root, "quarter", spec, "reward", Produced("reward_model", "a", facts))
    panel.how_many.read()
    qtbot.waitUntil(lambda: "more labels" in panel.how_many.said.text().lower(), timeout=5000)
    assert "100 labels: 68% · 200 labels: 75% · 400 labels: 80%" in panel.how_many.points.text()
    qtbot.keyClick(panel, Qt.Key.Key_Escape)
    assert panel.how_many.isHidden()
