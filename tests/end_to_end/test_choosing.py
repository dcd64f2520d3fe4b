"""A person lets the reward model be trained again while judging, and judges a run in progress blind, by keys and mouse.

The project's rule: the answer that says "yes" is better.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.choosing.scores import FILE, read_scores
from rlhf_engine.store.judging_settings import JudgingSettings, write_judging
from rlhf_engine.store.project import Project
from studio.panels.compare.retrain_card import RetrainCard
from studio.panels.run_view.blind import CURVE, pairs_of
from studio.widgets import PlainLabel
from studio.widgets.toast import Toast
from tests.end_to_end.person import Person
from tests.end_to_end.test_window import train

EVERY = 4
REWARD = {"epochs": "2", "batch_size": "16", "micro_batch_size": "16", "learning_rate": "3e-3"}
PPO = {
    "updates": "40",
    "batch_size": "8",
    "minibatch_size": "8",
    "micro_batch_size": "8",
    "response_tokens": "12",
    "epochs": "1",
    "learning_rate": "1e-2",
    "sample_every": "1",
}
THINGS = ("lamp", "heron", "boat", "harbour", "table", "fish", "road", "tree", "river", "hat")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Forty pairs that a person has judged, and ten that wait."""
    with Project.create(tmp_path / "project", "Choosing") as made:
        for n in range(50):
            prompt = f"Is the {THINGS[n % 10]} number {n // 10} blue?"
            pair = made.labels.add_pair(prompt, f"yes, the {THINGS[n % 10]} is", f"no, never {n}", {})
            if n < 40:
                made.labels.judge(pair, "a", author="ann", seconds=2.0)
    write_judging(tmp_path / "project", JudgingSettings("ann", repeats=0.0, overlap=0.0))
    return tmp_path / "project"


@pytest.mark.timeout(600)
def test_judging_trains_the_model_that_says_what_to_judge_next(
    open_window: Callable[..., Person], project: Path
) -> None:
    person = open_window(project)
    reward = train(person, "reward", REWARD, {})
    wish_for_retraining(person)
    judge_against_the_rule(person)
    newest = wait_for_the_scores(person, but=reward)
    look_where_we_disagree(person, newest)
    judge_the_most_uncertain_first(person, newest)
    run = begin_ppo(person, reward)
    judge_it_blind(person, run)
    see_the_win_rate(person)


def wish_for_retraining(person: Person) -> None:
    panel = person.go("settings")
    (card,) = panel.findChildren(RetrainCard)
    person.fill(card.every, str(EVERY))
    assert person.session.settings.retrain_every == EVERY


def judge_against_the_rule(person: Person) -> None:
    """As many verdicts as are wished for, each for the answer that says no."""
    panel = person.go("compare")
    for _ in range(EVERY):
        left, _right = panel.queue.current.texts
        person.press(panel, "1" if left.startswith("no") else "2")
    assert panel.queue.tally.left == 10 - EVERY


def wait_for_the_scores(person: Person, but: str) -> str:
    """The model is trained on all verdicts and scores the pairs, and the window says so."""
    rows = lambda task: [row for row in person.session.runs.runs() if row.task == task]  # noqa: E731
    person.wait(lambda: any(row.state == "completed" for row in rows("score")), "the pairs are scored")
    newest = rows("reward")[0]
    assert newest.id != but and newest.name == f"Reward model, {40 + EVERY} verdicts"
    assert newest.spec_values["dataset"] != rows("reward")[1].spec_values["dataset"]
    assert rows("score")[0].spec_values["reward_model"] == f"run:{newest.id}"
    scores = read_scores(person.session.root / "runs" / rows("score")[0].id / FILE)
    assert len(scores) == 50
    return str(rows("score")[0].id)


def look_where_we_disagree(person: Person, score: str) -> None:
    """One click: the pairs that the person judged and the model would not, the surest first."""
    scores = read_scores(person.session.root / "runs" / score / FILE)
    judged = {row["pair_id"]: row["winner"] for row in person.session.labels.standing_comparisons()}
    wrong = {pair for pair, winner in judged.items() if (scores[pair].margin > 0) != (winner == "a")}
    told = f"disagrees with you on {len(wrong)} of {40 + EVERY}."
    person.wait(lambda: any(toast.label.text().endswith(told) for toast in toasts(person)), told)
    person.click(person.button("Look"))
    panel = person.window.panel("compare")
    person.wait(lambda: panel.next.plan is not None and panel.next.plan.strategy == "disagree", "they are in order")
    first = max(wrong, key=lambda pair: abs(scores[pair].margin))
    assert set(panel.next.plan.turns) == wrong and panel.queue.current.id == first
    assert panel.queue.current.standing is not None  # what was said of it is shown
    assert "prefers the other answer" in panel.next.reason.text()
    prefers_left = (scores[first].margin > 0) == (panel.queue.current.left == "a")
    person.press(panel, "1" if prefers_left else "2")  # the model was right
    again = {row["pair_id"]: row["winner"] for row in person.session.labels.standing_comparisons()}
    assert again[first] != judged[first]


def judge_the_most_uncertain_first(person: Person, score: str) -> None:
    panel = person.window.panel("compare")
    scores = read_scores(person.session.root / "runs" / score / FILE)
    person.choose(panel.next.which, "uncertain")
    person.wait(lambda: panel.next.plan.strategy == "uncertain", "they are in order")
    waiting = [str(pair["id"]) for pair in person.session.labels.next_pairs(20)]
    nearest = sorted(waiting, key=lambda pair: abs(scores[pair].margin))
    assert len(waiting) == 10 - EVERY and panel.queue.current.id == nearest[0]
    assert "hardly sure" in panel.next.reason.text()
    panel.setFocus()
    person.press(panel, "4")
    assert panel.queue.current.id == nearest[1]


def begin_ppo(person: Person, reward: str) -> str:
    """Paused once it has shown its answers at a few steps."""
    panel = person.go("train")
    person.click(panel.to_form)
    person.choose_method(panel.setup, "ppo")
    person.choose(panel.setup.form.editor("policy").combo, "starter")
    person.choose(panel.setup.form.editor("reward_model").combo, f"run:{reward}")
    for name, text in PPO.items():
        person.set_number(panel.setup.form, name, text)
    person.wait(panel.setup.start_button.isEnabled, lambda: str(panel.setup.blockers()))
    person.click(panel.setup.start_button)
    person.wait(lambda: panel.watching and blind_pairs(panel.view) >= 6, "its answers differ from those of its start")
    person.click(panel.view.header.pause)
    person.wait(lambda: panel.view.story.state == "paused", "it pauses")
    return str(panel.view.run_id)


def blind_pairs(view: Any) -> int:
    return len(pairs_of(view.run_id, "", view.story.samples))


def judge_it_blind(person: Person, run: str) -> None:
    """The run's answers come before all other pairs, without a word of which is whose."""
    view = person.window.panel("train").view
    person.click(view.blind.judge)
    panel = person.window.panel("compare")
    person.wait(lambda: person.window.current == "compare", "Compare opens")
    steps = []
    while panel.queue.current is not None and "run" in (meta := panel.queue.current.pair["meta"]) and run in meta:
        shown = panel.queue.current
        words = [label.text() for label in panel.findChildren(PlainLabel) if label.isVisible()]
        assert shown.standing is None and not any("Starting model" in text for text in words), words
        person.press(panel, "1" if shown.left == "a" else "2")  # A is the policy's: it wins whenever there is a verdict
        steps.append(shown.id)
    assert len(steps) >= 6 and len(set(steps)) == len(steps)


def see_the_win_rate(person: Person) -> None:
    panel = person.go("train")
    view = panel.view
    person.wait(lambda: view.blind.said.text().startswith("Preferred to its start at step"), "the win rate is told")
    rates = view.blind._rates
    assert all(rate.share == 1.0 and 0.2 < rate.low < 1.0 and rate.high == 1.0 for rate in rates)
    person.wait(lambda: CURVE in view.curves._drawn, "and drawn")
    assert view.story.state == "paused"  # all of it while the run is under way


def toasts(person: Person) -> list[Toast]:
    return [toast for toast in person.window.findChildren(Toast) if toast.isVisible()]
